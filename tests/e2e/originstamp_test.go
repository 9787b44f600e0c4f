package e2e

import (
	"bytes"
	"fmt"
	netmail "net/mail"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/testnode"
)

// A client in another language, written from OriginStamp's documentation, with the real service and its chain: what it
// submits is tamper-proof in the end, by proofs that it recomputes itself.
func TestOriginStamp(t *testing.T) {
	t.Parallel()
	c, _ := devChain(t)
	office, hook := newPostOffice(t), testnode.FreePort(t)
	s := serve(t, &c.rpc, fmt.Sprintf(`
smtp_address = %q
smtp_tls = "implicit"
smtp_ca = %q
mail_from = "stamps@example.org"
egress_allow = ["127.0.0.1:%d"]
[originstamp]
enabled = true
bitcoin_period = "4s"
[plans.business]
quota = 1000
api = true
requests = 100000
`, office.address, office.ca, hook), "")
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
	select {
	case l := <-office.letters:
		m, err := netmail.ReadMessage(bytes.NewReader(l.content))
		if err != nil {
			t.Fatal(err)
		}
		var attached []string
		err = parts(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), "", m.Body, func(kind, name string, content []byte) {
			attached = append(attached, name)
			if strings.HasSuffix(name, ".xml") && !bytes.HasPrefix(content, []byte("<?xml")) {
				t.Errorf("%s is %.100q", name, content)
			}
		})
		if names := strings.Join(attached, " "); err != nil || l.to != "ops@example.org" || !strings.Contains(names, ".xml") || !strings.Contains(names, ".ots") {
			t.Errorf("the e-mail to %s has %q, %v", l.to, attached, err)
		}
	case <-time.After(time.Minute):
		t.Error("no e-mail came")
	}
	if err := s.Terminate(t, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	s.fsck(t)
}
