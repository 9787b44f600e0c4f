package ethereum

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/internal/testseed"
)

// seed makes a seed for the target. It adds an entry to the log as well.
func (r *rig) seed() seed.Seed {
	r.t.Helper()
	return testseed.Make(r.t, r.db, r.now, name, 3)
}

// wantSeed wants the seed's one attestation to be in this state.
func (r *rig) wantSeed(s seed.Seed, state logtree.AttestationState) logtree.Attestation {
	r.t.Helper()
	all, err := r.db.AllAttestations(r.t.Context(), 0, 1000)
	if err != nil {
		r.t.Fatal(err)
	}
	var found []logtree.Attestation
	for _, a := range all {
		if a.Purpose == anchor.PurposeSeed && a.Head.Epoch == int(s.Number) {
			found = append(found, a)
		}
	}
	if len(found) != 1 || found[0].State != state || found[0].Head != s.Head() {
		r.t.Fatalf("seed %d has the attestations %+v, want one in state %d", s.Number, found, state)
	}
	return found[0]
}

// carrying has the target carry seeds.
func carrying(c *Config) { c.Currency = 1 }

// A seed beside a head: two nonces, and the call data is the root and no more. A chain without a currency gets no seed.
func TestSeedBesideTheLog(t *testing.T) {
	r := newRig(t, nil)
	first := r.seed()
	r.step()
	if log := r.last(1); log.Purpose != anchor.PurposeLog {
		t.Fatalf("a chain that is no currency got %+v", log)
	}
	if s := r.status(); s.Seeds != nil {
		t.Errorf("and its status is %+v", s.Seeds)
	}
	carrying(&r.config)
	r.restart()
	r.step()
	made := r.last(2)
	tx, _, err := parseTransaction(made.Raw)
	if err != nil || made.Purpose != anchor.PurposeSeed || made.Set() != "nonce/1" || !bytes.Equal(tx.data, first.Root[:]) || !r.pending(made.Ref) {
		t.Fatalf("the seed's transaction is %+v, %v", made, err)
	}
	if s := r.status().Seeds; s == nil || s.Queued != 1 || s.Oldest != int(first.Number) || len(s.Waiting) != 1 || s.FeesDay != made.Fee || s.Code != anchor.OK {
		t.Errorf("the status is %+v", s)
	}
	second := r.seed()
	r.step()
	r.last(2) // one at a time
	r.chain.Mine(t, 1)
	r.step()
	next := r.last(3)
	if next.Head != second.Head() || next.Set() != "nonce/2" {
		t.Fatalf("the next seed is %+v", next)
	}
	r.chain.Mine(t, 3)
	r.later()
	r.step()
	r.wantSeed(first, logtree.Counted)
	r.wantSeed(second, logtree.Counted)
	r.chain.Mine(t, 3)
	r.step()
	r.wantState(r.last(4).Ref, logtree.Counted)
	if s := r.status(); s.Seeds.Queued != 0 || s.Seeds.FeesDay <= 0 || s.Seeds.FeesDay >= s.FeesDay {
		t.Errorf("the status is %+v of %d", s.Seeds, s.FeesDay)
	}
}

func (r *rig) status() anchor.Status {
	r.t.Helper()
	all, err := r.db.Targets(r.t.Context())
	if err != nil || len(all) != 1 {
		r.t.Fatalf("reading the status: %v %v", all, err)
	}
	return all[0]
}

// A stuck seed is replaced with the same root, and what waits behind it is not; it gets its turn.
func TestSeedIsStuck(t *testing.T) {
	r := newRig(t, func(c *Config) { carrying(c); c.MaxFee, c.MaxFeeDay = 20_000_000, 50_000_000 })
	r.append()
	r.step()
	r.chain.Mine(t, 1)
	s := r.seed()
	r.step()
	stuck := r.last(2)
	r.later()
	r.step()
	log := r.last(3)
	if stuck.Purpose != anchor.PurposeSeed || log.Purpose != anchor.PurposeLog || log.Set() != "nonce/2" {
		t.Fatalf("the queue is %s %s, %s %s", stuck.Purpose, stuck.Set(), log.Purpose, log.Set())
	}
	r.now = r.now.Add(time.Duration(r.config.ReplaceAfter))
	r.stick(stuck.Ref, stuckBlocks-1)
	r.last(3)
	r.chain.Must(t, nil, "anvil_dropTransaction", stuck.Ref)
	r.chain.Mine(t, 1)
	r.step()
	instead := r.last(4)
	if instead.Purpose != anchor.PurposeSeed || instead.Set() != stuck.Set() || instead.Head != s.Head() || instead.Fee <= stuck.Fee {
		t.Fatalf("%+v is replaced by %+v", stuck, instead)
	}
	r.restart()
	r.step()
	r.last(4)
	r.chain.Mine(t, 3)
	r.step()
	r.wantSeed(s, logtree.Counted)
	r.chain.Mine(t, 3)
	r.step()
	r.wantState(log.Ref, logtree.Counted)
}

// A reorganisation withdraws a seed that was final, which the log names, and the same transaction restores it.
func TestSeedReorganised(t *testing.T) {
	r := newRig(t, carrying)
	s := r.seed()
	r.step()
	r.last(2)
	r.chain.Mine(t, 2)
	r.step()
	r.wantSeed(s, logtree.Mined)
	r.chain.Must(t, nil, "anvil_reorg", 2, []any{})
	r.step()
	r.chain.Mine(t, 3)
	r.step()
	r.wantSeed(s, logtree.Counted)
	if strings.Contains(r.logged.String(), "level=ERROR") {
		t.Errorf("the log says %s", &r.logged)
	}
	r.chain.Must(t, nil, "anvil_reorg", 4, []any{})
	r.step()
	r.wantSeed(s, logtree.Withdrawn)
	if text := r.logged.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, fmt.Sprintf(" seed=%d hashes=3", s.Number)) {
		t.Errorf("the log says %s", text)
	}
	r.restart()
	r.step()
	r.chain.Mine(t, 3)
	r.step()
	r.wantSeed(s, logtree.Counted)
	r.last(2)
}

// Seeds may cost half of a day's fees; the log goes on. Without money both wait, in one sentence.
func TestSeedMoney(t *testing.T) {
	r := newRig(t, func(c *Config) { carrying(c); c.MaxFee, c.MaxFeeDay = 200_000, 600_000 })
	for i := 0; ; i++ {
		r.seed()
		if err := r.try(); anchor.CodeOf(err) == anchor.DayCap {
			break
		} else if err != nil || i == 10 {
			t.Fatalf("seed %d: %v", i, err)
		}
		r.chain.Mine(t, 1)
	}
	r.want(anchor.DayCap, "Seeds wait: The next transaction would bring what seeds cost in 24 hours to")
	n := len(r.attempts())
	r.later()
	r.want(anchor.DayCap, "above half of max_fee_day of 600000")
	if log := r.last(n + 1); log.Purpose != anchor.PurposeLog || r.status().Seeds.Code != anchor.DayCap {
		t.Fatalf("the next is %+v", log)
	}
	r.chain.Mine(t, 3)
	r.now = r.now.Add(day)
	r.chain.Must(t, nil, "anvil_setBalance", r.target.from.String(), "0x1")
	r.append()
	r.want(anchor.NoFunds, "send coins of chain 31337 to it")
	if s := r.status(); strings.Contains(s.Message, "Seeds wait: "+s.Seeds.Message) && strings.HasPrefix(s.Message, s.Seeds.Message) {
		t.Errorf("the status says it twice: %s", s.Message)
	}
	r.chain.Must(t, nil, "anvil_setBalance", r.target.from.String(), "0xde0b6b3a7640000")
	r.step()
	r.last(n + 3)
}
