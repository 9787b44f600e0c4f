package bitcoin_test

import (
	"fmt"
	"testing"

	"github.com/datestone/datestone/internal/anchor"
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
// and sends again. It returns what it cost, in transactions.
func life(r *rig, restart bool) (attempts int) {
	r.t.Helper()
	s, err := r.target.Status(r.t.Context(), r.now)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.chain.Faucet(s.Address, 100_000); err != nil {
		r.t.Fatal(err)
	}
	r.mine(1)
	r.append(3)
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
	for _, h := range append(heads, head) {
		if h.Size > 0 && counted[h.Epoch] != h.Size {
			r.t.Errorf("epoch %d is attested to %d of %d entries", h.Epoch, counted[h.Epoch], h.Size)
		}
	}
}

// Every write of the store that did not happen, or happened and was reported as failed, with and
// without a restart after it in turn: nothing is lost, paid for twice or false.
func TestFailureTable(t *testing.T) {
	late := func(r *rig) { r.config.Birth, r.config.Confirmations = 109, 3 } // few blocks, to fail at each
	reference := newRig(t, late)
	want := life(reference, false)
	for _, verb := range []string{"PinTarget", "StartChain", "ConnectBlock", "DisconnectBlock", "SaveAttempt", "MarkSent", "SaveStatus"} {
		for _, happens := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/happens=%v", verb, happens), func(t *testing.T) {
				t.Parallel()
				for skip := 0; ; skip++ {
					r := newRig(t, late)
					r.faulty.verb, r.faulty.happens, r.faulty.skip = verb, happens, skip
					got := life(r, skip%2 == 1)
					if r.faulty.hits == 0 {
						if skip == 0 {
							t.Fatal("the verb is never used")
						}
						return // each use of it has failed once
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
