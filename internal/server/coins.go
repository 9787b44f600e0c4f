package server

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/fsck"
	"github.com/datestone/datestone/internal/store"
)

// litecoinName is the name of the Litecoin target, as bitcoinName is Bitcoin's.
const litecoinName = "litecoin"

func (c Config) hasLitecoin() bool { return c.Litecoin != (bitcoin.Config{}) }

// coin is a configured target that package bitcoin makes.
type coin struct {
	name   string
	config bitcoin.Config
}

// coins are the configured targets of package bitcoin, each with a chain, a wallet and limits of its own.
func (c Config) coins() []coin {
	var all []coin
	if c.hasBitcoin() {
		all = append(all, coin{bitcoinName, c.Bitcoin})
	}
	if c.hasLitecoin() {
		c.Litecoin.Chain = bitcoin.Litecoin
		all = append(all, coin{litecoinName, c.Litecoin})
	}
	return all
}

// testNetwork says whether a target is on a network without value.
func (c Config) testNetwork() bool {
	for _, coin := range c.coins() {
		if coin.config.Network != "mainnet" {
			return true
		}
	}
	return c.hasUpstream() && c.Upstream.TestNetwork()
}

// checkCoins refuses targets of which only one has value: pages and proofs would be marked as those of a test network,
// and would not be.
func (c Config) checkCoins() error {
	if c.hasBitcoin() && c.hasLitecoin() && (c.Bitcoin.Network == "mainnet") != (c.Litecoin.Network == "mainnet") {
		return fmt.Errorf("bitcoin is on %q and litecoin on %q: write mainnet for both or for none; a service of its own tries out a test network", c.Bitcoin.Network, c.Litecoin.Network)
	}
	return nil
}

func (k coin) builder(c Config, log *slog.Logger) builder {
	return func(db *store.DB) (loop, error) {
		target, err := bitcoin.New(k.name, k.config, db, log)
		if err != nil {
			return nil, err
		}
		target.Keep(promises(db, k.name, c.Plans))
		o := anchor.Options{Log: log, Lost: isLost}
		if k.name == bitcoinName {
			o.Seeds = db
			if c.OriginStamp.Enabled {
				target.CarrySeeds()
			}
		}
		return bitcoinLoop{anchor.New(k.name, target, db, o), target}, nil
	}
}

// auditCoins adds the chains of the configured nodes. What it returns gives their connections back.
func (c Config) auditCoins(ctx context.Context, chains map[string]fsck.Chain) (func(), error) {
	var audits []*bitcoin.Audit
	done := func() {
		for _, a := range audits {
			a.Close()
		}
	}
	for _, coin := range c.coins() {
		audit, err := bitcoin.NewAudit(coin.config)
		if err == nil {
			audits = append(audits, audit)
			_, err = audit.Tip(ctx)
		}
		if err != nil {
			done()
			return nil, fmt.Errorf("target %s: %w; check without nodes: datestoned fsck --offline", coin.name, err)
		}
		chains[coin.name] = audit
	}
	return done, nil
}

// markRemoved writes down which targets of the database are configured no more: nobody follows their chains until
// they are configured again. What they attest to stays in proofs.
func markRemoved(ctx context.Context, db *store.DB, targets map[string]loop, now time.Time) error {
	all, err := db.Targets(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		if _, configured := targets[s.Target]; configured || s.Code == anchor.Removed {
			continue
		}
		s.Code, s.Updated = anchor.Removed, now
		s.Message = "This target is not configured any more: nothing new is attested by it, and what it attests to stays in proofs."
		if err := db.SaveStatus(ctx, now, s); err != nil {
			return err
		}
	}
	return nil
}
