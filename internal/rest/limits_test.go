package rest

import (
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
)

// checkLimited checks a refusal by a limit.
func checkLimited(t *testing.T, got answer, now time.Time, limit string) {
	t.Helper()
	if got.status != 429 || !strings.Contains(got.body, `"code":"RATE_LIMITED"`) {
		t.Fatalf("%d %s", got.status, got.body)
	}
	wait, err := strconv.Atoi(got.header.Get("Retry-After"))
	if err != nil || wait < 1 || wait > 60 {
		t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
	}
	reset, err := strconv.ParseInt(got.header.Get("X-RateLimit-Reset"), 10, 64)
	if err != nil || got.header.Get("X-RateLimit-Limit") != limit || got.header.Get("X-RateLimit-Remaining") != "0" {
		t.Errorf("header %v", got.header)
	}
	if in := time.Unix(reset, 0).Sub(now); in <= 0 || in > 61*time.Second {
		t.Errorf("reset in %v", in)
	}
}

func TestLimits(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		r.config.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		hold := time.Now()
		r.config.Now = func() time.Time { return hold.Add(time.Duration(r.clock.Load())) }
		r.restart(nil)
		from := func(address string) []string { return []string{"X-Forwarded-For", address} }
		_, key := r.account("pro@example.org", "pro")
		_, other := r.account("other@example.org", "pro")

		t.Run("creates of a key", func(t *testing.T) {
			for n := range 30 {
				got := r.must(nil, 201, "POST", "/api/v1/timestamps", key, createBody(n), from("198.51.100.1")...)
				if left := got.header.Get("X-RateLimit-Remaining"); left != strconv.Itoa(29-n) {
					t.Fatalf("after %d creates %s remain", n+1, left)
				}
			}
			checkLimited(t, r.do("POST", "/api/v1/timestamps", key, "not read", from("198.51.100.2")...), r.config.Now(), "30")
			checkLimited(t, r.do("POST", "/api/v1/timestamps/batch", key, "not read", from("198.51.100.2")...), r.config.Now(), "30")
			r.must(nil, 200, "GET", "/api/v1/timestamps", key, "")
		})
		t.Run("creates of an address", func(t *testing.T) {
			for n := range 30 {
				r.must(nil, 201, "POST", "/api/v1/timestamps", other, createBody(n), from("198.51.100.1")...)
			}
			checkLimited(t, r.do("POST", "/api/v1/timestamps", r.aKey, "not read", from("198.51.100.1")...), r.config.Now(), "60")
			r.must(nil, 201, "POST", "/api/v1/timestamps", r.aKey, createBody(0), from("198.51.100.3")...)
			// What a client writes before the proxy is not believed.
			checkLimited(t, r.do("POST", "/api/v1/timestamps", r.aKey, "not read", from("203.0.113.1, 198.51.100.1")...), r.config.Now(), "60")
		})
		t.Run("requests of a key", func(t *testing.T) {
			_, key := r.account("third@example.org", "pro")
			for range 120 {
				r.must(nil, 200, "GET", "/api/v1/usage", key, "")
			}
			checkLimited(t, r.do("GET", "/api/v1/usage", key, ""), r.config.Now(), "120")
			checkLimited(t, r.do("POST", "/api/v1/timestamps", key, createBody(99)), r.config.Now(), "120")
		})
		t.Run("requests of a key whose plan has no API", func(t *testing.T) {
			_, key := r.account("unentitled@example.org", "free")
			for range 120 {
				if got := r.do("GET", "/api/v1/usage", key, ""); got.status != 403 {
					t.Fatalf("%+v", got)
				}
			}
			checkLimited(t, r.do("GET", "/api/v1/usage", key, ""), r.config.Now(), "120")
		})
		t.Run("a minute later", func(t *testing.T) {
			r.clock.Store(int64(time.Minute))
			r.must(nil, 201, "POST", "/api/v1/timestamps", key, createBody(50), from("198.51.100.1")...)
		})
		t.Run("failures of an address", func(t *testing.T) {
			bad := account.NewKey(testPrefix)
			for range failuresPerSite {
				if got := r.do("GET", "/api/v1/usage", bad, "", from("198.51.100.9")...); got.status != 401 {
					t.Fatalf("%+v", got)
				}
			}
			checkLimited(t, r.do("GET", "/api/v1/usage", bad, "", from("198.51.100.9")...), r.config.Now(), strconv.Itoa(failuresPerSite))
			if got := r.do("GET", "/api/v1/usage", bad, "", from("198.51.100.8")...); got.status != 401 {
				t.Errorf("another address: %+v", got)
			}
			r.must(nil, 200, "GET", "/api/v1/usage", r.aKey, "", from("198.51.100.9")...)
		})
	})
}

// A client that writes its whole body before it reads gets the answer to it, not a broken connection.
func TestUnreadBodies(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		web := httptest.NewServer(r.server)
		defer web.Close()
		for _, c := range []struct {
			key, path string
			size      int
			want      string
		}{
			{"wrong", "timestamps/batch", 15 << 20, "HTTP/1.1 401 "},
			{r.aKey, "timestamps", 20 << 20, "HTTP/1.1 413 "},
			{r.aKey, "timestamps/batch", 30 << 20, "HTTP/1.1 413 "},
			{r.aKey, "verify", 20 << 20, "HTTP/1.1 413 "},
		} {
			conn, err := net.Dial("tcp", web.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(time.Minute))
			fmt.Fprintf(conn, "POST /api/v1/%s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", c.path, c.key, c.size)
			if _, err := conn.Write(make([]byte, c.size)); err != nil {
				t.Errorf("%s of %d bytes: %v", c.path, c.size, err)
			}
			answer := make([]byte, len(c.want))
			if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != c.want {
				t.Errorf("%s of %d bytes: %q, %v; want %q", c.path, c.size, answer, err, c.want)
			}
			conn.Close()
		}
	})
}

// A request with an idempotency key that cannot be one is counted like others.
func TestUnsoundKeysAreLimited(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		hold := time.Now()
		r.config.Now = func() time.Time { return hold }
		r.restart(nil)
		_, key := r.account("pro@example.org", "pro")
		for range 30 {
			r.must(nil, 400, "POST", "/api/v1/timestamps", key, createBody(0), "Idempotency-Key", "")
		}
		checkLimited(t, r.do("POST", "/api/v1/timestamps", key, createBody(0), "Idempotency-Key", ""), hold, "30")
	})
}

// Without the memory that a batch needs it is refused before it is read.
func TestBatchMemory(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		if !r.server.batches.TryAcquire(batchMemory) {
			t.Fatal("there are batches already")
		}
		got := r.do("POST", "/api/v1/timestamps/batch", r.aKey, batchBody(0, 2))
		if got.status != 503 || !strings.Contains(got.body, "SERVICE_UNAVAILABLE") || got.header.Get("Retry-After") != "1" {
			t.Errorf("%+v", got)
		}
		r.server.batches.Release(batchMemory)
		r.must(nil, 201, "POST", "/api/v1/timestamps/batch", r.aKey, batchBody(0, 2))
	})
}
