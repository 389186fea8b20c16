package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "tidegate/clients/go/tidegatev1"
)

// documents keeps a text for each key. UPDATE edits it by patches, READ gives it.
type documents struct {
	pb.UnimplementedHandlerServer
	db *bolt.DB
}

// The tables. An id stands with the time when its item was answered and, if it was refused, why; a domain with its highest term.
var texts, answered, terms = []byte("texts"), []byte("answered"), []byte("terms")

func open(file string) (*documents, error) {
	db, err := bolt.Open(file, 0o600, &bolt.Options{Timeout: 5 * time.Second})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	return &documents{db: db}, db.Update(func(tx *bolt.Tx) error {
		for _, table := range [][]byte{texts, answered, terms} {
			if _, err := tx.CreateBucketIfNotExists(table); err != nil {
				return err
			}
		}
		return nil
	})
}

// Handle does a batch in one transaction. When it answers, all of it is on disk: the texts, what each item was told, and the
// terms. When it fails, nothing of it is, and the gateway calls again.
func (d *documents) Handle(ctx context.Context, request *pb.HandleRequest) (*pb.HandleResponse, error) {
	response, stopped := &pb.HandleResponse{}, map[uint32]bool{}
	transact := d.db.Update
	if request.Action == pb.Action_ACTION_READ {
		transact = d.db.View
	}
	err := transact(func(tx *bolt.Tx) (err error) {
		batch := batch{request.Handler, tx, map[string][]rune{}}
		for _, item := range request.Items {
			result := retry("an earlier item of its chain was not done")
			if !stopped[item.Chain] {
				if result, err = batch.do(item); err != nil {
					return err
				}
			}
			stopped[item.Chain] = item.Chain != 0 && result.Outcome == pb.Outcome_OUTCOME_RETRY
			result.Id = item.Id
			response.Results = append(response.Results, result)
		}
		if err = batch.end(); err != nil {
			return err
		}
		// Nobody waits any more: what the gateway may have given up meanwhile is not done after that.
		return ctx.Err()
	})
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return response, nil
}

// batch is one that is being done, in its transaction.
type batch struct {
	handler string
	tx      *bolt.Tx
	// The texts that it changes, until they are written.
	edited map[string][]rune
}

func (b *batch) do(item *pb.HandleItem) (*pb.HandleResult, error) {
	// Names live inside the tenant of who sent the item. Quoted, no two of them are joined to the same.
	name := fmt.Sprintf("%q %q %q", item.GetPrincipal().GetTenant(), b.handler, item.Key)
	switch item.Action {
	case pb.Action_ACTION_READ:
		return &pb.HandleResult{Outcome: pb.Outcome_OUTCOME_OK, Text: []string{string(b.text(name))}}, nil
	case pb.Action_ACTION_UPDATE:
		return b.update(name, item)
	}
	return refuse(pb.Reason_REASON_UNSUPPORTED_ACTION, "a document can be read and updated"), nil
}

func (b *batch) update(name string, item *pb.HandleItem) (*pb.HandleResult, error) {
	if late, err := b.outlived(item); err != nil || late {
		return retry("its domain has another owner by now"), err
	}
	answered, id := b.tx.Bucket(answered), []byte(item.Id)
	if known := answered.Get(id); known != nil {
		// By an attempt whose answer was lost.
		_, refusal, _ := strings.Cut(string(known), " ")
		return answer(refusal), nil
	}
	refusal := ""
	if text, err := edit(b.text(name), item.Data); err == nil {
		b.edited[name] = text
	} else {
		// It is kept as well: what does not fit this text might fit the one that the next attempt finds.
		refusal = err.Error()
	}
	return answer(refusal), answered.Put(id, fmt.Appendf(nil, "%s %s", time.Now().UTC().Format(time.RFC3339), refusal))
}

// outlived is whether a later owner of the item's domain was here: what an earlier one sent comes too late.
func (b *batch) outlived(item *pb.HandleItem) (bool, error) {
	terms, domain := b.tx.Bucket(terms), fmt.Appendf(nil, "%q %d", b.handler, item.Domain)
	var highest uint64
	if known := terms.Get(domain); known != nil {
		highest = binary.BigEndian.Uint64(known)
	}
	if item.Term <= highest {
		return item.Term < highest, nil
	}
	return false, terms.Put(domain, binary.BigEndian.AppendUint64(nil, item.Term))
}

func (b *batch) text(name string) []rune {
	if text, here := b.edited[name]; here {
		return text
	}
	return []rune(string(b.tx.Bucket(texts).Get([]byte(name))))
}

func (b *batch) end() error {
	for name, text := range b.edited {
		if err := b.tx.Bucket(texts).Put([]byte(name), []byte(string(text))); err != nil {
			return err
		}
	}
	return nil
}

func answer(refusal string) *pb.HandleResult {
	if refusal != "" {
		return refuse(pb.Reason_REASON_INVALID_DATA, refusal)
	}
	return &pb.HandleResult{Outcome: pb.Outcome_OUTCOME_OK}
}

func retry(why string) *pb.HandleResult {
	return &pb.HandleResult{Outcome: pb.Outcome_OUTCOME_RETRY, Message: why}
}

func refuse(reason pb.Reason, why string) *pb.HandleResult {
	return &pb.HandleResult{Outcome: pb.Outcome_OUTCOME_REJECTED, Reason: reason, Message: why}
}
