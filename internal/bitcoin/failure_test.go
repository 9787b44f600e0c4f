package bitcoin_test

import (
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin/ledger"
	"github.com/datestone/datestone/internal/logtree"
)

// calm steps until two steps in a row are in order, which an injected failure may delay.
func (r *rig) calm(restart bool) {
	r.t.Helper()
	quiet := 0
	for range 12 {
		if err := r.try(); err == nil {
			quiet++
		} else if quiet = 0; restart {
			r.restartWithFault()
		}
		if quiet == 2 {
			return
		}
	}
	r.t.Fatalf("the target does not recover: %+v", r.status())
}

// restartWithFault restarts, as after a crash, and keeps a fault that was not hit yet.
func (r *rig) restartWithFault() {
	r.t.Helper()
	f := *r.faulty
	r.restart()
	f.DB = r.db
	*r.faulty = f
}

// life is the life of a target: it is funded, sends, replaces, is mined, loses its block twice, counts,
// and sends again; where it carries seeds, those as well. It returns what it cost, in transactions.
func life(r *rig, restart bool) (attempts int) {
	r.t.Helper()
	s, err := r.target.Status(r.t.Context(), r.now)
	if err != nil {
		r.t.Fatal(err)
	}
	payments := 1
	if r.seeds != nil {
		payments = 2
	}
	for range payments {
		if _, err := r.chain.Faucet(s.Address, 100_000); err != nil {
			r.t.Fatal(err)
		}
	}
	r.mine(1)
	r.append(3)
	r.seed()
	r.calm(restart) // sent
	r.append(1)
	r.chain.SetFeeRate(5_000)
	r.mineEmpty(1)
	r.calm(restart) // replaced
	r.mine(2)
	r.calm(restart) // mined
	r.reorg(3)
	r.calm(restart) // out again, and sent again
	r.mine(3)
	r.calm(restart) // counted
	r.reorg(5)
	r.calm(restart) // withdrawn
	r.mine(3)
	r.calm(restart) // restored
	r.append(1)
	r.seed()
	r.later()
	r.calm(restart) // sent
	r.mine(3)
	r.calm(restart) // counted
	for _, a := range r.attestations() {
		if a.State != logtree.Counted {
			r.t.Errorf("the attestation of %s ends in state %d", a.Ref, a.State)
		}
	}
	r.covered()
	r.checkCoins()
	return len(r.attempts())
}

func (r *rig) mineEmpty(n int) {
	r.t.Helper()
	if _, err := r.chain.MineEmpty(n); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) reorg(depth int) {
	r.t.Helper()
	if err := r.chain.Reorg(depth); err != nil {
		r.t.Fatal(err)
	}
}

// checkCoins wants the stored coins to be those that the chain has.
func (r *rig) checkCoins() {
	r.t.Helper()
	coins, err := r.db.Coins(r.t.Context(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	scripts := map[string]bool{hex.EncodeToString(r.script(r.status().Address)): true}
	stored := make(map[string]int64)
	for _, c := range coins {
		scripts[hex.EncodeToString(c.Script)] = true
		if c.Height > 0 {
			stored[c.Outpoint] = c.Value
		}
	}
	var raw []string
	for s := range scripts {
		raw = append(raw, "raw("+s+")")
	}
	var reply struct {
		Unspents []struct {
			Txid   string
			Vout   uint32
			Amount float64
		}
	}
	r.call(&reply, "scantxoutset", "start", raw)
	chain := make(map[string]int64)
	for _, u := range reply.Unspents {
		chain[ledger.Outpoint(u.Txid, u.Vout)] = int64(math.Round(u.Amount * 1e8))
	}
	if diff := cmp.Diff(chain, stored); diff != "" {
		r.t.Errorf("coins of the chain (-) and stored ones (+):\n%s", diff)
	}
}

// covered wants every entry to have an attestation that counts.
func (r *rig) covered() {
	r.t.Helper()
	heads, err := r.db.EndedEpochs(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	head, err := r.db.Head(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	all, err := r.db.Coverage(r.t.Context(), name, anchor.PurposeLog)
	if err != nil {
		r.t.Fatal(err)
	}
	counted := make(map[int]int64)
	for _, c := range all {
		counted[c.Epoch] = c.Counted
	}
	r.coveredSeeds()
	for _, h := range append(heads, head) {
		if h.Size > 0 && counted[h.Epoch] != h.Size {
			r.t.Errorf("epoch %d is attested to %d of %d entries", h.Epoch, counted[h.Epoch], h.Size)
		}
	}
}

var failuresStep = flag.Int("failures.step", 5, "TestFailureTable lets one in so many ConnectBlocks fail, which most of a life is made of")

// Every write of the store that did not happen, or happened and was reported as failed, with and
// without a restart after it in turn: nothing is lost, paid for twice or false.
func TestFailureTable(t *testing.T) {
	late := func(r *rig) { r.config.Birth, r.config.Confirmations = 109, 3 } // few blocks, to fail at each
	withSeeds := func(r *rig) { late(r); carrying(r) }
	alone, both := life(newRig(t, late), false), life(newRig(t, withSeeds), false)
	for _, verb := range []string{"PinTarget", "StartChain", "ConnectBlock", "DisconnectBlock", "SaveAttempt", "MarkSent", "SaveStatus"} {
		change, want := withSeeds, both
		if verb == "PinTarget" || verb == "StartChain" || verb == "SaveStatus" { // about no seed
			change, want = late, alone
		}
		for _, happens := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/happens=%v", verb, happens), func(t *testing.T) {
				t.Parallel()
				step, skip := 1, 0
				switch verb {
				case "ConnectBlock": // with 1, each use fails in one of the two ways
					step = 2 * *failuresStep
					if happens {
						skip = *failuresStep
					}
				case "SaveStatus":
					step = 3
				}
				for first := skip; ; skip += step {
					r := newRig(t, change)
					r.faulty.verb, r.faulty.happens, r.faulty.skip = verb, happens, skip
					got := life(r, skip/step%2 == 1)
					if r.faulty.hits == 0 {
						if skip == first {
							t.Fatal("the verb is never used")
						}
						return
					}
					if got != want {
						t.Fatalf("use %d of %s fails: %d transactions, want %d", skip, verb, got, want)
					}
					r.db.Close()
				}
			})
		}
	}
}

// The line to the node breaks before a transaction is taken, or before the answer is read: each time
// once, and with every few calls for the whole life.
func TestBrokenLine(t *testing.T) {
	short := func(r *rig) { r.config.Birth, r.config.Confirmations = 109, 3 }
	want := life(newRig(t, short), false)
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("send/after=%v", after), func(t *testing.T) {
			t.Parallel()
			for skip := range 100 {
				r := newRig(t, short)
				var uses atomic.Int32
				r.cut.Store(new(func(method string) (bool, bool) {
					hit := method == "sendrawtransaction" && int(uses.Add(1)) == skip+1
					return hit && !after, hit && after
				}))
				if got := life(r, false); got != want {
					t.Fatalf("use %d fails: %d transactions, want %d", skip, got, want)
				}
				if int(uses.Load()) <= skip {
					return
				}
				r.db.Close()
			}
			t.Fatal("transactions are sent without end")
		})
		for _, every := range []int32{13, 29} {
			t.Run(fmt.Sprintf("every %d/after=%v", every, after), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, short)
				var uses atomic.Int32
				r.cut.Store(new(func(string) (bool, bool) {
					hit := uses.Add(1)%every == 0
					return hit && !after, hit && after
				}))
				if got := life(r, false); got != want {
					t.Fatalf("%d transactions, want %d", got, want)
				}
			})
		}
	}
}

var storms = flag.Uint64("storms", 4, "number of random histories in TestStorm")

// Years in a minute: whatever happens in whatever order, every promise holds after every step, and
// when it is over every entry has an attestation that counts.
func TestStorm(t *testing.T) {
	for seed := range *storms {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			storm(t, rand.New(rand.NewPCG(seed, 7)))
		})
	}
}

func storm(t *testing.T, random *rand.Rand) {
	r := newRig(t, func(r *rig) {
		r.config.Birth, r.config.Confirmations, r.config.Script, r.epochs = 109, 3, []string{"wpkh", "tr"}[random.IntN(2)], 16
		r.config.MaxFeeDay = 2_000_000
		if random.IntN(2) == 0 {
			r.seeds = &seeds{}
		}
	})
	r.fund(300_000)
	for range 100 {
		switch random.IntN(15) {
		case 0, 1, 2:
			r.append(1 + random.IntN(3))
		case 3, 4, 5:
			r.mine(1 + random.IntN(2))
		case 6:
			r.mineEmpty(1)
		case 7:
			r.reorg(1 + random.IntN(7))
		case 8:
			r.chain.ForgetMempool()
		case 9:
			r.chain.SetFeeRate(1000 + random.Int64N(9000))
		case 10:
			r.later()
		case 11:
			r.restart()
		case 12:
			r.faulty.verb = []string{"ConnectBlock", "DisconnectBlock", "SaveAttempt", "MarkSent", "SaveStatus"}[random.IntN(5)]
			r.faulty.happens, r.faulty.skip, r.faulty.hits = random.IntN(2) == 0, random.IntN(2), 0
		case 13: // one of our transactions is mined, whichever the miner has seen
			if all := r.attempts(); len(all) > 0 {
				r.chain.MineWith(decodeTx(t, all[random.IntN(len(all))].Raw))
			}
		case 14:
			r.seed()
		}
		if err := r.try(); err != nil {
			t.Logf("step: %v", err)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	r.faulty.verb = ""
	r.chain.SetFeeRate(1000)
	r.mineEmpty(100)
	r.fund(300_000)
	rounds := 12
	if r.seeds != nil {
		rounds += len(r.seeds.made) // one after the other
	}
	for range rounds {
		r.later()
		r.try()
		r.mine(3)
	}
	r.step()
	r.covered()
	r.checkCoins()
}
