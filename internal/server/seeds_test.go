package server

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/internal/testseed"
)

// What waits of seeds, and what they cost, is in the metrics, on the status page and in the wallet.
func TestSeedsAreShown(t *testing.T) {
	s := runServer(t, Config{Metrics: "same"})
	ref := strings.Repeat("5e", 32)
	err := s.db.SaveStatus(t.Context(), time.Now(), anchor.Status{
		Target: bitcoinName, Network: "regtest", Code: anchor.DayCap, Message: "Seeds wait: Because.", Height: 7, Confirmations: 6, FeesDay: 5000, FeesWeek: 6000,
		Seeds: &anchor.Seeded{Queued: 3, Oldest: 9, Waiting: []anchor.Waiting{{Ref: ref, Height: 6, Confirmations: 2}}, FeesDay: 1234, FeesWeek: 2345, Code: anchor.DayCap, Message: "Because."},
	})
	if err != nil {
		t.Fatal(err)
	}
	uri := "http://" + s.Addr().String()
	_, text := get(t, uri+"/metrics")
	for _, want := range []string{"seeds_waiting{target=\"bitcoin\"} 3", "seeds_fees_day_satoshi{target=\"bitcoin\"} 1234", "seeds_fees_week_satoshi{target=\"bitcoin\"} 2345", "seeds_state{state=\"day_cap\",target=\"bitcoin\"} 1", "fees_day_satoshi{target=\"bitcoin\"} 5000"} {
		if !strings.Contains(text, "\ndatestone_target_"+want+"\n") {
			t.Errorf("no %s in the metrics", want)
		}
	}
	_, page := get(t, uri+"/")
	for _, want := range []string{"Seeds wait: Because.", "<dt>Seeds that wait</dt><dd>3</dd>", "1,234 sat", "2,345 sat", ref, "2 of 6 confirmations"} {
		if !strings.Contains(page, want) {
			t.Errorf("the status page does not say %q", want)
		}
	}
	read := Defaults()
	read.Data = s.config.Data
	read.Bitcoin = bitcoin.Config{Network: "regtest", KeyFile: filepath.Join(t.TempDir(), "key")}
	if err := bitcoin.GenerateKeyFile(read.Bitcoin.KeyFile); err != nil {
		t.Fatal(err)
	}
	wallets, err := ShowWallets(t.Context(), read, "")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&WalletSeeds{Waiting: 3, FeesDay: 1234, FeesWeek: 2345, Message: "Because."}, wallets[0].Seeds); d != "" || wallets[0].FeesDay != 5000 {
		t.Errorf("the wallet's seeds (-want +got):\n%s", d)
	}
}

// A seed goes out beside the log, paid by a coin that the log has not taken, and becomes final.
func TestSeedsGoOut(t *testing.T) {
	t.Parallel()
	dev, stop := runDev(t, t.TempDir())
	defer stop()
	status := func() anchor.Status {
		all, err := dev.db.Targets(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		return all[0]
	}
	until(t, "the wallet is funded", func() bool { return status().Balance > 0 })
	if _, err := dev.chain.Faucet(status().Address, fundWith); err != nil {
		t.Fatal(err)
	}
	until(t, "it is funded twice", func() bool { return status().Balance > fundWith })
	made := testseed.Make(t, dev.db, time.Now(), bitcoinName, 5)
	var state seed.State
	until(t, "the seed is final", func() bool {
		var err error
		if state, err = dev.db.SeedState(t.Context(), made.UID); err != nil {
			t.Fatal(err)
		}
		return state.Status == seed.Final
	})
	if a := state.Attestation; a.Head != made.Head() || a.Ref != state.Ref || a.Depth() < 6 {
		t.Errorf("the seed's attestation is %+v", a)
	}
	until(t, "nothing waits", func() bool { s := status().Seeds; return s == nil || s.Queued == 0 && len(s.Waiting) == 0 })
}
