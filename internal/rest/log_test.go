package rest

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// An operator finds out what became of a request by its id, and never reads a key or a digest.
func TestLog(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		var lines bytes.Buffer
		r.restart(func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&lines, nil)) })
		r.must(nil, 201, "POST", "/api/v1/timestamps", r.aKey, createBody(0), "X-Request-Id", "first", "Idempotency-Key", "secret order")
		r.do("POST", "/api/v1/timestamps", r.aKey, createBody(0), "X-Request-Id", "second")
		r.do("GET", "/api/v1/timestamps", testPrefix+"wrong", "", "X-Request-Id", "third")
		for _, want := range []string{"request=first route=rest-create account=1 stamp=", "request=second route=rest-create account=1 code=DUPLICATE_TIMESTAMP", "request=third route=rest-list account=0 code=INVALID_API_KEY"} {
			if !strings.Contains(lines.String(), want) {
				t.Errorf("no %q in:\n%s", want, lines.String())
			}
		}
		for _, secret := range []string{r.aKey, testPrefix, hashOf(0), "secret order", "plan 0.pdf"} {
			if strings.Contains(lines.String(), secret) {
				t.Errorf("%q is in the log:\n%s", secret, lines.String())
			}
		}
	})
}
