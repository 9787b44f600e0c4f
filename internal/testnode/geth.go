package testnode

import (
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Geth starts a geth of chain 1337 that mines a block each second, and gives an address coins. Building geth takes minutes, so
// script/setup does not: the test is skipped where script/build-geth was not run.
func Geth(t testing.TB, to string, args ...string) *Ethereum {
	t.Helper()
	program := filepath.Join(tools(t), "bin", "geth")
	if _, err := os.Stat(program); err != nil {
		t.Skip("there is no geth: script/build-geth builds it, in some minutes")
	}
	n := &Ethereum{dir: t.TempDir()}
	n.Version = "2.0"
	for range 4 {
		port := FreePort(t)
		n.URL = "http://" + local(port)
		all := append([]string{"--dev", "--dev.period", "1", "--datadir", filepath.Join(n.dir, "data"), "--http", "--http.addr", "127.0.0.1",
			"--http.port", fmt.Sprint(port), "--http.api", "eth,net,web3,debug", "--ipcdisable", "--nodiscover", "--port", "0", "--authrpc.port", fmt.Sprint(FreePort(t))}, args...)
		n.proc = StartProcess(t, filepath.Join(n.dir, "output.log"), exec.Command(program, all...))
		up, err := n.proc.ready(60*time.Second, func() error { return n.Call(nil, "eth_chainId") })
		if err != nil {
			t.Fatalf("geth: %v\n%s", err, n.proc.Tail())
		}
		if up {
			var rich []string
			n.Must(t, &rich, "eth_accounts")
			n.Must(t, nil, "eth_sendTransaction", map[string]string{"from": rich[0], "to": to, "value": "0xde0b6b3a7640000"})
			Eventually(t, time.Minute, "the address has coins", func() bool {
				var balance string
				n.Must(t, &balance, "eth_getBalance", to, "latest")
				b, ok := new(big.Int).SetString(balance, 0)
				return ok && b.Sign() > 0
			})
			return n
		}
	}
	t.Fatalf("geth does not start:\n%s", n.proc.Tail())
	return nil
}

// Height is that of the newest block.
func (n *Ethereum) Height(t testing.TB) int64 {
	t.Helper()
	var height string
	n.Must(t, &height, "eth_blockNumber")
	b, ok := new(big.Int).SetString(height, 0)
	if !ok {
		t.Fatalf("the newest block is %q", height)
	}
	return b.Int64()
}
