package notify_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin/ledger"
	"github.com/datestone/datestone/internal/egress"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/notify/webhook"
	"github.com/datestone/datestone/internal/seal"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/internal/testpg"
)

func onEach(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Run("sqlite", func(t *testing.T) { f(t, newRig(t, filepath.Join(t.TempDir(), "datestone.db"))) })
	t.Run("postgres", func(t *testing.T) { f(t, newRig(t, testpg.Shared(t).NewDatabase(t))) })
}

// rig is a loop over a real store, with a clock that the test moves and a sender that the test scripts.
type rig struct {
	t     *testing.T
	db    *store.DB
	owner account.Account

	mu    sync.Mutex
	now   time.Time
	sent  []string // endpoint's address and the notice's id
	reply func(e notify.Endpoint, n notify.Notice) notify.Outcome
}

func newRig(t *testing.T, where string) *rig {
	db, err := store.Open(t.Context(), where, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	r := &rig{t: t, db: db, now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}
	r.reply = func(notify.Endpoint, notify.Notice) notify.Outcome { return notify.Outcome{Status: 204} }
	if r.owner, err = db.CreateAccount(t.Context(), r.now, "a@example.org", "business"); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) Send(_ context.Context, e notify.Endpoint, n notify.Notice) notify.Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, e.Address+" "+n.UID.String())
	return r.reply(e, n)
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) advance(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func (r *rig) taken() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.sent = nil }()
	return r.sent
}

func (r *rig) endpoint(address string) notify.Endpoint {
	r.t.Helper()
	e := notify.Endpoint{UID: account.NewID(), Account: r.owner.ID, Channel: notify.Webhook, Address: address, Kinds: notify.Set(notify.Confirmed), Secret: []byte{1}}
	e, err := r.db.AddEndpoint(r.t.Context(), r.clock(), e, store.EndpointLimits{Wide: 1000, Stamp: 1000, All: 1000})
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

// due makes notices due to an endpoint.
func (r *rig) due(e notify.Endpoint, n int) (ids []string) {
	r.t.Helper()
	for range n {
		made, err := r.db.AddTest(r.t.Context(), r.clock(), e.Account, e.UID)
		if err != nil {
			r.t.Fatal(err)
		}
		ids = append(ids, e.Address+" "+made.UID.String())
	}
	return ids
}

// confirm makes stamps of the owner, and has them confirmed and walked.
func (r *rig) confirm(n int) {
	r.t.Helper()
	ctx := r.t.Context()
	items := make([]account.Item, n)
	for i := range items {
		items[i] = account.Item{SHA256: sha256.Sum256(fmt.Append(nil, i)), File: account.File{Name: "plan.pdf", Size: 1}}
	}
	base, block := ledger.Block{Height: 100, Hash: [32]byte{1}}, ledger.Observed{Block: ledger.Block{Height: 101, Hash: [32]byte{2}, Work: [32]byte{1}}, Prev: [32]byte{1}}
	_, err := r.db.PinTarget(ctx, r.now, "bitcoin", "genesis")
	if err == nil {
		err = r.db.StartChain(ctx, r.now, "bitcoin", base, nil)
	}
	if err == nil {
		_, err = r.db.AppendStamps(ctx, r.now, []account.Create{{Account: r.owner.ID, Items: items, Quota: 1 << 30}})
	}
	if err != nil {
		r.t.Fatal(err)
	}
	head, err := r.db.Head(ctx)
	if err == nil {
		_, err = r.db.SaveAttempt(ctx, r.now, anchor.Attempt{Target: "bitcoin", Purpose: anchor.PurposeLog, Head: head, Uses: []string{"coin"}, Raw: []byte{1}, Ref: "tx"})
	}
	if err == nil {
		block.Mined = []logtree.Attestation{{Target: "bitcoin", Kind: logtree.Bitcoin, Head: head, Proof: []byte{1}, Height: 101, BlockHash: block.Hash, Ref: "tx"}}
		_, err = r.db.ConnectBlock(ctx, r.now, "bitcoin", block, 1)
	}
	for more := true; more && err == nil; {
		more, err = r.db.Walk(ctx, r.now)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// pass delivers all that may be delivered now.
func (r *rig) pass() {
	r.t.Helper()
	l := notify.New(r.db, map[string]notify.Sender{notify.Webhook: r}, notify.Options{Now: r.clock, Log: slog.New(slog.DiscardHandler)})
	if err := l.Pass(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) deliveries(e notify.Endpoint, state notify.DeliveryState) []notify.Delivery {
	r.t.Helper()
	all, _, err := r.db.Deliveries(r.t.Context(), notify.Filter{Endpoint: &e.UID, State: &state}, 1<<20)
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

func (r *rig) stored(e notify.Endpoint) notify.Endpoint {
	r.t.Helper()
	e, err := r.db.Endpoint(r.t.Context(), e.UID)
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got): %s", what, d)
	}
}

// An endpoint gets its notices in order, whatever fails in between, each until it was taken once.
func TestOrder(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		a, b := r.endpoint("a"), r.endpoint("b")
		want, other := r.due(a, 50), r.due(b, 3)
		tries := map[string]int{}
		r.reply = func(e notify.Endpoint, n notify.Notice) notify.Outcome {
			tries[n.UID.String()]++
			if e.Address == "a" && (int(n.UID[0])+tries[n.UID.String()])%3 == 0 {
				return notify.Outcome{Status: 503, Err: errors.New("the server answered 503")}
			}
			return notify.Outcome{Status: 200}
		}
		var got []string
		for range 200 {
			r.pass()
			for _, line := range r.taken() {
				if len(got) == 0 || got[len(got)-1] != line { // the same one again after a failure
					got = append(got, line)
				}
			}
			r.advance(2 * time.Minute)
		}
		var first, second []string
		for _, line := range got {
			if strings.HasPrefix(line, "a ") {
				first = append(first, line)
			} else {
				second = append(second, line)
			}
		}
		equal(t, "in order", slices.Compact(first), want)
		equal(t, "of the other", second, other)
		if done := r.deliveries(a, notify.Done); len(done) != 50 {
			t.Errorf("%d were delivered", len(done))
		}
	})
}

// From a minute to a day, for two weeks; then parked, and sent again when somebody asks.
func TestBackOff(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		e := r.endpoint("down")
		ids := r.due(e, 2)
		began := r.clock()
		r.reply = func(notify.Endpoint, notify.Notice) notify.Outcome {
			return notify.Outcome{Err: errors.New("the connection was refused")}
		}
		var pauses []time.Duration
		for len(r.deliveries(e, notify.Parked)) < 2 {
			r.pass()
			sent := r.taken()
			if len(sent) != 1 || len(pauses) < 20 && sent[0] != ids[0] {
				t.Fatalf("a turn at an endpoint that fails sent %v", sent)
			}
			got := r.stored(e)
			if got.Next.IsZero() {
				break
			}
			pause := got.Next.Sub(r.clock())
			pauses = append(pauses, pause)
			if got.Failures != len(pauses) || !got.Failing.Equal(began) || !got.Slow {
				t.Fatalf("after %d failures: %+v", len(pauses), got)
			}
			r.advance(pause - time.Second)
			r.pass()
			if early := r.taken(); early != nil {
				t.Fatalf("sent a second too early: %v", early)
			}
			r.advance(time.Second)
			if len(pauses) > 100 {
				t.Fatal("it is never given up")
			}
		}
		for i, p := range pauses {
			want := min(time.Minute<<min(i, 20), 24*time.Hour)
			if p < want*9/10 || p > want*11/10 {
				t.Errorf("pause %d is %v, want about %v", i, p, want)
			}
		}
		if took := r.clock().Sub(began); took < 14*24*time.Hour || took > 16*24*time.Hour {
			t.Errorf("given up after %v", took)
		}
		parked := r.deliveries(e, notify.Parked)
		if len(parked) != 2 || parked[1].Tries != len(pauses)+1 || parked[1].Error != "the connection was refused" {
			t.Fatalf("parked: %+v", parked)
		}
		r.advance(48 * time.Hour)
		r.pass()
		if sent := r.taken(); sent != nil {
			t.Errorf("what is parked was sent: %v", sent)
		}
		// It takes new ones, and on request the parked ones.
		r.reply = func(notify.Endpoint, notify.Notice) notify.Outcome { return notify.Outcome{Status: 200} }
		later := r.due(e, 1)
		r.pass()
		equal(t, "new ones", r.taken(), later)
		n, err := r.db.RetryDeliveries(t.Context(), r.clock(), notify.Filter{Endpoint: &e.UID})
		if err != nil || n != 2 {
			t.Fatal(n, err)
		}
		r.pass()
		equal(t, "sent again", r.taken(), ids)
		if got := r.stored(e); got.Failures != 0 || !got.Failing.IsZero() || !got.Next.IsZero() {
			t.Errorf("after a success: %+v", got)
		}
		// Ninety days later the log is empty.
		if n, err := r.db.ForgetNotices(t.Context(), r.clock().Add(-time.Hour), 1000); err != nil || n != 0 {
			t.Errorf("%d rows were forgotten too early, %v", n, err)
		}
		for n := int64(1); n > 0; {
			if n, err = r.db.ForgetNotices(t.Context(), r.clock().Add(time.Hour), 2); err != nil {
				t.Fatal(err)
			}
		}
		if done := r.deliveries(e, notify.Done); len(done) != 0 {
			t.Errorf("%d deliveries are left", len(done))
		}
	})
}

func TestRetryAfterAndGone(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		e, ctx := r.endpoint("busy"), t.Context()
		counted := func(wantDue, wantParked int64) {
			t.Helper()
			due, parked, oldest, err := r.db.CountDeliveries(ctx)
			if err != nil || due != wantDue || parked != wantParked || oldest.IsZero() != (due == 0) {
				t.Errorf("counted %d due since %v and %d parked, %v; want %d and %d", due, oldest, parked, err, wantDue, wantParked)
			}
		}
		counted(0, 0)
		begun := r.clock()
		r.due(e, 3)
		counted(3, 0)
		if _, _, oldest, _ := r.db.CountDeliveries(ctx); oldest.Before(begun.Add(-time.Second)) || oldest.After(r.clock()) {
			t.Errorf("the oldest is due since %v, want %v", oldest, begun)
		}
		outcome := notify.Outcome{Status: 429, Err: errors.New("the server answered 429"), RetryAfter: time.Hour}
		r.reply = func(notify.Endpoint, notify.Notice) notify.Outcome { return outcome }
		for _, c := range []struct{ asked, want time.Duration }{{time.Hour, time.Hour}, {365 * 24 * time.Hour, 24 * time.Hour}} {
			outcome.RetryAfter = c.asked
			r.pass()
			if got := r.stored(e).Next.Sub(r.clock()); got != c.want {
				t.Errorf("asked to wait %v it is left alone for %v", c.asked, got)
			}
			r.advance(25 * time.Hour)
		}
		r.taken()
		outcome = notify.Outcome{Status: 410, Err: errors.New("the server answered 410"), Gone: true}
		r.pass()
		r.advance(25 * time.Hour)
		r.pass()
		if sent := r.taken(); len(sent) != 1 {
			t.Errorf("after 410: %v", sent)
		}
		if got := r.stored(e); got.State != notify.Gone {
			t.Errorf("%+v", got)
		}
		if _, err := r.db.AddTest(ctx, r.clock(), e.Account, e.UID); !errors.Is(err, notify.ErrGone) {
			t.Errorf("a test: %v", err)
		}
		if _, err := r.db.ForgetNotices(ctx, time.Unix(1, 0), 1000); err != nil {
			t.Fatal(err)
		}
		if parked := r.deliveries(e, notify.Parked); len(parked) != 3 {
			t.Errorf("%d are parked, want 3", len(parked))
		}
		counted(0, 3)
		if n, err := r.db.DropDeliveries(ctx, r.clock(), notify.Filter{Notice: &r.deliveries(e, notify.Parked)[0].Notice.UID}); err != nil || n != 1 {
			t.Error(n, err)
		}
		outcome = notify.Outcome{Status: 200}
		if n, err := r.db.RetryDeliveries(ctx, r.clock(), notify.Filter{Account: &e.Account}); err != nil || n != 2 {
			t.Error(n, err)
		}
		r.pass()
		if sent := r.taken(); len(sent) != 2 {
			t.Errorf("sent again: %v", sent)
		}
		if dropped := r.deliveries(e, notify.Dropped); len(dropped) != 1 {
			t.Errorf("%d were dropped", len(dropped))
		}
		counted(0, 0)
	})
}

// A fault of ours, or a database that does not keep what became of it, is no failure of the endpoint, which is
// not asked again at once.
func TestOurFault(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		e := r.endpoint("a")
		ids := r.due(e, 1)
		r.reply = func(notify.Endpoint, notify.Notice) notify.Outcome {
			return notify.Outcome{Err: fmt.Errorf("%w: the database is away", notify.ErrOurFault)}
		}
		l := notify.New(r.db, map[string]notify.Sender{notify.Webhook: r}, notify.Options{Now: r.clock, Log: slog.New(slog.DiscardHandler)})
		for range 3 {
			if err := l.Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, "sent", r.taken(), ids)
		if got := r.stored(e); got.Failures != 0 {
			t.Errorf("%+v", got)
		}
		r.advance(time.Minute)
		r.reply = func(notify.Endpoint, notify.Notice) notify.Outcome { return notify.Outcome{Status: 200} }
		if err := l.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, "sent later", r.taken(), ids)

		again := r.due(e, 1)
		broken := notify.New(brokenSaves{r.db}, map[string]notify.Sender{notify.Webhook: r}, notify.Options{Now: r.clock, Log: slog.New(slog.DiscardHandler)})
		for range 3 {
			if err := broken.Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, "sent while results are lost", r.taken(), again)
		r.pass()
		equal(t, "sent again, for nobody knows", r.taken(), again)
	})
}

type brokenSaves struct{ *store.DB }

func (brokenSaves) SaveResults(context.Context, []notify.Result) error {
	return errors.New("I/O error")
}

// Ten thousand notices are due to one server that never answers, and many to others like it. Those for servers
// that do answer are all delivered.
func TestSlowEndpoint(t *testing.T) {
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "datestone.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r := &rig{t: t, db: db, now: time.Now()}
	if r.owner, err = db.CreateAccount(t.Context(), r.now, "a@example.org", "business"); err != nil {
		t.Fatal(err)
	}
	var hung, answered sync.Map
	release := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		hung.Store(req.Header.Get(api.HeaderWebhookID), true)
		<-release
	}))
	defer hangs.Close()
	defer close(release)
	quick := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		answered.Store(req.Header.Get(api.HeaderWebhookID), true)
	}))
	defer quick.Close()
	client, err := egress.New(egress.Config{Allow: []string{strings.TrimPrefix(hangs.URL, "http://"), strings.TrimPrefix(quick.URL, "http://")}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := seal.New(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	register := func(url string) notify.Endpoint {
		e := notify.Endpoint{UID: account.NewID(), Account: r.owner.ID, Channel: notify.Webhook, Address: url, Kinds: notify.Set(notify.Confirmed)}
		e.Secret = webhook.SealSecret(key, e.UID, api.NewWebhookSecret())
		e, err := db.AddEndpoint(t.Context(), r.now, e, store.EndpointLimits{Wide: 1000, Stamp: 1000, All: 1000})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	slow := register(hangs.URL)
	r.confirm(10_000)
	for range 60 {
		r.due(register(hangs.URL), 1)
	}
	want := 0
	for range 20 {
		want += len(r.due(register(quick.URL), 10))
	}
	describe := func(context.Context, notify.Notice) (api.EventData, error) {
		return api.EventData{Target: "bitcoin"}, nil
	}
	sender := &webhook.Sender{Client: client, Secrets: key, Describe: describe, Now: time.Now}
	l := notify.New(db, map[string]notify.Sender{notify.Webhook: sender}, notify.Options{
		Workers: 8, Timeout: 300 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	count := func(m *sync.Map) (n int) {
		m.Range(func(any, any) bool { n++; return true })
		return n
	}
	for deadline := time.Now().Add(2 * time.Minute); count(&answered) < want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d notices were delivered, while %d hung", count(&answered), want, count(&hung))
		}
	}
	// Of the ten thousand only the first was tried.
	state := notify.Due
	due, _, err := db.Deliveries(t.Context(), notify.Filter{Endpoint: &slow.UID, State: &state}, 20_000)
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, d := range due {
		if d.Tries > 0 {
			tried++
		}
	}
	if len(due) != 10_000 || tried > 1 {
		t.Errorf("%d are due to the slow one, of which %d were tried", len(due), tried)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A loop whose lease another node has taken ends, and says why.
func TestLostLease(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		e := r.endpoint("a")
		r.due(e, 1)
		stale, err := r.db.TakeLease(t.Context(), "notices", "a", -time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.db.TakeLease(t.Context(), "notices", "b", time.Minute); err != nil {
			t.Fatal(err)
		}
		l := notify.New(r.db.Under(stale), map[string]notify.Sender{notify.Webhook: r}, notify.Options{
			Log: slog.New(slog.DiscardHandler), Lost: func(err error) bool { return errors.Is(err, store.ErrLeaseLost) },
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := l.Run(ctx); !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("ended with %v", err)
		}
		if due := r.deliveries(e, notify.Due); len(due) != 1 || due[0].Tries != 0 {
			t.Errorf("it has saved: %+v", due)
		}
	})
}

// gatherer sends as many as a test says together.
type gatherer struct {
	*rig
	most  int
	sizes []int // of what was given
}

func (g *gatherer) SendTogether(ctx context.Context, e notify.Endpoint, all []notify.Notice) (int, notify.Outcome) {
	g.sizes = append(g.sizes, len(all))
	return min(g.most, len(all)), g.Send(ctx, e, all[0])
}

// What is due to an endpoint that gathers goes together once it has waited; a failure is that of the first, and all
// are sent again.
func TestTogether(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		e, err := r.db.SetMail(t.Context(), r.now, notify.Endpoint{
			UID: account.NewID(), Account: r.owner.ID, Kinds: notify.Set(notify.Confirmed), Secret: make([]byte, notify.MailSecretBytes), Gather: 10 * time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		const all = 130 // more than one save
		r.confirm(all)
		g := &gatherer{rig: r, most: 125}
		pass := func(sizes ...int) {
			t.Helper()
			g.sizes = nil
			l := notify.New(r.db, map[string]notify.Sender{notify.Mail: g}, notify.Options{Now: r.clock, Log: slog.New(slog.DiscardHandler)})
			if err := l.Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
			equal(t, "sizes", g.sizes, sizes)
		}
		pass()
		r.advance(10*time.Minute - time.Second)
		pass()
		r.advance(time.Second)
		r.reply = func(notify.Endpoint, notify.Notice) notify.Outcome {
			return notify.Outcome{Err: errors.New("not now"), Status: 451}
		}
		pass(all)
		due := r.deliveries(e, notify.Due)
		tried := 0
		for _, d := range due {
			tried += d.Tries
		}
		if len(due) != all || tried != 1 || due[all-1].Status != 451 {
			t.Errorf("%d are due after %d tries", len(due), tried)
		}
		r.reply = func(notify.Endpoint, notify.Notice) notify.Outcome { return notify.Outcome{} }
		r.advance(2 * time.Minute)
		pass(all, all-125)
		if done := r.deliveries(e, notify.Done); len(done) != all {
			t.Errorf("%d were delivered", len(done))
		}
		if e, err = r.db.Mail(t.Context(), r.owner.ID); err != nil || !e.Next.IsZero() || e.Failures != 0 {
			t.Errorf("%+v, %v", e, err)
		}
	})
}
