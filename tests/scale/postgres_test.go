package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/internal/testpg"
)

// open opens a node's database until the test ends.
func open(t testing.TB, where string) *store.DB { return openWith(t, where, store.Options{}) }

func openWith(t testing.TB, where string, o store.Options) *store.DB {
	t.Helper()
	db, err := store.Open(context.Background(), where, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// fill appends n entries, so many at a time.
func fill(t testing.TB, db *store.DB, n, together int) {
	t.Helper()
	for i := 0; i < n; i += together {
		tips := make([][32]byte, min(together, n-i))
		for j := range tips {
			tips[j] = sha256.Sum256(fmt.Append(nil, i+j))
		}
		if _, err := db.Append(t.Context(), time.Now(), tips); err != nil {
			t.Fatal(err)
		}
	}
}

// An append asks PostgreSQL as often as the model says.
func TestRoundTrips(t *testing.T) {
	var n network
	db := open(t, n.through(t, testpg.Shared(t).NewDatabase(t), 0))
	fill(t, db, tileEntries, 1) // prepares the statements
	before := n.trips.Load()
	fill(t, db, 2*tileEntries, 1)
	m := Defaults()
	if got, want := n.trips.Load()-before, int64(2*(tileEntries*(m.Before+1+m.Locked)+m.Tile)); got != want {
		t.Errorf("%d appends made %d round trips, want %d", 2*tileEntries, got, want)
	}
	before = n.trips.Load()
	fill(t, db, 10, 10)
	if got, want := n.trips.Load()-before, int64(m.Before+1+m.Locked+9); got != want {
		t.Errorf("an append of ten entries made %d round trips, want %d", got, want)
	}
}

// BenchmarkNodes runs busy calendars over one PostgreSQL that is about 5 ms away, and says what the simulation
// has for the same.
func BenchmarkNodes(b *testing.B) {
	const trip = 5 * time.Millisecond
	server := testpg.Start(b, testpg.Options{})
	for _, nodes := range []int{1, 2, 4, 8} {
		b.Run(strconv.Itoa(nodes), func(b *testing.B) {
			for b.Loop() {
				where := server.NewDatabase(b)
				m := Defaults()
				m.Refill, m.Tail, m.Server, m.Rate = 0, 0, 0, 10_000
				m.Flush = alone(b, open(b, where))
				through := alone(b, open(b, new(network).through(b, where, trip)))
				m.Trips = near(nodes, (through-m.Flush)/time.Duration(m.Before+1+m.Locked))
				simulated := m.Simulate()
				commits, digests := measure(b, where, nodes, trip)
				b.ReportMetric(commits, "commits/s")
				b.ReportMetric(digests, "digests/s")
				b.ReportMetric(commits/simulated.PerSecond(simulated.Commits), "of-simulated-commits")
			}
		})
	}
}

// alone is how long an append takes when there is no other.
func alone(b *testing.B, db *store.DB) time.Duration {
	const appends = 2*tileEntries - 1
	fill(b, db, tileEntries, 1) // prepares the statements
	start := time.Now()
	fill(b, db, appends, 1)
	return time.Since(start) / appends
}

// measure is how many commits and digests a second so many calendars make, each with as many clients as keep
// it busy.
func measure(b *testing.B, where string, nodes int, trip time.Duration) (commitsPerSecond, digestsPerSecond float64) {
	const clients, warm, length = 200, time.Second, 4 * time.Second
	var mu sync.Mutex
	commits, digests := 0, 0
	begin := time.Now()
	var loops, submits sync.WaitGroup
	ctx, stop := context.WithCancel(b.Context())
	for range nodes {
		c := calendar.New(open(b, new(network).through(b, where, trip)), calendar.Config{Burst: 1 << 30, Observe: func(n int, _ time.Duration, err error) {
			if err != nil {
				b.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if at := time.Since(begin); at > warm && at < warm+length {
				commits++
				digests += n
			}
		}})
		loops.Go(func() { c.Run(ctx) })
		for range clients {
			submits.Go(func() {
				for time.Since(begin) < warm+length {
					if _, err := c.Submit(ctx, make([]byte, 32)); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
	}
	submits.Wait()
	stop()
	loops.Wait()
	return float64(commits) / length.Seconds(), float64(digests) / length.Seconds()
}

// BenchmarkAppend is what an append costs without a network: time in either database, and PostgreSQL's
// write-ahead log.
func BenchmarkAppend(b *testing.B) {
	const before = 10_000 // entries, so that the head has an edge
	b.Run("sqlite", func(b *testing.B) {
		db := open(b, filepath.Join(b.TempDir(), "datestone.db"))
		fill(b, db, before, before)
		for b.Loop() {
			fill(b, db, 1, 1)
		}
	})
	b.Run("postgres", func(b *testing.B) {
		where := testpg.Start(b, testpg.Options{}).NewDatabase(b)
		db := open(b, where)
		fill(b, db, before, before)
		position := func() int64 { return number(b, where, `SELECT pg_current_wal_lsn() - '0/0'::pg_lsn`) }
		began := position()
		for b.Loop() {
			fill(b, db, 1, 1)
		}
		b.ReportMetric(float64(position()-began)/float64(b.N), "wal-bytes/op")
	})
}

// BenchmarkDisk is how much disk an entry takes in PostgreSQL.
func BenchmarkDisk(b *testing.B) {
	for b.Loop() {
		const entries = 100_000
		where := testpg.Shared(b).NewDatabase(b)
		fill(b, open(b, where), entries, 10_000)
		bytes := number(b, where, `SELECT SUM(pg_total_relation_size(t)) FROM (VALUES ('entry'::regclass), ('tile'::regclass)) AS of (t)`)
		b.ReportMetric(float64(bytes)/entries, "bytes/entry")
	}
}

// BenchmarkEpochs is what the anchoring loop reads in each step when 10,000 epochs have ended.
func BenchmarkEpochs(b *testing.B) {
	db := openWith(b, testpg.Shared(b).NewDatabase(b), store.Options{EpochEntries: 2})
	fill(b, db, 10_000, 5000) // half of an epoch is the root of the one before
	for b.Loop() {
		if _, err := db.EndedEpochs(b.Context()); err != nil {
			b.Fatal(err)
		}
		if _, err := db.Coverage(b.Context(), "bitcoin", anchor.PurposeLog); err != nil {
			b.Fatal(err)
		}
	}
}

// number asks a database for one.
func number(t testing.TB, where, question string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(strings.TrimSpace(testpg.SQL(t, where, question)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
