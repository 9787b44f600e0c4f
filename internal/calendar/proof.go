package calendar

import (
	"context"
	"fmt"
	"slices"

	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/ots"
)

// State says how far a commitment has come.
type State int

const (
	// Pending: in the log, in no block.
	Pending State = iota
	// Mined: in a block that is not deep enough yet.
	Mined
	// Confirmed: attested; there is a proof.
	Confirmed
)

// Proof is what is known of a commitment.
type Proof struct {
	State State
	// Timestamp is the bare timestamp on the commitment in wire form, at most MaxProof bytes, when
	// State is Confirmed.
	Timestamp []byte
	// Promises is the bare timestamp on the commitment, at most MaxProof bytes, that ends in the pending attestations of
	// other calendars, while State is not Confirmed; nil when there is none. They can complete it without us.
	Promises []byte
	// Ref names the transaction when State is Mined.
	Ref string
	// Deep: the first attestation is more than DeepBlocks deep, so that the answer will not change
	// but for branches that come to it.
	Deep bool
}

// Proof finds the proof of a commitment, which is an entry of the log. It returns ErrUnknown for
// what the log does not have.
func (c *Calendar) Proof(ctx context.Context, commitment []byte) (Proof, error) {
	if len(commitment) != logtree.EntrySize {
		return Proof{}, ErrUnknown
	}
	e := logtree.Entry(commitment)
	nodes, err := c.store.Find(ctx, e)
	if err != nil {
		return Proof{}, err
	}
	attestations, err := c.store.Attestations(ctx, e.Position())
	if err != nil {
		return Proof{}, err
	}
	var p Proof
	for _, a := range attestations {
		switch {
		case a.State == logtree.Mined && p.State == Pending:
			p.State, p.Ref = Mined, a.Ref
		case a.State == logtree.Counted:
			path, err := nodes.Inclusion(a.Head, e)
			if err != nil {
				return Proof{}, fmt.Errorf("proof of %v by %s: %w", e.Position(), a.Target, err)
			}
			if err := p.add(append(path.Bytes(), a.Proof...), a); err != nil {
				return Proof{}, fmt.Errorf("proof of %v by %s: %w", e.Position(), a.Target, err)
			}
		}
	}
	if p.State != Confirmed {
		if p.Promises, err = c.promises(ctx, nodes, e); err != nil {
			return Proof{}, fmt.Errorf("promises for %v: %w", e.Position(), err)
		}
	}
	return p, nil
}

// promises joins what other calendars promised of heads above an entry, as far as there is room.
func (c *Calendar) promises(ctx context.Context, nodes logtree.Reader, e logtree.Entry) ([]byte, error) {
	all, err := c.store.Promises(ctx, e.Position())
	if err != nil {
		return nil, err
	}
	var joined Proof
	paths := make(map[logtree.Head][]byte)
	for _, promise := range all {
		path, ok := paths[promise.Head]
		if !ok {
			inclusion, err := nodes.Inclusion(promise.Head, e)
			if err != nil {
				return nil, err
			}
			path = inclusion.Bytes()
			paths[promise.Head] = path
		}
		if err := joined.add(slices.Concat(path, promise.Proof), logtree.Attestation{}); err != nil {
			return nil, err
		}
	}
	return joined.Timestamp, nil
}

// add puts a branch into the proof: the first as it is, others while the whole stays within MaxProof.
func (p *Proof) add(branch []byte, a logtree.Attestation) error {
	if p.State != Confirmed {
		*p = Proof{State: Confirmed, Timestamp: branch, Deep: a.Depth() > DeepBlocks}
		return nil
	}
	t, err := ots.ParseTimestamp(p.Timestamp, logtree.EntrySize)
	if err != nil {
		return err
	}
	u, err := ots.ParseTimestamp(branch, logtree.EntrySize)
	if err != nil {
		return err
	}
	t.Merge(u)
	if wire, err := t.AppendBinary(nil); err == nil && len(wire) <= MaxProof {
		p.Timestamp = wire
	}
	return nil
}
