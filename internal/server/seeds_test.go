package server

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin"
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
