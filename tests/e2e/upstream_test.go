package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/testnode"
	"github.com/datestone/datestone/ots"
)

// serveUpstream starts a service without a wallet, whose heads go to a parent and whose headers come from the node.
func serveUpstream(t *testing.T, c *chain, parent *service) *service {
	t.Helper()
	s := newService(t, nil, "", "")
	text, err := os.ReadFile(s.conf)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.conf, strings.Replace(string(text), "targets = \"none\"\n", fmt.Sprintf(
		"[upstream]\ncalendars = [%q]\nnetwork = \"regtest\"\ninterval = \"1s\"\nrpc_url = %q\nrpc_user = %q\nrpc_password = %q\n",
		parent.URL, c.rpc.URL, c.rpc.User, c.rpc.Pass), 1))
	s.start(t)
	return s
}

// TestUpstream: our client gets what a parent promised while nothing is confirmed, and completes the proof with it when we
// are gone. So does any client with a proof that names the parent in place of us, as those of accounts do. Others are told
// to wait, and complete their proofs with us.
func TestUpstream(t *testing.T) {
	t.Parallel()
	c, _ := devChain(t)
	parent := serve(t, &c.rpc, "", "")
	s := serveUpstream(t, c, parent)
	dir := t.TempDir()
	with, without := clients(t, s, c), clients(t, parent, c)
	var files []string
	for _, by := range with {
		file := filepath.Join(dir, by.name+".txt")
		write(t, file, "stamped with "+by.name+"\n")
		by.stamp(t, file)
		files = append(files, file)
	}
	names := func(file string) string { return must(t, nil, program("datestone"), "info", file+".ots") }
	testnode.Eventually(t, 30*time.Second, "our client merges what the parent promised", func() bool {
		if with[0].upgrade(t, files[0]) {
			t.Fatal("a proof was complete without a block")
		}
		return strings.Contains(names(files[0]), parent.URL)
	})
	if _, err := os.Stat(files[0] + ".ots.bak"); err == nil {
		t.Error("a proof that is not complete has a backup, which would be in the way of the next")
	}
	for i, by := range with[1:] {
		if by.upgrade(t, files[i+1]) || strings.Contains(names(files[i+1]), parent.URL) {
			t.Errorf("%s: its proof has changed", by.name)
		}
	}
	// kill -9: what was answered was on disk.
	s.Kill()
	c.funded(t, parent)
	for _, by := range without {
		file := filepath.Join(dir, "kept-by-"+by.name+".txt")
		instead(t, files[0], file, parent.URL)
		c.until(t, by.name+" completes a proof without us", func() bool { return by.upgrade(t, file) })
		by.verify(t, file)
	}
	c.until(t, "our client completes its proof without us", func() bool { return without[0].upgrade(t, files[0]) })
	without[0].verify(t, files[0])
	s.start(t)
	for i, by := range with {
		c.until(t, by.name+" completes its proof with us", func() bool { return by.upgrade(t, files[i]) })
		by.verify(t, files[i])
	}
	if status, page := get(s.URL + "/"); status != 200 || !strings.Contains(page, parent.URL) || !strings.Contains(page, "TEST NETWORK") || !strings.Contains(page, "1 of 1 calendars accept heads") {
		t.Errorf("the status page does not show the calendar: %s", page)
	}
	if _, text := get(s.URL + "/metrics"); !strings.Contains(text, fmt.Sprintf("datestone_target_calendar_state{calendar=%q,state=\"ok\",target=\"upstream\"} 1", parent.URL)) {
		t.Errorf("the metrics do not show the calendar: %s", text)
	}
	s.fsck(t)
}

// instead copies a file, with the part of its proof that leads to one calendar.
func instead(t *testing.T, from, to, uri string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, string(text))
	raw, err := os.ReadFile(from + ".ots")
	if err != nil {
		t.Fatal(err)
	}
	f, err := ots.ParseFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	f.Timestamp = f.Timestamp.Prune(func(a ots.Attestation) bool { return a.URI() == uri })
	if raw, err = f.AppendBinary(nil); err != nil {
		t.Fatal(err)
	}
	write(t, to+".ots", string(raw))
}
