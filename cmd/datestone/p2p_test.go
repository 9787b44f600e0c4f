package main

import (
	"bytes"
	"net"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/datestone/datestone/ots/headers"
	"github.com/datestone/datestone/ots/headers/headerstest"
	"github.com/datestone/datestone/ots/headers/p2p/p2ptest"
)

// Through a proxy the names of peers go as they are, and nothing goes elsewhere.
func TestPeersThroughSocksProxy(t *testing.T) {
	chain := headerstest.New()
	chain.Mine([32]byte{1})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	node := p2ptest.New(&chaincfg.RegressionNetParams, chain.File())
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go node.Serve(c)
		}
	}()
	names := make(chan string, 10)
	var out, stderr bytes.Buffer
	a := &app{cli: &cli{}, stdout: &out, stderr: &stderr, socks5: socks(t, l.Addr().String(), names)}
	a.Peer, a.NoCache = []string{"peer.invalid"}, true
	source, err := a.p2p(headers.Regtest)
	if err != nil {
		t.Fatal(err)
	}
	if tip, err := source.Tip(t.Context()); err != nil || tip != 1 {
		t.Fatalf("tip %d, %v", tip, err)
	}
	if name := <-names; name != "peer.invalid" {
		t.Errorf("the proxy was asked for %q", name)
	}
	if asked, _ := node.Counts(); asked == 0 {
		t.Error("the node was not asked")
	}
}
