// A handler in Go: documents that people edit, kept in one file.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	pb "tidegate/clients/go/tidegatev1"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:7001", "where the gateway finds it; port 0 is one that is free")
	data := flag.String("data", "documents.db", "the file that everything is kept in")
	flag.Parse()
	if err := serve(*listen, *data); err != nil {
		log.Fatal(err)
	}
}

// serve returns after SIGTERM or SIGINT, when the calls that are open have ended.
func serve(listen, data string) error {
	stop, release := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer release()
	documents, err := open(data)
	if err != nil {
		return err
	}
	defer documents.db.Close()
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Println("listening on", listener.Addr())

	server, healthy := grpc.NewServer(), health.NewServer()
	pb.RegisterHandlerServer(server, documents)
	// The gateway asks an address that was away whether it is back.
	healthpb.RegisterHealthServer(server, healthy)
	go func() {
		<-stop.Done()
		healthy.Shutdown()
		time.AfterFunc(10*time.Second, server.Stop)
		server.GracefulStop()
	}()
	return server.Serve(listener)
}
