package cluster

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/datestone/datestone/internal/devchain"
	"github.com/datestone/datestone/internal/testnode"
	"github.com/datestone/datestone/ots"
)

// Chain is a regtest chain in the test's process, behind the RPC of a node. The
// coins that it pays stay mature through a reorganization.
type Chain struct {
	*devchain.Chain
	rpc testnode.RPC
}

// NewChain makes a chain that ends with the test.
func NewChain(t testing.TB) *Chain {
	t.Helper()
	c, err := devchain.Open("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	server := httptest.NewServer(c.Handler("datestone", "datestone"))
	t.Cleanup(server.Close)
	if _, err := c.Mine(130); err != nil {
		t.Fatal(err)
	}
	return &Chain{c, testnode.RPC{URL: server.URL, User: "datestone", Pass: "datestone"}}
}

// Blocks mines all the time until the returned function is called.
func (c *Chain) Blocks(t testing.TB, every time.Duration) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, every) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Until mines a block each quarter of a second until ok.
func (c *Chain) Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	stop := c.Blocks(t, time.Second/4)
	defer stop()
	testnode.Eventually(t, 2*limit, what, ok)
}

// fund gives the wallet money in a confirmed coin.
func (c *Chain) fund(t testing.TB, n *Node) {
	t.Helper()
	var address string
	testnode.Eventually(t, limit, "the wallet has an address", func() bool {
		address = n.Status(t).Address
		return address != ""
	})
	if _, err := c.Faucet(address, 100_000_000); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Mine(1); err != nil {
		t.Fatal(err)
	}
}

// Anchors are the transactions in the best chain that carry data, as ours do; the
// coinbase, which commits to witnesses, is left out.
func (c *Chain) Anchors(t testing.TB) (txids []string) {
	t.Helper()
	_, tip := c.Tip()
	for height := 1; height <= tip; height++ {
		hash, err := c.Call(t.Context(), "getblockhash", fmt.Appendf(nil, "[%d]", height))
		if err != nil {
			t.Fatal(err)
		}
		block, err := c.Call(t.Context(), "getblock", fmt.Appendf(nil, "[%q,2]", hash.(chainhash.Hash).String()))
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(block)
		if err != nil {
			t.Fatal(err)
		}
		var b struct {
			Tx []struct {
				TxID string
				Vout []struct{ ScriptPubKey struct{ Type string } }
			}
		}
		if err := json.Unmarshal(text, &b); err != nil {
			t.Fatal(err)
		}
		for _, tx := range b.Tx[1:] {
			for _, out := range tx.Vout {
				if out.ScriptPubKey.Type == "nulldata" {
					txids = append(txids, tx.TxID)
				}
			}
		}
	}
	return txids
}

func (c *Chain) header(ctx context.Context, height uint64) (ots.Header, error) {
	hash, err := c.Call(ctx, "getblockhash", fmt.Appendf(nil, "[%d]", height))
	if err != nil {
		return ots.Header{}, err
	}
	text, err := c.Call(ctx, "getblockheader", fmt.Appendf(nil, "[%q,false]", hash.(chainhash.Hash).String()))
	if err != nil {
		return ots.Header{}, err
	}
	raw, err := hex.DecodeString(text.(string))
	if err != nil {
		return ots.Header{}, err
	}
	return ots.ParseHeader(raw)
}
