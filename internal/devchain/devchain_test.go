package devchain_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/devchain"
	"github.com/datestone/datestone/internal/testnode"
)

const someAddress = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"

func open(t testing.TB, dir string) *devchain.Chain {
	t.Helper()
	c, err := devchain.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func mine(t testing.TB, c *devchain.Chain, n int) []chainhash.Hash {
	t.Helper()
	hashes, err := c.Mine(n)
	if err != nil {
		t.Fatal(err)
	}
	return hashes
}

// serve gives a chain's RPC to the client that real nodes are called with.
func serve(t testing.TB, c *devchain.Chain) testnode.RPC {
	t.Helper()
	s := httptest.NewServer(c.Handler("datestone", "datestone"))
	t.Cleanup(s.Close)
	return testnode.RPC{URL: s.URL, User: "datestone", Pass: "datestone"}
}

func tip(c *devchain.Chain) string {
	hash, _ := c.Tip()
	return hash.String()
}

func height(c *devchain.Chain) int {
	_, h := c.Tip()
	return h
}

func TestFaucetPaysOnceMature(t *testing.T) {
	c := open(t, "")
	mine(t, c, 99)
	if _, err := c.Faucet(someAddress, 1000); err == nil {
		t.Fatal("an immature coinbase was spent")
	}
	mine(t, c, 2)
	txid, err := c.Faucet(someAddress, 123_456)
	if err != nil {
		t.Fatal(err)
	}
	// The change of the first payment is spent before it is confirmed.
	if _, err := c.Faucet(someAddress, 1000); err != nil {
		t.Fatal(err)
	}
	rpc := serve(t, c)
	var out struct {
		Value         json.Number
		Confirmations int
	}
	rpc.Must(t, &out, "gettxout", txid, 0)
	if out.Value != "0.00123456" || out.Confirmations != 0 {
		t.Fatalf("gettxout: %+v", out)
	}
	block := mine(t, c, 1)[0]
	var tx struct {
		BlockHash     string
		Confirmations int
	}
	rpc.Must(t, &tx, "getrawtransaction", txid, 1)
	if tx.BlockHash != block.String() || tx.Confirmations != 1 {
		t.Fatalf("getrawtransaction: %+v", tx)
	}
}

func TestReorgReturnsTransactionsToTheMempool(t *testing.T) {
	c := open(t, "")
	mine(t, c, 101)
	txid, err := c.Faucet(someAddress, 50_000)
	if err != nil {
		t.Fatal(err)
	}
	confirmed := mine(t, c, 3)[0]
	if err := c.Reorg(3); err != nil {
		t.Fatal(err)
	}
	if got := height(c); got != 105 {
		t.Fatalf("height %d after the reorganization, want 105", got)
	}
	rpc := serve(t, c)
	var pool []string
	rpc.Must(t, &pool, "getrawmempool")
	if diff := cmp.Diff([]string{txid.String()}, pool); diff != "" {
		t.Fatal(diff)
	}
	var header struct{ Confirmations int }
	rpc.Must(t, &header, "getblockheader", confirmed)
	if header.Confirmations != -1 {
		t.Fatalf("a stale block has %d confirmations", header.Confirmations)
	}
	// The old branch is one block short; with its mark gone it stays a side branch.
	if err := c.Reconsider(confirmed); err != nil {
		t.Fatal(err)
	}
	if got := height(c); got != 105 {
		t.Fatalf("the shorter branch won: height %d", got)
	}
}

func TestChainSurvivesRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "chain")
	c := open(t, dir)
	mine(t, c, 105)
	bad := mine(t, c, 5)[2]
	if err := c.Invalidate(bad); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Faucet(someAddress, 70_000); err != nil {
		t.Fatal(err)
	}
	mine(t, c, 1)
	want := tip(c)
	if _, err := devchain.Open(dir); err == nil {
		t.Fatal("two processes may write one chain")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Mine(1); !errors.Is(err, devchain.ErrClosed) {
		t.Fatalf("mining on a closed chain: %v", err)
	}

	c = open(t, dir)
	if got := tip(c); got != want {
		t.Fatalf("tip after a restart is %s, want %s", got, want)
	}
	if err := c.Reconsider(bad); err != nil {
		t.Fatal(err)
	}
	if got := height(c); got != 110 {
		t.Fatalf("height with the longer branch allowed again is %d, want 110", got)
	}
}

// A file cut at any byte opens as the chain that it held in whole records, and
// mining goes on from there.
func TestTornFile(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	mine(t, c, 1)
	whole := []int64{fileSize(t, dir)}
	tips := []string{tip(c)}
	for range 3 {
		mine(t, c, 1)
		whole, tips = append(whole, fileSize(t, dir)), append(tips, tip(c))
	}
	c.Close()
	raw, err := os.ReadFile(filepath.Join(dir, "blocks.dat"))
	if err != nil {
		t.Fatal(err)
	}
	for cut := whole[2]; cut <= whole[3]; cut++ {
		want := 0
		for whole[want] <= cut {
			if want++; want == len(whole) {
				break
			}
		}
		tails := [][]byte{nil, bytes.Repeat([]byte{0xff}, 20)}
		if cut == whole[want-1] {
			tails = append(tails, make([]byte, 64)) // room that was allocated and not written
		}
		for _, tail := range tails {
			torn := t.TempDir()
			content := append(bytes.Clone(raw[:cut]), tail...)
			if err := os.WriteFile(filepath.Join(torn, "blocks.dat"), content, 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := devchain.Open(torn)
			if err != nil {
				t.Fatalf("cut at %d with a tail of %d: %v", cut, len(tail), err)
			}
			if tip(c) != tips[want-1] {
				t.Fatalf("cut at %d: the wrong block is the tip", cut)
			}
			if cut%13 == 0 {
				mine(t, c, 1)
				c.Close()
				c = open(t, torn)
				if height(c) != want+1 {
					t.Fatalf("cut at %d: height %d after mining on, want %d", cut, height(c), want+1)
				}
			}
			c.Close()
		}
	}
	// Damage before the end is no torn write.
	damaged := bytes.Clone(raw)
	damaged[whole[1]-10] ^= 1
	torn := t.TempDir()
	if err := os.WriteFile(filepath.Join(torn, "blocks.dat"), damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := devchain.Open(torn); err == nil {
		c.Close()
		t.Fatal("a file damaged in its middle was cut without a word")
	}
}

func fileSize(t testing.TB, dir string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, "blocks.dat"))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestRunMines(t *testing.T) {
	c := open(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx, time.Millisecond) }()
	testnode.Eventually(t, 20*time.Second, "three blocks come by themselves", func() bool { return height(c) >= 3 })
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestInterceptedCalls(t *testing.T) {
	c := open(t, "")
	rpc := serve(t, c)
	c.Intercept(func(method string) error {
		if method == "getblockcount" {
			return &devchain.Error{Code: -28, Message: "Loading block index…"}
		}
		return errors.New("down")
	})
	if err := rpc.Call(nil, "getblockcount"); testnode.ErrorCode(err) != -28 {
		t.Fatalf("warming up: %v", err)
	}
	if err := rpc.Call(nil, "getbestblockhash"); err == nil || testnode.ErrorCode(err) != 0 {
		t.Fatalf("down: %v, want a broken connection", err)
	}
	c.Intercept(nil)
	rpc.Must(t, nil, "getblockcount")
}
