package anchor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/datestone/datestone/internal/logtree"
)

// fake is a store and a target that do as they are told.
type fake struct {
	mu       sync.Mutex
	heads    []logtree.Head // the last is the current one
	coverage []Coverage
	check    func() error
	prepare  func(logtree.Head) (Attempt, bool, error)
	send     error
	save     error
	status   error
	saved    []Attempt
	statuses []Status
	calls    []string
	checked  []time.Time
}

func (f *fake) Check(context.Context, time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.checked = append(f.calls, "check"), append(f.checked, time.Now())
	if f.check != nil {
		return f.check()
	}
	return nil
}

func (f *fake) Prepare(_ context.Context, _ time.Time, purpose string, h logtree.Head) (Attempt, bool, error) {
	f.calls = append(f.calls, fmt.Sprintf("prepare %d/%d", h.Epoch, h.Size))
	if f.prepare != nil {
		return f.prepare(h)
	}
	return Attempt{Head: h, Ref: "ref", Uses: []string{"coin"}}, true, nil
}

func (f *fake) Send(_ context.Context, _ time.Time, a Attempt) error {
	f.calls = append(f.calls, fmt.Sprintf("send %d", a.ID))
	return f.send
}

func (f *fake) Status(context.Context, time.Time) (Status, error) {
	return Status{Network: "fake"}, nil
}

func (f *fake) Head(context.Context) (logtree.Head, error) { return f.heads[len(f.heads)-1], nil }

func (f *fake) EndedEpochs(context.Context) ([]logtree.Head, error) {
	return f.heads[:len(f.heads)-1], nil
}

func (f *fake) Coverage(context.Context, string, string) ([]Coverage, error) { return f.coverage, nil }

func (f *fake) SaveAttempt(_ context.Context, _ time.Time, a Attempt) (Attempt, error) {
	f.calls = append(f.calls, "save")
	if f.save != nil {
		return a, f.save
	}
	a.ID = int64(len(f.saved) + 1)
	f.saved = append(f.saved, a)
	return a, nil
}

func (f *fake) SaveStatus(_ context.Context, _ time.Time, s Status) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.statuses = append(f.statuses, s)
	return f.status
}

func newLoop(f *fake, o Options) *Loop {
	o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	return New("fake", f, f, o)
}

func epochs(sizes ...int64) []logtree.Head {
	var heads []logtree.Head
	for i, n := range sizes {
		heads = append(heads, logtree.Head{Epoch: i, Size: n})
	}
	return heads
}

// Which head is brought to the target, if any.
func TestNextHead(t *testing.T) {
	for _, c := range []struct {
		name     string
		heads    []logtree.Head
		coverage []Coverage
		want     string
	}{
		{"an empty log", epochs(0), nil, ""},
		{"nothing covered", epochs(5), nil, "prepare 0/5"},
		{"counted", epochs(5), []Coverage{{Counted: 5}}, ""},
		{"counted in part", epochs(5), []Coverage{{Counted: 4}}, "prepare 0/5"},
		{"mined", epochs(5), []Coverage{{Counted: 2, Mined: 5}}, ""},
		{"only sent", epochs(5), []Coverage{{Sent: 5}}, "prepare 0/5"},
		{"the oldest epoch first", epochs(5, 7, 3), []Coverage{{Epoch: 0, Counted: 5}, {Epoch: 1, Counted: 6}}, "prepare 1/7"},
		{"a gap in the coverage", epochs(5, 7, 3), []Coverage{{Epoch: 0, Counted: 5}, {Epoch: 2, Counted: 3}}, "prepare 1/7"},
		{"an epoch that ended empty", epochs(0, 7), nil, "prepare 1/7"},
	} {
		f := &fake{heads: c.heads, coverage: c.coverage}
		if err := newLoop(f, Options{}).Step(t.Context(), time.Now()); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		got := ""
		if len(f.calls) > 1 {
			got = f.calls[1]
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// An attempt is saved before it is sent, and what is not saved is not sent.
func TestSaveBeforeSend(t *testing.T) {
	f := &fake{heads: epochs(5)}
	l := newLoop(f, Options{})
	if err := l.Step(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(f.calls); got != "[check prepare 0/5 save send 1]" {
		t.Errorf("calls %s", got)
	}
	if a := f.saved[0]; a.Target != "fake" || a.Purpose != PurposeLog {
		t.Errorf("saved for %q, purpose %q", a.Target, a.Purpose)
	}
	f.calls, f.save = nil, errors.New("disk full")
	if err := l.Step(t.Context(), time.Now()); CodeOf(err) != StoreFailed {
		t.Errorf("step: %v", err)
	}
	if got := fmt.Sprint(f.calls); got != "[check prepare 0/5 save]" {
		t.Errorf("calls %s", got)
	}
	f.calls, f.check = nil, func() error { return Faultf(NodeBehind, nil, "Behind.") }
	if err := l.Step(t.Context(), time.Now()); CodeOf(err) != NodeBehind {
		t.Errorf("step: %v", err)
	}
	if got := fmt.Sprint(f.calls); got != "[check]" {
		t.Errorf("calls %s: nothing is sent while the target is in trouble", got)
	}
}

// A status is saved when it says something new, and once a minute.
func TestStatusIsSavedWhenNew(t *testing.T) {
	f := &fake{heads: epochs(5), coverage: []Coverage{{Counted: 5}}}
	l := newLoop(f, Options{})
	now := time.Unix(1_800_000_000, 0)
	step := func(after time.Duration, want int) {
		t.Helper()
		now = now.Add(after)
		l.Step(t.Context(), now)
		if len(f.statuses) != want {
			t.Fatalf("%d statuses were saved, want %d", len(f.statuses), want)
		}
	}
	step(0, 1)
	step(time.Second, 1)
	f.check = func() error { return Faultf(NoFunds, errors.New("cause"), "Send money.") }
	step(time.Second, 2)
	if s := f.statuses[1]; s.Code != NoFunds || s.Message != "Send money." || s.LastError != "Send money.: cause" || !s.LastErrorAt.Equal(now) {
		t.Errorf("status %+v", s)
	}
	step(time.Second, 2) // the time of the error is new, and nothing else
	f.check = nil
	step(time.Second, 3)
	if s := f.statuses[2]; s.Code != OK || s.LastError == "" {
		t.Errorf("status %+v, want it well, with the last error", s)
	}
	step(59*time.Second, 3)
	step(2*time.Second, 4)
	f.status = errors.New("disk full")
	f.coverage = []Coverage{{Counted: 6}}
	if err := l.Step(t.Context(), now); CodeOf(err) != StoreFailed {
		t.Errorf("step: %v", err)
	}
}

// Errors never end the loop; it looks again after a bounded time, and soon when all is well.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{heads: epochs(0), check: func() error { return errors.New("bad") }}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- newLoop(f, Options{}).Run(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		f.mu.Lock()
		bad := f.checked
		f.check = nil
		f.mu.Unlock()
		if len(bad) < 60/8 || len(bad) > 15 {
			t.Errorf("%d looks in a minute of trouble", len(bad))
		}
		for i := 1; i < len(bad); i++ {
			if gap := bad[i].Sub(bad[i-1]); gap > maxBackoff {
				t.Errorf("%v between two looks", gap)
			}
		}
		time.Sleep(maxBackoff)
		synctest.Wait()
		f.mu.Lock()
		before := len(f.checked)
		f.mu.Unlock()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		f.mu.Lock()
		after := len(f.checked)
		f.mu.Unlock()
		if after-before != 10 {
			t.Errorf("%d looks in ten good seconds", after-before)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the loop ends with %v", err)
		}
	})
}

// A panic is not hidden.
func TestPanicPasses(t *testing.T) {
	f := &fake{heads: epochs(0), check: func() error { panic("broken") }}
	defer func() {
		if recover() == nil {
			t.Error("a panic was swallowed")
		}
	}()
	newLoop(f, Options{}).Run(t.Context())
}

// TestLost: what says that another node runs the loop ends it, and is no state of the target.
func TestLost(t *testing.T) {
	lost := errors.New("lost")
	for _, c := range []struct {
		name string
		set  func(*fake)
	}{
		{"while following", func(f *fake) { f.check = func() error { return fmt.Errorf("connecting a block: %w", lost) } }},
		{"inside a fault", func(f *fake) { f.check = func() error { return Faultf(NodeError, lost, "The node.") } }},
		{"while saving an attempt", func(f *fake) { f.save = lost }},
		{"while saving the status", func(f *fake) { f.status = lost }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{heads: epochs(5)}
			c.set(f)
			var logged bytes.Buffer
			l := New("fake", f, f, Options{
				Lost: func(err error) bool { return errors.Is(err, lost) },
				Log:  slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelWarn})),
			})
			if err := l.Run(t.Context()); !errors.Is(err, lost) {
				t.Errorf("ended with %v", err)
			}
			if f.status == nil && len(f.statuses) > 0 {
				t.Errorf("saved %+v", f.statuses)
			}
			if logged.Len() > 0 {
				t.Errorf("logged %s", &logged)
			}
		})
	}
}
