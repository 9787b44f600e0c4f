package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/testpg"
)

// TestPublish: the operator has a root printed while servers run, sees what the publisher's side does with it, and says
// where it appeared. Over PostgreSQL there are two nodes, and one notice.
func TestPublish(t *testing.T) {
	for name, database := range map[string]func(dir string) string{
		"sqlite":   func(dir string) string { return filepath.Join(dir, "datestone.db") },
		"postgres": func(string) string { return testpg.Shared(t).NewDatabase(t) },
	} {
		t.Run(name, func(t *testing.T) { testPublish(t, name == "postgres", database) })
	}
}

func testPublish(t *testing.T, shared bool, database func(string) string) {
	var mu sync.Mutex
	var ids []string
	status := 500
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		io.Copy(io.Discard, r.Body)
		ids = append(ids, r.Header.Get("Idempotency-Key"))
		w.WriteHeader(status)
	}))
	defer receiver.Close()
	dir := t.TempDir()
	folder := filepath.Join(dir, "notices")
	if err := os.WriteFile(filepath.Join(dir, "secret.key"), []byte(strings.Repeat("A", 43)+"=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	settings := []string{"--database=" + database(dir), "--publication-name=Südkurier", "--publication-folder=" + folder, "--publication-url=" + receiver.URL + "/notices"}
	p := serve(t, dir, settings...)
	if shared {
		other := t.TempDir()
		serve(t, other, append(settings, "--secret-key-file="+filepath.Join(dir, "secret.key"))...)
	}
	run := func(want int, args ...string) string {
		t.Helper()
		code, stdout, stderr := runHere(t, append(args, append(settings, "--uri="+testURI)...)...)
		if code != want {
			t.Fatalf("%v: code %d, %q and %q", args, code, stdout, stderr)
		}
		return strings.TrimSpace(stdout + stderr)
	}
	type notice struct {
		ID         int64
		UID, Text  string
		Deliveries []struct {
			Channel, State, Code string
			Tries                int
		}
		Place *struct {
			Issue, Page string
			By          string `json:"confirmed_by"`
		}
	}
	show := func() (n notice) {
		t.Helper()
		if err := json.Unmarshal([]byte(run(0, "publish", "show", "1", "--json")), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	wait := func(what string, until func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !until(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s\n%s", what, run(0, "publish", "list"), p.stderr)
			}
		}
	}
	if got := run(0, "publish", "list"); got != "there are no notices" {
		t.Error(got)
	}
	if got := run(1, "publish", "send", "--new"); !strings.Contains(got, "nothing new") {
		t.Errorf("of an empty log: %s", got)
	}
	if resp, err := http.Post("http://"+p.addr+"/digest", "application/octet-stream", bytes.NewReader(make([]byte, 32))); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	run(0, "publish", "send", "--new")
	wait("both ways fail", func() bool {
		n := show()
		return len(n.Deliveries) == 2 && n.Deliveries[0].Code == "folder_missing" && n.Deliveries[1].Code == "url_failed"
	})
	wait("the status page says so", func() bool {
		resp, err := http.Get("http://" + p.addr + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		page, err := io.ReadAll(resp.Body)
		return err == nil && strings.Contains(string(page), "folder missing") && strings.Contains(string(page), "make it, or correct publication.folder")
	})
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	status = 204
	mu.Unlock()
	run(0, "publish", "send", "1")
	wait("both ways work", func() bool {
		n := show()
		return n.Deliveries[0].State == "delivered" && n.Deliveries[1].State == "delivered"
	})
	n := show()
	mu.Lock()
	if len(ids) < 2 || slices.ContainsFunc(ids, func(id string) bool { return id != n.UID }) {
		t.Errorf("sent as %v, and it is %s", ids, n.UID)
	}
	mu.Unlock()
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[1])
	if err != nil || string(text) != n.Text {
		t.Errorf("%q, %v", text, err)
	}

	// What was typed from the paper.
	check := func(want int, text string) string {
		t.Helper()
		typed := filepath.Join(t.TempDir(), "typed")
		if err := os.WriteFile(typed, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, _ := runHere(t, "publish", "check", typed)
		if code != want {
			t.Errorf("code %d of %q", code, text)
		}
		return stdout
	}
	check(0, n.Text)
	line := n.Text[strings.Index(n.Text, "\n3 "):][1:]
	line = line[:strings.Index(line, "\n")]
	wrong := []byte(line)
	if wrong[3]++; line[3] == '9' || line[3] == 'f' {
		wrong[3] = '0'
	}
	if got := check(3, strings.Replace(n.Text, line, string(wrong), 1)); !strings.HasPrefix(got, "line 3: ") || !strings.Contains(got, line) {
		t.Errorf("%s", got)
	}

	today := time.Now().UTC().Format(time.DateOnly)
	confirm := func(more ...string) []string { return append([]string{"publish", "confirm", "1", "--by=ann"}, more...) }
	for want, args := range map[string][]string{
		"older than notice": confirm("--issue=2026-01-01", "--page=1"), "say where": confirm("--issue=" + today), "as in --issue": confirm("--issue=today", "--page=1"),
		"has not appeared": confirm("--issue=2999-01-01", "--page=1"), "there is no notice 7": {"publish", "confirm", "7", "--issue=" + today, "--page=1"},
		"not confirmed": {"publish", "withdraw", "1"},
	} {
		if got := run(1, args...); !strings.Contains(got, want) {
			t.Errorf("%v: %s", args, got)
		}
	}
	run(0, confirm("--issue="+today, "--page=12")...)
	if got := run(1, confirm("--issue="+today, "--page=13")...); !strings.Contains(got, "datestoned publish withdraw 1") {
		t.Error(got)
	}
	if n := show(); n.Place == nil || n.Place.Page != "12" || n.Place.By != "ann" || n.Place.Issue != today {
		t.Errorf("%+v", n.Place)
	}
	wait("the status page has the place", func() bool {
		resp, err := http.Get("http://" + p.addr + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		page, err := io.ReadAll(resp.Body)
		return err == nil && strings.Contains(string(page), "issue of "+today+", page 12")
	})
	if got := run(0, "fsck", "--json"); !strings.Contains(got, `"publications":1`) || !strings.Contains(got, `"problems":[]`) {
		t.Error(got)
	}
	run(0, "publish", "withdraw", "1")
	if n := show(); n.Place != nil {
		t.Errorf("%+v", n.Place)
	}
	if got := run(1, "publish", "send", "--new"); !strings.Contains(got, "nothing new") {
		t.Error(got)
	}
	run(2, "publish", "send")
	run(2, "publish", "list", "--limit=0")
	p.stop(t)

	// Without the table everything stays, and nothing is sent.
	settings = settings[:1]
	p = serve(t, dir, settings...)
	if n := show(); n.ID != 1 {
		t.Errorf("%+v", n)
	}
	if got := run(1, "publish", "send", "1"); !strings.Contains(got, "add a table [publication]") {
		t.Error(got)
	}
	run(0, confirm("--issue="+today, "--page=13")...)
	p.stop(t)
}
