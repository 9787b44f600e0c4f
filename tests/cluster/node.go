package cluster

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/testnode"
)

// Node is one `datestoned serve` with a folder and an address of its own, which it
// keeps when it is killed and started again.
type Node struct {
	Name    string
	Session string // name of its sessions in PostgreSQL
	URL     string // scheme, host and port
	Dir     string
	Config  string // path of its configuration

	program string
	process *testnode.Process // nil before the first start
	stopped atomic.Bool
}

// Data is the folder of its high-water mark.
func (n *Node) Data() string { return filepath.Join(n.Dir, "data") }

// Launch starts the program and does not wait.
func (n *Node) Launch(t testing.TB) {
	t.Helper()
	n.process = testnode.StartProcess(t, filepath.Join(n.Dir, "output.log"), exec.Command(n.program, "serve", "--config", n.Config))
	n.stopped.Store(false)
}

// Ready waits until the node says that it is ready. Like a supervisor it starts a node
// again that ended because the database did not answer in time.
func (n *Node) Ready(t testing.TB) {
	t.Helper()
	testnode.Eventually(t, 2*limit, n.Name+" is ready", func() bool {
		if !n.Running() && strings.HasSuffix(n.process.Tail(), "PostgreSQL is not reachable there: check the host and the port in database, and that the server runs\n") {
			n.Launch(t)
		} else if !n.Running() {
			t.Fatalf("%s ended: %v\n%s", n.Name, n.process.Err(), n.process.Tail())
		}
		status, _ := n.Get("/readyz")
		return status == http.StatusOK
	})
}

// Start is Launch and Ready.
func (n *Node) Start(t testing.TB) {
	t.Helper()
	n.Launch(t)
	n.Ready(t)
}

// Running says whether the process is there, be it stopped.
func (n *Node) Running() bool {
	if n.process == nil {
		return false
	}
	select {
	case <-n.process.Done():
		return false
	default:
		return true
	}
}

// Ended waits until the process has ended by itself and returns what it wrote last.
func (n *Node) Ended(t testing.TB) (output string, err error) {
	t.Helper()
	select {
	case <-n.process.Done():
	case <-time.After(limit):
		t.Fatalf("%s did not end within %v:\n%s", n.Name, limit, n.process.Tail())
	}
	return n.process.Tail(), n.process.Err()
}

// Kill ends the process as a power cut would (SIGKILL).
func (n *Node) Kill() { n.process.Kill() }

// Restart is Kill and Start.
func (n *Node) Restart(t testing.TB) {
	t.Helper()
	n.Kill()
	n.Start(t)
}

// Terminate ends the process in good order (SIGTERM).
func (n *Node) Terminate(t testing.TB) {
	t.Helper()
	if err := n.process.Terminate(t, limit); err != nil {
		t.Fatalf("%s on SIGTERM: %v\n%s", n.Name, err, n.process.Tail())
	}
}

// Stop holds the process up, as a frozen machine does (SIGSTOP): its connections
// stay open and nothing answers.
func (n *Node) Stop(t testing.TB) {
	t.Helper()
	n.stopped.Store(true)
	n.signal(t, syscall.SIGSTOP)
}

// Continue takes back Stop.
func (n *Node) Continue(t testing.TB) {
	t.Helper()
	n.signal(t, syscall.SIGCONT)
	n.stopped.Store(false)
}

func (n *Node) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(n.process.PID(), signal); err != nil {
		t.Fatalf("%s: %v: %v", n.Name, signal, err)
	}
}

// Log returns all that the node ever wrote.
func (n *Node) Log(t testing.TB) string {
	t.Helper()
	raw, err := os.ReadFile(n.process.Log)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

var httpClient = &http.Client{Timeout: limit, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}

// Get returns the status of an answer, 0 when there was none, and its body.
func (n *Node) Get(path string) (status int, body string) {
	res, err := httpClient.Get(n.URL + path)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(raw)
}

// Command runs another command of the program with the node's configuration and
// returns all that it wrote.
func (n *Node) Command(t testing.TB, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), n.program, append(args, "--config", n.Config)...).CombinedOutput()
	return string(out), err
}

// Must is Command that ends the test when the program fails.
func (n *Node) Must(t testing.TB, args ...string) string {
	t.Helper()
	out, err := n.Command(t, args...)
	if err != nil {
		t.Fatalf("datestoned %v for %s: %v\n%s", args, n.Name, err, out)
	}
	return out
}
