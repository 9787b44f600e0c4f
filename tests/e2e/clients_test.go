package e2e

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/devchain"
	"github.com/datestone/datestone/internal/testnode"
)

// chain is what a service anchors in: a node, and ways to move its chain.
type chain struct {
	name string
	rpc  testnode.RPC
	p2p  string // where it takes peers, if it does
	mine func(n int)
	fund func(address string, amount int64)

	// Whether the npm and Python clients can talk to the node. They cannot to a
	// btcd, which does not answer requests without a version.
	foreign bool
}

func chainOf(t *testing.T, n *testnode.Node) *chain {
	n.Mine(t, 130) // the first coins stay mature through a reorganization
	return &chain{
		name: n.Kind.String(), rpc: n.RPC, p2p: n.P2P, foreign: n.Kind == testnode.KindBitcoind,
		mine: func(k int) { n.Mine(t, k) },
		fund: func(address string, amount int64) { n.Fund(t, address, amount) },
	}
}

func devChain(t *testing.T) (*chain, *devchain.Chain) {
	t.Helper()
	c, err := devchain.Open("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	server := httptest.NewServer(c.Handler("datestone", "datestone"))
	t.Cleanup(server.Close)
	mine := func(n int) {
		if _, err := c.Mine(n); err != nil {
			t.Error(err)
		}
	}
	mine(130) // the coins that the faucet pays from stay mature through a reorganization
	return &chain{
		name: "devchain", foreign: true,
		rpc:  testnode.RPC{URL: server.URL, User: "datestone", Pass: "datestone"},
		mine: mine,
		fund: func(address string, amount int64) {
			if _, err := c.Faucet(address, amount); err != nil {
				t.Error(err)
			}
		},
	}, c
}

// until mines a block each quarter of a second until ok.
func (c *chain) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	next := time.Now()
	testnode.Eventually(t, 90*time.Second, what, func() bool {
		if now := time.Now(); now.After(next) {
			c.mine(1)
			next = now.Add(250 * time.Millisecond)
		}
		return ok()
	})
}

// funded gives a service's wallet money in confirmed coins.
func (c *chain) funded(t *testing.T, s *service) {
	t.Helper()
	var address string
	testnode.Eventually(t, 30*time.Second, "the status page shows an address", func() bool {
		address = s.status(t).Address
		return address != ""
	})
	c.fund(address, 100_000_000)
	c.mine(1)
}

// client is one way to stamp, upgrade and verify a file.
type client struct {
	name    string
	stamp   func(t *testing.T, file string)
	upgrade func(t *testing.T, file string) bool
	verify  func(t *testing.T, file string)
}

// clients are those that can work with the service and its chain. Each is run in a
// home of its own whose bitcoin.conf leads to the node.
func clients(t *testing.T, s *service, c *chain) []client {
	t.Helper()
	home := t.TempDir()
	node, err := url.Parse(c.rpc.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(home, ".bitcoin"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(home, ".bitcoin", "bitcoin.conf"),
		fmt.Sprintf("rpcuser=%s\nrpcpassword=%s\nrpcconnect=%s\nrpcport=%s\n", c.rpc.User, c.rpc.Pass, node.Hostname(), node.Port()))
	env := []string{"HOME=" + home}
	node.User = url.UserPassword(c.rpc.User, c.rpc.Pass)

	ours := client{
		name: "datestone",
		stamp: func(t *testing.T, file string) {
			must(t, env, program("datestone"), "stamp", "-c", s.URL, "-m", "1", file)
		},
		upgrade: func(t *testing.T, file string) bool {
			_, err := command(t, env, program("datestone"), "upgrade", "-l", s.URL, file+".ots")
			return err == nil
		},
		verify: func(t *testing.T, file string) {
			must(t, env, program("datestone"), "verify", "--btc-regtest", "--bitcoin-node", node.String(), file+".ots")
			if c.p2p != "" {
				must(t, env, program("datestone"), "verify", "--btc-regtest", "--p2p", "--peer", c.p2p, file+".ots")
			}
		},
	}
	npm := func(t *testing.T, args ...string) string {
		return must(t, env, "node", append([]string{testnode.Tool(t, "npm/node_modules/opentimestamps/ots-cli.js")}, args...)...)
	}
	javascript := client{
		name: "npm",
		// Its exit code is 0 on most failures, so what it says and does counts.
		stamp: func(t *testing.T, file string) {
			out := npm(t, "stamp", "-c", s.URL, "-m", "1", file)
			if _, err := os.Stat(file + ".ots"); err != nil {
				t.Fatalf("npm stamp made no proof: %s", out)
			}
		},
		upgrade: func(t *testing.T, file string) bool {
			return strings.Contains(npm(t, "-l", s.URL, "upgrade", file+".ots"), "Success! Timestamp complete")
		},
		verify: func(t *testing.T, file string) {
			if out := npm(t, "verify", file+".ots"); !strings.Contains(out, "Success!") || !strings.Contains(out, "Bitcoin block") {
				t.Fatalf("npm verify: %s", out)
			}
		},
	}
	python := func(t *testing.T, args ...string) (string, error) {
		return command(t, env, "/usr/bin/python3", append([]string{"client.py"}, args...)...)
	}
	py := client{
		name: "python",
		stamp: func(t *testing.T, file string) {
			if out, err := python(t, "stamp", s.URL, file); err != nil {
				t.Fatalf("python stamp: %v\n%s", err, out)
			}
		},
		upgrade: func(t *testing.T, file string) bool {
			_, err := python(t, "upgrade", file+".ots")
			return err == nil
		},
		verify: func(t *testing.T, file string) {
			if out, err := python(t, "verify", file); err != nil || !strings.Contains(out, "block ") {
				t.Fatalf("python verify: %v\n%s", err, out)
			}
		},
	}
	if !c.foreign {
		javascript.verify, py.verify = nil, nil
	}
	return []client{ours, javascript, py}
}

// Any client stamps, any client completes the proof, and any client verifies it,
// whichever stamped.
func TestClients(t *testing.T) {
	for name, start := range map[string]func(*testing.T) *chain{
		"bitcoind": func(t *testing.T) *chain { return chainOf(t, testnode.Bitcoind(t)) },
		"btcd":     func(t *testing.T) *chain { return chainOf(t, testnode.Btcd(t)) },
		"devchain": func(t *testing.T) *chain { c, _ := devChain(t); return c },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testClients(t, start(t))
		})
	}
}

func testClients(t *testing.T, c *chain) {
	s := serve(t, &c.rpc, "", "")
	all := clients(t, s, c)
	dir := t.TempDir()
	var files []string
	for _, by := range all {
		file := filepath.Join(dir, by.name+".txt")
		write(t, file, "stamped with "+by.name+" on "+c.name+"\n")
		by.stamp(t, file)
		if by.upgrade(t, file) {
			t.Fatalf("%s: a proof was complete at once", by.name)
		}
		files = append(files, file)
	}
	c.funded(t, s)
	// Each is completed by the client that comes after the one that stamped it.
	for i, file := range files {
		by := all[(i+1)%len(all)]
		c.until(t, by.name+" completes the proof of "+filepath.Base(file), func() bool { return by.upgrade(t, file) })
	}
	for _, file := range files {
		for _, by := range all {
			if by.verify != nil {
				by.verify(t, file)
			}
		}
		out := must(t, nil, program("datestone"), "info", file+".ots")
		if !strings.Contains(out, "BitcoinBlockHeaderAttestation") {
			t.Errorf("info of a complete proof:\n%s", out)
		}
	}
	// A changed file does not verify.
	write(t, files[0], "something else\n")
	if out, err := command(t, nil, program("datestone"), "verify", "--no-bitcoin", files[0]+".ots"); err == nil {
		t.Errorf("a changed file verifies:\n%s", out)
	}
	s.fsck(t)
}
