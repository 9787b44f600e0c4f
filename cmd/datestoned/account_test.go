package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/testpg"
)

// ask sends a request with an API key.
func (p *process) ask(t *testing.T, key, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatalf("%v\n%s", err, p.stderr)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// newStamp is the body that asks for the n-th stamp.
func newStamp(n int) string {
	return fmt.Sprintf(`{"sha256_hash":"%x","filename":"%d.pdf","file_size_bytes":1}`, sha256.Sum256(fmt.Append(nil, n)), n)
}

// TestAccountsBesideAServer: what an operator says of accounts holds for the next request to the server that runs.
func TestAccountsBesideAServer(t *testing.T) {
	for name, database := range map[string]func(dir string) string{
		"sqlite":   func(dir string) string { return filepath.Join(dir, "datestone.db") },
		"postgres": func(string) string { return testpg.Shared(t).NewDatabase(t) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			on := "--database=" + database(dir)
			p := serve(t, dir, on)
			do := func(want string, args ...string) string {
				t.Helper()
				code, stdout, stderr := runHere(t, append(args, on)...)
				if code != 0 || !strings.Contains(stdout, want) {
					t.Fatalf("%v: code %d, %q and %q, want %q", args, code, stdout, stderr, want)
				}
				return strings.TrimSpace(stdout)
			}
			create := func(key string, n, want int, code string) {
				t.Helper()
				if status, body := p.ask(t, key, "POST", "/api/v1/timestamps", newStamp(n)); status != want || !strings.Contains(body, code) {
					t.Errorf("answered %d %s, want %d %s", status, body, want, code)
				}
			}
			const who = "a@example.org"
			do("made account 1 for "+who, "account", "create", who, "--plan=free")
			first := do("datestone_live_", "key", "rotate", who)
			create(first, 1, 403, "PLAN_NOT_ENTITLED")
			do(who+" has the plan pro", "account", "plan", who, "pro")
			create(first, 1, 201, "pending")
			second := do("datestone_live_", "key", "rotate", "1")
			create(first, 2, 401, "INVALID_API_KEY")
			do(`shows "A & Co"`, "account", "branding", who, "--name=A & Co")
			create(second, 2, 201, `"branding_snapshot":{"name":"A & Co"`)
			do(who+" is suspended", "account", "suspend", who)
			create(second, 3, 401, "INVALID_API_KEY")
			do(who+" is active", "account", "resume", who)
			do(who+" has no branding", "account", "branding", who, "--clear")
			create(second, 3, 201, `"branding_snapshot":null`)
			do("3 of 1000 in ", "account", "usage", who)
			do("ends in "+second[len(second)-4:], "key", "show", who)
			do(who+" has no key", "key", "revoke", who)
			create(second, 4, 401, "INVALID_API_KEY")

			var found struct {
				Plan   string
				Key    *struct{ Hint string }
				Quota  int
				Months []struct{ Used int }
			}
			if err := json.Unmarshal([]byte(do("", "account", "show", who, "--json")), &found); err != nil {
				t.Fatal(err)
			}
			if found.Plan != "pro" || found.Key != nil || found.Quota != 1000 || len(found.Months) != 1 || found.Months[0].Used != 3 {
				t.Errorf("shown as %+v", found)
			}
			p.stop(t)
			if log := p.stderr.String(); strings.Contains(log, first) || strings.Contains(log, second) {
				t.Error("a key is in the log")
			}
		})
	}
}
