package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/logtree"
)

// database is what the model says of the database, for real calendars in simulated time.
type database struct {
	Model
	row   chan struct{} // holds a token while the row is free; who waits gets it in turn
	disk  run
	start time.Time

	// Of the holder of the row.
	size             int64
	commits, entries int // before the end

	mu    sync.Mutex
	asked int // appends that have the row or wait for it
}

// connection is a node's.
type connection struct {
	calendar.Store
	*database
	trip time.Duration
}

func (c connection) Append(_ context.Context, _ time.Time, tips [][32]byte) ([]logtree.Entry, error) {
	time.Sleep(time.Duration(c.Before)*(c.trip+c.Server) + c.trip/2)
	c.mu.Lock()
	c.asked++
	waits := c.asked > 1
	c.mu.Unlock()
	<-c.row
	if waits {
		time.Sleep(c.Pass)
	}
	tiles := 0
	entries := make([]logtree.Entry, len(tips))
	for i, tip := range tips {
		p, err := logtree.At(0, c.size)
		if err != nil {
			return nil, err
		}
		entries[i] = logtree.NewEntry(p, tip)
		if c.size++; c.size%tileEntries == 0 {
			tiles++
		}
	}
	if time.Since(c.start) < c.Length {
		c.commits++
		c.entries += len(tips)
	}
	time.Sleep(c.Server + time.Duration(c.Locked+len(tips)-1+tiles*c.Tile)*(c.trip+c.Server) + c.disk.flush())
	c.mu.Lock()
	c.asked--
	c.mu.Unlock()
	c.row <- struct{}{}
	time.Sleep(c.trip / 2)
	return entries, nil
}

// real runs the model with real calendars. It must be called in a bubble of synctest.
func (m Model) real(t *testing.T) Result {
	db := &database{Model: m, row: make(chan struct{}, 1), disk: run{Model: m, disk: rand.New(rand.NewPCG(m.Seed, 0))}, start: time.Now()}
	db.row <- struct{}{}
	var loops, clients sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	var mu sync.Mutex
	var r Result
	for i, trip := range m.Trips {
		config := calendar.Config{Burst: m.Burst, Rate: m.Refill}
		if m.Refill == 0 {
			config.Burst = 1 << 40
		}
		c := calendar.New(connection{database: db, trip: trip}, config)
		loops.Go(func() { c.Run(ctx) })
		submit := func(n int) {
			digest := sha256.Sum256(binary.BigEndian.AppendUint64([]byte{byte(i)}, uint64(n)))
			begin := time.Now()
			_, err := c.Submit(ctx, digest[:])
			took := time.Since(begin)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			r.Digests++
			r.add(took)
		}
		clients.Go(func() {
			random := rand.New(rand.NewPCG(m.Seed, uint64(i+1)))
			gap := float64(time.Second) * float64(len(m.Trips)) / m.Rate
			for n := 0; ; n++ {
				time.Sleep(time.Duration(random.ExpFloat64() * gap))
				if time.Since(db.start) >= m.Length {
					return
				}
				clients.Go(func() { submit(n) })
			}
		})
	}
	clients.Wait()
	stop()
	loops.Wait()
	r.Took, r.Commits, r.Entries = m.Length, db.commits, db.entries
	return r
}

// The simulated nodes do what real calendars do over a database that takes as long.
func TestSameAsTheCalendar(t *testing.T) {
	for name, change := range map[string]func(*Model){
		"one node":           func(m *Model) {},
		"seldom":             func(m *Model) { m.Rate = 20 },
		"a small bucket":     func(m *Model) { m.Refill, m.Burst = 50, 1 },
		"seldom, a bucket":   func(m *Model) { m.Refill, m.Burst, m.Rate = 50, 1, 60 },
		"a bucket":           func(m *Model) { m.Refill, m.Burst = 50, 30 },
		"four nodes":         func(m *Model) { m.Trips = near(4, time.Millisecond) },
		"four nodes, bucket": func(m *Model) { m.Trips = near(4, time.Millisecond); m.Refill, m.Burst = 50, 30 },
		"one of three far":   func(m *Model) { m.Trips = append(near(2, 0), 40*time.Millisecond) },
		"a tail":             func(m *Model) { m.Trips = near(2, time.Millisecond); m.Tail = 1 },
		"several entries": func(m *Model) {
			m.Trips, m.Rate, m.Flush, m.Tail, m.Length = near(1, 20*time.Millisecond), 9000, 400*time.Millisecond, 0, 600*time.Millisecond
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := Defaults()
			m.Trips, m.Rate, m.Refill, m.Burst, m.Digest, m.Warm, m.Length = near(1, time.Millisecond), 2000, 0, 0, 0, 0, 4*time.Second
			change(&m)
			m.Tokens = m.Burst // as in a calendar that begins
			want := m.Simulate()
			var got Result
			synctest.Test(t, func(t *testing.T) { got = m.real(t) })
			if got.Digests != want.Digests || got.Commits != want.Commits || got.Entries != want.Entries {
				t.Errorf("calendars made %d commits with %d entries of %d digests, the simulation %d, %d and %d",
					got.Commits, got.Entries, got.Digests, want.Commits, want.Entries, want.Digests)
			}
			within(t, "mean latency", got.Mean().Seconds(), want.Mean().Seconds(), 0.001)
			for _, q := range []float64{0, 0.5, 0.99, 1} {
				within(t, fmt.Sprintf("quantile %g of the latency", q), got.Quantile(q).Seconds(), want.Quantile(q).Seconds(), 0.001)
			}
		})
	}
}

// within fails the test unless got differs from want by at most this part of it.
func within(t *testing.T, what string, got, want, part float64) {
	t.Helper()
	if got < want*(1-part) || got > want*(1+part) {
		t.Errorf("%s: %g, want %g within %g %%", what, got, want, 100*part)
	}
}
