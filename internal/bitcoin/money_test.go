package bitcoin_test

import (
	"testing"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/logtree"
)

// An empty wallet is a state that names the address; what is sent there is used once confirmed.
func TestEmptyThenFunded(t *testing.T) {
	r := newRig(t, nil)
	r.append(1)
	r.want(anchor.NoFunds)
	address := r.status().Address
	if address == "" {
		t.Fatal("the status names no address")
	}
	if _, err := r.chain.Faucet(address, 50_000); err != nil {
		t.Fatal(err)
	}
	r.want(anchor.NoFunds) // nothing that is unconfirmed is spent
	r.wantAttempts(0)
	r.mine(1)
	r.step()
	r.only()
}

// Coins that were there before the first start are found.
func TestRecovery(t *testing.T) {
	r := newRig(t, nil)
	r.fund(70_000)
	r.mine(120) // further back than blocks are read at a first start
	r.step()
	if s := r.status(); s.Balance != 70_000 {
		t.Fatalf("the balance is %d, want 70000", s.Balance)
	}
	r.append(1)
	r.step()
	r.mine(6)
	r.step()
	r.covered()
}

// Coins of a coinbase are spent only when they are mature.
func TestCoinbase(t *testing.T) {
	r := newRig(t, nil)
	r.append(1)
	r.want(anchor.NoFunds)
	script := r.script(r.status().Address)
	if _, err := r.chain.MineTo(script, 1); err != nil {
		t.Fatal(err)
	}
	r.mine(98)
	r.want(anchor.NoFunds)
	r.mine(1)
	r.step()
	if a := r.only(); !r.inMempool(a.Ref) {
		t.Fatal("the node does not take the transaction")
	}
}

// A small log coin is helped by funding coins, and change that is dust is not made.
func TestSmallCoins(t *testing.T) {
	r := newRig(t, nil)
	r.append(1)
	r.want(anchor.NoFunds)
	r.fund(500) // pays a transaction and leaves dust
	r.step()
	first := r.only()
	if tx := decodeTx(t, first.Raw); len(tx.TxOut) != 1 || first.Fee != 500 {
		t.Fatalf("the transaction has %d outputs and costs %d, want one output and all that there was", len(tx.TxOut), first.Fee)
	}
	r.mine(1)
	r.append(1)
	r.later()
	r.want(anchor.NoFunds)
	r.fund(900)
	r.step()
	second := r.wantAttempts(2)[1]
	r.mine(1)
	r.append(1)
	r.later()
	// The log coin has less than the next transaction needs; two small coins help it.
	if _, err := r.chain.Faucet(r.status().Address, 400); err != nil {
		t.Fatal(err)
	}
	if _, err := r.chain.Faucet(r.status().Address, 450); err != nil {
		t.Fatal(err)
	}
	r.chain.SetFeeRate(3_000)
	r.mine(1)
	r.step()
	third := r.wantAttempts(3)[2]
	if third.Set() != second.Ref+":1" || len(third.Uses) < 2 || !r.inMempool(third.Ref) {
		t.Fatalf("the third attempt uses %v, want the log coin first and a funding coin", third.Uses)
	}
	r.mine(6)
	r.step()
	r.covered()
}

// Fees follow the estimate up, in steps that the node takes, as far as the caps allow.
func TestFeeCaps(t *testing.T) {
	r, first := funded(t, func(r *rig) { r.config.MaxFee, r.config.MaxFeeDay = 1000, 1500 })
	r.chain.SetFeeRate(4_000)
	r.mineEmpty(1)
	r.step()
	second := r.wantAttempts(2)[1]
	if rate := float64(second.Fee) / float64(second.VSize); rate < 4 || rate > 4.1 || second.Fee <= first.Fee {
		t.Fatalf("the replacement pays %.2f satoshi per byte, want 4", rate)
	}
	r.chain.SetFeeRate(4_001) // less than the least that a replacement must add
	r.mineEmpty(1)
	r.step()
	third := r.wantAttempts(3)[2]
	if third.Fee < second.Fee+third.VSize || !r.inMempool(third.Ref) {
		t.Fatalf("the replacement pays %d after %d, too little more", third.Fee, second.Fee)
	}
	r.chain.SetFeeRate(20_000)
	r.mineEmpty(1)
	r.want(anchor.FeeCap)
	r.wantAttempts(3)
	r.chain.SetFeeRate(1_000)
	r.mineEmpty(1)
	r.step()
	r.wantAttempts(3) // never down
	r.mine(1)
	r.step()
	r.wantState(third.Ref, logtree.Mined)

	// What the first set costs at most leaves no room for a second within a day.
	r.append(1)
	r.chain.SetFeeRate(6_000)
	r.mine(1)
	r.later()
	r.want(anchor.DayCap)
	r.wantAttempts(3)
	r.mine(5)
	r.now = r.now.Add(12 * time.Hour)
	r.want(anchor.DayCap) // settled just now
	r.now = r.now.Add(25 * time.Hour)
	r.step()
	r.wantAttempts(4)
}

// Transactions keep their distance in time, through a restart.
func TestInterval(t *testing.T) {
	r, first := funded(t, func(r *rig) { r.config.Interval = bitcoin.Duration(time.Hour) })
	r.mine(1)
	r.append(1)
	made := first.Created
	for r.now.Before(made.Add(time.Hour - 2*time.Minute)) {
		r.now = r.now.Add(time.Minute)
		r.step()
		r.wantAttempts(1)
	}
	r.restart()
	r.now = made.Add(2 * time.Hour)
	r.step()
	second := r.wantAttempts(2)[1]
	if gap := second.Created.Sub(made); gap < time.Hour {
		t.Fatalf("the second transaction was made %v after the first", gap)
	}
}
