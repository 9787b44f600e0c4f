package testnode

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
)

// ExtensionHeight is the height from which on the blocks of a litecoind have an
// extension block (MWEB).
const ExtensionHeight = 432

// Litecoind starts a litecoind with a transaction index and no peers. By default
// it replaces no transaction: "-mempoolreplacement=1" does. More arguments are
// appended to its command line.
func Litecoind(t testing.TB, args ...string) *Node {
	t.Helper()
	program, err := exec.LookPath("litecoind")
	if err != nil {
		program = Tool(t, "litecoin/litecoind")
	}
	n := &Node{Kind: KindLitecoind, Dir: t.TempDir(), chain: litecoinRegtest()}
	n.User, n.Pass = "datestone", "datestone"
	n.start = func(t testing.TB) {
		p2p, rpc := FreePort(t), FreePort(t)
		n.URL, n.P2P = "http://"+local(rpc), local(p2p)
		all := []string{"-regtest", "-datadir=" + n.Dir, "-server", "-txindex", "-acceptnonstdtxn=0",
			"-bind=" + n.P2P, "-discover=0", "-dnsseed=0", "-listenonion=0",
			"-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1", fmt.Sprintf("-rpcport=%d", rpc),
			"-rpcauth=" + rpcauth, "-printtoconsole=0", "-dbcache=16", "-fallbackfee=0.00001", "-keypool=2"}
		n.proc = StartProcess(t, filepath.Join(n.Dir, "output.log"), exec.Command(program, append(all, args...)...))
	}
	n.launch(t)
	return n
}

// litecoinRegtest is what this package needs to know of Litecoin's regtest.
func litecoinRegtest() *chaincfg.Params {
	p := chaincfg.RegressionNetParams
	hash, err := chainhash.NewHashFromStr("530827f38f93b43ed12af0b3ad25a288dc02ed74d6d7857862df51fc56c416f9")
	if err != nil {
		panic(err)
	}
	p.GenesisHash, p.Bech32HRPSegwit = hash, "rltc"
	return &p
}

// Extend mines up to the first block with an extension block, which a litecoind
// makes only of a payment into it, and returns the wallet that was paid. Its one
// litecoin is in the extension block, so what it pays to an address comes out of it.
func (n *Node) Extend(t testing.TB) RPC {
	t.Helper()
	outside, inside := n.Wallet("outside"), n.Wallet("inside")
	var from, to string
	n.Must(t, nil, "createwallet", "outside")
	n.Must(t, nil, "createwallet", "inside")
	outside.Must(t, &from, "getnewaddress", "", "bech32")
	inside.Must(t, &to, "getnewaddress", "", "mweb")
	n.Fund(t, from, 200_000_000)
	n.Mine(t, ExtensionHeight-1-n.Height(t))
	outside.Must(t, nil, "sendtoaddress", to, 1)
	n.Mine(t, 1)
	return inside
}
