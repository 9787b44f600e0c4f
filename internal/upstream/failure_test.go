package upstream

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/internal/upstream/submission"
)

// faulty is a store one of whose writes fails: it does not happen, or it happens and is reported failed.
type faulty struct {
	*store.DB
	plan *plan
}

type plan struct {
	at      int  // the write that fails, from 1
	happens bool // all the same
	writes  []string
}

var errFault = errors.New("the disk is gone")

func (f faulty) write(verb string, do func() error) error {
	f.plan.writes = append(f.plan.writes, verb)
	if len(f.plan.writes) != f.plan.at {
		return do()
	}
	if f.plan.happens {
		if err := do(); err != nil {
			return err
		}
	}
	return errFault
}

func (f faulty) PinTarget(ctx context.Context, now time.Time, target, genesis string) (have string, err error) {
	err = f.write("pin", func() error { have, err = f.DB.PinTarget(ctx, now, target, genesis); return err })
	return have, err
}

func (f faulty) SaveStatus(ctx context.Context, now time.Time, s anchor.Status) error {
	return f.write("status", func() error { return f.DB.SaveStatus(ctx, now, s) })
}

func (f faulty) SaveSubmissions(ctx context.Context, now time.Time, all []submission.Submission) error {
	return f.write("save", func() error { return f.DB.SaveSubmissions(ctx, now, all) })
}

func (f faulty) UseCalendars(ctx context.Context, now time.Time, target string, calendars []string) error {
	return f.write("calendars", func() error { return f.DB.UseCalendars(ctx, now, target, calendars) })
}

func (f faulty) DeferSubmission(ctx context.Context, id int64, next time.Time) error {
	return f.write("defer", func() error { return f.DB.DeferSubmission(ctx, id, next) })
}

func (f faulty) AnswerSubmission(ctx context.Context, now time.Time, s submission.Submission) error {
	return f.write("answer", func() error { return f.DB.AnswerSubmission(ctx, now, s) })
}

func (f faulty) RefuseAnswer(ctx context.Context, now time.Time, id int64, next time.Time) error {
	return f.write("refuse", func() error { return f.DB.RefuseAnswer(ctx, now, id, next) })
}

func (f faulty) AttestSubmission(ctx context.Context, now time.Time, id int64, a logtree.Attestation) (state logtree.AttestationState, err error) {
	err = f.write("attest", func() error { state, err = f.DB.AttestSubmission(ctx, now, id, a); return err })
	return state, err
}

func (f faulty) WithdrawSubmitted(ctx context.Context, now time.Time, target string, height int64, block [32]byte) error {
	return f.write("withdraw", func() error { return f.DB.WithdrawSubmitted(ctx, now, target, height, block) })
}

func (f faulty) SaveTip(ctx context.Context, target string, height int64) error {
	return f.write("tip", func() error { return f.DB.SaveTip(ctx, target, height) })
}

func (f faulty) ForgetSubmissions(ctx context.Context, target string, height int64, limit int) (n int64, err error) {
	err = f.write("forget", func() error { n, err = f.DB.ForgetSubmissions(ctx, target, height, limit); return err })
	return n, err
}

// TestFailureTable has a write of each kind fail in a life with a reorganisation, not happen or happen and be reported
// failed; after it the process goes on, or is killed and started again. In the end everything is attested, and what is
// stored is whole after every fault.
func TestFailureTable(t *testing.T) {
	well := &plan{}
	if !t.Run("no fault", func(t *testing.T) { live(t, well, false) }) {
		return
	}
	seen := make(map[string]bool)
	for i, verb := range well.writes {
		if seen[verb] {
			continue
		}
		seen[verb] = true
		for _, happens := range []bool{false, true} {
			for _, killed := range []bool{false, true} {
				p := &plan{at: i + 1, happens: happens}
				t.Run(fmt.Sprintf("%s, happens %v, killed %v", verb, happens, killed), func(t *testing.T) {
					t.Parallel()
					live(t, p, killed)
				})
			}
		}
	}
	for _, verb := range []string{"pin", "status", "save", "calendars", "answer", "attest", "withdraw", "tip", "forget"} {
		if !seen[verb] {
			t.Errorf("no write is of the kind %s", verb)
		}
	}
}

// live runs a node from its first entry to a proof, through a reorganisation.
func live(t *testing.T, p *plan, killed bool) {
	a := newParent(t)
	r := newRig(t, a.url)
	r.store = func(db *store.DB) Store { return faulty{db, p} }
	r.start()
	deepen(r.chain, 5)
	failed := 0
	steps := func(n int, every time.Duration) {
		t.Helper()
		for range n {
			r.now = r.now.Add(every)
			switch err := r.step(); {
			case errors.Is(err, errFault):
				failed++
				r.checked()
				if killed {
					if err := r.db.Close(); err != nil {
						t.Fatal(err)
					}
					r.open()
					r.start()
				}
			case err != nil:
				t.Fatal(err)
			}
		}
	}
	first := r.add(2)
	steps(3, time.Second)
	head := a.head()
	height, _ := a.mine(r.chain)
	deepen(r.chain, 2)
	steps(4, 2*time.Minute)
	if p := r.proof(first); p.State != calendar.Confirmed {
		t.Fatalf("before the reorganisation: %+v", p)
	}
	gone := r.chain.Header(uint64(height)).Hash()
	r.chain.Cut(uint64(height))
	if err := a.db.WithdrawSubmitted(t.Context(), time.Now(), "bitcoin", height, gone); err != nil {
		t.Fatal(err)
	}
	path, merkle, id := carry(t, head.Root, 77)
	again := int64(r.chain.Mine(merkle))
	a.attest(r.chain, head, path, again, id)
	deepen(r.chain, 3)
	second := r.add(2)
	steps(4, time.Minute)
	a.mine(r.chain)
	deepen(r.chain, 2)
	steps(6, 15*time.Minute)
	for _, e := range []logtree.Entry{first, second} {
		if p := r.proof(e); p.State != calendar.Confirmed {
			t.Errorf("%v: %+v", e.Position(), p)
		}
	}
	if p.at > 0 && failed != 1 {
		t.Errorf("%d faults were seen", failed)
	}
	r.checked()
}
