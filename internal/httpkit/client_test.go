package httpkit

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestClientAddr(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy", "192.0.2.1:1", nil, "192.0.2.1"},
		{"a client that forges the field", "192.0.2.1:1", []string{"198.51.100.1"}, "192.0.2.1"},
		{"a proxy", "10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"a proxy, mapped", "[::ffff:10.0.0.1]:1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"a client that forges it before a proxy", "10.0.0.1:1", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		{"two fields", "10.0.0.1:1", []string{"203.0.113.9", "198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.0.0.1:1", []string{"198.51.100.1, 10.9.9.9"}, "198.51.100.1"},
		{"with a port", "10.0.0.1:1", []string{"198.51.100.1:77"}, "198.51.100.1"},
		{"IPv6", "[fd00::1]:1", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv6 with a port", "[fd00::1]:1", []string{"[2001:db8::1]:9"}, "2001:db8::1"},
		{"nonsense", "10.0.0.1:1", []string{"198.51.100.1, unknown"}, "10.0.0.1"},
		{"a proxy that says nothing", "10.0.0.1:1", nil, "10.0.0.1"},
		{"only proxies", "10.0.0.1:1", []string{"10.0.0.2"}, "10.0.0.2"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.forwarded
		if got := ClientAddr(r, trusted).String(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if a, b := Site(netip.MustParseAddr("2001:db8::1")), Site(netip.MustParseAddr("2001:db8::ffff:2")); a != b {
		t.Errorf("%v and %v are of one /64", a, b)
	}
}

func TestBearer(t *testing.T) {
	for value, want := range map[string]string{
		"Bearer abc": "abc", "bearer abc": "abc", "BEARER  abc": "abc", "Bearer": "", "Bearer ": "", "Basic abc": "", "abc": "", "": "",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", value)
		if got, ok := Bearer(r); ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q, %v", value, got, ok)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header["Authorization"] = []string{"Bearer a", "Bearer b"}
	if _, ok := Bearer(r); ok {
		t.Error("one of two tokens was taken")
	}
}

func TestLimiter(t *testing.T) {
	var l Limiter[int]
	now := time.Unix(1_000_000, 500)
	for i := range 3 {
		if a := l.Take(1, 3, now); !a.OK || a.Remaining != 2-i {
			t.Fatalf("event %d: %+v", i, a)
		}
	}
	a := l.Take(1, 3, now.Add(20*time.Second))
	if a.OK || a.Remaining != 0 || a.RetryAfter() != "40" {
		t.Errorf("one too many: %+v, %s", a, a.RetryAfter())
	}
	h := http.Header{}
	a.Describe(h)
	if want := (http.Header{"X-Ratelimit-Limit": {"3"}, "X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"1000061"}}); cmp.Diff(want, h) != "" {
		t.Error(cmp.Diff(want, h))
	}
	if !l.Take(2, 3, now).OK {
		t.Error("another key is limited")
	}
	if a := l.Take(1, 3, now.Add(time.Minute)); !a.OK || a.Remaining != 2 {
		t.Errorf("in the next minute: %+v", a)
	}
	if a := l.Take(1, 3, now.Add(-time.Hour)); !a.OK || a.wait > time.Minute {
		t.Errorf("on a clock that went back: %+v", a)
	}
	for i := range 5 * remembered {
		l.Take(i, 3, now)
	}
	if n := len(l.young) + len(l.old); n > 2*remembered {
		t.Errorf("%d keys are remembered", n)
	}
}

func TestParseJSON(t *testing.T) {
	for text, want := range map[string]any{
		`{"a":[1,-2.5e3,true,null,"x"],"A":{}}`: map[string]any{"a": []any{json.Number("1"), json.Number("-2.5e3"), true, nil, "x"}, "A": map[string]any{}},
		` "\ud83d\ude00 \\ud83d \u00e9" `:       "😀 \\ud83d é",
		`[]`:                                    []any{},
	} {
		if got, err := ParseJSON([]byte(text)); err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("%s: %v %s", text, err, cmp.Diff(want, got))
		}
	}
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	for _, text := range []string{
		``, ` `, `{`, `{"a":1`, `{"a":1,}`, `[1,]`, `[1 2]`, `{} {}`, `{}x`, `{"a":1,"a":1}`, `{"a":1,"\u0061":2}`, `{"x":{"a":1,"b":2,"a":3}}`, `1e400`, `{"a":-1e999}`,
		"\"\xff\"", "{\"a\xc3\":1}", `"\ud800"`, `"\udc00\ud800"`, `"\ud800x"`, `"\ud800\ud800"`, "\ufeff{}", `NaN`, `01`, `'a'`, "\"a\nb\"", deep,
	} {
		if got, err := ParseJSON([]byte(text)); !errors.Is(err, ErrJSON) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func FuzzParseJSON(f *testing.F) {
	f.Add([]byte(`{"a":["\ud83d\ude00",1e5,{"b":null}]}`))
	f.Add([]byte(`"\\\ud800"`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := ParseJSON(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if w, err := ParseJSON(again); err != nil || cmp.Diff(v, w) != "" {
			t.Errorf("%q came back as %q: %v", b, again, err)
		}
		had := strings.Contains(string(b), "\ufffd") || strings.Contains(strings.ToLower(string(b)), `\ufffd`)
		if strings.Contains(string(again), "\ufffd") && !had {
			t.Errorf("%q has text that is not Unicode", b)
		}
	})
}

func TestReadAll(t *testing.T) {
	read := func(body string, announced int64, limit int64) (string, error) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.ContentLength = announced
		b, err := ReadAll(r, limit)
		return string(b), err
	}
	for _, announced := range []int64{3, -1} {
		if got, err := read("abc", announced, 3); got != "abc" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if _, err := read("abc", announced, 2); !errors.Is(err, ErrTooLarge) {
			t.Errorf("over the limit: %v", err)
		}
	}
}

func TestIdentified(t *testing.T) {
	h := Identified((&Surface{Fail: func(w http.ResponseWriter, _ *http.Request, e *Error) { w.WriteHeader(e.Status) }}).Handle("x",
		func(w http.ResponseWriter, r *http.Request) error {
			if r.URL.Path == "/fails" {
				return &Error{Status: 400}
			}
			return nil
		}))
	for _, path := range []string{"/", "/fails"} {
		for brought, kept := range map[string]bool{"": false, "mine-1": true, "not sound": false} {
			r := httptest.NewRequest("GET", path, nil)
			if brought != "" {
				r.Header.Set("X-Request-Id", brought)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			got := w.Header()["X-Request-Id"]
			if len(got) != 1 || got[0] == "" || (got[0] == brought) != kept {
				t.Errorf("%s with id %q: %q", path, brought, got)
			}
		}
	}
}
