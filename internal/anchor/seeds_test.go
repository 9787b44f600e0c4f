package anchor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/logtree"
)

// seeds are those that a fake target carries.
type seeds struct {
	heads []logtree.Head
	err   error
}

func (s *seeds) UnattestedSeeds(_ context.Context, _ string, limit int) ([]logtree.Head, error) {
	return s.heads[:min(limit, len(s.heads))], s.err
}

// What keeps heads of the log, or seeds, or both: each goes out unless it is kept itself, and the status says everything once.
func TestSeedsAndTheLog(t *testing.T) {
	poor, down, disk := Faultf(NoFunds, nil, "Send money."), Faultf(NodeDown, nil, "Start it."), errors.New("disk full")
	cap := Faultf(DayCap, nil, "Too much.")
	for _, c := range []struct {
		name                   string
		check, log, seed, save error
		calls                  string
		code                   Code
		message                string
		seeds                  Code
	}{
		{name: "all is well", calls: "check, prepare log 0/5, save, send log, prepare seed 7/3, save, send seed", code: OK, message: "Everything is in order.", seeds: OK},
		{name: "the log is kept", log: poor, calls: "check, prepare log 0/5, prepare seed 7/3, save, send seed", code: NoFunds, message: "Send money.", seeds: OK},
		{name: "seeds are kept", seed: cap, calls: "check, prepare log 0/5, save, send log, prepare seed 7/3", code: DayCap, message: "Seeds wait: Too much.", seeds: DayCap},
		{name: "both are kept", log: poor, seed: cap, calls: "check, prepare log 0/5, prepare seed 7/3", code: NoFunds, message: "Send money. Seeds wait: Too much.", seeds: DayCap},
		{name: "both by the same", log: poor, seed: poor, calls: "check, prepare log 0/5, prepare seed 7/3", code: NoFunds, message: "Send money.", seeds: NoFunds},
		{name: "everything is kept", check: down, calls: "check", code: NodeDown, message: "Start it.", seeds: NodeDown},
		{name: "a seed is refused", check: About(PurposeSeed, cap), calls: "check, prepare log 0/5, save, send log", code: DayCap, message: "Seeds wait: Too much.", seeds: DayCap},
		{name: "the log's is refused", check: About(PurposeLog, poor), calls: "check, prepare seed 7/3, save, send seed", code: NoFunds, message: "Send money.", seeds: OK},
		{name: "both are refused", check: errors.Join(About(PurposeLog, poor), About(PurposeSeed, cap)), calls: "check", code: NoFunds, message: "Send money. Seeds wait: Too much.", seeds: DayCap},
		{name: "the disk is full", save: disk, calls: "check, prepare log 0/5, save", code: StoreFailed, message: "The database cannot be read or written; look into the log.", seeds: OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &carrier{fake: fake{heads: epochs(5), save: c.save}, kept: map[string]error{PurposeLog: c.log, PurposeSeed: c.seed}}
			f.check = func() error { return c.check }
			l := newLoopOf(f, &seeds{heads: []logtree.Head{{Epoch: 7, Size: 3}, {Epoch: 8, Size: 1}}})
			err := l.Step(t.Context(), time.Now())
			s := f.statuses[0]
			if got := strings.Join(f.calls, ", "); got != c.calls || CodeOf(err) != c.code || s.Code != c.code || s.Message != c.message {
				t.Errorf("calls %s; %q, and the status %q: %s", got, CodeOf(err), s.Code, s.Message)
			}
			if s.Seeds == nil || s.Seeds.Queued != 2 || s.Seeds.Oldest != 7 || s.Seeds.Code != c.seeds {
				t.Errorf("of seeds the status says %+v", s.Seeds)
			}
			for _, a := range f.saved {
				if want := map[string]int{PurposeLog: 0, PurposeSeed: 7}[a.Purpose]; a.Head.Epoch != want || a.Target != "fake" {
					t.Errorf("saved %+v", a)
				}
			}
		})
	}
}

// A seed that cannot be read stops nothing of the log, and no status says that all is well.
func TestSeedsCannotBeRead(t *testing.T) {
	f := &carrier{fake: fake{heads: epochs(5)}}
	l := newLoopOf(f, &seeds{err: errors.New("disk full")})
	if err := l.Step(t.Context(), time.Now()); CodeOf(err) != StoreFailed || !slices.Contains(f.calls, "send log") || len(f.statuses) != 0 {
		t.Errorf("%v, after %v, with %+v", err, f.calls, f.statuses)
	}
}

// carrier is a target that keeps what it is told to keep.
type carrier struct {
	fake
	kept map[string]error // by purpose
}

func newLoopOf(f *carrier, s *seeds) *Loop {
	l := newLoop(&f.fake, Options{Seeds: s})
	l.target = f
	return l
}

func (f *carrier) Prepare(_ context.Context, _ time.Time, purpose string, h logtree.Head) (Attempt, bool, error) {
	f.calls = append(f.calls, fmt.Sprintf("prepare %s %d/%d", purpose, h.Epoch, h.Size))
	if err := f.kept[purpose]; err != nil {
		return Attempt{}, false, err
	}
	return Attempt{Head: h, Ref: "ref", Uses: []string{"coin"}}, true, nil
}

func (f *carrier) Send(_ context.Context, _ time.Time, a Attempt) error {
	f.calls = append(f.calls, "send "+a.Purpose)
	return nil
}
