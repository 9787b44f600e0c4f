package bitcoin_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/devchain"
	"github.com/datestone/datestone/internal/fsck"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/internal/testnode"
	"github.com/datestone/datestone/internal/testseed"
)

// seeds are those that were made, as far as a target is told of them.
type seeds struct {
	db   *store.DB
	made []logtree.Head
}

func (s *seeds) UnattestedSeeds(ctx context.Context, target string, limit int) ([]logtree.Head, error) {
	if len(s.made) == 0 {
		return nil, nil
	}
	all, err := s.db.AllAttestations(ctx, 0, 10_000)
	if err != nil {
		return nil, err
	}
	attested := make(map[int]bool)
	for _, a := range all {
		if a.Purpose == anchor.PurposeSeed && a.Target == target && (a.State == logtree.Mined || a.State == logtree.Counted) {
			attested[a.Head.Epoch] = true
		}
	}
	var waiting []logtree.Head
	for _, h := range s.made {
		if !attested[h.Epoch] && len(waiting) < limit {
			waiting = append(waiting, h)
		}
	}
	return waiting, nil
}

// seed makes a seed for a target that carries them.
func (r *rig) seed() {
	if r.seeds == nil {
		return
	}
	h := logtree.Head{Epoch: len(r.seeds.made) + 1, Size: 1 + rand.Int64N(1000)}
	for i := range h.Root {
		h.Root[i] = byte(rand.Uint32())
	}
	r.seeds.made = append(r.seeds.made, h)
}

// carrying is a rig whose target carries seeds.
func carrying(r *rig) { r.seeds = &seeds{} }

// coveredSeeds wants every seed to have an attestation that counts.
func (r *rig) coveredSeeds() {
	r.t.Helper()
	if r.seeds == nil {
		return
	}
	counted := make(map[logtree.Head]bool)
	for _, a := range r.attestations() {
		if a.Purpose == anchor.PurposeSeed && a.State == logtree.Counted {
			counted[a.Head] = true
		}
	}
	for _, h := range r.seeds.made {
		if !counted[h] {
			r.t.Errorf("seed %d has no attestation that counts", h.Epoch)
		}
	}
}

// checkApart wants the log's change to be spent by the log alone, and that of seeds by seeds.
func (r *rig) checkApart(a anchor.Attempt, before map[string]anchor.Attempt) {
	r.t.Helper()
	for _, outpoint := range a.Uses {
		parent, ours := before[outpoint[:64]]
		if own := strings.HasSuffix(outpoint, ":1"); ours && own != (parent.Purpose == a.Purpose) {
			r.t.Errorf("attempt %d of the %s spends output %s of one of the %s", a.ID, a.Purpose, outpoint[65:], parent.Purpose)
		}
	}
}

// seeded are the attempts that carry this seed.
func (r *rig) seeded(number int) []anchor.Attempt {
	r.t.Helper()
	return slices.DeleteFunc(r.attempts(), func(a anchor.Attempt) bool {
		return a.Purpose != anchor.PurposeSeed || a.Head.Epoch != number
	})
}

// One payment serves both: the log's transaction leaves half of it to seeds. Output 0 of a seed's transaction is its root.
func TestSeedBesideTheLog(t *testing.T) {
	r, first := funded(t, carrying)
	if tx := decodeTx(t, first.Raw); len(tx.TxOut) != 3 || tx.TxOut[1].Value-tx.TxOut[2].Value > 1 || tx.TxOut[2].Value < 49_000 {
		t.Fatalf("the log's transaction leaves %+v", tx.TxOut)
	}
	r.seed()
	r.want(anchor.NoFunds) // the half for seeds is in no block yet
	r.mine(1)
	r.append(1)
	r.later()
	r.step()
	all := r.wantAttempts(3)
	log, seed := all[1], all[2]
	if log.Purpose != anchor.PurposeLog || seed.Purpose != anchor.PurposeSeed || seed.Set() != first.Ref+":2" || log.Set() != first.Ref+":1" {
		t.Fatalf("the transactions are %+v and %+v", log, seed)
	}
	raw := r.raw(seed.Ref)
	root := r.seeds.made[0].Root
	if want := append([]byte{0x6a, 32}, root[:]...); !bytes.Equal(raw.TxOut[0].PkScript, want) || raw.TxOut[0].Value != 0 || len(raw.TxOut) != 2 {
		t.Fatalf("the seed's transaction has the outputs %+v", raw.TxOut)
	}
	if parent := r.raw(first.Ref); !bytes.Equal(raw.TxOut[1].PkScript, parent.TxOut[2].PkScript) || bytes.Equal(raw.TxOut[1].PkScript, parent.TxOut[1].PkScript) {
		t.Fatal("the change of a seed does not go back to where seeds are paid from")
	}
	s := r.status()
	if s.Seeds == nil || s.Seeds.Queued != 1 || s.Seeds.Oldest != 1 || len(s.Seeds.Waiting) != 1 || s.Seeds.FeesDay != seed.Fee || s.FeesDay != first.Fee+log.Fee+seed.Fee ||
		s.Tip != fmt.Sprintf("%x", log.Head.Root) || s.Seeds.Code != anchor.OK || len(s.Waiting) != 2 {
		t.Errorf("the status is %+v with %+v", s, s.Seeds)
	}
	r.mine(6)
	r.step()
	if a := r.wantState(seed.Ref, logtree.Counted); a.Purpose != anchor.PurposeSeed || a.Head != r.seeds.made[0] {
		t.Errorf("the attestation is %+v", a)
	}
	if s := r.status(); s.Seeds.Queued != 0 || len(s.Seeds.Waiting) != 0 || s.Seeds.FeesDay != seed.Fee {
		t.Errorf("the status is %+v", s.Seeds)
	}
	if _, err := r.db.AttestationOf(t.Context(), name, seed.Ref); err == nil {
		t.Error("a seed's attestation is one of the log")
	}
	// Those that follow spend the change, one at a time and each by itself.
	r.seed()
	r.seed()
	r.step()
	r.step()
	second := r.wantAttempts(4)[3]
	if second.Set() != seed.Ref+":1" || second.Head != r.seeds.made[1] {
		t.Fatalf("the next seed is %+v", second)
	}
	r.mine(1)
	r.step()
	r.wantAttempts(5)
	r.mine(6)
	r.step()
	r.covered()
	r.checkCoins()
}

// A seed that pays too little is replaced by itself, whatever seeds wait; the log's is replaced apart from it.
func TestSeedReplaced(t *testing.T) {
	r, _ := funded(t, carrying)
	r.mine(1)
	r.seed()
	r.append(1)
	r.later()
	r.step()
	r.wantAttempts(3)
	r.seed()
	r.append(1)
	r.chain.SetFeeRate(5_000)
	r.mineEmpty(1)
	r.step()
	all := r.wantAttempts(5)
	both := r.seeded(1)
	if len(both) != 2 || both[0].Set() != both[1].Set() || both[0].Head != both[1].Head || r.inMempool(both[0].Ref) || !r.inMempool(both[1].Ref) {
		t.Fatalf("seed 1 is in %+v", both)
	}
	if all[3].Purpose != anchor.PurposeLog || all[3].Head.Size != 5 || len(r.mempool()) != 2 {
		t.Fatalf("the attempts are %+v", all)
	}
	r.restart()
	r.step()
	r.wantAttempts(5)
	// The replaced one is mined.
	if _, err := r.chain.MineWith(decodeTx(t, both[0].Raw)); err != nil {
		t.Fatal(err)
	}
	r.step()
	r.wantState(both[0].Ref, logtree.Mined)
	next := r.seeded(2)
	if len(next) != 1 || next[0].Set() != both[0].Ref+":1" {
		t.Fatalf("seed 2 is in %+v", next)
	}
	r.mine(6)
	r.step()
	r.covered()
	r.checkCoins()
}

// A reorganisation of each depth: the transactions live again and are sent again, and one that was final is withdrawn, which
// the log names.
func TestSeedsReorganised(t *testing.T) {
	for depth := 1; depth <= 9; depth++ {
		t.Run(fmt.Sprint(depth), func(t *testing.T) {
			t.Parallel()
			r, log := funded(t, func(r *rig) { carrying(r); r.config.Confirmations = 3 })
			r.mine(1)
			r.seed()
			r.step()
			seed := r.seeded(1)[0]
			r.mine(1)
			r.seed()
			r.step()
			r.mine(5)
			r.step() // blocks on the log's, the first seed's and the second's: 7, 6 and 5
			r.wantState(seed.Ref, logtree.Counted)
			r.reorg(depth)
			r.chain.ForgetMempool()
			r.try()
			want := logtree.Counted
			if depth > 5 {
				want = logtree.Withdrawn
			}
			r.wantState(seed.Ref, want)
			if text := `level=ERROR msg="an attestation that was given out is withdrawn: its block left the best chain" target=bitcoin transaction=` + seed.Ref; strings.Contains(r.logged.String(), text) != (depth > 5) {
				t.Errorf("the log says %s", &r.logged)
			} else if depth > 5 && !strings.Contains(r.logged.String(), "seed=1 ") {
				t.Errorf("the log does not name the seed: %s", &r.logged)
			}
			if depth > 5 && depth < 8 && !r.inMempool(seed.Ref) {
				t.Error("it was not sent again")
			}
			if depth > 7 { // the payment may have left as well
				if err := r.chain.Send(r.raw(log.Set()[:64])); err != nil {
					t.Log(err)
				}
			}
			r.mine(1)
			r.calm(true)
			r.mine(4)
			r.calm(false)
			r.wantAttempts(3)
			r.wantState(seed.Ref, logtree.Counted)
			r.covered()
			r.checkCoins()
		})
	}
}

// Seeds without coins, above the cap or above their half of a day's fees keep nothing of the log, and the other way round.
func TestSeedMoney(t *testing.T) {
	r := newRig(t, func(r *rig) { r.config.MaxFee, r.config.MaxFeeDay = 1000, 2000 })
	r.fund(20_000)
	r.append(1)
	r.step()
	r.mine(1)
	r.step()
	// The log has all that there is when seeds begin.
	carrying(r)
	r.seed()
	r.start()
	says := func(code anchor.Code, words ...string) {
		t.Helper()
		r.want(code)
		s := r.status()
		for _, w := range words {
			if !strings.Contains(s.Message, w) {
				t.Errorf("the status says %q, want %q", s.Message, w)
			}
		}
	}
	says(anchor.NoFunds, "Seeds wait: The coins for seeds have 0 satoshi", "send coins to "+r.status().Address)
	if s := r.status().Seeds; s.Code != anchor.NoFunds || s.Queued != 1 || strings.HasPrefix(s.Message, "Seeds wait") {
		t.Errorf("of seeds it says %+v", s)
	}
	r.append(1)
	r.later()
	r.want(anchor.NoFunds)
	r.wantAttempts(2) // the log goes on, and leaves them half
	r.mine(1)
	r.step()
	if n := len(r.seeded(1)); n != 1 {
		t.Fatalf("seed 1 is in %d transactions", n)
	}
	r.mine(6)
	r.step()
	r.covered()

	// Half of a day's fees are the log's.
	r.now = r.now.Add(48 * time.Hour)
	for number := 2; ; number++ {
		r.seed()
		if err := r.try(); anchor.CodeOf(err) == anchor.DayCap {
			break
		} else if err != nil || number > 20 {
			t.Fatalf("seed %d: %v", number, err)
		}
		r.mine(1)
	}
	says(anchor.DayCap, "Seeds wait: The next transaction would bring what seeds cost in 24 hours to", "above half of max_fee_day of 2000")
	made := len(r.attempts())
	r.append(1)
	r.later()
	r.want(anchor.DayCap)
	r.wantAttempts(made + 1)
	r.chain.SetFeeRate(20_000)
	r.mine(1)
	r.append(1)
	r.later()
	r.now = r.now.Add(48 * time.Hour)
	says(anchor.FeeCap, "above max_fee of 1000")
	if s := r.status().Seeds; s.Code != anchor.FeeCap || r.status().Message == s.Message+" Seeds wait: "+s.Message {
		t.Errorf("of seeds it says %+v, and of all %q", s, r.status().Message)
	}
	r.chain.SetFeeRate(1_000)
	r.mine(6)
	for range 5 {
		r.try()
		r.mine(6)
		r.now = r.now.Add(24 * time.Hour)
	}
	r.calm(false)
	r.covered()
}

// The log has no coin, and seeds have: the next seed leaves it half.
func TestSeedSharesWithTheLog(t *testing.T) {
	r := newRig(t, carrying)
	r.seed()
	r.want(anchor.NoFunds)
	r.fund(50_000)
	r.step()
	seed := r.only()
	if tx := decodeTx(t, seed.Raw); seed.Purpose != anchor.PurposeSeed || len(tx.TxOut) != 3 {
		t.Fatalf("the attempt is %+v", seed)
	}
	r.append(1)
	r.want(anchor.NoFunds)
	if s := r.status(); s.Seeds.Code != anchor.OK || strings.Contains(s.Message, "Seeds") {
		t.Errorf("the status is %q with %+v", s.Message, s.Seeds)
	}
	r.mine(1)
	r.step()
	if log := r.wantAttempts(2)[1]; log.Set() != seed.Ref+":2" {
		t.Fatalf("the log's is %+v", log)
	}
	r.mine(6)
	r.step()
	r.covered()
	r.checkCoins()
}

// Something else spends a seed's coin: another transaction carries the seed, paid by another coin.
func TestSeedsCoinIsSpent(t *testing.T) {
	r, first := funded(t, carrying)
	r.mine(1)
	r.seed()
	r.step()
	lost := r.seeded(1)[0]
	r.chain.ForgetMempool()
	twin := newTwin(r)
	carrying(twin)
	twin.seed()
	twin.start()
	twin.calm(false)
	foreign := decodeTx(t, twin.seeded(1)[0].Raw)
	if foreign.TxIn[0].PreviousOutPoint.String() != first.Ref+":2" || foreign.TxHash().String() == lost.Ref {
		t.Fatal("the twin does not spend the same coin")
	}
	r.chain.ForgetMempool()
	if _, err := r.chain.MineWith(foreign); err != nil {
		t.Fatal(err)
	}
	r.calm(false)
	all := r.seeded(1)
	if len(all) != 2 || all[1].Set() == lost.Set() || all[1].Head != lost.Head || !r.inMempool(all[1].Ref) {
		t.Fatalf("seed 1 is in %+v", all)
	}
	r.mine(6)
	r.step()
	if s := r.state(lost.Ref); s != anchor.Dead {
		t.Errorf("the first attempt is in state %d, want dead", s)
	}
	r.covered()
}

// A reorganisation takes out the log's transaction and the seed's that spends its half, and the first one is replaced: it
// outbids both, and another transaction carries the seed.
func TestSeedsParentIsReplaced(t *testing.T) {
	r, log := funded(t, carrying)
	r.mine(1)
	r.seed()
	r.step()
	seed := r.seeded(1)[0]
	r.mine(1)
	r.step()
	r.wantState(seed.Ref, logtree.Mined)
	r.append(1)
	r.chain.SetFeeRate(5_000)
	r.reorg(2)
	r.step()
	all := r.wantAttempts(3)
	instead := all[2]
	if instead.Purpose != anchor.PurposeLog || instead.Set() != log.Set() || instead.Fee < log.Fee+seed.Fee+instead.VSize || !r.inMempool(instead.Ref) || r.inMempool(seed.Ref) {
		t.Fatalf("%+v is replaced by %+v", log, instead)
	}
	r.mine(1)
	r.step()
	both := r.seeded(1)
	if len(both) != 2 || both[1].Set() != instead.Ref+":2" || !r.inMempool(both[1].Ref) {
		t.Fatalf("the seed is in %+v", both)
	}
	r.mine(6)
	r.step()
	if s := r.state(seed.Ref); s != anchor.Dead {
		t.Errorf("the first attempt is in state %d, want dead", s)
	}
	r.covered()
	r.checkCoins()
}

// The node refuses a seed's transaction: the log's goes out all the same.
func TestSeedRefused(t *testing.T) {
	r, _ := funded(t, carrying)
	r.mine(1)
	r.seed()
	step := 0
	r.intercept(func(method string) error {
		if method != "sendrawtransaction" {
			return nil
		}
		if step++; step == 1 {
			return &devchain.Error{Code: -26, Message: "bad-txns-of-a-seed"}
		}
		return nil
	})
	r.try()
	step = 0
	r.want(anchor.Refused)
	r.append(1)
	r.later()
	step = 0
	r.want(anchor.Refused)
	log := r.wantAttempts(3)[2]
	if log.Purpose != anchor.PurposeLog || !r.inMempool(log.Ref) {
		t.Fatalf("the log's is %+v", log)
	}
	if s := r.status(); !strings.HasPrefix(s.Message, "Seeds wait: ") || s.Seeds.Code != anchor.Refused {
		t.Errorf("the status says %q", s.Message)
	}
	r.intercept(nil)
	r.mine(1)
	r.calm(false)
	r.mine(6)
	r.calm(false)
	r.covered()
}

// A real node: a seed beside a head, paid by a key of our own and by the node's wallet. What is stored is held against the
// node's chain.
func TestRealNodeSeeds(t *testing.T) {
	t.Parallel()
	node := testnode.Bitcoind(t)
	node.Mine(t, 110)
	node.Must(t, nil, "createwallet", "stone")
	for wallet, change := range map[string]func(*bitcoin.Config){"own": nil, "node": nodeWallet} {
		l := newLive(t, node, change)
		l.carries = true
		l.start()
		l.append(3)
		l.want(anchor.NoFunds)
		node.Fund(t, l.address(), 200_000)
		node.Mine(t, 1)
		l.until("the log's is in the mempool", func() bool { return len(l.attempts()) == 1 && l.inMempool(l.newest().Ref) })
		log := l.newest()
		node.Mine(t, 1)
		carried := func(s seed.Seed) (found anchor.Attempt) {
			l.until("the seed is in the mempool", func() bool {
				for _, a := range l.attempts() {
					if a.Purpose == anchor.PurposeSeed && a.Head == s.Head() && l.inMempool(a.Ref) {
						found = a
					}
				}
				return found.Ref != ""
			})
			return found
		}
		made := testseed.Make(t, l.db, l.now, name, 3)
		a := carried(made)
		var tx struct {
			Vout []struct {
				Value        float64
				ScriptPubKey struct{ Hex, Type string }
			}
		}
		node.Must(t, &tx, "getrawtransaction", a.Ref, true)
		if out := tx.Vout[0]; out.ScriptPubKey.Hex != fmt.Sprintf("6a20%x", made.Root) || out.ScriptPubKey.Type != "nulldata" || out.Value != 0 || a.Set() != log.Ref+":2" {
			t.Fatalf("%s: the seed's transaction spends %s and has %+v", wallet, a.Set(), tx)
		}
		node.Mine(t, 6)
		l.until("both count", func() bool { return l.state(log.Ref) == logtree.Counted && l.state(a.Ref) == logtree.Counted })
		if s, err := l.db.SeedState(t.Context(), made.UID); err != nil || s.Status != seed.Final || s.Ref != a.Ref {
			t.Errorf("%s: the seed's state is %+v, %v", wallet, s, err)
		}
		if next := carried(testseed.Make(t, l.db, l.now, name, 1)); next.Set() != a.Ref+":1" {
			t.Errorf("%s: the next seed spends %s, want the change", wallet, next.Set())
		}
		audit, err := bitcoin.NewAudit(l.config)
		if err != nil {
			t.Fatal(err)
		}
		report, err := fsck.Check(t.Context(), l.db, fsck.Options{Chains: map[string]fsck.Chain{name: audit}})
		audit.Close()
		if err != nil || !report.Clean() || report.Attempts < 3 || report.Attestations < 2 {
			t.Errorf("%s: fsck: %+v, %v", wallet, report, err)
		}
		node.Mine(t, 1)
	}
}
