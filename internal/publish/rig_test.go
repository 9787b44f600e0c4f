package publish_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/publish"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/internal/testpg"
)

// monday is a Monday before the notice of its week is due, at 09:00 in Berlin.
var monday = time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)

// onEach runs a test with a real store of each kind.
func onEach(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Run("sqlite", func(t *testing.T) { f(t, newRig(t, filepath.Join(t.TempDir(), "datestone.db"))) })
	t.Run("postgres", func(t *testing.T) { f(t, newRig(t, testpg.Shared(t).NewDatabase(t))) })
}

// rig is a loop over a real store whose clock the test sets.
type rig struct {
	*testing.T
	*store.DB
	where   string
	now     time.Time
	senders map[publish.Channel]publish.Sender
	account account.Account
	stamps  int

	crash func(verb string) error // of the store, before a verb
	lose  func(verb string) error // after it has happened
}

func newRig(t *testing.T, where string) *rig {
	r := &rig{T: t, where: where, now: monday, senders: map[publish.Channel]publish.Sender{}}
	r.open()
	var err error
	if r.account, err = r.CreateAccount(t.Context(), monday, "a@example.org", "business"); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) open() {
	r.Helper()
	db, err := store.Open(r.Context(), r.where, store.Options{EpochEntries: 4})
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { db.Close() })
	r.DB = db
}

// Clock is the test's.
func (r *rig) Clock(context.Context) (time.Time, error) { return r.now, nil }

func (r *rig) around(verb string, do func() error) error {
	if r.crash != nil {
		if err := r.crash(verb); err != nil {
			return err
		}
	}
	err := do()
	if err == nil && r.lose != nil {
		err = r.lose(verb)
	}
	return err
}

func (r *rig) DecidePublication(ctx context.Context, target, period string, p *publish.Publication) (made bool, err error) {
	err = r.around("decide", func() error { made, err = r.DB.DecidePublication(ctx, target, period, p); return err })
	return made, err
}

func (r *rig) PublishSeed(ctx context.Context, p *publish.Publication) (made bool, err error) {
	err = r.around("seed", func() error { made, err = r.DB.PublishSeed(ctx, p); return err })
	return made, err
}

func (r *rig) SaveDelivery(ctx context.Context, id int64, tries int, d publish.Delivery) (saved bool, err error) {
	verb := "begin"
	if tries == d.Tries {
		verb = "end"
	}
	err = r.around(verb, func() error { saved, err = r.DB.SaveDelivery(ctx, id, tries, d); return err })
	return saved, err
}

func (r *rig) SaveStatus(ctx context.Context, now time.Time, s anchor.Status) error {
	return r.around("status", func() error { return r.DB.SaveStatus(ctx, now, s) })
}

const target = "publication"

// loop is a new one, as after a restart.
func (r *rig) loop() *publish.Loop {
	r.Helper()
	period, err := publish.ParsePeriod("weekly monday 09:00", "Europe/Berlin")
	if err != nil {
		r.Fatal(err)
	}
	return publish.New(r, publish.Options{
		Name: target, Every: "weekly monday 09:00", Period: period, Paper: "Südkurier", Title: "Datestone im Südkurier", Service: "https://stamps.test", Explains: "https://stamps.test/publications",
		Language: publish.German, Senders: r.senders, Log: slog.New(slog.DiscardHandler),
	})
}

func (r *rig) step() {
	r.Helper()
	if err := r.loop().Step(r.Context()); err != nil {
		r.Fatal(err)
	}
}

// stamp keeps a stamp, which is an entry of the log.
func (r *rig) stamp() account.Stamp {
	r.Helper()
	item := account.Item{SHA256: sha256.Sum256([]byte{byte(r.stamps)}), File: account.File{Name: "a.pdf", Size: 1}}
	rand.Read(item.Nonce[:])
	r.stamps++
	results, err := r.AppendStamps(r.Context(), monday.Add(time.Duration(r.stamps)*time.Second), []account.Create{{Account: r.account.ID, Items: []account.Item{item}, Whole: true, Quota: 1000}})
	if err != nil || results[0].Err != nil {
		r.Fatal(err, results)
	}
	return results[0].Stamps[0]
}

func (r *rig) all() []publish.Publication {
	r.Helper()
	all, err := r.Publications(r.Context(), target, 100)
	if err != nil {
		r.Fatal(err)
	}
	return all
}

func (r *rig) status() anchor.Status {
	r.Helper()
	all, err := r.Targets(r.Context())
	if err != nil || len(all) != 1 {
		r.Fatal(all, err)
	}
	return all[0]
}

// begin has the target decide the period before the first notice.
func (r *rig) begin() {
	r.Helper()
	r.step()
	if n := len(r.all()); n != 0 {
		r.Fatalf("%d notices were made before the first period", n)
	}
	r.now = monday.Add(2*time.Hour + time.Second) // 09:00:01 in Berlin
}

// sent is a sender that keeps what it was given.
type sent struct {
	all []publish.Publication
	err error
}

func (s *sent) Send(_ context.Context, p publish.Publication) error {
	s.all = append(s.all, p)
	return s.err
}

var errCrash = errors.New("a crash")

// lockedSender is for more than one goroutine.
type lockedSender struct {
	mu sync.Mutex
	to publish.Sender
}

func (s *lockedSender) Send(ctx context.Context, p publish.Publication) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to.Send(ctx, p)
}
