package ots

import "fmt"

// AppendBinary appends the canonical wire form of a bare timestamp, as calendars
// reply with it. It fails for one with a path to no attestation, and for one
// with more than MaxDepth operations in a row, counted from this node: the
// first message's length is not known here, so whether messages stay within
// MaxMessage is not checked. On failure it returns b.
func (t *Timestamp) AppendBinary(b []byte) ([]byte, error) {
	w := writer{out: b}
	if err := w.timestamp(t, unknownLen, 0); err != nil {
		return b, fmt.Errorf("writing timestamp: %w", err)
	}
	return w.out, nil
}

type writer struct{ out []byte }

// unknownLen stands for a message of which not even the length is known.
const unknownLen = -1

// timestamp appends a node whose message has msgLen bytes and is depth
// operations away from the first.
func (w *writer) timestamp(t *Timestamp, msgLen, depth int) error {
	if t == nil || len(t.atts) == 0 && len(t.branches) == 0 {
		return ErrEmpty
	}
	// All items but the last are preceded by the fork byte.
	left := len(t.atts) + len(t.branches)
	for _, a := range t.atts {
		if a.IsZero() {
			return ErrEmpty
		}
		if left--; left > 0 {
			w.out = append(w.out, tagFork)
		}
		w.out = append(w.out, tagAttestation)
		w.out = append(w.out, a.wire...)
	}
	for i := range t.branches {
		b := &t.branches[i]
		if left--; left > 0 {
			w.out = append(w.out, tagFork)
		}
		if b.Path.bad {
			return errBadPath
		}
		if depth+b.Path.Len() > MaxDepth {
			return ErrTooDeep
		}
		n, err := b.Path.resultLen(msgLen)
		if err != nil {
			return err
		}
		w.out = append(w.out, b.Path.wire...)
		if err := w.timestamp(b.Timestamp, n, depth+b.Path.Len()); err != nil {
			return err
		}
	}
	return nil
}
