package main

import (
	"encoding/json"
	"fmt"
	"slices"
)

// patch is [position, deleted, "inserted"], in characters: what stands at the position goes, and what is inserted comes there.
type patch struct {
	at, deleted int
	inserted    []rune
}

func (p *patch) UnmarshalJSON(data []byte) error {
	var inserted string
	fields := []any{&p.at, &p.deleted, &inserted}
	if err := json.Unmarshal(data, &fields); err != nil || len(fields) != 3 {
		return fmt.Errorf(`a patch is [position, deleted, "inserted"]`)
	}
	p.inserted = []rune(inserted)
	return nil
}

// edit applies all patches or none. The text that it was given is no longer to be used, unless it fails.
func edit(text []rune, contents [][]byte) ([]rune, error) {
	patches, length := make([]patch, len(contents)), len(text)
	for i, content := range contents {
		p := &patches[i]
		if err := json.Unmarshal(content, p); err != nil {
			return nil, err
		}
		if p.at < 0 || p.at > length || p.deleted < 0 || p.deleted > length-p.at {
			return nil, fmt.Errorf("%d characters at %d are not within the %d that there are", p.deleted, p.at, length)
		}
		length += len(p.inserted) - p.deleted
	}
	for _, p := range patches {
		text = slices.Replace(text, p.at, p.at+p.deleted, p.inserted...)
	}
	return text, nil
}
