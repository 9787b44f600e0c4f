package eternity

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/ots/signedmsg"
)

// Bad signatures are limited by address, and keep no customer out.
func TestBadSignatures(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		r.change(func(c *Config) {
			c.Now = func() time.Time { return now }
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		})
		stranger, err := signedmsg.NewPrivateKey()
		if err != nil {
			t.Fatal(err)
		}
		digest := digestOf("limited")
		text := string(signedmsg.Digest(digest))
		post := func(peer, forwarded, signature string) (int, http.Header) {
			req := httptest.NewRequest("POST", "/digest", strings.NewReader(string(digest)))
			req.RemoteAddr = peer
			req.Header.Set("x-signature", signature)
			if forwarded != "" {
				req.Header.Set("X-Forwarded-For", forwarded)
			}
			w := httptest.NewRecorder()
			r.server.ServeHTTP(w, req)
			return w.Code, w.Result().Header
		}
		good, bad := r.key.Sign([]byte(text)).String(), stranger.Sign([]byte(text)).String()
		for i, signature := range []string{bad, "no base64", signedmsg.Signature{0: 35}.String()} {
			for range failuresPerSite / 3 {
				if status, _ := post("192.0.2.1:1000", "", signature); status != 401 {
					t.Fatalf("bad signature of the kind %d: %d", i, status)
				}
			}
		}
		now = now.Add(20 * time.Second)
		for _, c := range []struct {
			name, peer, forwarded, signature string
			status                           int
		}{
			{"one too many", "192.0.2.1:2000", "", bad, 429},
			{"malformed", "192.0.2.1:2000", "", "no base64", 429},
			{"one that claims another address", "192.0.2.1:2000", "192.0.2.9", bad, 429},
			{"one behind a proxy of ours", "10.1.1.1:2000", "192.0.2.9, 192.0.2.1", bad, 429},
			{"a customer there", "192.0.2.1:2000", "", good, 200},
			{"another address", "192.0.2.2:2000", "", bad, 401},
			{"another behind a proxy of ours", "10.1.1.1:2000", "192.0.2.3", bad, 401},
		} {
			status, header := post(c.peer, c.forwarded, c.signature)
			if status != c.status || status == 429 && header.Get("Retry-After") != "40" {
				t.Errorf("%s: %d %v, want %d", c.name, status, header, c.status)
			}
		}
		for range failuresPerSite {
			post("[2001:db8::1]:1", "", bad)
		}
		if status, _ := post("[2001:db8::ffff]:1", "", bad); status != 429 {
			t.Errorf("another address of the same network: %d", status)
		}
		now = now.Add(40 * time.Second)
		if status, _ := post("192.0.2.1:1000", "", bad); status != 401 {
			t.Errorf("a minute later: %d", status)
		}
	})
}
