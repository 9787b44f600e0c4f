package e2e

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/testnode"
)

// A client in another language, written from OriginStamp's documentation, with the real service and its chain: what it
// submits is tamper-proof in the end, by proofs that it recomputes itself.
func TestOriginStamp(t *testing.T) {
	t.Parallel()
	c, _ := devChain(t)
	hook := testnode.FreePort(t)
	s := serve(t, &c.rpc, fmt.Sprintf("egress_allow = [\"127.0.0.1:%d\"]\n[originstamp]\nenabled = true\nbitcoin_period = \"4s\"\n[plans.business]\nquota = 1000\napi = true\nrequests = 100000\n", hook), "")
	c.funded(t, s)
	_, key, _, _ := s.owner(t, "owner@example.org", "business")
	node, err := url.Parse(c.rpc.URL)
	if err != nil {
		t.Fatal(err)
	}
	node.User = url.UserPassword(c.rpc.User, c.rpc.Pass)
	client := exec.CommandContext(t.Context(), "python3", "originstamp.py", s.URL, key, node.String())
	client.Env = append(os.Environ(), fmt.Sprintf("HOOK_PORT=%d", hook), "PYTHONDONTWRITEBYTECODE=1")
	process := testnode.StartProcess(t, filepath.Join(t.TempDir(), "client.log"), client)
	for mining := true; mining; {
		select {
		case <-process.Done():
			mining = false
		case <-time.After(400 * time.Millisecond):
			c.mine(1)
		}
	}
	if process.Err() != nil {
		t.Fatalf("the client: %v\n%s\nthe service:\n%s", process.Err(), process.Tail(), s.Tail())
	}
	t.Logf("%s", process.Tail())
	if err := s.Terminate(t, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	s.fsck(t)
}
