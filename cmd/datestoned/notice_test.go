package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/testpg"
)

// TestNoticesBesideAServer: an operator sees what a webhook did not take, has it sent again, or drops it, while the
// server runs.
func TestNoticesBesideAServer(t *testing.T) {
	for name, database := range map[string]func(dir string) string{
		"sqlite":   func(dir string) string { return filepath.Join(dir, "datestone.db") },
		"postgres": func(string) string { return testpg.Shared(t).NewDatabase(t) },
	} {
		t.Run(name, func(t *testing.T) {
			var status, came atomic.Int64
			status.Store(500)
			receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(int(status.Load()))
				came.Add(1)
			}))
			defer receiver.Close()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "secret.key"), []byte(strings.Repeat("A", 43)+"=\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			on := "--database=" + database(dir)
			p := serve(t, dir, on, "--egress-allow="+strings.TrimPrefix(receiver.URL, "http://"))
			do := func(args ...string) string {
				t.Helper()
				code, stdout, stderr := runHere(t, append(args, on)...)
				if code != 0 {
					t.Fatalf("%v: code %d, %q and %q", args, code, stdout, stderr)
				}
				return strings.TrimSpace(stdout)
			}
			do("account", "create", "a@example.org", "--plan=pro")
			key := do("key", "rotate", "1")
			if got := do("notice", "list"); got != "there are no such notices" {
				t.Errorf("at first: %s", got)
			}
			var hook struct{ ID, Secret string }
			code, body := p.ask(t, key, "POST", "/api/v1/webhooks", `{"url":"`+receiver.URL+`","events":["timestamp.confirmed"]}`)
			if code != 201 || json.Unmarshal([]byte(body), &hook) != nil {
				t.Fatalf("%d %s", code, body)
			}
			test := func() string {
				t.Helper()
				var made struct{ ID string }
				if code, body := p.ask(t, key, "POST", "/api/v1/webhooks/"+hook.ID+"/test", ""); code != 202 || json.Unmarshal([]byte(body), &made) != nil {
					t.Fatalf("%d %s", code, body)
				}
				return made.ID
			}
			type notice struct {
				ID, Endpoint, Event, State string
				Account, Tries             int
				Status                     int    `json:"last_status_code"`
				Error                      string `json:"last_error"`
			}
			list := func(args ...string) []notice {
				t.Helper()
				var found struct{ Notices []notice }
				if err := json.Unmarshal([]byte(do(append([]string{"notice", "list", "--json"}, args...)...)), &found); err != nil {
					t.Fatal(err)
				}
				return found.Notices
			}
			wait := func(what string, until func() bool) {
				t.Helper()
				for deadline := time.Now().Add(time.Minute); !until(); time.Sleep(20 * time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("%s: %+v\n%s", what, list(), p.stderr)
					}
				}
			}
			first, second := test(), test()
			wait("a failure", func() bool { l := list("--id=" + first); return len(l) == 1 && l[0].Tries == 1 })
			want := notice{ID: first, Endpoint: hook.ID, Event: "webhook.test", State: "due", Account: 1, Tries: 1, Status: 500, Error: "the server answered 500"}
			if got := list("--id=" + first)[0]; got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			if got := list("--account=a@example.org", "--state=due", "--endpoint="+hook.ID); len(got) != 2 || got[0].ID != second {
				t.Errorf("%+v", got)
			}
			if got := do("notice", "list", "--account=1"); !strings.Contains(got, first) || !strings.Contains(got, "the server answered 500") {
				t.Errorf("%s", got)
			}
			if got := do("notice", "drop", "--id="+first); got != "notices that are not sent any more: 1" {
				t.Error(got)
			}
			status.Store(200)
			if got := do("notice", "retry", "--endpoint="+hook.ID, "--json"); got != `{"changed":1}` {
				t.Error(got)
			}
			wait("the second is delivered", func() bool { l := list("--state=delivered"); return len(l) == 1 && l[0].ID == second })
			if l := list("--state=dropped"); len(l) != 1 || l[0].ID != first || came.Load() != 2 {
				t.Errorf("%+v, %d requests came", l, came.Load())
			}
			for _, args := range []string{"retry", "drop", "retry --all --state=due", "list --state=eaten", "list --id=7", "list --limit=0", "drop --account=b@example.org"} {
				if code, stdout, stderr := runHere(t, append(append([]string{"notice"}, strings.Fields(args)...), on)...); code == 0 || stdout != "" || stderr == "" {
					t.Errorf("notice %s: code %d, %q and %q", args, code, stdout, stderr)
				}
			}
			p.stop(t)
			if log := p.stderr.String(); strings.Contains(log, hook.Secret) || strings.Contains(log, "level=ERROR") {
				t.Errorf("the log: %s", log)
			}
		})
	}
}
