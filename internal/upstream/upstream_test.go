package upstream

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/otshttp"
)

// pending is how a proof names a calendar's promise.
func pending(url string) string { return "PendingAttestation('" + url + "')" }

// A head is given to every calendar; what they promise is in the proofs of all entries below at once, and completes them
// with and without us. What a calendar answers counts at the required depth, and then the promises are not given out any
// more.
func TestFromPromiseToProof(t *testing.T) {
	a, b := newParent(t), newParent(t)
	r := newRig(t, a.url, b.url)
	first := r.add(1)
	last := r.add(4)
	deepen(r.chain, 5)
	if p := r.proof(first); p.Timestamp != nil {
		t.Fatalf("before: %+v", p)
	}
	r.steps(1, time.Second)
	for _, e := range []logtree.Entry{first, last} {
		found := r.found(e)
		if p := r.proof(e); !p.Promised || p.State != calendar.Pending || len(found) != 2 || found[pending(a.url)] == nil || found[pending(b.url)] == nil {
			t.Fatalf("after both have promised: %+v, %v", p, found)
		}
	}
	if s := r.status(); s.Code != anchor.OK || !strings.Contains(s.Message, "2 of 2 calendars accept heads") || s.Attested[0].Sent != 5 || s.Attested[0].Counted != 0 {
		t.Errorf("status: %+v", s)
	}

	// Nothing new, so nothing more is sent, however long it takes; and the calendars are asked now and then.
	before := a.count("POST")
	r.steps(60, 10*time.Minute)
	if n := a.count("POST"); n != before {
		t.Errorf("%d heads were sent again", n-before)
	}
	if n := a.count("GET"); n == 0 {
		t.Error("the calendar was not asked")
	}

	// Somebody with the promises completes the proof without us.
	height, id := a.mine(r.chain)
	whole, err := ots.ParseTimestamp(r.proof(first).Timestamp, len(first))
	if err != nil {
		t.Fatal(err)
	}
	allowed, err := otshttp.NewAllowlist(a.url, b.url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&otshttp.Upgrade{Client: &otshttp.Client{}, Allowed: allowed}).Timestamp(t.Context(), first[:], whole, nil); err != nil || !otshttp.Complete(whole) {
		t.Fatalf("completed by a client: %v", err)
	}

	// Two of three confirmations: known, and not counted.
	deepen(r.chain, 1)
	r.steps(40, 5*time.Minute)
	if p := r.proof(first); p.State != calendar.Pending || !p.Promised {
		t.Fatalf("at two confirmations: %+v", p)
	}
	deepen(r.chain, 1)
	r.steps(3, time.Minute)
	want := ots.BitcoinAttestation(uint64(height))
	for _, e := range []logtree.Entry{first, last} {
		found := r.found(e)
		if p := r.proof(e); p.State != calendar.Confirmed || p.Promised || len(found) != 1 {
			t.Fatalf("confirmed: %+v, %v", p, found)
		}
		if _, err := want.VerifyHeader(found[want.String()], r.chain.Header(uint64(height))); err != nil {
			t.Error(err)
		}
	}
	all, err := r.db.Attestations(t.Context(), first.Position())
	if err != nil || len(all) != 1 || all[0].Ref != id || all[0].Target != "upstream" || all[0].Kind != logtree.Bitcoin || all[0].State != logtree.Counted {
		t.Errorf("attestations: %+v, %v", all, err)
	}
	r.checked()

	// What is attested for good is forgotten, and the proof stays.
	deepen(r.chain, 101)
	r.steps(2, time.Minute)
	if left, err := r.db.AllSubmissions(t.Context(), 0, 10); err != nil || len(left) != 0 {
		t.Errorf("%d submissions are left, %v", len(left), err)
	}
	if p := r.proof(last); p.State != calendar.Confirmed || !p.Deep {
		t.Errorf("at last: %+v", p)
	}
	r.checked()
}

// Many heads wait at a calendar, and one transaction of it carries them: it is asked for a few of them.
func TestAsksForFew(t *testing.T) {
	a := newParent(t)
	r := newRig(t, a.url)
	r.config.Interval = Duration(time.Second)
	r.start()
	deepen(r.chain, 5)
	var entries []logtree.Entry
	for range 33 {
		entries = append(entries, r.add(1))
		r.steps(1, 2*time.Second)
	}
	if n := a.count("POST"); n != 33 {
		t.Fatalf("%d heads were sent, want 33", n)
	}
	a.mine(r.chain)
	for range 3 {
		entries = append(entries, r.add(1))
		r.steps(1, 2*time.Second)
	}
	deepen(r.chain, 2)
	before := a.count("GET")
	r.steps(60, 3*time.Minute)
	asked := a.count("GET") - before
	for i, e := range entries {
		want := calendar.Confirmed
		if i >= 33 {
			want = calendar.Pending
		}
		if p := r.proof(e); p.State != want {
			t.Errorf("entry %d is %v, want %v", i, p.State, want)
		}
	}
	// The oldest, then by halves, then the oldest of those that are left, further and further apart.
	if asked > 20 {
		t.Errorf("the calendar was asked %d times for 36 heads", asked)
	}
	all, err := r.db.AllAttestations(t.Context(), 0, 100)
	if err != nil || len(all) != 1 || all[0].Head.Size != 33 {
		t.Errorf("heads that one transaction carries share an attestation: %+v, %v", all, err)
	}
	r.checked()
}

// A reorganisation takes an attestation's block away: it is withdrawn, the promises are given out again, and the next
// block restores it.
func TestReorganisation(t *testing.T) {
	a := newParent(t)
	r := newRig(t, a.url)
	deepen(r.chain, 5)
	e := r.add(3)
	r.steps(1, time.Second)
	head := a.head()
	height, id := a.mine(r.chain)
	deepen(r.chain, 4)
	r.steps(60, 10*time.Minute)
	if p := r.proof(e); p.State != calendar.Confirmed {
		t.Fatalf("before: %+v", p)
	}
	// Sources that are behind contradict nothing.
	r.chain.Cut(uint64(height))
	r.steps(2, time.Minute)
	if p := r.proof(e); p.State != calendar.Confirmed {
		t.Fatalf("while the sources are behind: %+v", p)
	}
	deepen(r.chain, 8)
	r.steps(2, time.Second)
	if p := r.proof(e); p.State != calendar.Pending || !p.Promised {
		t.Fatalf("after: %+v", p)
	}
	r.checked()
	// The calendar still gives the old block for a while: it contradicts the new one.
	r.steps(60, 3*time.Minute)
	if c := r.calendar(a.url); c.Code != anchor.CalendarWrong {
		t.Errorf("the calendar's state is %+v", c)
	}
	path, merkle, again := carry(t, head.Root, uint32(height-1))
	if again != id {
		t.Fatalf("another transaction: %s and %s", again, id)
	}
	a.attest(r.chain, head, path, int64(r.chain.Mine(merkle)), id)
	deepen(r.chain, 2)
	r.steps(200, 3*time.Hour)
	if p := r.proof(e); p.State != calendar.Confirmed {
		t.Fatalf("restored: %+v", p)
	}
	if c := r.calendar(a.url); c.Code != anchor.CalendarOK {
		t.Errorf("the calendar's state is %+v", c)
	}
	if all, err := r.db.AllAttestations(t.Context(), 0, 10); err != nil || len(all) != 1 || all[0].Height == height {
		t.Errorf("attestations: %+v, %v", all, err)
	}
	r.checked()
}

// A calendar that is removed from the configuration is not asked and not named any more; one that comes gets the newest
// head; one that comes back is asked again for what it promised.
func TestCalendarsComeAndGo(t *testing.T) {
	a, b := newParent(t), newParent(t)
	r := newRig(t, a.url)
	deepen(r.chain, 5)
	e := r.add(3)
	r.steps(1, time.Second)
	a.mine(r.chain)
	deepen(r.chain, 5)

	r.config.Calendars = []string{b.url}
	r.start()
	before := a.count("")
	r.steps(30, 30*time.Minute)
	if found := r.found(e); len(found) != 1 || found[pending(b.url)] == nil {
		t.Errorf("with another calendar: %v", found)
	}
	if n := a.count(""); n != before {
		t.Errorf("the calendar that was removed got %d requests", n-before)
	}
	if b.count("POST") != 1 {
		t.Errorf("the new calendar got %d heads", b.count("POST"))
	}
	r.config.Calendars = []string{b.url, a.url}
	r.start()
	r.steps(60, 30*time.Minute)
	if p := r.proof(e); p.State != calendar.Confirmed {
		t.Errorf("with both: %+v", p)
	}
	if a.count("POST") != 1 {
		t.Errorf("the calendar that came back got %d heads", a.count("POST"))
	}
	r.checked()
}

// A new epoch is a tree of its own: the last head of the old one is given to calendars as well.
func TestEpochs(t *testing.T) {
	a := newParent(t)
	r := newRig(t, a.url)
	deepen(r.chain, 5)
	old := r.add(40)
	e := r.add(5)
	if old.Position().Epoch() == e.Position().Epoch() {
		t.Fatal("the epoch has not ended")
	}
	r.steps(4, time.Minute)
	a.mine(r.chain)
	deepen(r.chain, 2)
	r.steps(60, 10*time.Minute)
	for _, e := range []logtree.Entry{old, e} {
		if p := r.proof(e); p.State != calendar.Confirmed {
			t.Errorf("%v: %+v", e.Position(), p)
		}
	}
	r.checked()
}

// Requests to one calendar are apart, one at a time, and conditional where the calendar names versions.
func TestPolite(t *testing.T) {
	a := newParent(t)
	r := newRig(t, a.url)
	r.config.Network, r.config.Esplora = "mainnet", nil // whose pace is the real one; nobody is asked
	r.start()
	r.add(1)
	asked := map[string]int{}
	var last time.Time
	a.does(func(w http.ResponseWriter, req *http.Request) bool {
		if gone := r.now.Sub(last); gone < gap {
			t.Errorf("a request after %v", gone)
		}
		last = r.now
		if req.Method == http.MethodPost {
			return false
		}
		asked[req.Header.Get("If-None-Match")]++
		switch req.Header.Get("If-None-Match") {
		case "":
			// A parent that gives out the promises of its own calendars.
			w.Header().Set("ETag", `"one"`)
			pending, err := ots.PendingAttestation("https://else.calendar.opentimestamps.org")
			if err != nil {
				t.Error(err)
			}
			wire, err := ots.New(ots.Path{}.SHA256(), pending).AppendBinary(nil)
			if err != nil {
				t.Error(err)
			}
			w.Write(wire)
		default:
			w.WriteHeader(http.StatusNotModified)
		}
		return true
	})
	turns := func(n int, every time.Duration) {
		for range n {
			r.now = r.now.Add(every)
			if err := r.loop.look(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, w := range r.loop.all() {
				if _, err := w.turn(t.Context(), r.now); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	turns(1, time.Second)
	turns(5, 100*time.Second)
	if n := a.count("GET"); n != 0 {
		t.Errorf("it was asked %d times in the first nine minutes", n)
	}
	turns(24*60, time.Minute)
	if asked[""] != 1 || asked[`"one"`] < 20 || asked[`"one"`] > 30 {
		t.Errorf("in a day it was asked: %v", asked)
	}

	// It wants to be left alone, of which only the next day knows.
	a.does(func(w http.ResponseWriter, req *http.Request) bool {
		w.Header().Set("Retry-After", "7200")
		http.Error(w, "too many requests", http.StatusTooManyRequests)
		return true
	})
	r.add(1)
	before := a.count("")
	turns(110, time.Minute)
	if n := a.count("") - before; n > 2 { // a head and a question
		t.Errorf("told to wait two hours, it got %d requests", n)
	}
	if c := r.calendar(a.url); c.Code != anchor.CalendarRefuses || !strings.Contains(c.Message, "429") {
		t.Errorf("its state: %+v", c)
	}
}
