package store

import (
	"errors"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
)

// One transaction through a block, depth, a reorganisation and back, and the one that it replaced; each verb twice, as after an
// answer that was lost, and none of them under a lost lease.
func TestEthereum(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx, now := t.Context(), epoch0
		db := open(Options{})
		appendTip(t, db, 1)
		head, err := db.Head(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.PinTarget(ctx, now, "chain", "eip155:1:0x00"); err != nil {
			t.Fatal(err)
		}
		save := func(ref, set string) anchor.Attempt {
			a, err := db.SaveAttempt(ctx, now, anchor.Attempt{Target: "chain", Purpose: anchor.PurposeLog, Head: head, Uses: []string{set}, Raw: []byte(ref), Ref: ref, Fee: 100})
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		save("replaced", "nonce/0")
		save("mined", "nonce/0")
		save("taken", "nonce/1")
		lease, err := db.TakeLease(ctx, "target/chain", "a", -time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.TakeLease(ctx, "target/chain", "b", time.Minute); err != nil {
			t.Fatal(err)
		}
		block := tip(7)
		in := logtree.Attestation{Target: "chain", Kind: logtree.Ethereum, Head: head, Proof: []byte{1}, Height: 10, BlockHash: block, BlockTime: now, Ref: "mined"}
		late := db.Under(lease)
		lost := func(verb string, err error) {
			t.Helper()
			if !errors.Is(err, ErrLeaseLost) {
				t.Errorf("%s under a lost lease: %v", verb, err)
			}
		}
		lost("Confirm", late.Confirm(ctx, now, "chain", in, 60))
		_, err = late.Settle(ctx, now, "chain", 12, 10)
		lost("Settle", err)
		_, err = late.Withdraw(ctx, now, "chain", 10, block)
		lost("Withdraw", err)
		lost("Abandon", late.Abandon(ctx, now, "chain", "nonce/1", 10))

		states := func(want ...anchor.State) {
			t.Helper()
			all, err := db.Attempts(ctx, "chain", time.Time{})
			if err != nil || len(all) != 3 {
				t.Fatal(all, err)
			}
			for i, a := range all {
				if a.State != want[i] {
					t.Errorf("attempt %s is in state %d, want %d", a.Ref, a.State, want[i])
				}
			}
		}
		attested := func(state logtree.AttestationState, standing int) {
			t.Helper()
			if a, err := db.AttestationOf(ctx, "chain", "mined"); err != nil || a.State != state || a.Kind != logtree.Ethereum {
				t.Errorf("the attestation is in state %d of %s, %v; want %d", a.State, a.Kind, err, state)
			}
			all, err := db.Standing(ctx, "chain", 1<<62, 10)
			if err != nil || len(all) != standing {
				t.Errorf("%d attestations stand, %v; want %d", len(all), err, standing)
			}
		}
		for range 2 {
			for range 2 {
				if err := db.Confirm(ctx, now, "chain", in, 60); err != nil {
					t.Fatal(err)
				}
			}
			states(anchor.Live, anchor.Mined, anchor.Live)
			attested(logtree.Mined, 1)
			if got, err := db.Settle(ctx, now, "chain", 11, 9); err != nil || len(got) != 0 {
				t.Errorf("too early %d count, %v", len(got), err)
			}
			if got, err := db.Settle(ctx, now, "chain", 12, 10); err != nil || len(got) != 1 {
				t.Errorf("%d count, %v", len(got), err)
			}
			if got, err := db.Settle(ctx, now, "chain", 12, 10); err != nil || len(got) != 0 {
				t.Errorf("again %d count, %v", len(got), err)
			}
			states(anchor.Dead, anchor.Settled, anchor.Live)
			attested(logtree.Counted, 1)
			if fees, err := db.SettledFees(ctx, "chain", anchor.PurposeLog, now.Add(-time.Hour)); err != nil || fees != 60 {
				t.Errorf("the fees are %d, %v", fees, err)
			}
			if got, err := db.Withdraw(ctx, now, "chain", 10, tip(8)); err != nil || len(got) != 0 {
				t.Errorf("of another block of that height %d are withdrawn, %v", len(got), err)
			}
			attested(logtree.Counted, 1)
			if got, err := db.Withdraw(ctx, now, "chain", 10, block); err != nil || len(got) != 1 {
				t.Errorf("%d are withdrawn, %v", len(got), err)
			}
			if got, err := db.Withdraw(ctx, now, "chain", 10, block); err != nil || len(got) != 0 {
				t.Errorf("again %d are withdrawn, %v", len(got), err)
			}
			states(anchor.Live, anchor.Live, anchor.Live)
			attested(logtree.Withdrawn, 0)
			block = tip(9) // then it is in another block
			in.BlockHash = block
		}
		if err := db.Abandon(ctx, now, "chain", "nonce/1", 12); err != nil {
			t.Fatal(err)
		}
		states(anchor.Live, anchor.Live, anchor.Dead)
	})
}

// What was never counted is forgotten with its block, and what it kept from counting counts.
func TestEthereumForgets(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx, now := t.Context(), epoch0
		db := open(Options{})
		if _, err := db.PinTarget(ctx, now, "chain", "eip155:1:0x00"); err != nil {
			t.Fatal(err)
		}
		for i, ref := range []string{"small", "large"} {
			appendTip(t, db, i)
			head, err := db.Head(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.SaveAttempt(ctx, now, anchor.Attempt{Target: "chain", Purpose: anchor.PurposeLog, Head: head, Uses: []string{ref}, Raw: []byte{1}, Ref: ref}); err != nil {
				t.Fatal(err)
			}
			// The larger head is in the lower block: it counts first, and the smaller one is superseded.
			err = db.Confirm(ctx, now, "chain", logtree.Attestation{Target: "chain", Kind: logtree.Ethereum, Head: head, Proof: []byte{1}, Height: int64(20 - i), BlockHash: tip(i), BlockTime: now, Ref: ref}, 1)
			if err != nil {
				t.Fatal(err)
			}
		}
		if got, err := db.Settle(ctx, now, "chain", 30, 19); err != nil || len(got) != 1 {
			t.Fatalf("%d count, %v", len(got), err)
		}
		if got, err := db.Settle(ctx, now, "chain", 31, 20); err != nil || len(got) != 0 {
			t.Fatalf("%d count, %v", len(got), err)
		}
		if a, err := db.AttestationOf(ctx, "chain", "small"); err != nil || a.State != logtree.Superseded {
			t.Errorf("the smaller is %d, %v", a.State, err)
		}
		if _, err := db.Withdraw(ctx, now, "chain", 19, tip(1)); err != nil {
			t.Fatal(err)
		}
		if a, err := db.AttestationOf(ctx, "chain", "small"); err != nil || a.State != logtree.Counted {
			t.Errorf("then the smaller is %d, %v", a.State, err)
		}
	})
}

// Ethereum confirms no stamp, so no notice says that it did.
func TestEthereumTellsNobody(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx, now := t.Context(), epoch0
		db := open(Options{})
		if err := db.SaveStatus(ctx, now, anchor.Status{Target: "chain"}); err != nil {
			t.Fatal(err)
		}
		appendTip(t, db, 1)
		head, err := db.Head(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.SaveAttempt(ctx, now, anchor.Attempt{Target: "chain", Purpose: anchor.PurposeLog, Head: head, Uses: []string{"nonce/0"}, Raw: []byte{1}, Ref: "ref"}); err != nil {
			t.Fatal(err)
		}
		if err := db.Confirm(ctx, now, "chain", logtree.Attestation{Target: "chain", Kind: logtree.Ethereum, Head: head, Proof: []byte{1}, Height: 2, BlockTime: now, Ref: "ref"}, 1); err != nil {
			t.Fatal(err)
		}
		if got, err := db.Settle(ctx, now, "chain", 3, 2); err != nil || len(got) != 1 {
			t.Fatalf("%d count, %v", len(got), err)
		}
		for range 20 {
			if more, err := db.Walk(ctx, now); err != nil {
				t.Fatal(err)
			} else if !more {
				break
			}
		}
		walks, err := db.walks(ctx)
		if err != nil || len(walks) != 1 {
			t.Fatal(walks, err)
		}
		if w := walks[0]; w.anchored != 0 || w.confirmed != 0 || w.signed != head.Size {
			t.Errorf("told of %d anchored and %d confirmed, and of %d signed", w.anchored, w.confirmed, w.signed)
		}
		if wrong, err := db.CheckNotices(ctx, 10); err != nil || len(wrong) > 0 {
			t.Errorf("fsck: %v, %v", wrong, err)
		}
	})
}
