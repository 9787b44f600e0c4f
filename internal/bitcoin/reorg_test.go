package bitcoin_test

import (
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/devchain"
	"github.com/datestone/datestone/internal/logtree"
)

// funded is a rig whose first transaction, with a head of three entries, is in the mempool.
func funded(t *testing.T, change func(*rig)) (*rig, anchor.Attempt) {
	t.Helper()
	r := newRig(t, change)
	r.fund(100_000)
	r.append(3)
	r.step()
	a := r.only()
	if !r.inMempool(a.Ref) {
		t.Fatal("the first transaction is not in the mempool")
	}
	return r, a
}

// replaced is a rig whose first transaction was replaced by one with a head of four entries.
func replaced(t *testing.T) (r *rig, first, second anchor.Attempt) {
	t.Helper()
	r, first = funded(t, nil)
	r.append(1)
	r.chain.SetFeeRate(4_000)
	r.mineEmpty(1)
	r.step()
	all := r.attempts()
	if len(all) != 2 || all[1].Set() != first.Set() || all[1].Head.Size != 4 || !r.inMempool(all[1].Ref) || r.inMempool(first.Ref) {
		t.Fatalf("attempts %+v, want a second that replaces the first with the newest head", all)
	}
	return r, first, all[1]
}

// state is the state of the attempt with this id.
func (r *rig) state(ref string) anchor.State {
	r.t.Helper()
	for _, a := range r.attempts() {
		if a.Ref == ref {
			return a.State
		}
	}
	r.t.Fatalf("there is no attempt %s", ref)
	return 0
}

func (r *rig) wantAttempts(n int) []anchor.Attempt {
	r.t.Helper()
	all := r.attempts()
	if len(all) != n {
		r.t.Fatalf("there are %d attempts, want %d: %+v", len(all), n, all)
	}
	return all
}

// The replaced transaction is mined after all: it counts, the replacement is dead once that is deep
// enough, and what it would have covered goes into the next one.
func TestReplacedOneIsMined(t *testing.T) {
	r, first, second := replaced(t)
	if _, err := r.chain.MineWith(decodeTx(t, first.Raw)); err != nil {
		t.Fatal(err)
	}
	r.step()
	r.wantState(first.Ref, logtree.Mined)
	if s := r.state(second.Ref); s != anchor.Live {
		t.Fatalf("the replacement is in state %d while a reorganisation may still mine it", s)
	}
	r.later()
	r.step()
	all := r.wantAttempts(3)
	if all[2].Head.Size != 4 || all[2].Set() != first.Ref+":1" {
		t.Fatalf("the next attempt is %+v, want the entries that are not covered, paid by the change", all[2])
	}
	r.mine(5)
	r.step()
	r.wantState(first.Ref, logtree.Counted)
	if s := r.state(second.Ref); s != anchor.Dead {
		t.Fatalf("the replacement is in state %d, want dead", s)
	}

	// All of that is undone, and the other one is mined.
	_, height := r.chain.Tip()
	var hash string
	r.call(&hash, "getblockhash", height-5)
	at, err := chainhash.NewHashFromStr(hash)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.chain.Invalidate(*at); err != nil {
		t.Fatal(err)
	}
	r.chain.ForgetMempool()
	if _, err := r.chain.MineWith(decodeTx(t, second.Raw)); err != nil {
		t.Fatal(err)
	}
	r.mineEmpty(8)
	r.step()
	r.wantState(first.Ref, logtree.Withdrawn)
	r.wantState(second.Ref, logtree.Counted)
	if s := r.state(first.Ref); s != anchor.Dead {
		t.Fatalf("the first attempt is in state %d, want dead", s)
	}
	if s := r.state(all[2].Ref); s != anchor.Dead {
		t.Fatalf("what spent the first one's change is in state %d, want dead", s)
	}
	r.covered()
}

// A foreign transaction spends the coin: the attempts die with it at the required depth and not
// before, come alive when it is undone, and other coins pay meanwhile.
func TestForeignConflict(t *testing.T) {
	r, a := funded(t, nil)
	foreign := decodeTx(t, a.Raw)
	r.chain.ForgetMempool()
	// The same coin, spent in favour of somebody else: our own key signs, in another target's hands.
	other := r.other(foreign)
	if _, err := r.chain.MineWith(other); err != nil {
		t.Fatal(err)
	}
	r.mineEmpty(4)
	if err := r.try(); err != nil {
		t.Logf("step: %v", err)
	}
	if s := r.state(a.Ref); s != anchor.Live {
		t.Fatalf("the attempt is in state %d before the conflict is deep", s)
	}
	r.mineEmpty(1)
	r.try()
	if s := r.state(a.Ref); s != anchor.Dead {
		t.Fatalf("the attempt is in state %d, want dead", s)
	}
	if cost := r.status().FeesDay; cost != 0 {
		for _, x := range r.attempts() {
			if x.State == anchor.Live {
				cost -= x.Fee
			}
		}
		if cost != 0 {
			t.Fatalf("%d satoshi are reserved for what can never be mined", cost)
		}
	}
	r.reorg(6)
	r.try()
	if s := r.state(a.Ref); s != anchor.Live {
		t.Fatalf("the attempt is in state %d, want live again", s)
	}
	r.calm(false)
	r.mine(6)
	r.later()
	r.calm(false)
	r.mine(6)
	r.calm(false)
	r.covered()
}

// other makes a transaction that spends the first coin of a transaction of ours for something else: an
// attempt of a second database with the same key.
func (r *rig) other(tx *wire.MsgTx) *wire.MsgTx {
	r.t.Helper()
	twin := newTwin(r)
	twin.append(7)
	twin.calm(false)
	all := twin.attempts()
	other := decodeTx(r.t, all[len(all)-1].Raw)
	if other.TxIn[0].PreviousOutPoint != tx.TxIn[0].PreviousOutPoint || other.TxHash() == tx.TxHash() {
		r.t.Fatal("the twin does not spend the same coin")
	}
	r.chain.ForgetMempool()
	return other
}

// Two generations of transactions leave the chain together: both are sent again, the parent first,
// and nothing new is made.
func TestGenerationsReturn(t *testing.T) {
	r, first := funded(t, nil)
	r.mine(1)
	r.append(2)
	r.later()
	r.step()
	second := r.wantAttempts(2)[1]
	r.mine(1)
	r.step()
	r.wantState(first.Ref, logtree.Mined)
	r.wantState(second.Ref, logtree.Mined)
	r.reorg(2)
	r.chain.ForgetMempool()
	r.later()
	r.step()
	if !r.inMempool(first.Ref) || !r.inMempool(second.Ref) {
		t.Fatalf("the mempool has %v, want both transactions again", r.mempool())
	}
	r.wantAttempts(2)
	r.mine(6)
	r.step()
	r.wantAttempts(2)
	r.wantState(first.Ref, logtree.Counted)
	r.wantState(second.Ref, logtree.Counted)
	r.covered()
}

// The payment that funds the wallet leaves the chain for good: other coins pay.
func TestFundingLeaves(t *testing.T) {
	r, a := funded(t, nil)
	if err := r.chain.Reorg(1); err != nil {
		t.Fatal(err)
	}
	r.chain.ForgetMempool()
	r.try()
	r.mineEmpty(3)
	r.try()
	r.wantAttempts(1) // it may come back
	r.fund(50_000)
	r.mineEmpty(4)
	r.later()
	r.calm(false)
	all := r.wantAttempts(2)
	if all[1].Set() == a.Set() || !r.inMempool(all[1].Ref) {
		t.Fatalf("the second attempt is %+v, want one that other coins pay for", all[1])
	}
	r.mine(6)
	r.calm(false)
	r.covered()
}

// A transaction that vanishes from the mempool is sent again as it is.
func TestVanishes(t *testing.T) {
	r, a := funded(t, nil)
	r.chain.ForgetMempool()
	r.step()
	if !r.inMempool(a.Ref) {
		t.Fatal("the transaction was not sent again")
	}
	r.wantAttempts(1)
}

// The node refuses what vanished as too cheap: it is replaced, with the newest head.
func TestVanishedAndTooCheap(t *testing.T) {
	r, a := funded(t, nil)
	r.append(1)
	refuse := true
	r.chain.ForgetMempool()
	r.intercept(func(method string) error {
		if method == "sendrawtransaction" && refuse {
			refuse = false
			return &devchain.Error{Code: -26, Message: "mempool min fee not met, 150 < 300"}
		}
		return nil
	})
	r.step()
	all := r.wantAttempts(2)
	if all[1].Set() != a.Set() || all[1].Fee <= a.Fee || all[1].Head.Size != 4 || !r.inMempool(all[1].Ref) {
		t.Fatalf("the second attempt is %+v, want a replacement", all[1])
	}
}

// A reorganisation below the first block that was followed.
func TestReorgBelowTheBeginning(t *testing.T) {
	r := newRig(t, func(r *rig) { r.config.Birth = 108 })
	r.fund(100_000)
	r.append(3)
	r.calm(false)
	r.mine(6)
	r.calm(false)
	r.covered()
	ref := r.only().Ref
	funding := r.raw(r.only().Set()[:64])
	r.reorg(12)
	r.try()
	r.wantState(ref, logtree.Withdrawn)
	// The payment may have spent a coinbase that was not mature any more, and so have been dropped.
	r.mineEmpty(12)
	if !r.inMempool(funding.TxID()) {
		if err := r.chain.Send(funding); err != nil {
			t.Fatal(err)
		}
	}
	r.mine(1)
	r.calm(false)
	r.mine(6)
	r.calm(false)
	r.wantState(ref, logtree.Counted)
	r.covered()
}

// A node that is merely behind withdraws nothing; one on a fork with less work withdraws what it
// contradicts and counts nothing until it has as much work.
func TestBehindAndStaleFork(t *testing.T) {
	r, a := funded(t, nil)
	r.mine(7)
	r.step()
	r.wantState(a.Ref, logtree.Counted)
	_, height := r.chain.Tip()
	var hash string
	r.call(&hash, "getblockhash", height-7) // the block before the transaction's is the tip then
	at, err := chainhash.NewHashFromStr(hash)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.chain.Invalidate(*at); err != nil {
		t.Fatal(err)
	}
	r.want(anchor.NodeBehind)
	r.wantState(a.Ref, logtree.Counted)
	r.chain.ForgetMempool()
	r.mineEmpty(1)
	r.want(anchor.NodeStaleFork)
	r.wantState(a.Ref, logtree.Withdrawn)
	if err := r.chain.Send(decodeTx(t, a.Raw)); err != nil {
		t.Logf("its coin left with the fork: %v", err)
	}
	if err := r.chain.Reconsider(*at); err != nil {
		t.Fatal(err)
	}
	r.step()
	r.wantState(a.Ref, logtree.Counted)
	r.covered()
}
