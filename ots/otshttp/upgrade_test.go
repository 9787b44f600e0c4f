package otshttp_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/otshttp"
)

// calendar answers GET /timestamp/ from a table and counts what it is asked.
type calendar struct {
	mu    sync.Mutex // guards both
	know  map[string][]byte
	asked map[string]int
	URL   string
}

func newCalendar(t *testing.T) *calendar {
	c := &calendar{know: map[string][]byte{}, asked: map[string]int{}}
	c.URL = serve(t, func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		name := strings.TrimPrefix(r.URL.Path, "/timestamp/")
		c.asked[name]++
		if b, ok := c.know[name]; ok {
			w.Write(b)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, "Pending confirmation in Bitcoin blockchain")
	})
	return c
}

func pending(t *testing.T, uri string) ots.Attestation {
	t.Helper()
	a, err := ots.PendingAttestation(uri)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func apply(t *testing.T, p ots.Path, msg []byte) []byte {
	t.Helper()
	out, err := p.Apply(msg)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestUpgrade(t *testing.T) {
	a, b := newCalendar(t), newCalendar(t)
	digest := bytes.Repeat([]byte{7}, 32)
	pathA, pathB := ots.Path{}.Append([]byte("a")).SHA256(), ots.Path{}.Append([]byte("b")).SHA256()
	file := func() *ots.File {
		ts := ots.New(pathA, pending(t, a.URL))
		ts.Merge(ots.New(pathB, pending(t, b.URL)))
		return &ots.File{HashOp: ots.OpSHA256, Digest: digest, Timestamp: ts}
	}
	allow := func(urls ...string) *otshttp.Allowlist {
		l, err := otshttp.NewAllowlist(urls...)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	up := &otshttp.Upgrade{Allowed: allow(a.URL, b.URL)}

	f := file()
	before := wire(t, f.Timestamp)
	answers, err := up.File(t.Context(), f)
	if err != nil || len(answers) != 2 || otshttp.Complete(f.Timestamp) {
		t.Fatalf("nothing known yet: %v, %v", answers, err)
	}
	for _, ans := range answers {
		if !errors.Is(ans.Err, otshttp.ErrNotFound) || ans.Changed {
			t.Errorf("%+v", ans)
		}
	}
	if !bytes.Equal(before, wire(t, f.Timestamp)) {
		t.Error("the proof changed though nothing came")
	}

	// One calendar's proof goes to where its promise stands, and the other's promise stays.
	rest := ots.Path{}.SHA256().SHA256()
	a.know[hex.EncodeToString(apply(t, pathA, digest))] = wire(t, ots.New(rest, ots.BitcoinAttestation(100)))
	answers, err = up.File(t.Context(), f)
	if err != nil || !otshttp.Complete(f.Timestamp) || !answers[0].Changed && !answers[1].Changed {
		t.Fatalf("%v, %v", answers, err)
	}
	want := file().Timestamp
	want.Merge(ots.New(pathA.Concat(rest), ots.BitcoinAttestation(100)))
	if got := wire(t, f.Timestamp); !bytes.Equal(got, wire(t, want)) {
		t.Errorf("got %x, want %x", got, wire(t, want))
	}
	// A complete proof asks nobody.
	if answers, err := up.File(t.Context(), f); err != nil || len(answers) != 0 {
		t.Errorf("complete already: %v, %v", answers, err)
	}

	f = file()
	only := &otshttp.Upgrade{Allowed: allow(b.URL)}
	n := len(a.asked)
	answers, err = only.File(t.Context(), f)
	if err != nil || len(answers) != 2 || otshttp.Complete(f.Timestamp) || len(a.asked) != n {
		t.Fatalf("a calendar that is not allowed was asked: %v, %v", answers, err)
	}
	refused := 0
	for _, ans := range answers {
		if errors.Is(ans.Err, otshttp.ErrNotAllowed) && ans.URI == a.URL {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%+v", answers)
	}
	// Named calendars are asked for every promise, whoever made it.
	named := &otshttp.Upgrade{Calendars: []string{a.URL}}
	answers, err = named.File(t.Context(), f)
	if err != nil || len(answers) != 2 || !otshttp.Complete(f.Timestamp) {
		t.Errorf("named: %v, %v", answers, err)
	}
}

// A calendar that is itself stamped by another answers with a promise; it is followed.
func TestUpgradeFollowsPromises(t *testing.T) {
	near, far := newCalendar(t), newCalendar(t)
	digest := bytes.Repeat([]byte{1}, 32)
	p1, p2 := ots.Path{}.SHA256(), ots.Path{}.Prepend([]byte{1}).SHA256()
	near.know[hex.EncodeToString(apply(t, p1, digest))] = wire(t, ots.New(p2, pending(t, far.URL)))
	far.know[hex.EncodeToString(apply(t, p1.Concat(p2), digest))] = wire(t, ots.New(ots.Path{}.SHA256(), ots.BitcoinAttestation(3)))
	l, _ := otshttp.NewAllowlist(near.URL, far.URL)
	f := &ots.File{HashOp: ots.OpSHA256, Digest: digest, Timestamp: ots.New(p1, pending(t, near.URL))}
	answers, err := (&otshttp.Upgrade{Allowed: l}).File(t.Context(), f)
	if err != nil || len(answers) != 2 || !otshttp.Complete(f.Timestamp) {
		t.Errorf("%+v, %v", answers, err)
	}
}

func TestUpgradeBounds(t *testing.T) {
	c := newCalendar(t)
	l, _ := otshttp.NewAllowlist(c.URL)
	digest := bytes.Repeat([]byte{1}, 32)

	// A proof with very many promises does not send very many requests.
	ts := &ots.Timestamp{}
	for i := range 500 {
		ts.Merge(ots.New(ots.Path{}.Append([]byte{byte(i), byte(i >> 8)}), pending(t, c.URL)))
	}
	f := &ots.File{HashOp: ots.OpSHA256, Digest: digest, Timestamp: ts}
	answers, err := (&otshttp.Upgrade{Allowed: l}).File(t.Context(), f)
	if err != nil || len(c.asked) != otshttp.MaxRequests || !errors.Is(answers[len(answers)-1].Err, otshttp.ErrTooMany) {
		t.Errorf("%d requests, %d answers, %v", len(c.asked), len(answers), err)
	}

	// A reply that would make the proof deeper than the format allows is left out.
	long := ots.Path{}
	for range 200 {
		long = long.SHA256()
	}
	f = &ots.File{HashOp: ots.OpSHA256, Digest: digest, Timestamp: ots.New(long, pending(t, c.URL))}
	c.know[hex.EncodeToString(apply(t, long, digest))] = wire(t, ots.New(long, ots.BitcoinAttestation(3)))
	before := wire(t, f.Timestamp)
	answers, err = (&otshttp.Upgrade{Allowed: l}).File(t.Context(), f)
	if err != nil || len(answers) != 1 || !errors.Is(answers[0].Err, ots.ErrTooDeep) || answers[0].Changed {
		t.Errorf("%+v, %v", answers, err)
	}
	if !bytes.Equal(before, wire(t, f.Timestamp)) {
		t.Error("the proof changed")
	}

	// Hostile calendars cost an answer, not the upgrade; and a cancelled one ends.
	c.know[hex.EncodeToString(apply(t, long, digest))] = []byte("garbage")
	if answers, err = (&otshttp.Upgrade{Allowed: l}).File(t.Context(), f); err != nil || answers[0].Err == nil {
		t.Errorf("garbage: %+v, %v", answers, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if answers, err = (&otshttp.Upgrade{Allowed: l}).File(ctx, f); err != nil || !errors.Is(answers[0].Err, context.Canceled) {
		t.Errorf("cancelled: %+v, %v", answers, err)
	}
}

// The files of one tree share their commitments: many proofs, one request each.
func TestUpgradeRemembers(t *testing.T) {
	c := newCalendar(t)
	l, _ := otshttp.NewAllowlist(c.URL)
	up := &otshttp.Upgrade{Allowed: l, Remember: time.Hour}
	shared := bytes.Repeat([]byte{9}, 32)
	c.know[hex.EncodeToString(shared)] = wire(t, ots.New(ots.Path{}.SHA256(), ots.BitcoinAttestation(3)))
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			// Each is a proof of its own; the promise stands on the same message.
			p := ots.Path{}.Append([]byte{byte(i)}).Then(ots.Op{Tag: ots.OpReverse})
			f := &ots.File{HashOp: ots.OpSHA256, Digest: shared, Timestamp: ots.New(ots.Path{}, pending(t, c.URL))}
			f.Timestamp.Merge(ots.New(p, ots.LitecoinAttestation(uint64(i))))
			if _, err := up.File(t.Context(), f); err != nil || !otshttp.Complete(f.Timestamp) {
				t.Errorf("proof %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if n := c.asked[hex.EncodeToString(shared)]; n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	// What is too old is asked again.
	up = &otshttp.Upgrade{Allowed: l, Remember: time.Nanosecond}
	for range 2 {
		f := &ots.File{HashOp: ots.OpSHA256, Digest: shared, Timestamp: ots.New(ots.Path{}, pending(t, c.URL))}
		if _, err := up.File(t.Context(), f); err != nil {
			t.Error(err)
		}
	}
	if n := c.asked[hex.EncodeToString(shared)]; n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}
