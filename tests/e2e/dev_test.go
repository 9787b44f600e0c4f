package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/testnode"
)

// dev runs `datestoned dev` over a folder.
func dev(t *testing.T, dir string, port, rpcPort int) (*service, *chain) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "output.log")
	s := &service{Dir: dir}
	s.Process = testnode.StartProcess(t, log, exec.Command(program("datestoned"), "dev", "--json", "--dir", dir,
		"--listen", fmt.Sprintf("127.0.0.1:%d", port), "--rpc-listen", fmt.Sprintf("127.0.0.1:%d", rpcPort)))
	var ready struct {
		URI      string `json:"uri"`
		RPC      string `json:"rpc"`
		User     string `json:"rpc_user"`
		Password string `json:"rpc_password"`
	}
	testnode.Eventually(t, 30*time.Second, "dev prints its addresses", func() bool {
		raw, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			if strings.HasPrefix(line, "{") && strings.HasSuffix(line, "}\n") {
				return json.Unmarshal([]byte(line), &ready) == nil && ready.URI != ""
			}
		}
		return false
	})
	s.URL = ready.URI
	s.ready(t)
	c := &chain{name: "dev", foreign: true, rpc: testnode.RPC{URL: ready.RPC, User: ready.User, Pass: ready.Password}}
	return s, c
}

// `datestoned dev` needs nothing: a stamp is a complete proof within a minute,
// other clients verify it against the chain's RPC, and a named folder survives a
// kill with proof, log and chain.
func TestDev(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "dev")
	port, rpcPort := testnode.FreePort(t), testnode.FreePort(t)
	s, c := dev(t, dir, port, rpcPort)
	if _, page := get(s.URL + "/"); !strings.Contains(strings.ToUpper(page), "TEST NETWORK") {
		t.Errorf("the page does not say TEST NETWORK:\n%.500s", page)
	}
	files := t.TempDir()
	all := clients(t, s, c)
	first, second := filepath.Join(files, "first.txt"), filepath.Join(files, "second.txt")
	write(t, first, "before the kill\n")
	write(t, second, "killed while it waits\n")

	all[1].stamp(t, first)
	began := time.Now()
	testnode.Eventually(t, time.Minute, "a stamp is a complete proof", func() bool { return all[1].upgrade(t, first) })
	t.Logf("from stamp to proof in %v", time.Since(began).Round(100*time.Millisecond))
	for _, by := range all {
		by.verify(t, first)
	}

	all[0].stamp(t, second)
	before := s.status(t).Log.Size
	s.Kill()
	s, c = dev(t, dir, port, rpcPort)
	if after := s.status(t).Log.Size; after < before {
		t.Fatalf("the log has %d entries after the restart, it had %d", after, before)
	}
	testnode.Eventually(t, time.Minute, "the stamp from before the kill is a complete proof", func() bool { return all[2].upgrade(t, second) })
	for _, by := range clients(t, s, c) {
		by.verify(t, first)
		by.verify(t, second)
	}
	if err := s.Terminate(t, 30*time.Second); err != nil {
		t.Fatalf("SIGTERM: %v", err)
	}
}

// A reorganization deeper than the required depth withdraws a proof; the same
// commitment gets another one in the new branch.
func TestReorg(t *testing.T) {
	t.Parallel()
	node := testnode.Bitcoind(t)
	c := chainOf(t, node)
	s := serve(t, &c.rpc, "", "confirmations = 3")
	c.funded(t, s)
	a := polite(t, s, 3, 5*time.Second)
	commitments := a.since(0)
	last := commitments[len(commitments)-1]
	complete := func() bool { return known(t, s.URL, []string{last}) == 1 }
	c.until(t, "the commitment has its proof", complete)

	// The new branch forks below the funding, confirms nothing at first, and is longer.
	height := node.Height(t)
	fork := height - 8
	var hash string
	node.Must(t, &hash, "getblockhash", fork)
	node.Invalidate(t, hash)
	var address struct{ Hash string }
	for node.Height(t) <= height {
		node.Must(t, &address, "generateblock", "raw(51)", []string{})
	}
	testnode.Eventually(t, 30*time.Second, "the proof is withdrawn", func() bool {
		status, body := get(s.URL + "/timestamp/" + last)
		return status == http.StatusNotFound && (strings.HasPrefix(body, "Pending") || strings.HasPrefix(body, "Timestamped"))
	})
	c.until(t, "the commitment has its proof in the new branch", complete)
	file := filepath.Join(t.TempDir(), "after.txt")
	write(t, file, "on the new branch\n")
	all := clients(t, s, c)
	all[2].stamp(t, file)
	c.until(t, "a stamp on the new branch is complete", func() bool { return all[2].upgrade(t, file) })
	for _, by := range all {
		by.verify(t, file)
	}
	s.fsck(t)
}
