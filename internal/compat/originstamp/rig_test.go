package originstamp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/egress"
	"github.com/datestone/datestone/internal/mail"
	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/internal/store"
)

const (
	testURI    = "https://stamps.test"
	testPrefix = "test_live_"
)

// shown is a store in which seeds are as far as a test says: their blocks are the targets' matter.
type shown struct {
	*store.DB
	status map[string]seed.Status // by target
	fail   error                  // of look-ups, unless nil
}

func (s *shown) alter(states []seed.State) []seed.State {
	for i := range states {
		state := &states[i]
		if state.Status = s.status[state.Target]; state.Status == seed.Queued {
			continue
		}
		state.Root = [32]byte{1, 2, 3}
		if state.Status >= seed.Mined {
			state.Ref, state.Time = strings.Repeat("ab", 32), time.Unix(1777630000, 0)
		}
	}
	return states
}

func (s *shown) Submitted(ctx context.Context, hash [32]byte) (seed.Submitted, error) {
	if s.fail != nil {
		return seed.Submitted{}, s.fail
	}
	return s.DB.Submitted(ctx, hash)
}

func (s *shown) SeedStates(ctx context.Context, number int64) ([]seed.State, error) {
	states, err := s.DB.SeedStates(ctx, number)
	return s.alter(states), err
}

func (s *shown) SeedState(ctx context.Context, uid seed.UUID) (seed.State, error) {
	state, err := s.DB.SeedState(ctx, uid)
	if err != nil {
		return state, err
	}
	return s.alter([]seed.State{state})[0], nil
}

func (s *shown) SeedBranch(_ context.Context, _ seed.Seed, hash [32]byte) (seed.Branch, error) {
	return seed.Branch{Hash: hash, Root: seed.Parent(hash, hash), Steps: []seed.Step{{Sibling: hash}}}, nil
}

// rig is the surface over a real store, keeper and calendar.
type rig struct {
	t      *testing.T
	store  *shown
	config Config
	server *Server
	clock  atomic.Int64 // nanoseconds that the clock is ahead
	site   string       // the peer of requests
	lines  *bytes.Buffer

	a, b                         account.Account
	aKey, bKey, small, plain, no string // keys; no is a suspended account's
}

func newRig(t *testing.T) *rig {
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "datestone.db"), store.Options{EpochEntries: 1000})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	keeper := calendar.NewKeeper(db, calendar.Config{Log: log, Patience: 10 * time.Minute})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- keeper.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		db.Close()
	})
	r := &rig{t: t, store: &shown{DB: db, status: map[string]seed.Status{}}, site: "192.0.2.1:1000", lines: new(bytes.Buffer)}
	r.config = Config{
		URI: testURI, Currencies: []seed.Currency{newspaperSeeds, bitcoinSeeds}, KeyPrefix: testPrefix, LinkKey: bytes.Repeat([]byte{9}, 32),
		Plans: account.Plans{
			"fast":  {Quota: 1000, API: true, Requests: 1_000_000, Creates: 1_000_000},
			"small": {Quota: 2, API: true, Requests: 1_000_000, Creates: 1_000_000},
			"usual": {Quota: 1000, API: true, Requests: 120, Creates: 30},
			"free":  {Quota: 10},
		},
		CreatesPerAddress: 1_000_000, Store: r.store, Keeper: keeper, Proofs: calendar.New(db, calendar.Config{Log: log}),
		CheckMail: mail.CheckAddress, Log: slog.New(slog.NewTextHandler(r.lines, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now: func() time.Time { return time.Now().Add(time.Duration(r.clock.Load())) },
	}
	r.allow()
	r.a, r.aKey = r.account("a@example.org", "fast")
	r.b, r.bKey = r.account("b@example.org", "fast")
	_, r.small = r.account("small@example.org", "small")
	_, r.plain = r.account("free@example.org", "free")
	var suspended account.Account
	suspended, r.no = r.account("suspended@example.org", "fast")
	if err := db.SetSuspended(t.Context(), suspended.ID, true); err != nil {
		t.Fatal(err)
	}
	return r
}

// allow makes the surface anew, whose webhooks may be sent to these hosts inside.
func (r *rig) allow(hosts ...string) {
	r.t.Helper()
	var err error
	if r.config.Caller, err = egress.New(egress.Config{Allow: hosts}); err != nil {
		r.t.Fatal(err)
	}
	if r.server, err = New(r.config); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) account(email, plan string) (account.Account, string) {
	r.t.Helper()
	a, err := r.store.CreateAccount(r.t.Context(), time.Now(), email, plan)
	if err != nil {
		r.t.Fatal(err)
	}
	key := account.NewKey(testPrefix)
	if err := r.store.SetKey(r.t.Context(), time.Now(), a.ID, account.KeyHash(key), account.KeyHint(key)); err != nil {
		r.t.Fatal(err)
	}
	return a, key
}

type reply struct {
	status int
	header http.Header
	body   string
}

// do sends a request with a bare key, unless it is empty; more are the names and values of fields.
func (r *rig) do(method, path, key, body string, more ...string) reply {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.RemoteAddr = r.site
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Authorization", key)
	}
	for i := 0; i+1 < len(more); i += 2 {
		req.Header.Set(more[i], more[i+1])
	}
	w := httptest.NewRecorder()
	r.server.ServeHTTP(w, req)
	return reply{w.Code, w.Result().Header, w.Body.String()}
}

// good is do for what succeeds, and reads the data.
func (r *rig) good(into any, method, path, key, body string) reply {
	r.t.Helper()
	a := r.do(method, path, key, body)
	data, ok := strings.CutPrefix(a.body, `{"error_code":0,"error_message":null,"data":`)
	if !ok || a.status != 200 || a.header.Get("Content-Type") != "application/json" {
		r.t.Fatalf("%s %s with %.200s: %d %s", method, path, body, a.status, a.body)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(strings.TrimSuffix(data, "}")), into); err != nil {
			r.t.Fatalf("%s %s: %v in %s", method, path, err, a.body)
		}
	}
	return a
}

const uuidPattern = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

// errorText is an envelope with an error, to the byte.
var errorText = regexp.MustCompile(`^\{"error_code":([0-9]{4}),"error_message":"([^"\\]|\\.)+ \[` + uuidPattern + `\]","data":null\}$`)

// bad is do for what fails with a number.
func (r *rig) bad(code Code, method, path, key, body string, more ...string) reply {
	r.t.Helper()
	a := r.do(method, path, key, body, more...)
	m := errorText.FindStringSubmatch(a.body)
	if m == nil || m[1] != fmt.Sprint(int(code)) {
		r.t.Errorf("%s %s with %.200s: %d %s, want the number %d", method, path, body, a.status, a.body, code)
	}
	want := 200
	if code >= CodePayload && code < CodeInternal {
		want = code.status()
	}
	if a.status != want || a.header.Get("Content-Type") != "application/json" || a.header.Get("X-Request-Id") == "" {
		r.t.Errorf("%s %s with the number %d: status %d and %v, want %d", method, path, code, a.status, a.header, want)
	}
	return a
}

func hashOf(n int) string { return fmt.Sprintf("%064x", n+1) }

func (r *rig) create(key string, n int) (made TimestampResponse) {
	r.t.Helper()
	r.good(&made, "POST", "/v4/timestamp/create", key, fmt.Sprintf(`{"hash":"%s"}`, hashOf(n)))
	return made
}

func (r *rig) used(key string) int64 {
	r.t.Helper()
	var u usageOf
	r.good(&u, "GET", "/v3/api_key/usage", key, "")
	return u.ConsumedTimestamps
}
