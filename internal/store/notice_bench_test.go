package store

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/notify"
)

// keepMany makes n stamps of an account.
func keepMany(t testing.TB, db *DB, owner account.Account, n int) []account.Stamp {
	t.Helper()
	var all []account.Stamp
	for first := 0; first < n; first += 10_000 {
		results, err := db.AppendStamps(t.Context(), epoch0, []account.Create{{Account: owner.ID, Items: items(first, min(first+10_000, n)), Quota: 1 << 30}})
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
		all = append(all, results[0].Stamps...)
	}
	return all
}

// Confirming a head over many stamps of which ten are awaited costs ten rows, in as many transactions as over ten.
func TestTenAwaited(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{})
		chain := newTestChain(t, db, "bitcoin")
		owner, err := db.CreateAccount(t.Context(), epoch0, "a@example.org", "business")
		if err != nil {
			t.Fatal(err)
		}
		stamps := keepMany(t, db, owner, 8000)
		for i := range 10 {
			listen(t, db, owner.ID, notify.Set(notify.Confirmed), stamps[800*i])
		}
		chain.confirm("tx1")
		steps := 0
		for more := true; more; steps++ {
			if more, err = db.Walk(t.Context(), epoch0); err != nil {
				t.Fatal(err)
			}
		}
		if steps > 4 { // one for each kind, one for signed digests, and one that finds nothing
			t.Errorf("the walk took %d transactions", steps)
		}
		for _, table := range []string{"notice", "delivery"} {
			var rows int
			if err := db.queryRow(t.Context(), `SELECT COUNT(*) FROM `+table, nil, &rows); err != nil || rows != 10 {
				t.Errorf("%d rows in %s, want 10; %v", rows, table, err)
			}
		}
	})
}

// instant takes every notice at once.
type instant func()

func (i instant) Send(context.Context, notify.Endpoint, notify.Notice) notify.Outcome {
	i()
	return notify.Outcome{Status: 200}
}

// BenchmarkIngestBesideWalk appends to a log alone, and while notices are written and delivered: of ten stamps among 200,000, and of
// all of 20,000. It shows the ratio of the rates.
func BenchmarkIngestBesideWalk(b *testing.B) {
	for _, c := range []struct {
		name    string
		stamps  int
		awaited int
	}{{"ten-of-200000", 200_000, 10}, {"all-of-20000", 20_000, 20_000}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				db, err := Open(b.Context(), filepath.Join(b.TempDir(), fmt.Sprintf("%d.db", time.Now().UnixNano())), Options{})
				if err != nil {
					b.Fatal(err)
				}
				chain := newTestChain(b, db, "bitcoin")
				owner, err := db.CreateAccount(b.Context(), epoch0, "a@example.org", "business")
				if err != nil {
					b.Fatal(err)
				}
				stamps := keepMany(b, db, owner, c.stamps)
				if c.awaited < c.stamps {
					for i := range c.awaited {
						listen(b, db, owner.ID, notify.Set(notify.Confirmed), stamps[i*(c.stamps/c.awaited)])
					}
				} else {
					listen(b, db, owner.ID, notify.Set(notify.Confirmed))
				}
				appended := 0
				appendUntil := func(done func() bool) float64 {
					began, n := time.Now(), 0
					for !done() {
						if _, err := db.Append(b.Context(), epoch0, [][32]byte{tip(appended)}); err != nil {
							b.Fatal(err)
						}
						appended++
						n++
					}
					return float64(n) / time.Since(began).Seconds()
				}
				enough := func() func() bool {
					until := time.Now().Add(2 * time.Second)
					return func() bool { return time.Now().After(until) }
				}
				before := appendUntil(enough())
				chain.confirm("tx1")
				b.StartTimer()
				walked := make(chan struct{})
				began := time.Now()
				var took time.Duration
				due := int64(c.awaited)
				sender := instant(func() {
					if atomic.AddInt64(&due, -1) == 0 {
						took = time.Since(began)
						close(walked)
					}
				})
				loop := notify.New(db, map[string]notify.Sender{notify.Webhook: sender}, notify.Options{})
				ctx, stop := context.WithCancel(b.Context())
				ended := make(chan error, 1)
				go func() { ended <- loop.Run(ctx) }()
				least := enough()
				beside := appendUntil(func() bool {
					select {
					case <-walked:
						return least()
					default:
						return false
					}
				})
				b.StopTimer()
				stop()
				if err := <-ended; err != nil {
					b.Fatal(err)
				}
				after := appendUntil(enough())
				b.ReportMetric(2*beside/(before+after), "rate-beside/alone")
				b.ReportMetric(took.Seconds(), "s/all-delivered")
				db.Close()
				b.StartTimer()
			}
		})
	}
}
