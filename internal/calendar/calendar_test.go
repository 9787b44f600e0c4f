package calendar_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/ots"
)

// slow is a store whose appends take time and may fail; it remembers what it was given.
type slow struct {
	calendar.Store
	takes time.Duration
	deaf  bool // to its context
	fail  func(n int) error

	mu   sync.Mutex
	tips [][32]byte
	n    int
}

func (s *slow) Append(ctx context.Context, now time.Time, tips [][32]byte) ([]logtree.Entry, error) {
	if s.deaf {
		ctx = context.Background()
	}
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	if s.fail != nil {
		if err := s.fail(s.n); err != nil {
			return nil, err
		}
	}
	var entries []logtree.Entry
	for _, tip := range tips {
		p, err := logtree.At(0, int64(len(s.tips)))
		if err != nil {
			return nil, err
		}
		s.tips = append(s.tips, tip)
		entries = append(entries, logtree.NewEntry(p, tip))
	}
	return entries, nil
}

// start runs a calendar until the returned function is called, which waits for Run to return.
func start(t *testing.T, st calendar.Store, c calendar.Config) (*calendar.Calendar, func()) {
	cal := calendar.New(st, c)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- cal.Run(ctx) }()
	return cal, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func check(t *testing.T, digest []byte, r calendar.Receipt) {
	t.Helper()
	path, err := ots.ParsePath(r.Path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := path.Apply(digest)
	if err != nil || !bytes.Equal(got, r.Entry[:]) {
		t.Errorf("path of %x ends at %x, %v; want %v", digest, got, err, r.Entry)
	}
}

func TestBatchesFollowTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &slow{takes: 10 * time.Millisecond}
		cal, stop := start(t, st, calendar.Config{})
		begin := time.Now()
		first := make([]byte, 32)
		r, err := cal.Submit(t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		check(t, first, r)
		if took := time.Since(begin); took != st.takes {
			t.Errorf("a digest after a quiet time took %v, want one commit of %v", took, st.takes)
		}

		var wg sync.WaitGroup
		entries := make([]logtree.Entry, 10_000)
		for i := range entries {
			wg.Go(func() {
				digest := sha256.Sum256(fmt.Append(nil, i))
				r, err := cal.Submit(t.Context(), digest[:])
				if err != nil {
					t.Error(err)
					return
				}
				check(t, digest[:], r)
				entries[i] = r.Entry
			})
		}
		wg.Wait()
		perEntry := map[logtree.Entry]int{}
		for _, e := range entries {
			perEntry[e]++
		}
		for e, n := range perEntry {
			if n > calendar.MaxBatch {
				t.Errorf("entry %v holds %d digests", e.Position(), n)
			}
		}
		if len(perEntry) > 5 {
			t.Errorf("10,000 digests at once made %d entries", len(perEntry))
		}
		stop()
	})
}

func TestAFailedCommitIsItsWaitersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("disk full")
		st := &slow{takes: time.Millisecond, fail: func(n int) error {
			if n == 1 {
				return broken
			}
			return nil
		}}
		cal, stop := start(t, st, calendar.Config{})
		if _, err := cal.Submit(t.Context(), nil); !errors.Is(err, calendar.ErrUnavailable) || !errors.Is(err, broken) {
			t.Errorf("a commit that failed: %v", err)
		}
		r, err := cal.Submit(t.Context(), nil)
		if err != nil {
			t.Fatalf("after a failed commit: %v", err)
		}
		check(t, nil, r)
		stop()
	})
}

// A disk that hangs cannot be interrupted: the store does not even look at its context.
func TestACommitThatHangsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &slow{takes: time.Minute, deaf: true}
		cal, stop := start(t, st, calendar.Config{Patience: 3 * time.Second})
		begin := time.Now()
		if _, err := cal.Submit(t.Context(), nil); !errors.Is(err, calendar.ErrUnavailable) {
			t.Errorf("a commit that hangs: %v", err)
		}
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("a commit that hangs was waited for %v", took)
		}
		stop()
	})
}

func TestStopCommitsWhatWasAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &slow{takes: time.Second}
		cal, stop := start(t, st, calendar.Config{})
		var wg sync.WaitGroup
		for i := range 3 * calendar.MaxBatch {
			wg.Go(func() {
				if _, err := cal.Submit(t.Context(), []byte{byte(i), byte(i >> 8)}); err != nil {
					t.Errorf("accepted before the stop: %v", err)
				}
			})
		}
		synctest.Wait()
		stop()
		wg.Wait()
		if _, err := cal.Submit(t.Context(), nil); !errors.Is(err, calendar.ErrUnavailable) {
			t.Errorf("after the stop: %v", err)
		}
	})
}

func TestTheBucketDelaysAndNeverRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cal, stop := start(t, &slow{}, calendar.Config{Burst: 3, Rate: 50})
		begin := time.Now()
		for range 3 {
			if _, err := cal.Submit(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("the burst took %v", took)
		}
		for range 100 {
			before := time.Now()
			if _, err := cal.Submit(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(before); took > 20*time.Millisecond {
				t.Fatalf("an empty bucket delayed a digest by %v", took)
			}
		}
		if took := time.Since(begin); took < 1900*time.Millisecond {
			t.Errorf("100 entries past the burst took %v, want 50 a second", took)
		}
		stop()
	})
}

func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &slow{takes: time.Second}
		cal, stop := start(t, st, calendar.Config{Waiting: 10})
		if _, err := cal.Submit(t.Context(), make([]byte, 65)); !errors.Is(err, calendar.ErrDigestTooLong) {
			t.Errorf("65 bytes: %v", err)
		}
		for _, n := range []int{0, 1, 20, 64} {
			digest := bytes.Repeat([]byte{7}, n)
			r, err := cal.Submit(t.Context(), digest)
			if err != nil {
				t.Fatalf("%d bytes: %v", n, err)
			}
			check(t, digest, r)
		}
		var wg sync.WaitGroup
		refused := make(chan error, 30)
		for range 30 {
			wg.Go(func() {
				if _, err := cal.Submit(t.Context(), nil); err != nil {
					refused <- err
				}
			})
		}
		wg.Wait()
		close(refused)
		n := 0
		for err := range refused {
			if n++; !errors.Is(err, calendar.ErrUnavailable) {
				t.Errorf("a digest too many: %v", err)
			}
		}
		if n == 0 || n > 20 {
			t.Errorf("%d of 30 digests were refused with room for 10", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := cal.Submit(ctx, nil); !errors.Is(err, calendar.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a client that leaves: %v", err)
		}
		stop()
	})
}

// Two submissions of one digest must not show that they are the same.
func TestNonces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cal, stop := start(t, &slow{}, calendar.Config{})
		a, err := cal.Submit(t.Context(), []byte("same"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := cal.Submit(t.Context(), []byte("same"))
		if err != nil {
			t.Fatal(err)
		}
		if a.Entry.Tip() == b.Entry.Tip() {
			t.Error("two submissions of one digest have the same tip")
		}
		stop()
	})
}
