package store

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin/ledger"
	"github.com/datestone/datestone/internal/logtree"
)

var anchorTime = time.UnixMicro(1_800_000_000_000_001).UTC()

// An attempt comes back as it was saved; saved twice it is one; what it uses is never empty.
func TestSaveAttempt(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{})
		a := anchor.Attempt{Target: "bitcoin", Purpose: anchor.PurposeLog, Head: logtree.Head{Epoch: 1, Size: 7, Root: tip(1)},
			Uses: []string{"z:0", "a:1"}, Raw: []byte{1, 2, 3}, Ref: "ref", Fee: 300, VSize: 150}
		if _, err := db.SaveAttempt(t.Context(), anchorTime, anchor.Attempt{Ref: "x"}); err == nil {
			t.Error("an attempt that uses nothing was saved")
		}
		var want anchor.Attempt
		for range 2 {
			saved, err := db.SaveAttempt(t.Context(), anchorTime, a)
			if err != nil {
				t.Fatal(err)
			}
			want = saved
		}
		got, err := db.Unsettled(t.Context(), "bitcoin")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]anchor.Attempt{want}, got); diff != "" {
			t.Errorf("saved (-) and read (+):\n%s", diff)
		}
		if err := db.MarkSent(t.Context(), anchorTime.Add(time.Second), want.ID); err != nil {
			t.Fatal(err)
		}
		if err := db.MarkSent(t.Context(), anchorTime.Add(time.Minute), want.ID); err != nil {
			t.Fatal(err)
		}
		last, found, err := db.LastAttempt(t.Context(), "bitcoin", anchor.PurposeLog)
		if err != nil || !found || !last.Sent.Equal(anchorTime.Add(time.Second)) || last.Set() != "z:0" {
			t.Errorf("the last attempt is %+v: %v", last, err)
		}
		if _, found, err := db.LastAttempt(t.Context(), "bitcoin", "seeds"); found || err != nil {
			t.Errorf("an attempt of another purpose: %v, %v", found, err)
		}
	})
}

// Blocks join only at the best one, and leave only from there; a target's name belongs to one chain.
func TestChain(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{})
		ctx := t.Context()
		if got, err := db.PinTarget(ctx, anchorTime, "bitcoin", "genesis"); err != nil || got != "genesis" {
			t.Fatalf("pinned to %q: %v", got, err)
		}
		if got, err := db.PinTarget(ctx, anchorTime, "bitcoin", "other"); err != nil || got != "genesis" {
			t.Fatalf("pinned to %q: %v", got, err)
		}
		if _, err := db.Genesis(ctx, "litecoin"); !errors.Is(err, ErrNotFound) {
			t.Errorf("genesis of a target that is not there: %v", err)
		}
		block := func(height int64, hash byte) ledger.Observed {
			return ledger.Observed{Block: ledger.Block{Height: height, Hash: [32]byte{hash}, Work: [32]byte{31: byte(height)}}}
		}
		base := block(5, 5).Block
		if err := db.StartChain(ctx, anchorTime, "bitcoin", base, nil); err != nil {
			t.Fatal(err)
		}
		if err := db.StartChain(ctx, anchorTime, "bitcoin", base, nil); !errors.Is(err, ErrConflict) {
			t.Errorf("beginning twice: %v", err)
		}
		six := block(6, 6)
		if _, err := db.ConnectBlock(ctx, anchorTime, "bitcoin", six, 1); !errors.Is(err, ErrConflict) {
			t.Errorf("a block that does not follow: %v", err)
		}
		six.Prev = base.Hash
		if _, err := db.ConnectBlock(ctx, anchorTime, "bitcoin", six, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ConnectBlock(ctx, anchorTime, "bitcoin", six, 1); !errors.Is(err, ErrConflict) {
			t.Errorf("the same block twice: %v", err)
		}
		if _, err := db.DisconnectBlock(ctx, anchorTime, "bitcoin", base); !errors.Is(err, ErrConflict) {
			t.Errorf("taking away a block that is not the best: %v", err)
		}
		c, err := db.Chain(ctx, "bitcoin")
		if err != nil || !c.Followed || c.Best != six.Block || c.Base != 5 || c.MostWork != six.Work {
			t.Errorf("chain %+v: %v", c, err)
		}
		for _, b := range []ledger.Block{six.Block, base} {
			if _, err := db.DisconnectBlock(ctx, anchorTime, "bitcoin", b); err != nil {
				t.Fatal(err)
			}
		}
		if c, err = db.Chain(ctx, "bitcoin"); err != nil || c.Followed || c.Base != 0 || c.MostWork != six.Work {
			t.Errorf("chain %+v: %v", c, err)
		}
	})
}

// A status comes back as it was saved.
func TestStatus(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{})
		if _, err := db.PinTarget(t.Context(), anchorTime, "bitcoin", "genesis"); err != nil {
			t.Fatal(err)
		}
		want := anchor.Status{Target: "bitcoin", Network: "regtest", TestNetwork: true, Code: anchor.NoFunds, Message: "Send.", Height: 7, FeeRate: 1.5,
			Waiting: []anchor.Waiting{{Ref: "r", Height: 3, Confirmations: 5}}, Attested: []anchor.Attested{{Epoch: 1, Size: 2}}, LastErrorAt: anchorTime, Updated: anchorTime}
		if err := db.SaveStatus(t.Context(), anchorTime, want); err != nil {
			t.Fatal(err)
		}
		got, err := db.Targets(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]anchor.Status{want}, got); diff != "" {
			t.Errorf("saved (-) and read (+):\n%s", diff)
		}
	})
}
