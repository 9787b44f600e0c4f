package headers_test

import (
	"errors"
	"net/url"
	"testing"

	"github.com/datestone/datestone/internal/testnode"
	"github.com/datestone/datestone/ots/headers"
)

// The real nodes: both dialects, and bitcoind's cookie.
func TestRealNodes(t *testing.T) {
	for name, start := range map[string]func(*testing.T) *testnode.Node{
		"bitcoind":  func(t *testing.T) *testnode.Node { return testnode.Bitcoind(t) },
		"btcd":      func(t *testing.T) *testnode.Node { return testnode.Btcd(t) },
		"litecoind": func(t *testing.T) *testnode.Node { return testnode.Litecoind(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := start(t)
			n.Mine(t, 3)
			regtest, mainnet := headers.Regtest, headers.Mainnet
			if n.Kind == testnode.KindLitecoind {
				regtest, mainnet = headers.LitecoinRegtest, headers.LitecoinMainnet
			}
			u, err := url.Parse(n.URL)
			if err != nil {
				t.Fatal(err)
			}
			u.User = url.UserPassword(n.User, n.Pass)
			s := node(t, regtest, headers.NodeConfig{URL: u.String()})
			tip, err := s.Tip(t.Context())
			if err != nil || tip != 3 {
				t.Fatalf("tip %d, %v", tip, err)
			}
			prev, err := s.Header(t.Context(), 2)
			if err != nil {
				t.Fatal(err)
			}
			last, err := s.Header(t.Context(), 3)
			if err != nil {
				t.Fatal(err)
			}
			if last.Prev != prev.Hash() || headers.HashString(last.Hash()) != n.Tip(t) {
				t.Errorf("block 3 is %s after %s, the node's tip is %s", headers.HashString(last.Hash()), headers.HashString(last.Prev), n.Tip(t))
			}
			if _, err := s.Header(t.Context(), 4); !errors.Is(err, headers.ErrNoBlock) {
				t.Errorf("block 4: %v", err)
			}
			if _, err := node(t, mainnet, headers.NodeConfig{URL: u.String()}).Header(t.Context(), 3); !errors.Is(err, headers.ErrWrongNetwork) {
				t.Errorf("taken for mainnet: %v", err)
			}
			if n.Kind != testnode.KindBtcd {
				if tip, err := node(t, regtest, headers.NodeConfig{URL: n.URL, Cookie: n.Cookie()}).Tip(t.Context()); err != nil || tip != 3 {
					t.Errorf("with the cookie: tip %d, %v", tip, err)
				}
			}
			u.User = url.UserPassword(n.User, "wrong")
			if _, err := node(t, regtest, headers.NodeConfig{URL: u.String()}).Tip(t.Context()); !errors.Is(err, headers.ErrUnreachable) {
				t.Errorf("with a wrong password: %v", err)
			}
		})
	}
}
