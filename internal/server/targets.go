package server

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/store"
)

// bitcoinName is the name of the Bitcoin target, in the store and wherever people see it.
const bitcoinName = "bitcoin"

func (c Config) hasBitcoin() bool { return c.Bitcoin != (bitcoin.Config{}) }

// targets are the loops of the configured targets, by name. They start nothing and ask nobody.
func targets(c Config, db *store.DB, log *slog.Logger) (map[string]loop, error) {
	all := make(map[string]loop)
	if c.hasBitcoin() {
		target, err := bitcoin.New(bitcoinName, c.Bitcoin, db, log)
		if err != nil {
			return nil, err
		}
		all[bitcoinName] = anchor.New(bitcoinName, target, db, anchor.Options{Log: log})
	}
	return all, nil
}

// checkTargets refuses a server that would anchor nothing unless that is what was asked for.
func (c Config) checkTargets() error {
	switch {
	case c.Targets != "configured" && c.Targets != "none":
		return fmt.Errorf(`targets is %q: write "configured" or "none"`, c.Targets)
	case c.Targets == "none" && c.hasBitcoin():
		return errors.New(`targets is "none" and there is a table [bitcoin]: remove one of them`)
	case c.Targets == "configured" && !c.hasBitcoin():
		return errors.New(`no target is configured, so no proof would ever be complete: add a table [bitcoin] with network = "mainnet" and how to reach the node, or write targets = "none"`)
	}
	_, err := targets(c, nil, slog.New(slog.DiscardHandler))
	return err
}
