package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/store"
)

// Wallet is what an operator may want to know of the wallet of a target.
type Wallet struct {
	Target      string `json:"target"`
	Network     string `json:"network"`
	TestNetwork bool   `json:"test_network"`
	Seen        bool   `json:"seen"` // whether the server has followed the chain, so that the rest is known
	Address     string `json:"address,omitempty"`
	Balance     int64  `json:"balance"` // confirmed coins, in Unit
	Unit        string `json:"unit"`    // satoshi or litoshi
	Height      int64  `json:"height"`
	FeesDay     int64  `json:"fees_day"` // spent and reserved in the last 24 hours
	FeesWeek    int64  `json:"fees_week"`
	// Seeds is there where the target carries seeds.
	Seeds       *WalletSeeds `json:"seeds,omitempty"`
	Descriptors []string     `json:"descriptors,omitempty"` // of the own wallet; public
}

// WalletSeeds is what seeds cost, of all fees, and how many wait.
type WalletSeeds struct {
	Waiting  int    `json:"waiting"` // made, and in no block
	FeesDay  int64  `json:"fees_day"`
	FeesWeek int64  `json:"fees_week"`
	Message  string `json:"message,omitempty"` // what keeps them from going out
}

// ShowWallets reads the key of each target's wallet, or of the named one's, and what the server last wrote down about
// it. It may be called while the server runs, and asks no node.
func ShowWallets(ctx context.Context, c Config, name string) ([]Wallet, error) {
	if err := c.CheckStore(); err != nil {
		return nil, err
	}
	var wallets []Wallet
	for _, coin := range c.coins() {
		if name != "" && name != coin.name {
			continue
		}
		w := Wallet{Target: coin.name, Network: coin.config.Network, TestNetwork: coin.config.Network != "mainnet", Unit: cmp.Or(coin.config.Chain, bitcoin.Bitcoin).Unit()}
		if coin.config.KeyFile != "" {
			var err error
			if w.Descriptors, err = bitcoin.Descriptors(coin.config); err != nil {
				return nil, err
			}
		}
		wallets = append(wallets, w)
	}
	switch {
	case len(wallets) == 0 && name != "" && name != bitcoinName && name != litecoinName:
		return nil, fmt.Errorf("no target with a wallet has the name %q: write %s or %s", name, bitcoinName, litecoinName)
	case len(wallets) == 0:
		return nil, fmt.Errorf("no wallet is configured: add a table [%s]", cmp.Or(name, bitcoinName))
	}
	db, err := store.Open(ctx, c.DatabasePlace(), store.Options{ReadOnly: true})
	if errors.Is(err, os.ErrNotExist) {
		return wallets, nil
	} else if err != nil {
		return nil, err
	}
	defer db.Close()
	all, err := db.Targets(ctx)
	if err != nil {
		return nil, err
	}
	for i := range wallets {
		for _, t := range all {
			if w := &wallets[i]; t.Target == w.Target && t.Height >= 0 {
				w.Seen, w.Address, w.Balance, w.Height = true, t.Address, t.Balance, t.Height
				w.FeesDay, w.FeesWeek = t.FeesDay, t.FeesWeek
				if s := t.Seeds; s != nil {
					w.Seeds = &WalletSeeds{Waiting: s.Queued, FeesDay: s.FeesDay, FeesWeek: s.FeesWeek, Message: s.Message}
				}
			}
		}
	}
	return wallets, nil
}
