package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// inProcess carries requests to a handler without a network, so that a test's clock can be a false one.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the connection broke")
		}
	}()
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

func startInProcess(t *testing.T, options Options, steps ...http.HandlerFunc) (*Client, *scripted) {
	t.Helper()
	s := &scripted{steps: steps}
	options.HTTP = &http.Client{Transport: inProcess{s}}
	c, err := New("https://stamps.example.org", testKey, options)
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// Each failure that may pass is tried again, with the same body and the same idempotency key.
func TestTriesAgain(t *testing.T) {
	ok := answer(201, resource)
	tests := []struct {
		name      string
		steps     []http.HandlerFunc
		tries     int
		least     time.Duration
		most      time.Duration
		succeeds  bool
		gives     Code
		unreached bool
	}{
		{name: "at once", steps: []http.HandlerFunc{ok}, tries: 1, succeeds: true},
		{name: "the connection breaks", steps: []http.HandlerFunc{hangUp, hangUp, ok}, tries: 3, least: 375 * time.Millisecond, most: 750 * time.Millisecond, succeeds: true},
		{name: "limited", steps: []http.HandlerFunc{refuse(ErrRateLimited, "Retry-After", "30"), ok}, tries: 2, least: 30 * time.Second, most: 31 * time.Second, succeeds: true},
		{name: "limited without a time", steps: []http.HandlerFunc{refuse(ErrRateLimited), ok}, tries: 2, least: 125 * time.Millisecond, most: 250 * time.Millisecond, succeeds: true},
		{name: "limited for an hour", steps: []http.HandlerFunc{refuse(ErrRateLimited, "Retry-After", "3600"), ok}, tries: 1, gives: ErrRateLimited},
		{name: "limited for ever", steps: []http.HandlerFunc{refuse(ErrRateLimited, "Retry-After", "99999999999999999999"), ok}, tries: 2, most: 250 * time.Millisecond, succeeds: true},
		{name: "in progress", steps: []http.HandlerFunc{refuse(ErrIdempotencyInProgress, "Retry-After", "1"), ok}, tries: 2, least: time.Second, most: 2 * time.Second, succeeds: true},
		{name: "provider", steps: []http.HandlerFunc{refuse(ErrOTSProvider), ok}, tries: 2, most: time.Second, succeeds: true},
		{name: "bad gateway of a proxy", steps: []http.HandlerFunc{answer(502, "<html>"), ok}, tries: 2, most: time.Second, succeeds: true},
		{name: "unavailable", steps: []http.HandlerFunc{refuse(ErrServiceUnavailable, "Retry-After", "2"), ok}, tries: 2, least: 2 * time.Second, most: 3 * time.Second, succeeds: true},
		{name: "gateway timeout", steps: []http.HandlerFunc{answer(504, ""), ok}, tries: 2, most: time.Second, succeeds: true},
		{name: "never", steps: []http.HandlerFunc{refuse(ErrServiceUnavailable)}, tries: 5, most: 5 * time.Second, gives: ErrServiceUnavailable},
		{name: "no connection ever", steps: []http.HandlerFunc{hangUp}, tries: 5, most: 5 * time.Second, unreached: true},
		{name: "internal", steps: []http.HandlerFunc{refuse(ErrInternal), ok}, tries: 1, gives: ErrInternal},
		{name: "duplicate", steps: []http.HandlerFunc{refuse(ErrDuplicateTimestamp), ok}, tries: 1, gives: ErrDuplicateTimestamp},
		{name: "mismatch", steps: []http.HandlerFunc{refuse(ErrIdempotencyMismatch), ok}, tries: 1, gives: ErrIdempotencyMismatch},
		{name: "quota", steps: []http.HandlerFunc{refuse(ErrMonthlyLimitReached), ok}, tries: 1, gives: ErrMonthlyLimitReached},
		{name: "key", steps: []http.HandlerFunc{refuse(ErrInvalidAPIKey), ok}, tries: 1, gives: ErrInvalidAPIKey},
		{name: "hash", steps: []http.HandlerFunc{refuse(ErrInvalidSHA256Hash), ok}, tries: 1, gives: ErrInvalidSHA256Hash},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := 0
				c, s := startInProcess(t, Options{Retrying: func(err error, wait time.Duration) { told++ }}, tt.steps...)
				begin := time.Now()
				_, err := c.Create(t.Context(), testCreate)
				took := time.Since(begin)
				if (err == nil) != tt.succeeds || tt.gives != "" && !errors.Is(err, tt.gives) || tt.unreached && !Temporary(err) {
					t.Errorf("gives %v", err)
				}
				got := s.requests()
				if len(got) != tt.tries || told != tt.tries-1 {
					t.Errorf("tried %d times, told %d", len(got), told)
				}
				if took < tt.least || took > tt.most {
					t.Errorf("took %s, want %s to %s", took, tt.least, tt.most)
				}
				for _, r := range got {
					if r.body != got[0].body || r.header.Get("Idempotency-Key") != got[0].header.Get("Idempotency-Key") {
						t.Errorf("another request: %+v", r)
					}
				}
			})
		})
	}
}

// A caller's key is sent as it is, and two calls without one have two.
func TestIdempotencyKeys(t *testing.T) {
	c, s := startInProcess(t, Options{}, answer(201, resource))
	r := testCreate
	r.IdempotencyKey = "contract-msa-v3"
	for _, r := range []CreateRequest{r, testCreate, testCreate} {
		if _, err := c.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	got := s.requests()
	keys := []string{got[0].header.Get("Idempotency-Key"), got[1].header.Get("Idempotency-Key"), got[2].header.Get("Idempotency-Key")}
	if keys[0] != "contract-msa-v3" || keys[1] == keys[2] || strings.Contains(got[0].body, "contract-msa") {
		t.Errorf("keys %q, body %s", keys, got[0].body)
	}
}

// Waiting that cannot end in time is not begun, and the end of the context ends it.
func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := startInProcess(t, Options{}, refuse(ErrRateLimited, "Retry-After", "30"))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begin := time.Now()
		if _, err := c.Usage(ctx); !errors.Is(err, ErrRateLimited) || time.Since(begin) != 0 {
			t.Errorf("%v after %s", err, time.Since(begin))
		}

		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, stop)
		if _, err := c.Usage(ctx); !errors.Is(err, context.Canceled) || time.Since(begin) != 5*time.Second {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
	})
}

func TestWait(t *testing.T) {
	confirmed := answer(200, strings.Replace(resource, `"pending"`, `"confirmed"`, 1))
	pending := answer(200, resource)
	synctest.Test(t, func(t *testing.T) {
		steps := []http.HandlerFunc{}
		for range 60 {
			steps = append(steps, pending)
		}
		c, s := startInProcess(t, Options{}, append(steps, confirmed)...)
		ts, err := c.Wait(t.Context(), testID)
		if err != nil || ts.Status != StatusConfirmed {
			t.Fatalf("%v, %v", ts.Status, err)
		}
		got := s.requests()
		for i := 1; i < len(got); i++ {
			gap := got[i].at.Sub(got[i-1].at)
			if gap < firstPoll/2 || gap > longestPoll {
				t.Errorf("gap %d is %s", i, gap)
			}
			if i > 20 && gap < longestPoll/2 {
				t.Errorf("gap %d is only %s", i, gap)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		// An outage that lasts longer than one request is tried.
		steps := []http.HandlerFunc{pending}
		for range 20 {
			steps = append(steps, hangUp)
		}
		c, _ := startInProcess(t, Options{}, append(steps, confirmed)...)
		if ts, err := c.Wait(t.Context(), testID); err != nil || ts.Status != StatusConfirmed {
			t.Errorf("%v, %v", ts.Status, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c, s := startInProcess(t, Options{}, pending, refuse(ErrInvalidAPIKey))
		if _, err := c.Wait(t.Context(), testID); !errors.Is(err, ErrInvalidAPIKey) || len(s.requests()) != 2 {
			t.Errorf("%v after %d requests", err, len(s.requests()))
		}
		c, _ = startInProcess(t, Options{}, answer(200, strings.Replace(resource, `"pending"`, `"failed"`, 1)))
		if ts, err := c.Wait(t.Context(), testID); err == nil || ts.Status != StatusFailed {
			t.Errorf("%v, %v", ts.Status, err)
		}
		c, _ = startInProcess(t, Options{}, pending)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := c.Wait(ctx, testID); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-1": 0, "1.5": 0, "x": 0, "99999999999999999999": 0,
		"Fri, 01 May 2026 10:01:00 GMT": time.Minute, "Fri, 01 May 2026 09:00:00 GMT": 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
