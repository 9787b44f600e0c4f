package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/internal/testpg"
)

// until waits for what ought to happen soon.
func until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !happened(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// writer is a loop that writes all the time.
type writer struct {
	db      *store.DB
	node    string
	running *atomic.Int32 // on this node
	err     error         // to end with at once
}

func (w *writer) Run(ctx context.Context) error {
	if w.err != nil {
		return w.err
	}
	w.running.Add(1)
	defer w.running.Add(-1)
	for ctx.Err() == nil {
		if err := w.Announce(ctx); errors.Is(err, store.ErrLeaseLost) {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

func (w *writer) Announce(ctx context.Context) error {
	return w.db.SaveStatus(ctx, time.Now(), anchor.Status{Target: "scripted", Message: w.node})
}

// logText collects log lines.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// contender is a node that would run a writer.
type contender struct {
	loop    *single
	log     logText
	built   atomic.Int32
	running atomic.Int32
	gauge   prometheus.Gauge
	stop    func() error
}

// contend runs a node over a database until the test ends. Tests that count turns give leases a length that a
// slow machine does not use up.
func contend(t *testing.T, database, name string, length time.Duration) *contender {
	t.Helper()
	db, err := store.Open(t.Context(), database, store.Options{Connections: 4})
	if err != nil {
		t.Fatal(err)
	}
	c := &contender{gauge: prometheus.NewGauge(prometheus.GaugeOpts{Name: "held"})}
	log := slog.New(slog.NewTextHandler(&c.log, nil))
	c.loop = newSingle("target/scripted", name, db, func(db *store.DB) (loop, error) {
		c.built.Add(1)
		return &writer{db: db, node: name, running: &c.running}, nil
	}, c.gauge, log)
	c.loop.length = length
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.loop.Run(ctx) }()
	c.stop = sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-done, db.Close())
	})
	t.Cleanup(func() {
		if err := c.stop(); err != nil {
			t.Errorf("%s ended with %v", name, err)
		}
	})
	return c
}

func (c *contender) runs() bool { return c.running.Load() == 1 }

// TestLeaseIsGivenBack: a node that stops leaves the lease free at once, and the other one takes it.
func TestLeaseIsGivenBack(t *testing.T) {
	t.Parallel()
	database := testpg.Shared(t).NewDatabase(t)
	a := contend(t, database, "a", 20*time.Second)
	until(t, "a runs the loop", a.runs)
	b := contend(t, database, "b", 20*time.Second)
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	if a.running.Load() != 0 {
		t.Error("the loop runs after its node has stopped")
	}
	if !b.runs() {
		if got := testpg.SQL(t, database, "SELECT expires FROM lease WHERE holder = 'a'"); got != "0" && got != "" {
			t.Errorf("a has stopped, and its lease ends at %s", got)
		}
	}
	until(t, "b runs the loop", b.runs)
	if a.built.Load() != 1 || b.built.Load() != 1 {
		t.Errorf("the loop was built %d and %d times", a.built.Load(), b.built.Load())
	}
}

// TestLostLeaseStopsTheLoop: a loop whose lease was taken ends, which is nobody's problem, and is built anew
// for its next turn.
func TestLostLeaseStopsTheLoop(t *testing.T) {
	t.Parallel()
	database := testpg.Shared(t).NewDatabase(t)
	a := contend(t, database, "a", 20*time.Second)
	for turn := int32(1); turn <= 2; turn++ {
		until(t, "a runs the loop", a.runs)
		if n := a.built.Load(); n != turn {
			t.Errorf("built %d times at turn %d", n, turn)
		}
		testpg.SQL(t, database, "UPDATE lease SET holder = 'thief', token = token + 1, expires = 1 << 62 WHERE name = 'target/scripted'")
		until(t, "the loop has stopped", func() bool { return a.running.Load() == 0 })
		testpg.SQL(t, database, "UPDATE lease SET expires = 0")
	}
	if a.log.has("level=WARN") || a.log.has("level=ERROR") {
		t.Errorf("logged %s", &a.log.text)
	}
}

// TestCutOff: a node that cannot reach the database any more stops its loop by its own clock, another one takes
// over, and the first one is again of use when the line is back.
func TestCutOff(t *testing.T) {
	t.Parallel()
	database := testpg.Shared(t).NewDatabase(t)
	line := newLine(t, database)
	a := contend(t, line.url, "a", leaseLength)
	until(t, "a runs the loop", a.runs)
	b := contend(t, database, "b", leaseLength)
	line.cut()
	until(t, "a has stopped its loop", func() bool { return a.running.Load() == 0 })
	until(t, "b runs the loop", b.runs)
	line.mend()
	until(t, "a has the database again", func() bool { return a.log.has("is known again") })
	if again := a.built.Load() > 1; again && b.built.Load() == 1 && b.runs() {
		t.Error("a runs the loop while b does")
	}
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	until(t, "a runs the loop again", a.runs)
	if n := a.built.Load(); n < 2 {
		t.Error("a did not build the loop anew for its second turn")
	}
}

// TestALoopThatCannotBeBuilt leaves the lease to others.
func TestALoopThatCannotBeBuilt(t *testing.T) {
	t.Parallel()
	database := testpg.Shared(t).NewDatabase(t)
	a := contend(t, database, "a", leaseLength)
	until(t, "a runs the loop", a.runs)
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), database, store.Options{Connections: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	broken := newSingle("target/scripted", "broken", db, func(*store.DB) (loop, error) { return nil, errors.New("no key") }, a.gauge, slog.New(slog.DiscardHandler))
	if err := broken.Announce(t.Context()); err == nil {
		t.Error("announced what cannot be built")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- broken.Run(ctx) }()
	b := contend(t, database, "b", leaseLength)
	until(t, "b runs the loop", b.runs)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestALoopThatEndsForGood ends its node with its error, and another node may run it.
func TestALoopThatEndsForGood(t *testing.T) {
	t.Parallel()
	database := testpg.Shared(t).NewDatabase(t)
	db, err := store.Open(t.Context(), database, store.Options{Connections: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	beyond := errors.New("beyond repair")
	s := newSingle("target/scripted", "a", db, func(db *store.DB) (loop, error) {
		return &writer{db: db, err: beyond}, nil
	}, prometheus.NewGauge(prometheus.GaugeOpts{Name: "held"}), slog.New(slog.DiscardHandler))
	if err := s.Run(t.Context()); !errors.Is(err, beyond) {
		t.Errorf("ended with %v", err)
	}
	if _, err := db.TakeLease(t.Context(), "target/scripted", "b", time.Minute); err != nil {
		t.Errorf("the lease was not given back: %v", err)
	}
}

// TestAnnounce: the status of a target that another node runs is left alone.
func TestAnnounce(t *testing.T) {
	t.Parallel()
	database := testpg.Shared(t).NewDatabase(t)
	status := func() string {
		return testpg.SQL(t, database, "SELECT status::json->>'message' FROM target")
	}
	db, err := store.Open(t.Context(), database, store.Options{Connections: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	node := func(name string) *single {
		return newSingle("target/scripted", name, db, func(db *store.DB) (loop, error) { return &writer{db: db, node: name}, nil }, nil, slog.New(slog.DiscardHandler))
	}
	for _, name := range []string{"a", "b"} {
		if err := node(name).Announce(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := status(); got != name {
			t.Errorf("nobody runs the target, and after %s announced it the status is %q", name, got)
		}
	}
	if _, err := db.TakeLease(t.Context(), "target/scripted", "runs", time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := node("c").Announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := status(); got != "b" {
		t.Errorf("another node runs the target, and the status is %q", got)
	}
	if a, b := nodeName(), nodeName(); a == b {
		t.Errorf("two nodes have the name %s", a)
	}
}
