package bitcoin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"pgregory.net/rapid"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin/ledger"
	"github.com/datestone/datestone/internal/logtree"
)

func drawCoins(t *rapid.T, label string, script []byte, least, most int) []ledger.Coin {
	values := rapid.SliceOfN(rapid.Int64Range(1, 50_000), least, most).Draw(t, label)
	var coins []ledger.Coin
	for i, v := range values {
		id := chainhash.HashH(fmt.Append(nil, label, i))
		coins = append(coins, ledger.Coin{Outpoint: ledger.Outpoint(id.String(), uint32(i)), Value: v, Script: script, Height: 1})
	}
	slices.SortFunc(coins, byValue)
	return coins
}

// Whatever coins and rates there are: a transaction spends what is given and no more, pays at least
// the rate and what a replacement owes, never more than allowed, makes no dust, and its signed size
// is never above what the fee was computed for.
func TestOrders(t *testing.T) {
	wallets := map[string]*ownWallet{}
	for _, kind := range []string{"wpkh", "tr"} {
		wallets[kind] = &ownWallet{readKeys(t, bipSeed, "regtest", kind)}
	}
	rapid.Check(t, func(t *rapid.T) {
		w := wallets[rapid.SampledFrom([]string{"wpkh", "tr"}).Draw(t, "kind")]
		change := w.keys.branches[ledger.Log].script
		o := order{
			dust:   rapid.SampledFrom([]int64{330, 3300}).Draw(t, "dust"),
			head:   logtree.Head{Root: [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "root"))},
			inputs: drawCoins(t, "inputs", change, 1, 3), more: drawCoins(t, "more", w.keys.branches[ledger.Funding].script, 0, 5),
			change: change, rate: feeRate(rapid.Int64Range(100, 100_000).Draw(t, "rate")), increment: 1000, most: rapid.Int64Range(0, 30_000).Draw(t, "most"),
			least: rapid.Int64Range(0, 5000).Draw(t, "least"),
		}
		inputs, fee, left, err := o.choose()
		if err != nil {
			return
		}
		a, err := o.build(context.Background(), w, inputs, fee, left)
		if err != nil {
			t.Fatal(err)
		}
		tx := new(wire.MsgTx)
		if err := tx.Deserialize(bytes.NewReader(a.Raw)); err != nil {
			t.Fatal(err)
		}
		var in, out int64
		for _, c := range inputs {
			in += c.Value
		}
		for i, made := range tx.TxOut {
			out += made.Value
			if i > 0 && made.Value < o.dust {
				t.Fatalf("change of %d is dust", made.Value)
			}
		}
		switch {
		case in-out != fee || a.Fee != fee:
			t.Fatalf("the fee is %d, and %d was decided", in-out, fee)
		case fee > o.most:
			t.Fatalf("the fee of %d is above %d", fee, o.most)
		case rateOf(a) < o.rate:
			t.Fatalf("%d satoshi for %d bytes are below the rate %d", fee, a.VSize, o.rate)
		case o.least > 0 && fee < o.least+o.increment.fee(a.VSize):
			t.Fatalf("the fee of %d does not outbid %d", fee, o.least)
		case left == 0 && fee > o.fee(vsize(inputs, nil))+o.dust+o.fee(40)+inputFee(o, inputs):
			t.Fatalf("%d satoshi are wasted", fee)
		case len(a.Uses) != len(inputs) || a.Set() != o.inputs[0].Outpoint || len(inputs) < len(o.inputs):
			t.Fatalf("the transaction uses %v", a.Uses)
		}
	})
}

// inputFee is what another input would have cost: coins worth less than that are not added.
func inputFee(o order, inputs []ledger.Coin) int64 {
	return o.rate.fee(inputWeight(inputs[0].Script)/4 + 1)
}

// The budget against a model of the chain: in any window of 24 hours, what the chain has taken and
// could still take never exceeds what was allowed when each attempt was saved.
func TestBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 1000
		now := time.Unix(1_800_000_000, 0)
		var attempts []anchor.Attempt
		type payment struct {
			at  time.Time
			fee int64
		}
		var paid []payment
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "minutes")) * time.Minute)
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0, 1: // save, if the budget allows it
				set, fee := fmt.Sprint("set", rapid.IntRange(0, 8).Draw(t, "set")), rapid.Int64Range(1, 600).Draw(t, "fee")
				next := anchor.Attempt{Purpose: anchor.PurposeLog, Uses: []string{set}, Fee: fee, Created: now, Changed: now}
				ended := slices.ContainsFunc(attempts, func(a anchor.Attempt) bool { return a.Set() == set && a.State != anchor.Live })
				if !ended && recent(attempts, now)+reservedWith(attempts, anchor.PurposeLog, next) <= limit {
					attempts = append(attempts, next)
				}
			default: // settle one of a set, or none; the others are dead then
				if len(attempts) == 0 {
					continue
				}
				i := rapid.IntRange(0, len(attempts)-1).Draw(t, "which")
				if attempts[i].State != anchor.Live {
					continue
				}
				set := attempts[i].Set()
				lost := rapid.Bool().Draw(t, "lost")
				for j := range attempts {
					if attempts[j].Set() == set && attempts[j].State == anchor.Live {
						attempts[j].State, attempts[j].Changed = anchor.Dead, now
					}
				}
				if !lost {
					attempts[i].State = anchor.Settled
					paid = append(paid, payment{now, attempts[i].Fee})
				}
			}
			worst := make(map[string]int64)
			for _, a := range attempts {
				if a.State == anchor.Live {
					worst[a.Set()] = max(worst[a.Set()], a.Fee)
				}
			}
			var sum int64
			for _, fee := range worst {
				sum += fee
			}
			for _, p := range paid {
				if p.at.After(now.Add(-day)) {
					sum += p.fee
				}
			}
			if sum > limit {
				t.Fatalf("%d satoshi may leave within 24 hours, %d are allowed", sum, limit)
			}
			if got := recent(attempts, now) + reserved(attempts, anchor.PurposeLog); got != sum {
				t.Fatalf("the costs are %d, want %d", got, sum)
			}
			if got := reserved(attempts, anchor.PurposeSeed); got != 0 {
				t.Fatalf("another purpose costs %d", got)
			}
		}
	})
}

// recent is what was settled within a day, as the store sums it up.
func recent(attempts []anchor.Attempt, now time.Time) int64 {
	var sum int64
	for _, a := range attempts {
		if a.State == anchor.Settled && a.Changed.After(now.Add(-day)) {
			sum += a.Fee
		}
	}
	return sum
}

func TestPause(t *testing.T) {
	for i := range 1000 {
		ref := fmt.Sprint(i)
		if p := pause(time.Hour, ref); p < time.Hour || p >= 2*time.Hour || p != pause(time.Hour, ref) {
			t.Fatalf("the pause after %s is %v", ref, p)
		}
	}
	if pause(time.Hour, "a") == pause(time.Hour, "b") {
		t.Error("all pauses are alike")
	}
}

func TestAmounts(t *testing.T) {
	bitcoinNode := node{&rpc{net: Bitcoin.networks["mainnet"]}}
	for text, want := range map[string]int64{"0.00000001": 1, "1": 1e8, "20999999.97690000": 2099999997690000, "1e-8": 1, "0.1": 1e7, "-1": -1, "0.000000001": -1, "x": -1, "": -1, "21000001": -1} {
		got, ok := bitcoinNode.coinAmount(json.Number(text))
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q is %d satoshi, want %d", text, got, want)
		}
	}
}
