package upstream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers/headerstest"
)

// wire writes a bare timestamp.
func wireOf(t *testing.T, p ots.Path, a ots.Attestation) []byte {
	t.Helper()
	b, err := ots.New(p, a).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pendingAt(t *testing.T, uri string) ots.Attestation {
	t.Helper()
	a, err := ots.PendingAttestation(uri)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A calendar that answers a head badly is in a state of its own that says what to do; another one goes on as if it were
// not there.
func TestBadPromises(t *testing.T) {
	answers := func(b []byte) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { w.Write(b) }
	}
	deep := ots.Path{}
	for range 240 {
		deep = deep.SHA256()
	}
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		code   anchor.CalendarCode
		says   string
	}{
		"garbage":       {answers([]byte("<html>hello</html>")), anchor.CalendarGarbage, "cannot be used"},
		"nothing":       {answers(nil), anchor.CalendarGarbage, "cannot be used"},
		"cut short":     {answers(wireOf(t, ots.Path{}.SHA256(), pendingAt(t, "https://a.calendar.opentimestamps.org"))[:20]), anchor.CalendarGarbage, "cannot be used"},
		"ten megabytes": {answers(bytes.Repeat([]byte{8}, 10<<20)), anchor.CalendarGarbage, "longer than 10000 bytes"},
		"no promise":    {answers(wireOf(t, ots.Path{}.SHA256(), ots.BitcoinAttestation(5))), anchor.CalendarGarbage, "no pending attestation"},
		"too deep":      {answers(wireOf(t, deep, pendingAt(t, "https://a.calendar.opentimestamps.org"))), anchor.CalendarGarbage, "longer than clients read"},
		"too long":      {answers(wireOf(t, ots.Path{}.Append(make([]byte, 4000)).SHA256(), pendingAt(t, "https://a.calendar.opentimestamps.org"))), anchor.CalendarGarbage, "longer than clients read"},
		"names another": {answers(wireOf(t, ots.Path{}.SHA256(), pendingAt(t, "http://169.254.169.254"))), anchor.CalendarForeign, "add it to allowed"},
		"names us":      {answers(wireOf(t, ots.Path{}.SHA256(), pendingAt(t, "https://ours.calendar.opentimestamps.org"))), anchor.CalendarForeign, "add it to allowed"},
		"refuses":       {func(w http.ResponseWriter, r *http.Request) { http.Error(w, "go away", http.StatusForbidden) }, anchor.CalendarRefuses, "status 403 (go away)"},
		"goes elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://localhost:1/digest", http.StatusTemporaryRedirect)
		}, anchor.CalendarDown, "redirects to another host"},
		"hangs up": {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, anchor.CalendarDown, "cannot be reached"},
		"hangs": {func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}, anchor.CalendarSlow, "did not answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			good := newParent(t)
			bad := httptest.NewServer(http.HandlerFunc(c.answer))
			t.Cleanup(bad.Close)
			r := newRig(t, good.url, bad.URL)
			r.config.MinCalendars, r.config.Timeout = 1, Duration(time.Second)
			r.own = []string{"https://ours.calendar.opentimestamps.org"}
			r.start()
			e := r.add(1)
			r.steps(1, time.Second)
			if found := r.found(e); len(found) != 1 || found[pending(good.url)] == nil {
				t.Errorf("what is given out: %v", found)
			}
			if state := r.calendar(bad.URL); state.Code != c.code || !strings.Contains(state.Message, c.says) {
				t.Errorf("its state is %s: %s; want %s: %s", state.Code, state.Message, c.code, c.says)
			}
			if s := r.status(); s.Code != anchor.OK || !strings.Contains(s.Message, bad.URL) {
				t.Errorf("one of two is enough: %+v", s)
			}
			r.config.MinCalendars = 2
			r.start()
			r.steps(1, time.Second)
			if s := r.status(); s.Code != anchor.CalendarsFew || !strings.Contains(s.Message, "1 of 2 calendars accept heads, and 2 should") || !strings.Contains(s.Message, c.says) {
				t.Errorf("two of two are not there: %+v", s)
			}
			r.checked()
		})
	}
}

// A calendar that answers a question badly attests nothing, and the other one does.
func TestBadAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(chain *headerstest.Chain) []byte
		code   anchor.CalendarCode
		says   string
	}{
		"a proof of something else": {func(chain *headerstest.Chain) []byte {
			return wireOf(t, ots.Path{}.Append([]byte("else")).SHA256(), ots.BitcoinAttestation(2))
		}, anchor.CalendarWrong, "contradicts block 2"},
		"a message that is no root": {func(chain *headerstest.Chain) []byte {
			return wireOf(t, ots.Path{}.Append([]byte("long")), ots.BitcoinAttestation(2))
		}, anchor.CalendarWrong, "contradicts block 2"},
		"a block that is not there": {func(chain *headerstest.Chain) []byte {
			return wireOf(t, ots.Path{}.SHA256(), ots.BitcoinAttestation(1_000_000))
		}, anchor.CalendarOK, ""},
		"a height beyond all": {func(chain *headerstest.Chain) []byte {
			return wireOf(t, ots.Path{}.SHA256(), ots.BitcoinAttestation(1<<62))
		}, anchor.CalendarGarbage, "has no height of a block"},
		"garbage": {func(*headerstest.Chain) []byte { return []byte("hello") }, anchor.CalendarGarbage, "cannot be used"},
		"too long": {func(*headerstest.Chain) []byte {
			p := ots.Path{}
			for range 3 {
				p = p.Append(make([]byte, 3000)).SHA256()
			}
			return wireOf(t, p, ots.BitcoinAttestation(2))
		}, anchor.CalendarGarbage, "longer than clients read"},
		"it has forgotten": {func(*headerstest.Chain) []byte { return nil }, anchor.CalendarForgot, "does not know any more"},
	} {
		t.Run(name, func(t *testing.T) {
			good, bad := newParent(t), newParent(t)
			r := newRig(t, good.url, bad.url)
			deepen(r.chain, 5)
			bad.does(func(w http.ResponseWriter, req *http.Request) bool {
				if req.Method == http.MethodPost {
					return false
				}
				if b := c.answer(r.chain); b != nil {
					w.Write(b)
				} else {
					http.Error(w, "Not found", http.StatusNotFound)
				}
				return true
			})
			e := r.add(1)
			r.steps(40, 2*time.Minute)
			if state := r.calendar(bad.url); state.Code != c.code || !strings.Contains(state.Message, c.says) {
				t.Errorf("its state is %s: %s; want %s: %s", state.Code, state.Message, c.code, c.says)
			}
			if p := r.proof(e); p.State != calendar.Pending {
				t.Fatalf("the answer counts: %+v", p)
			}
			if n := bad.count("GET"); n > 60 {
				t.Errorf("it was asked %d times", n)
			}
			good.mine(r.chain)
			deepen(r.chain, 2)
			r.steps(40, 5*time.Minute)
			if p := r.proof(e); p.State != calendar.Confirmed {
				t.Errorf("the good calendar's answer does not count: %+v; %s", p, r.status().Message)
			}
			r.checked()
		})
	}
}

// Nothing counts that the sources of block headers do not agree on.
func TestSourcesOfHeaders(t *testing.T) {
	a := newParent(t)
	r := newRig(t, a.url)
	other := headerstest.New()
	esplora := func(h http.Handler) string {
		srv := httptest.NewServer(h)
		t.Cleanup(srv.Close)
		return srv.URL
	}
	lying := esplora(other.Esplora())
	down := esplora(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadGateway) }))
	elsewhere := esplora(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/block-height/0" {
			io.WriteString(w, "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f")
			return
		}
		r.chain.Esplora().ServeHTTP(w, req)
	}))
	deepen(r.chain, 5)
	for range 12 {
		other.Mine([32]byte{1})
	}
	good := []string{r.explorer[0].URL, r.explorer[1].URL}
	e := r.add(1)
	r.steps(1, time.Second)
	a.mine(r.chain)
	deepen(r.chain, 5)
	for _, c := range []struct {
		sources []string
		agree   int
		code    anchor.Code
		says    string
	}{
		{[]string{good[0], down}, 2, anchor.HeadersDown, "Too few sources of block headers answer"},
		{[]string{good[0], lying}, 2, anchor.HeadersDisagree, "name different blocks"},
		{[]string{elsewhere}, 1, anchor.WrongNetwork, "is on mainnet, not regtest"},
	} {
		r.config.Esplora, r.config.Agree = c.sources, c.agree
		r.start()
		r.steps(60, 30*time.Minute)
		if s := r.status(); s.Code != c.code || !strings.Contains(s.Message, c.says) {
			t.Errorf("%s: %s; want %s: %s", s.Code, s.Message, c.code, c.says)
		}
		if p := r.proof(e); p.State != calendar.Pending || !p.Promised {
			t.Fatalf("%s: it counts: %+v", c.code, p)
		}
	}
	// One of three may lie or be away.
	r.config.Esplora, r.config.Agree = []string{lying, good[0], good[1]}, 2
	r.start()
	r.steps(10, time.Minute)
	if p := r.proof(e); p.State != calendar.Confirmed {
		t.Errorf("with two of three: %+v; %s", p, r.status().Message)
	}
	// The database is the network's for good.
	r.config.Network, r.config.Esplora, r.config.Agree = "mainnet", nil, 0
	r.start()
	if err := r.loop.look(t.Context()); anchor.CodeOf(err) != anchor.WrongNetwork {
		t.Errorf("on another network: %v", err)
	}
	if s := r.status(); s.Code != anchor.WrongNetwork || !strings.Contains(s.Message, "another network than mainnet") {
		t.Errorf("on another network: %+v", s)
	}
}

// A node's headers decide as well, with its password.
func TestNodeOfOurs(t *testing.T) {
	a := newParent(t)
	r := newRig(t, a.url)
	srv := httptest.NewServer(r.chain.Node(headerstest.Core, "user", "pass:word@"))
	t.Cleanup(srv.Close)
	r.config.Esplora, r.config.RPCURL, r.config.RPCUser, r.config.RPCPassword = nil, srv.URL, "user", "wrong"
	r.start()
	deepen(r.chain, 5)
	e := r.add(1)
	r.steps(1, time.Second)
	a.mine(r.chain)
	deepen(r.chain, 2)
	r.steps(10, time.Minute)
	if s := r.status(); s.Code != anchor.HeadersDown || strings.Contains(s.Message+s.LastError, "wrong") {
		t.Errorf("with a wrong password: %+v", s)
	}
	r.config.RPCPassword = "pass:word@"
	r.start()
	r.steps(20, 2*time.Minute)
	if p := r.proof(e); p.State != calendar.Confirmed {
		t.Errorf("%+v; %s", p, r.status().Message)
	}
}

// While a calendar hangs, and another sends its answer a byte at a time, the others are given heads and asked, and
// requests to one calendar never overlap.
func TestOneNeverDelaysAnother(t *testing.T) {
	good := newParent(t)
	var hanging []string
	for _, slow := range []func(http.ResponseWriter, *http.Request){
		func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		},
		func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			for r.Context().Err() == nil {
				w.Write([]byte{8})
				w.(http.Flusher).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		},
	} {
		srv := httptest.NewServer(http.HandlerFunc(slow))
		t.Cleanup(srv.Close)
		t.Cleanup(srv.CloseClientConnections)
		hanging = append(hanging, srv.URL)
	}
	r := newRig(t, append(hanging, good.url)...)
	r.config.Timeout, r.config.Interval, r.config.MinCalendars = Duration(10*time.Minute), Duration(time.Second), 1
	r.loop = nil
	l, err := New("upstream", r.config, r.db, Options{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	deepen(r.chain, 5)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	wait := func(what string, f func() bool) {
		t.Helper()
		for deadline := time.Now().Add(60 * time.Second); !f(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not in time; %s", what, r.status().Message)
			}
		}
	}
	e := r.add(1)
	wait("the first head", func() bool { return r.proof(e).Promised })
	later := r.add(1)
	wait("the second head", func() bool { return good.count("POST") == 2 && r.proof(later).Promised })
	good.mine(r.chain)
	deepen(r.chain, 3)
	wait("the proof", func() bool { return r.proof(e).State == calendar.Confirmed })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	good.mu.Lock()
	if good.at > 1 {
		t.Errorf("%d requests to one calendar at a time", good.at)
	}
	good.mu.Unlock()
	r.checked()
}

// An empty log asks nobody; and a loop whose lease is lost ends with that.
func TestNothingToDoAndLost(t *testing.T) {
	a := newParent(t)
	r := newRig(t, a.url)
	r.steps(5, time.Hour)
	if n := a.count(""); n != 0 {
		t.Errorf("%d requests about an empty log", n)
	}
	lease, err := r.db.TakeLease(t.Context(), "target/upstream", "one", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	l, err := New("upstream", r.config, r.db.Under(lease), Options{Log: quiet, Lost: func(err error) bool { return errors.Is(err, store.ErrLeaseLost) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.db.ReleaseLease(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if _, err := r.db.TakeLease(t.Context(), "target/upstream", "two", time.Minute); err != nil {
		t.Fatal(err)
	}
	r.add(1)
	if err := l.Run(t.Context()); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("without its lease it ends with %v", err)
	}
}
