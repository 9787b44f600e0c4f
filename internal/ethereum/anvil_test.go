package ethereum

import (
	"fmt"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
)

// From an entry to a counted attestation, and on to the next head, by both kinds of fees.
func TestAnchor(t *testing.T) {
	for _, fees := range []string{"eip1559", "legacy"} {
		t.Run(fees, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *Config) { c.Fees = fees })
			r.step()
			r.append()
			r.step()
			first := r.last(1)
			if tx, _, err := parseTransaction(first.Raw); err != nil || tx.legacy != (fees == "legacy") || !r.pending(first.Ref) {
				t.Fatalf("the transaction is %+v, %v; the node has it: %v", tx, err, r.pending(first.Ref))
			}
			r.append()
			r.step() // nothing new: one is on its way
			r.last(1)
			r.chain.Mine(t, 1)
			r.step()
			a := r.wantState(first.Ref, logtree.Mined)
			if a.Kind != logtree.Ethereum || a.Head != first.Head {
				t.Errorf("the attestation is %+v", a)
			}
			if mined := r.last(1); mined.Fee <= 0 || mined.Fee > first.Fee {
				t.Errorf("it cost %d gwei of at most %d", mined.Fee, first.Fee)
			}
			r.chain.Mine(t, 1)
			r.step()
			r.wantState(first.Ref, logtree.Mined)
			r.chain.Mine(t, 1)
			r.step()
			r.wantState(first.Ref, logtree.Counted)
			r.later()
			r.step()
			second := r.last(2)
			if second.Set() != "nonce/1" || second.Head.Size != 2 {
				t.Errorf("the second transaction is %s with %d entries", second.Set(), second.Head.Size)
			}
			r.chain.Mine(t, 3)
			r.step()
			r.wantState(second.Ref, logtree.Counted)
		})
	}
}

// The chain itself says what is final.
func TestFinalized(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Finalized = true }, "--slots-in-an-epoch", "4")
	r.append()
	r.step()
	a := r.last(1)
	r.chain.Mine(t, 7)
	r.step()
	r.wantState(a.Ref, logtree.Mined)
	r.chain.Mine(t, 3)
	r.step()
	r.wantState(a.Ref, logtree.Counted)
}

// stick leaves a transaction out of so many blocks.
func (r *rig) stick(ref string, blocks int) {
	r.t.Helper()
	r.chain.Must(r.t, nil, "anvil_dropTransaction", ref)
	r.chain.Mine(r.t, blocks)
	r.step()
	if !r.pending(ref) {
		r.t.Fatalf("the node does not have %s", ref)
	}
}

// A stuck transaction is replaced by one with the newest head that pays a tenth more at least, in both fields.
func TestReplace(t *testing.T) {
	for _, fees := range []string{"eip1559", "legacy"} {
		t.Run(fees, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *Config) { c.Fees, c.MaxFee, c.MaxFeeDay = fees, 20_000_000, 50_000_000 })
			r.append()
			r.step()
			first := r.last(1)
			r.append()
			r.now = r.now.Add(time.Duration(r.config.ReplaceAfter))
			r.step() // the chain stands still
			r.last(1)
			r.stick(first.Ref, stuckBlocks-1)
			r.last(1)
			r.chain.Must(t, nil, "anvil_dropTransaction", first.Ref)
			r.chain.Mine(t, 1)
			r.step()
			second := r.last(2)
			old, _, _ := parseTransaction(first.Raw)
			tx, _, _ := parseTransaction(second.Raw)
			if tx.nonce != old.nonce || tx.offer.price*10 < old.offer.price*11 || tx.offer.tip*10 < old.offer.tip*11 || second.Head.Size != 2 {
				t.Fatalf("%+v was replaced by %+v with %d entries", old, tx, second.Head.Size)
			}
			if !r.pending(second.Ref) || r.pending(first.Ref) {
				t.Fatal("the node did not replace the transaction")
			}
			r.restart()
			r.step() // stuck is counted from here on
			r.last(2)
			r.chain.Mine(t, 3)
			r.step()
			r.wantState(second.Ref, logtree.Counted)
			if all := r.attempts(); all[0].State != anchor.Dead || all[1].State != anchor.Settled {
				t.Errorf("the replaced one is %d, the other %d", all[0].State, all[1].State)
			}
		})
	}
}

// One that was replaced is mined all the same.
func TestReplacedOneIsMined(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxFee, c.MaxFeeDay = 20_000_000, 50_000_000 })
	r.append()
	r.step()
	first := r.last(1)
	r.append()
	r.stick(first.Ref, stuckBlocks)
	r.last(1) // too early
	r.now = r.now.Add(time.Duration(r.config.ReplaceAfter))
	r.step()
	second := r.last(2)
	r.chain.Must(t, nil, "anvil_dropTransaction", second.Ref)
	r.chain.Must(t, nil, "eth_sendRawTransaction", fmt.Sprintf("0x%x", first.Raw))
	r.chain.Mine(t, 1)
	r.step()
	r.wantState(first.Ref, logtree.Mined)
	r.chain.Mine(t, 2)
	r.step()
	r.wantState(first.Ref, logtree.Counted)
	r.later()
	r.step()
	third := r.last(3)
	if third.Set() != "nonce/1" || third.Head.Size != 2 {
		t.Errorf("then %s with %d entries", third.Set(), third.Head.Size)
	}
}

// A node that forgets a transaction gets the saved bytes again, and so does one after a restart of ours.
func TestForgotten(t *testing.T) {
	r := newRig(t, nil)
	r.append()
	r.step()
	a := r.last(1)
	for _, restart := range []bool{false, true} {
		r.chain.Must(t, nil, "anvil_dropTransaction", a.Ref)
		if r.pending(a.Ref) {
			t.Fatal("the node did not forget it")
		}
		if restart {
			r.restart()
		}
		r.step()
		if !r.pending(a.Ref) {
			t.Fatalf("it was not sent again (restart %v)", restart)
		}
	}
	r.last(1)
}

// A reorganisation withdraws what counted; the same transaction in another block restores it.
func TestReorg(t *testing.T) {
	r := newRig(t, nil)
	r.append()
	r.step()
	first := r.last(1)
	r.chain.Mine(t, 1)
	r.step()
	before := r.wantState(first.Ref, logtree.Mined)
	// Not deep enough: nothing was given out, and nothing is withdrawn.
	r.chain.Must(t, nil, "anvil_reorg", 1, []any{})
	r.step()
	if _, err := r.db.AttestationOf(t.Context(), name, first.Ref); err == nil || !r.pending(first.Ref) {
		t.Fatalf("after the reorganisation: %v, and the node has it: %v", err, r.pending(first.Ref))
	}
	r.chain.Mine(t, 1)
	r.step()
	if a := r.wantState(first.Ref, logtree.Mined); a.BlockHash == before.BlockHash {
		t.Fatal("the chain was not reorganised")
	}
	r.chain.Mine(t, 3)
	r.step()
	r.wantState(first.Ref, logtree.Counted)
	// One that counts. The new blocks are empty.
	r.chain.Must(t, nil, "anvil_reorg", 5, []any{})
	r.step()
	r.wantState(first.Ref, logtree.Withdrawn)
	r.restart()
	r.step()
	r.chain.Mine(t, 1)
	r.step()
	r.wantState(first.Ref, logtree.Mined)
	r.chain.Mine(t, 2)
	r.step()
	r.wantState(first.Ref, logtree.Counted)
	r.last(1)
}

// A chain that is shorter than before contradicts nothing until it has another block where ours was.
func TestShorterChain(t *testing.T) {
	r := newRig(t, nil)
	var snapshot string
	r.chain.Must(t, &snapshot, "evm_snapshot")
	r.append()
	r.step()
	a := r.last(1)
	r.chain.Mine(t, 3)
	r.step()
	r.wantState(a.Ref, logtree.Counted)
	r.chain.Must(t, nil, "evm_revert", snapshot)
	r.broken = true // fsck sees a block that the node does not have
	r.want(anchor.NodeBehind, "waiting for it")
	r.wantState(a.Ref, logtree.Counted)
	r.chain.Must(t, nil, "evm_increaseTime", 1000)
	r.chain.Mine(t, 3)
	r.broken = false
	r.step()
	r.wantState(a.Ref, logtree.Withdrawn)
	if !r.pending(a.Ref) {
		t.Fatal("it was not sent again")
	}
	r.chain.Mine(t, 3)
	r.step()
	r.wantState(a.Ref, logtree.Counted)
	r.last(1)
}
