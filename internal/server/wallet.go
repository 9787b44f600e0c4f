package server

import (
	"context"
	"errors"
	"os"

	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/store"
)

// Wallet is what an operator may want to know of the wallet.
type Wallet struct {
	Network     string   `json:"network"`
	TestNetwork bool     `json:"test_network"`
	Seen        bool     `json:"seen"` // whether the server has followed the chain, so that the rest is known
	Address     string   `json:"address,omitempty"`
	Balance     int64    `json:"balance"` // confirmed coins, in satoshi
	Height      int64    `json:"height"`
	Descriptors []string `json:"descriptors,omitempty"` // of the own wallet; public
}

// ShowWallet reads the wallet's key and what the server last wrote down about it. It may be called
// while the server runs, and asks no node.
func ShowWallet(ctx context.Context, c Config) (Wallet, error) {
	if err := c.CheckStore(); err != nil {
		return Wallet{}, err
	}
	if !c.hasBitcoin() {
		return Wallet{}, errors.New("no wallet is configured: add a table [bitcoin]")
	}
	w := Wallet{Network: c.Bitcoin.Network, TestNetwork: c.Bitcoin.Network != "mainnet"}
	if c.Bitcoin.KeyFile != "" {
		var err error
		if w.Descriptors, err = bitcoin.Descriptors(c.Bitcoin); err != nil {
			return Wallet{}, err
		}
	}
	db, err := store.Open(ctx, c.DatabasePlace(), store.Options{ReadOnly: true})
	if errors.Is(err, os.ErrNotExist) {
		return w, nil
	} else if err != nil {
		return Wallet{}, err
	}
	defer db.Close()
	all, err := db.Targets(ctx)
	if err != nil {
		return Wallet{}, err
	}
	for _, t := range all {
		if t.Target == bitcoinName && t.Height >= 0 {
			w.Seen, w.Address, w.Balance, w.Height = true, t.Address, t.Balance, t.Height
		}
	}
	return w, nil
}
