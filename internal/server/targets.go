package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/store"
)

// bitcoinName is the name of the Bitcoin target, in the store and wherever people see it.
const bitcoinName = "bitcoin"

func (c Config) hasBitcoin() bool { return c.Bitcoin != (bitcoin.Config{}) }

// builder makes a loop over a store. It starts nothing and asks nobody.
type builder func(*store.DB) (loop, error)

// builders make the loops of the configured targets, by name.
func (c Config) builders(log *slog.Logger) map[string]builder {
	all := make(map[string]builder)
	for _, coin := range c.coins() {
		all[coin.name] = coin.builder(c, log)
	}
	if c.Publication.Configured() {
		all[publicationName] = c.publicationBuilder(log)
	}
	if c.hasUpstream() {
		all[upstreamName] = c.upstreamBuilder(log)
	}
	return all
}

func isLost(err error) bool { return errors.Is(err, store.ErrLeaseLost) }

// bitcoinLoop gives the node its connections back when it ends.
type bitcoinLoop struct {
	*anchor.Loop
	target *bitcoin.Target
}

func (l bitcoinLoop) Run(ctx context.Context) error {
	defer l.target.Close()
	return l.Loop.Run(ctx)
}

// loops are the loops of the configured targets over an open store, by name: those of a store that other nodes
// have open as well run on one node at a time.
func (c Config) loops(db *store.DB, held *prometheus.GaugeVec, log *slog.Logger) (map[string]loop, error) {
	all := make(map[string]loop)
	holder := nodeName()
	for name, build := range c.builders(log) {
		l, err := build(db)
		if err != nil {
			return nil, err
		}
		if db.Shared() {
			lease := "target/" + name
			l = newSingle(lease, holder, db, build, held.WithLabelValues(lease), log)
		}
		all[name] = l
	}
	return all, nil
}

// checkTargets refuses targets that contradict each other or cannot work.
func (c Config) checkTargets() error {
	switch {
	case c.Targets != "configured" && c.Targets != "none":
		return fmt.Errorf(`targets is %q: write "configured" or "none"`, c.Targets)
	case c.Targets == "none" && c.hasBitcoin():
		return errors.New(`targets is "none" and there is a table [bitcoin]: remove one of them`)
	case c.Targets == "none" && c.hasLitecoin():
		return errors.New(`targets is "none" and there is a table [litecoin]: remove one of them`)
	case c.Targets == "none" && c.Upstream.Given():
		return errors.New(`targets is "none" and there is a table [upstream]: remove one of them`)
	}
	for _, build := range c.builders(slog.New(slog.DiscardHandler)) {
		if _, err := build(nil); err != nil {
			return err
		}
	}
	return nil
}
