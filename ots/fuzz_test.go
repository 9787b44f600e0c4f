package ots_test

import (
	"bytes"
	"testing"

	"github.com/datestone/datestone/ots"
)

// Run them with -fuzzminimizetime=10x: the minimizer otherwise spends most of the
// time on inputs whose coverage depends on what a pool held before.

func FuzzParseFile(f *testing.F) {
	for _, v := range vectors() {
		f.Add(fileBytes(f, ots.OpSHA256, v.wire))
	}
	for _, name := range []string{"receipt.hex", "pending.hex"} {
		f.Add(testdata(f, name))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, err := ots.ParseFile(raw)
		if err != nil {
			if file != nil {
				t.Fatal("a proof beside an error")
			}
			return
		}
		out, err := file.AppendBinary(nil)
		if err != nil {
			t.Fatalf("writing what was read: %v", err)
		}
		again, err := ots.ParseFile(out)
		if err != nil {
			t.Fatalf("reading what was written: %v", err)
		}
		examine(t, file.Timestamp, again.Timestamp, file.Digest)
	})
}

func FuzzParseTimestamp(f *testing.F) {
	for _, v := range vectors() {
		f.Add(unhex(f, v.wire), 32)
	}
	f.Add(unhex(f, "f200"+bitcoin7), 0)
	f.Add(unhex(f, "f300"+bitcoin7), 2048)
	f.Fuzz(func(t *testing.T, raw []byte, msgLen int) {
		stamp, err := ots.ParseTimestamp(raw, msgLen)
		if err != nil {
			if stamp != nil {
				t.Fatal("a timestamp beside an error")
			}
			return
		}
		again, err := ots.ParseTimestamp(wire(t, stamp), msgLen)
		if err != nil {
			t.Fatalf("reading what was written: %v", err)
		}
		examine(t, stamp, again, make([]byte, msgLen))
	})
}

// examine checks what holds for every timestamp that could be read, of which
// again is what was read from its written form.
func examine(t *testing.T, stamp, again *ots.Timestamp, msg []byte) {
	same(t, "read, written and read", stamp, again)
	compressed(t, stamp, true)
	same(t, "merged with its copy", stamp, merged(stamp, again))

	visit := func(n *ots.Timestamp, msg []byte) error {
		for _, a := range n.Attestations() {
			_, _ = a.Height()
			if a.Kind() == ots.KindPending {
				if _, err := ots.PendingAttestation(a.URI()); err != nil {
					t.Fatal(err)
				}
			}
		}
		return nil
	}
	if err := stamp.Walk(msg, visit); err != nil {
		t.Fatalf("evaluating what was read: %v", err)
	}
	if s, ok := stamp.Shrink(); ok {
		compressed(t, s, true)
		if err := s.Walk(msg, visit); err != nil {
			t.Fatalf("evaluating what was shrunk: %v", err)
		}
		if len(wire(t, s)) > len(wire(t, stamp)) {
			t.Fatal("shrunk and longer")
		}
	}
	byTag := func(a ots.Attestation) bool { return a.Tag()[0]%2 == 0 }
	p := stamp.Prune(byTag)
	q := stamp.Prune(func(a ots.Attestation) bool { return !byTag(a) })
	switch {
	case p == nil:
		same(t, "pruned of nothing", q, stamp)
	case q == nil:
		same(t, "pruned of nothing", p, stamp)
	default:
		compressed(t, p, true)
		whole := merged(p, q)
		if !bytes.Equal(wire(t, whole), wire(t, stamp)) {
			t.Fatal("two parts do not make the whole")
		}
	}
}
