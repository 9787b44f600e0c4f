package store

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin/ledger"
	"github.com/datestone/datestone/internal/logtree"
)

// TestStampOfDigest: of the stamps of a digest the earliest public one is found, or else the earliest.
func TestStampOfDigest(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{})
		a, b := newAccount(t, db, "a@example.org"), newAccount(t, db, "b@example.org")
		keep := func(owner account.Account, n int) account.Stamp {
			t.Helper()
			r, err := db.AppendStamps(ctx, epoch0, []account.Create{{Account: owner.ID, Items: items(n, n+1), Quota: 100}})
			if err != nil || r[0].Err != nil {
				t.Fatal(err, r)
			}
			return r[0].Stamps[0]
		}
		first, other, second := keep(a, 1), keep(a, 2), keep(b, 1)
		find := func(want *account.Stamp, got account.Stamp, err error) {
			t.Helper()
			if want == nil {
				if !errors.Is(err, ErrNotFound) {
					t.Errorf("got %v, %v, want nothing", got.Certificate, err)
				}
			} else if d := cmp.Diff(*want, got); d != "" || err != nil {
				t.Errorf("%v %s", err, d)
			}
		}
		public := func(want *account.Stamp, digest [32]byte) {
			t.Helper()
			got, err := db.StampOfDigest(ctx, digest)
			find(want, got, err)
		}
		publish := func(s *account.Stamp, yes bool) {
			t.Helper()
			s.Public = yes
			if err := db.ChangeStamp(ctx, s.Account, s.ID, account.Change{Public: &yes}); err != nil {
				t.Fatal(err)
			}
		}
		public(nil, [32]byte{1})
		public(&first, first.SHA256)
		public(&other, other.SHA256)
		publish(&second, true)
		public(&second, first.SHA256)
		publish(&first, true)
		public(&first, first.SHA256)
		publish(&first, false)
		public(&second, first.SHA256)
		publish(&second, false)
		public(&first, first.SHA256)
	})
}

// TestWithdrawn: what counted once and left the chain is known for the positions that it covered, and for no other.
func TestWithdrawn(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{})
		if _, err := db.PinTarget(ctx, anchorTime, "bitcoin", "genesis"); err != nil {
			t.Fatal(err)
		}
		blocks := []ledger.Block{{Height: 5, Hash: [32]byte{5}}}
		if err := db.StartChain(ctx, anchorTime, "bitcoin", blocks[0], nil); err != nil {
			t.Fatal(err)
		}
		// mine puts the head into a block; depth 1 counts at once.
		kind := logtree.Bitcoin
		mine := func(ref string, depth int64) {
			t.Helper()
			head, err := db.Head(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.SaveAttempt(ctx, anchorTime, anchor.Attempt{Target: "bitcoin", Purpose: anchor.PurposeLog, Head: head, Uses: []string{ref + ":0"}, Raw: []byte{1}, Ref: ref}); err != nil {
				t.Fatal(err)
			}
			last := blocks[len(blocks)-1]
			b := ledger.Observed{Block: ledger.Block{Height: last.Height + 1, Hash: [32]byte{ref[0]}, Work: [32]byte{31: byte(last.Height)}}, Prev: last.Hash}
			b.Mined = []logtree.Attestation{{Target: "bitcoin", Kind: kind, Head: head, Proof: []byte{1}, Height: b.Height, BlockHash: b.Hash, BlockTime: anchorTime, Ref: ref}}
			if _, err := db.ConnectBlock(ctx, anchorTime, "bitcoin", b, depth); err != nil {
				t.Fatal(err)
			}
			blocks = append(blocks, b.Block)
		}
		disconnect := func(now time.Time) {
			t.Helper()
			last := blocks[len(blocks)-1]
			blocks = blocks[:len(blocks)-1]
			if _, err := db.DisconnectBlock(ctx, now, "bitcoin", last); err != nil {
				t.Fatal(err)
			}
		}
		first := appendTip(t, db, 1)
		check := func(when string, e logtree.Entry, want string, changed time.Time) {
			t.Helper()
			all, err := db.Withdrawn(ctx, e.Position())
			switch {
			case err != nil:
				t.Fatal(err)
			case want == "" && len(all) > 0:
				t.Errorf("%s: %+v", when, all)
			case want != "" && (len(all) != 1 || all[0].Ref != want || all[0].State != logtree.Withdrawn || !all[0].Changed.Equal(changed)):
				t.Errorf("%s: %+v, want %s", when, all, want)
			}
		}
		later := anchorTime.Add(time.Hour)
		mine("never counted", 6)
		disconnect(later)
		check("one that never counted", first, "", later)
		kind = logtree.Litecoin
		mine("of Litecoin", 1)
		disconnect(later)
		check("one of Litecoin", first, "", later)
		kind = logtree.Bitcoin
		mine("counted", 1)
		check("while it counts", first, "", later)
		second := appendTip(t, db, 2)
		disconnect(later)
		check("withdrawn", first, "counted", later)
		check("an entry after its head", second, "", later)
		mine("larger", 1)
		disconnect(later.Add(time.Hour))
		check("of two the smaller head", first, "counted", later)
		check("the larger head", second, "larger", later.Add(time.Hour))
	})
}
