package cluster

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/datestone/datestone/ots"
)

// Acks are the commitments that the service acknowledged.
type Acks struct {
	mu    sync.Mutex
	all   map[uint64]string // position to commitment in hex
	order []string          // distinct commitments as they came
	lost  map[string]bool
	count int // digests
}

func newAcks() *Acks { return &Acks{all: make(map[uint64]string), lost: make(map[string]bool)} }

// Add notes the answer to a digest. A position that was given out for something
// else is an error.
func (a *Acks) Add(digest, reply []byte) error {
	commitment, err := pending(digest, reply)
	if err != nil {
		return fmt.Errorf("the answer to a digest: %w", err)
	}
	if len(commitment) != 40 {
		return fmt.Errorf("a commitment of %d bytes", len(commitment))
	}
	position, text := binary.BigEndian.Uint64(commitment), hex.EncodeToString(commitment)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count++
	switch before, known := a.all[position]; {
	case !known:
		a.all[position] = text
		a.order = append(a.order, text)
	case before != text:
		return fmt.Errorf("position %d was given out twice: %s and %s", position, before, text)
	}
	return nil
}

// Digests is how many digests were acknowledged.
func (a *Acks) Digests() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.count
}

// Commitments are the distinct commitments as they came, but for those that were
// lost.
func (a *Acks) Commitments() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(a.order), func(c string) bool { return a.lost[c] })
}

// Lose takes note that commitments were lost for good. Their positions still count
// as given out.
func (a *Acks) Lose(commitments []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range commitments {
		a.lost[c] = true
	}
}

// pending returns the message that the pending attestation of a reply stands on.
func pending(digest, reply []byte) (message []byte, err error) {
	t, err := ots.ParseTimestamp(reply, len(digest))
	if err != nil {
		return nil, err
	}
	err = t.Walk(digest, func(n *ots.Timestamp, msg []byte) error {
		for _, a := range n.Attestations() {
			if a.Kind() == ots.KindPending {
				message = bytes.Clone(msg)
			}
		}
		return nil
	})
	if err == nil && message == nil {
		err = errors.New("no pending attestation")
	}
	return message, err
}
