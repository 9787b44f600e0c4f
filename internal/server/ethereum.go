package server

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/ethereum"
	"github.com/datestone/datestone/internal/fsck"
	"github.com/datestone/datestone/internal/store"
)

// ethereumPoll is the time between two looks at an Ethereum-like chain, whose blocks are seconds apart.
const ethereumPoll = 4 * time.Second

// reservedNames are those of targets that have tables of their own.
var reservedNames = []string{bitcoinName, litecoinName, upstreamName, publicationName}

func ethereumBuilder(chain ethereum.Config, log *slog.Logger) builder {
	return func(db *store.DB) (loop, error) {
		target, err := ethereum.New(chain, db, log)
		if err != nil {
			return nil, err
		}
		o := anchor.Options{Poll: ethereumPoll, Log: log, Lost: isLost}
		if chain.Currency != 0 {
			o.Seeds = db
		}
		return ethereumLoop{anchor.New(chain.Name, target, db, o), target}, nil
	}
}

// ethereumLoop gives the node its connections back when it ends.
type ethereumLoop struct {
	*anchor.Loop
	target *ethereum.Target
}

func (l ethereumLoop) Run(ctx context.Context) error {
	defer l.target.Close()
	return l.Loop.Run(ctx)
}

// checkEthereum refuses chains that cannot be told apart. Each is also checked by itself.
func (c Config) checkEthereum() error {
	names, currencies, keys := map[string]bool{}, map[int]string{}, map[string]string{}
	for _, chain := range c.Ethereum {
		name := chain.Name
		switch {
		case slices.Contains(reservedNames, name):
			return fmt.Errorf("a table [[ethereum]] has the name %q, which is that of another target: write another", name)
		case names[name]:
			return fmt.Errorf("two tables [[ethereum]] have the name %q: write another in one of them", name)
		}
		names[name] = true
		if other, used := currencies[chain.Currency]; used && chain.Currency != 0 {
			return fmt.Errorf("the chains %s and %s have the same currency %d: leave it out in one of them", other, name, chain.Currency)
		}
		currencies[chain.Currency] = name
		// Nonces are counted for each chain, so chains may share a key, and targets on one chain may not.
		key := fmt.Sprintf("%d %s", chain.ChainID, chain.KeyFile)
		if other, used := keys[key]; used {
			return fmt.Errorf("%s and %s are on one chain with one key_file: make another key for one of them", other, name)
		}
		keys[key] = name
	}
	return nil
}

// auditEthereum adds the chains that the configured nodes see. What it returns closes them, also after an error.
func (c Config) auditEthereum(ctx context.Context, chains map[string]fsck.Chain) (closeAll func(), err error) {
	var audits []*ethereum.Audit
	closeAll = func() {
		for _, a := range audits {
			a.Close()
		}
	}
	for _, chain := range c.Ethereum {
		audit, err := ethereum.NewAudit(chain)
		if err != nil {
			return closeAll, fmt.Errorf("%s: %w", chain.Name, err)
		}
		audits = append(audits, audit)
		if _, err := audit.Tip(ctx); err != nil {
			return closeAll, fmt.Errorf("%s: %w; check without it: datestoned fsck --offline", chain.Name, err)
		}
		chains[chain.Name] = audit
	}
	return closeAll, nil
}

// callbackTypes are the authenticated calendar's names of chains, by target.
func (c Config) callbackTypes() map[string]string {
	types := map[string]string{bitcoinName: "BTC", litecoinName: "LTC"}
	for _, chain := range c.Ethereum {
		types[chain.Name] = "ETH"
	}
	return types
}
