package server

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/testpg"
)

// TestTwoNodes: two nodes over one PostgreSQL write one log, and each knows what the other acknowledged.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	database := testpg.Shared(t).NewDatabase(t)
	var nodes []string
	for range 2 {
		s := runServer(t, Config{Database: database})
		nodes = append(nodes, "http://"+s.Addr().String())
	}
	for i := range 6 {
		commitment := submit(t, nodes[i%2], fmt.Sprintf("digest %d", i))
		if p := logtree.Entry(commitment).Position(); p.Epoch() != 0 || p.Index() != int64(i) {
			t.Errorf("digest %d has position %v", i, p)
		}
		if status, body := get(t, fmt.Sprintf("%s/timestamp/%x", nodes[1-i%2], commitment)); status != 404 || body != "Pending confirmation in Bitcoin blockchain" {
			t.Errorf("the other node says %d %q", status, body)
		}
	}
}

// TestTakeOver: of two nodes one anchors, whose wallet and status both show; when it stops, the other one goes
// on, and a check that runs meanwhile finds nothing wrong.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	dev, stopDev := runDev(t, t.TempDir())
	defer stopDev()
	key := filepath.Join(t.TempDir(), "wallet.key")
	if err := bitcoin.GenerateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	config := Config{Database: testpg.Shared(t).NewDatabase(t), Targets: "configured", Metrics: "same", Bitcoin: dev.config.Bitcoin}
	config.Bitcoin.KeyFile = key
	holder, stopHolder := startServer(t, config)
	defer stopHolder()
	uri := func(s *Server) string { return "http://" + s.Addr().String() }
	holds := func(s *Server) bool {
		_, body := get(t, uri(s)+"/metrics")
		return strings.Contains(body, "\ndatestone_lease_held{name=\"target/bitcoin\"} 1\n")
	}
	until(t, "the first node has the lease", func() bool { return holds(holder) })
	other := runServer(t, config)
	if _, page := get(t, uri(other)+"/"); !strings.Contains(page, "TEST NETWORK") {
		t.Error("the first page of the other node does not name the network")
	}

	read := Defaults()
	read.Database, read.Bitcoin, read.Data = config.Database, config.Bitcoin, other.config.Data
	var wallet Wallet
	until(t, "the wallet's address is known", func() bool {
		wallets, err := ShowWallets(t.Context(), read, "")
		if err != nil {
			t.Fatal(err)
		}
		wallet = wallets[0]
		return wallet.Address != ""
	})
	if _, err := dev.chain.Faucet(wallet.Address, fundWith); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	group.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			if status, body, err := try(uri(other), fmt.Sprint("load ", n)); status != 200 {
				t.Errorf("answered %d %q, %v", status, body, err)
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	check := func() {
		t.Helper()
		report, err := Fsck(t.Context(), read, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !report.Clean() {
			t.Errorf("while nodes run the check finds %v", report.Problems)
		}
	}
	for _, node := range []*Server{holder, other} {
		commitment := submit(t, uri(node), "first")
		for _, asked := range []*Server{holder, other} {
			verify(t, dev, complete(t, uri(asked), commitment), commitment)
		}
		check()
	}
	if holds(other) {
		t.Error("both nodes hold the lease")
	}
	if err := stopHolder(); err != nil {
		t.Fatal(err)
	}
	until(t, "the other node has the lease", func() bool { return holds(other) })
	commitment := submit(t, uri(other), "second")
	verify(t, dev, complete(t, uri(other), commitment), commitment)
	check()
}
