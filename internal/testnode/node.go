// Package testnode starts the real programs that tests talk to: bitcoind,
// btcd and litecoind on regtest, each on free ports of 127.0.0.1 in a folder of its own. They
// are installed by script/setup and end with the test.
//
//	node := testnode.Bitcoind(t)          // or testnode.Btcd(t)
//	node.Mine(t, 101)
//	txid := node.Fund(t, address, 50_000) // an unconfirmed payment to address
//	node.Mine(t, 1)
//	node.Invalidate(t, node.Tip(t))       // a reorg begins
//
// The miner's keys are known to this package, so both kinds of node can pay
// without a wallet.
package testnode

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
)

// Kind tells the two dialects apart.
type Kind int

const (
	KindBitcoind Kind = iota
	KindBtcd
	KindLitecoind
)

func (k Kind) String() string { return [...]string{"bitcoind", "btcd", "litecoind"}[k] }

// Node is a running regtest node.
type Node struct {
	RPC
	Kind Kind
	Dir  string // the data folder; bitcoind keeps regtest/.cookie below it
	P2P  string // host:port for other nodes
	ZMQ  string // bitcoind only: publishes hashblock and hashtx, "tcp://127.0.0.1:PORT"

	proc  *Process
	start func(t testing.TB)
	miner miner
	chain *chaincfg.Params
}

// Bitcoind starts a bitcoind with a transaction index, Core's policy and no
// peers. More arguments are appended to its command line.
func Bitcoind(t testing.TB, args ...string) *Node {
	t.Helper()
	program, err := exec.LookPath("bitcoind")
	if err != nil {
		program = Tool(t, "bitcoin/bitcoind")
	}
	n := &Node{Kind: KindBitcoind, chain: &chaincfg.RegressionNetParams, Dir: t.TempDir()}
	n.User, n.Pass = "datestone", "datestone"
	n.start = func(t testing.TB) {
		p2p, rpc, zmq := FreePort(t), FreePort(t), FreePort(t)
		n.URL, n.P2P, n.ZMQ = "http://"+local(rpc), local(p2p), "tcp://"+local(zmq)
		all := []string{"-regtest", "-datadir=" + n.Dir, "-server", "-txindex", "-acceptnonstdtxn=0",
			"-bind=" + n.P2P, "-discover=0", "-dnsseed=0", "-fixedseeds=0", "-listenonion=0",
			"-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1", fmt.Sprintf("-rpcport=%d", rpc),
			"-rpcauth=" + rpcauth, "-zmqpubhashblock=" + n.ZMQ, "-zmqpubhashtx=" + n.ZMQ,
			"-printtoconsole=0", "-dbcache=16", "-fallbackfee=0.00001"}
		if knots(program) {
			all = append(all, "-corepolicy", "-softwareexpiry=0")
		}
		n.proc = StartProcess(t, filepath.Join(n.Dir, "output.log"), exec.Command(program, append(all, args...)...))
	}
	n.launch(t)
	return n
}

// The line that Core's share/rpcauth makes for user and password "datestone".
// With it the cookie file works as well, which -rpcuser would switch off.
const rpcauth = "datestone:f0d1a7e57a11c0def0d1a7e57a11c0de$f263cb90523e7f40dc7f75b87ba6bcd5224e0b638e9c7523aa8a97dd221d6465"

// knots reports whether program is Bitcoin Knots, which needs to be told to
// follow Core's policy and not to expire.
func knots(program string) bool {
	out, err := exec.Command(program, "-version").Output()
	return err == nil && strings.Contains(string(out), "Knots")
}

// Btcd starts a btcd with a transaction index and no peers. It has no wallet and
// mines to the key of this package only. More arguments are appended to its
// command line.
func Btcd(t testing.TB, args ...string) *Node {
	t.Helper()
	program := Tool(t, "bin/btcd")
	n := &Node{Kind: KindBtcd, chain: &chaincfg.RegressionNetParams, Dir: t.TempDir()}
	n.User, n.Pass = "datestone", "datestone"
	n.start = func(t testing.TB) {
		p2p, rpc := FreePort(t), FreePort(t)
		n.URL, n.P2P = "http://"+local(rpc), local(p2p)
		conf := filepath.Join(n.Dir, "btcd.conf")
		if err := os.WriteFile(conf, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		all := []string{"--regtest", "--configfile=" + conf, "--datadir=" + filepath.Join(n.Dir, "data"),
			"--logdir=" + filepath.Join(n.Dir, "logs"), "--rpcuser=" + n.User, "--rpcpass=" + n.Pass, "--notls",
			"--rpclisten=" + local(rpc), "--listen=" + n.P2P, "--txindex", "--miningaddr=" + n.miner.address(n.chain),
			"--rejectnonstd", "--norelaypriority", "--limitfreerelay=0", "--nodnsseed"}
		n.proc = StartProcess(t, filepath.Join(n.Dir, "output.log"), exec.Command(program, append(all, args...)...))
	}
	n.launch(t)
	return n
}

// launch starts the program, on other ports when somebody else was quicker.
func (n *Node) launch(t testing.TB) {
	t.Helper()
	for range 4 {
		n.start(t)
		up, err := n.proc.ready(60*time.Second, func() error {
			var hash string
			if err := n.Call(&hash, "getblockhash", 0); err != nil {
				return err
			}
			if hash != n.chain.GenesisHash.String() {
				return fmt.Errorf("somebody else answers on %s", n.URL)
			}
			return nil
		})
		if err != nil {
			t.Fatalf("%v: %v\n%s", n.Kind, err, n.proc.Tail())
		}
		if up {
			return
		}
	}
	t.Fatalf("%v does not start:\n%s", n.Kind, n.proc.Tail())
}

// Stop ends the node in good order. The data folder stays.
func (n *Node) Stop(t testing.TB) {
	t.Helper()
	client.CloseIdleConnections() // a litecoind waits for them
	n.proc.Terminate(t, 60*time.Second)
}

// Kill ends the node as a power cut would. The data folder stays.
func (n *Node) Kill() { n.proc.Kill() }

// Start starts a stopped or killed node again, on new ports: read n.URL anew. A
// bitcoind has kept its chain; a btcd begins with an empty one, it removes its
// regtest database at every start.
func (n *Node) Start(t testing.TB) {
	t.Helper()
	n.launch(t)
}

// Cookie returns the path of a bitcoind's cookie file.
func (n *Node) Cookie() string { return filepath.Join(n.Dir, "regtest", ".cookie") }

// Connect makes n and other peers of each other, which may be of different kinds.
func (n *Node) Connect(t testing.TB, other *Node) {
	t.Helper()
	n.Must(t, nil, "addnode", other.P2P, "add")
	Eventually(t, 20*time.Second, "the two nodes are connected", func() bool {
		var peers []struct{}
		n.Must(t, &peers, "getpeerinfo")
		return len(peers) > 0
	})
}

// Synced waits until both nodes have the same best block.
func (n *Node) Synced(t testing.TB, other *Node) {
	t.Helper()
	Eventually(t, 30*time.Second, "both nodes have the same best block", func() bool {
		return n.Tip(t) == other.Tip(t)
	})
}

// Tip returns the best block's hash.
func (n *Node) Tip(t testing.TB) string {
	t.Helper()
	var hash string
	n.Must(t, &hash, "getbestblockhash")
	return hash
}

// Height returns the best block's height.
func (n *Node) Height(t testing.TB) int {
	t.Helper()
	var height int
	n.Must(t, &height, "getblockcount")
	return height
}

// Mine makes k blocks from the mempool and returns their hashes.
func (n *Node) Mine(t testing.TB, k int) []string {
	t.Helper()
	var hashes []string
	for k > 0 {
		step := min(k, 200)
		var more []string
		if n.Kind == KindBtcd {
			n.Must(t, &more, "generate", step)
		} else {
			n.Must(t, &more, "generatetoaddress", step, n.miner.address(n.chain))
		}
		hashes, k = append(hashes, more...), k-step
	}
	return hashes
}

// Invalidate marks a block and all above it as bad. What is mined next is a
// different branch: later blocks pay another key, or bitcoind would make the same
// block again and refuse it.
func (n *Node) Invalidate(t testing.TB, hash string) {
	t.Helper()
	n.Must(t, nil, "invalidateblock", hash)
	if n.Kind != KindBtcd {
		n.miner.keys++
	}
}

// Reconsider takes back [Node.Invalidate].
func (n *Node) Reconsider(t testing.TB, hash string) {
	t.Helper()
	n.Must(t, nil, "reconsiderblock", hash)
}
