package calendar

import (
	"context"
	"fmt"

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
	// State says how far the commitment has come in Bitcoin.
	State State
	// Timestamp is the bare timestamp on the commitment in wire form, at most MaxProof bytes, with all that is
	// attested so far, and until State is Confirmed with what other calendars promised. It is empty while there is
	// nothing, and never when State is Confirmed.
	Timestamp []byte
	// Promised: Timestamp has pending attestations of other calendars, which can complete it without us.
	Promised bool
	// Ref names the transaction when State is Mined.
	Ref string
	// Deep: the first attestation of Bitcoin is more than DeepBlocks deep, so that the answer will not change
	// but for branches that come to it.
	Deep bool
}

// Proof finds the proof of a commitment, which is an entry of the log. dubious asks for attestations of Ethereum as
// well, which some clients cannot read. It returns ErrUnknown for what the log does not have.
func (c *Calendar) Proof(ctx context.Context, commitment []byte, dubious bool) (Proof, error) {
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
	for _, bitcoin := range []bool{true, false} { // others have the room that is left
		for _, a := range attestations {
			if (a.Kind == logtree.Bitcoin) != bitcoin || a.Kind == logtree.Ethereum && !dubious {
				continue
			}
			if bitcoin {
				p.note(a)
			}
			if a.State != logtree.Counted {
				continue
			}
			path, err := nodes.Inclusion(a.Head, e)
			if err != nil {
				return Proof{}, fmt.Errorf("proof of %v by %s: %w", e.Position(), a.Target, err)
			}
			if err := p.add(append(path.Bytes(), a.Proof...)); err != nil {
				return Proof{}, fmt.Errorf("proof of %v by %s: %w", e.Position(), a.Target, err)
			}
		}
	}
	if p.State != Confirmed {
		if err := c.promise(ctx, &p, nodes, e); err != nil {
			return Proof{}, fmt.Errorf("promises for %v: %w", e.Position(), err)
		}
	}
	return p, nil
}

// promise adds what other calendars promised of heads above an entry, as far as there is room.
func (c *Calendar) promise(ctx context.Context, p *Proof, nodes logtree.Reader, e logtree.Entry) error {
	promises, err := c.store.Promises(ctx, e.Position())
	if err != nil {
		return err
	}
	for _, promise := range promises {
		path, err := nodes.Inclusion(promise.Head, e)
		if err != nil {
			return err
		}
		before := len(p.Timestamp)
		if err := p.add(append(path.Bytes(), promise.Proof...)); err != nil {
			return err
		}
		p.Promised = p.Promised || len(p.Timestamp) > before
	}
	return nil
}

// note draws the conclusion from an attestation of Bitcoin.
func (p *Proof) note(a logtree.Attestation) {
	switch {
	case a.State == logtree.Mined && p.State == Pending:
		p.State, p.Ref = Mined, a.Ref
	case a.State == logtree.Counted && p.State != Confirmed:
		p.State, p.Ref, p.Deep = Confirmed, "", a.Depth() > DeepBlocks
	}
}

// add puts a branch into the proof: the first as it is, others while the whole stays within MaxProof.
func (p *Proof) add(branch []byte) error {
	if p.Timestamp == nil {
		p.Timestamp = branch
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
