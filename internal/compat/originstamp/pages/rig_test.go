package pages

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/compat/originstamp/proof"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/internal/store"
)

const testURI = "https://stamps.test"

var (
	testNow   = time.Date(2026, 5, 2, 8, 30, 15, 0, time.UTC)
	submitted = time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	blockTime = time.Date(2026, 5, 1, 12, 7, 36, 0, time.UTC)

	currencies = []seed.Currency{
		{ID: 0, Name: "BITCOIN", Target: "bitcoin", Period: 24 * time.Hour}, {ID: 1, Name: "ETHEREUM", Target: "ethereum", Period: time.Hour},
		{ID: 100, Name: "SÜDKURIER", Target: "publication", Period: 7 * 24 * time.Hour},
	}
)

// shelf is a real store whose seeds are as far as a test says.
type shelf struct {
	*store.DB
	states map[string]seed.Status
	err    error // of each search
}

// SeedStates are those of the store, with what the chains say.
func (s *shelf) SeedStates(ctx context.Context, number int64) ([]seed.State, error) {
	all, err := s.DB.SeedStates(ctx, number)
	for i := range all {
		state := &all[i]
		if state.Status = s.states[state.Target]; state.Status < seed.Mined {
			continue
		}
		state.Ref, state.Time, state.Attestation.Kind = strings.Repeat("cd", 32), blockTime, logtree.Bitcoin
		switch state.Target {
		case "ethereum":
			state.Ref, state.Attestation.Kind = "0x"+state.Ref, logtree.Ethereum
		case "publication":
			state.Ref, state.Attestation.Kind = "2026-05-01", ""
		}
	}
	return all, err
}

func (s *shelf) SearchComments(ctx context.Context, words string, before int64, limit int) ([]seed.Submitted, error) {
	if s.err != nil {
		return nil, s.err
	}
	return s.DB.SearchComments(ctx, words, before, limit)
}

// rig is the pages over a store.
type rig struct {
	*testing.T
	db     *shelf
	config Config
	server *Server
	now    time.Time
	site   string
	a, b   account.Account
}

func newRig(t *testing.T) *rig {
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "datestone.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	r := &rig{T: t, db: &shelf{DB: db, states: make(map[string]seed.Status)}, now: testNow, site: "192.0.2.1:1000"}
	r.config = Config{
		URI: testURI, Store: r.db, Currencies: currencies, Comments: true, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return r.now },
		OTS: func(_ context.Context, sub seed.Submitted) ([]byte, error) {
			return append([]byte("ots of "), sub.Hash[:]...), nil
		},
	}
	r.config.Documents = proof.NewMaker(r.db, testURI, r.config.OTS)
	r.change(func(*Config) {})
	for i, a := range []*account.Account{&r.a, &r.b} {
		if *a, err = db.CreateAccount(t.Context(), submitted, string(rune('a'+i))+"@private.example", "business"); err != nil {
			t.Fatal(err)
		}
	}
	r.network(false)
	return r
}

// change makes the pages anew with other settings.
func (r *rig) change(f func(*Config)) {
	r.Helper()
	f(&r.config)
	var err error
	if r.server, err = New(r.config); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) network(test bool) {
	r.Helper()
	s := anchor.Status{Target: "bitcoin", Network: "mainnet", TestNetwork: test, Code: anchor.OK, Updated: submitted}
	if err := r.db.SaveStatus(r.Context(), submitted, s); err != nil {
		r.Fatal(err)
	}
}

// submit submits the hash of a content.
func (r *rig) submit(a account.Account, content string, s seed.Submission) (hash string) {
	r.Helper()
	item := account.Item{SHA256: sha256.Sum256([]byte(content)), Submission: &s}
	rand.Read(item.Nonce[:])
	results, err := r.db.AppendStamps(r.Context(), submitted, []account.Create{{Account: a.ID, Items: []account.Item{item}, Quota: 1000, Currencies: currencies}})
	if err != nil || results[0].Err != nil {
		r.Fatal(err, results)
	}
	return hex.EncodeToString(item.SHA256[:])
}

// closeSeeds makes the trees of what was submitted, once every period is over.
func (r *rig) closeSeeds() {
	r.Helper()
	l := seed.New(r.db, seed.Options{Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return submitted.Add(30 * 24 * time.Hour) }})
	if err := l.Step(r.Context()); err != nil {
		r.Fatal(err)
	}
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (r *rig) do(method, path string) answer {
	req := httptest.NewRequest(method, path, nil)
	req.RemoteAddr = r.site
	w := httptest.NewRecorder()
	if !Serves(req.URL.Path) {
		r.Errorf("%s is not served", path)
	}
	r.server.ServeHTTP(w, req)
	return answer{w.Code, w.Result().Header, w.Body.String()}
}

func (r *rig) get(status int, path string) answer {
	r.Helper()
	a := r.do("GET", path)
	r.now = r.now.Add(4 * time.Second) // no test but that of the limits runs into them
	if a.status != status {
		_, text, _ := strings.Cut(a.body, "</style>")
		r.Fatalf("GET %s: %d %s", path, a.status, text)
	}
	return a
}

// says fails the test unless a page's words have all that is wanted, and nothing that begins with a minus sign.
func (r *rig) says(a answer, want ...string) {
	r.Helper()
	_, text, _ := strings.Cut(a.body, "</style>")
	text = strings.Join(strings.Fields(html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(text, " "))), " ")
	for _, w := range want {
		if unwanted, is := strings.CutPrefix(w, "-"); is && strings.Contains(text, unwanted) {
			r.Errorf("%q is in %s", unwanted, text)
		} else if !is && !strings.Contains(text, w) {
			r.Errorf("%q is not in %s", w, text)
		}
	}
}
