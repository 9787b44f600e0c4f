package testnode

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
)

// Ethereum is a running anvil: a real Ethereum node with a chain of its own.
type Ethereum struct {
	RPC

	args []string
	proc *Process
	dir  string
}

// Anvil starts an anvil of chain 31337 that mines only when it is asked to. Its first account is funded. More
// arguments are appended to its command line.
func Anvil(t testing.TB, args ...string) *Ethereum {
	t.Helper()
	n := &Ethereum{args: args, dir: t.TempDir()}
	n.Version = "2.0"
	n.Start(t)
	return n
}

// Start starts the node, or one that was killed again, on a new port and with an empty chain.
func (n *Ethereum) Start(t testing.TB) {
	t.Helper()
	arch := runtime.GOARCH
	program := Tool(t, fmt.Sprintf("npm/node_modules/@foundry-rs/anvil-%s-%s/bin/anvil", runtime.GOOS, arch))
	for range 4 {
		port := FreePort(t)
		n.URL = "http://" + local(port)
		all := append([]string{"--host", "127.0.0.1", "--port", fmt.Sprint(port), "--silent", "--no-mining", "--accounts", "2"}, n.args...)
		if !slices.Contains(n.args, "--timestamp") {
			all = append(all, "--timestamp", "1790000000") // the same first block each time
		}
		n.proc = StartProcess(t, filepath.Join(n.dir, "output.log"), exec.Command(program, all...))
		up, err := n.proc.ready(60*time.Second, func() error { return n.Call(nil, "eth_chainId") })
		if err != nil {
			t.Fatalf("anvil: %v\n%s", err, n.proc.Tail())
		}
		if up {
			return
		}
	}
	t.Fatalf("anvil does not start:\n%s", n.proc.Tail())
}

// Kill ends the node.
func (n *Ethereum) Kill() { n.proc.Kill() }

// Mine mines blocks, with what waits in the first.
func (n *Ethereum) Mine(t testing.TB, blocks int) {
	t.Helper()
	n.Must(t, nil, "anvil_mine", fmt.Sprintf("%#x", blocks))
}

// Must is Call that must not fail.
func (n *Ethereum) Must(t testing.TB, out any, method string, params ...any) {
	t.Helper()
	if err := n.Call(out, method, params...); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
}
