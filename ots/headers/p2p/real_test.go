package p2p_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/testnode"
	"github.com/datestone/datestone/ots/headers"
	"github.com/datestone/datestone/ots/headers/p2p"
)

func source(t *testing.T, dir string, net *headers.Network, nodes ...*testnode.Node) *p2p.Source {
	t.Helper()
	cfg := p2p.Config{Network: net, Dir: dir, Log: func(line string) { t.Log(line) }, Timeout: time.Minute}
	for _, n := range nodes {
		cfg.Peers = append(cfg.Peers, n.P2P)
	}
	s, err := p2p.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func atTip(t *testing.T, s *p2p.Source, n *testnode.Node) {
	t.Helper()
	height := uint64(n.Height(t))
	if tip, err := s.Tip(t.Context()); err != nil || tip != height {
		t.Fatalf("tip %d, %v; the node's is %d", tip, err, height)
	}
	h, err := s.Header(t.Context(), height)
	if err != nil || headers.HashString(h.Hash()) != n.Tip(t) {
		t.Fatalf("block %d is %s, %v; the node's is %s", height, headers.HashString(h.Hash()), err, n.Tip(t))
	}
}

// A bitcoind and a btcd, each alone and both together, with reorganizations and what is kept.
func TestRealNodes(t *testing.T) {
	t.Parallel()
	core, btcd := testnode.Bitcoind(t), testnode.Btcd(t)
	core.Mine(t, 2010)
	btcd.Mine(t, 40)
	for _, n := range []*testnode.Node{core, btcd} {
		t.Run(n.Kind.String(), func(t *testing.T) {
			dir := t.TempDir()
			atTip(t, source(t, dir, headers.Regtest, n), n)

			// On from what was kept.
			n.Mine(t, 3)
			s := source(t, dir, headers.Regtest, n)
			atTip(t, s, n)
			if st := s.State(); st.Peers != 1 || st.TipHash != n.Tip(t) {
				t.Errorf("%+v", st)
			}

			// A branch that replaces more blocks than are asked for again.
			var hash string
			n.Must(t, &hash, "getblockhash", n.Height(t)-20)
			n.Invalidate(t, hash)
			n.Mine(t, 25)
			atTip(t, source(t, dir, headers.Regtest, n), n)

			if _, err := source(t, dir, headers.Mainnet, n).Tip(t.Context()); !errors.Is(err, headers.ErrUnreachable) && !errors.Is(err, headers.ErrWrongNetwork) {
				t.Errorf("taken for mainnet: %v", err)
			}
		})
	}
	// Each on a chain of its own: the one with the most work alone is not believed.
	if tip, err := source(t, "", headers.Regtest, btcd, core).Tip(t.Context()); !errors.Is(err, headers.ErrUnreachable) || !strings.Contains(err.Error(), "1 of the 2") {
		t.Errorf("nodes that disagree: %d, %v", tip, err)
	}
	core.Connect(t, btcd)
	core.Synced(t, btcd)
	s := source(t, "", headers.Regtest, btcd, core)
	atTip(t, s, core)
	if st := s.State(); st.Agreeing != 2 || !strings.Contains(s.String(), "2 of 2") {
		t.Errorf("%+v", st)
	}
}
