package server

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/compat/originstamp"
	"github.com/datestone/datestone/internal/compat/originstamp/delivery"
	"github.com/datestone/datestone/internal/compat/originstamp/pages"
	"github.com/datestone/datestone/internal/compat/originstamp/proof"
	"github.com/datestone/datestone/internal/mail"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/publish"
	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/internal/store"
)

// OriginStamp are the settings of the API of OriginStamp, versions 3 and 4, for its clients. Its currencies are the
// targets [bitcoin] (0), each [[ethereum]] with a currency, and [publication] (100); each carries the root of what was
// submitted in a period by itself, beside the roots of the log.
type OriginStamp struct {
	// Enabled says whether /v3 and /v4 are served. A transaction is then sent for each period of Bitcoin and of a
	// chain in which a hash was submitted.
	Enabled bool `toml:"enabled"`
	// BitcoinPeriod and EthereumPeriod are how long hashes are collected for one transaction, from 1s on; one of 24h
	// begins at 00:00 UTC. The publication's is the time between its notices, and ends an hour before each.
	BitcoinPeriod  bitcoin.Duration `toml:"bitcoin_period"`
	EthereumPeriod bitcoin.Duration `toml:"ethereum_period"`
	// Comments says whether everybody may search comments and read them on pages. Clients with a key read that of a
	// hash in every case.
	Comments bool `toml:"comments"`
	// WebhookSecret signs what webhooks are sent: X-Signature is then the HMAC-SHA256 of the body, in hexadecimal. It is
	// the same for all who are sent one. OriginStamp signed none.
	WebhookSecret string `toml:"webhook_secret"`
}

func defaultOriginStamp() OriginStamp {
	const day = bitcoin.Duration(24 * time.Hour)
	return OriginStamp{BitcoinPeriod: day, EthereumPeriod: day, Comments: true}
}

const (
	minPeriod = time.Second
	maxPeriod = 366 * 24 * time.Hour
	// printedBefore is how long before a notice the publication's period ends.
	printedBefore = time.Hour
)

// currencyNames are the names that clients know.
var currencyNames = map[int]string{0: "BITCOIN", 1: "ETHEREUM", 2: "AION"}

// currencies are the targets that carry seeds, or none when the interface is not served.
func (c Config) currencies() ([]seed.Currency, error) {
	if !c.OriginStamp.Enabled {
		return nil, nil
	}
	var all []seed.Currency
	if c.hasBitcoin() {
		all = append(all, seed.Currency{ID: 0, Name: currencyNames[0], Target: bitcoinName, Period: time.Duration(c.OriginStamp.BitcoinPeriod)})
	}
	for _, chain := range c.Ethereum {
		if chain.Currency == 0 {
			continue
		}
		name, known := currencyNames[chain.Currency]
		if !known {
			name = strings.ToUpper(chain.Name)
		}
		all = append(all, seed.Currency{ID: chain.Currency, Name: name, Target: chain.Name, Period: time.Duration(c.OriginStamp.EthereumPeriod)})
	}
	if c.Publication.Configured() {
		printed, err := publish.ParsePeriod(c.Publication.Period, c.Publication.TimeZone)
		if err != nil {
			return nil, err
		}
		// Summer time moves the notice by an hour, and a period stays as long as it is.
		next := printed.Next(time.Now())
		period := printed.Next(next).Sub(next).Round(24 * time.Hour)
		closes := next.Add(-printedBefore).Sub(time.Unix(0, 0))
		all = append(all, seed.Currency{
			ID: originstamp.Newspaper, Name: strings.ToUpper(c.Publication.Name), Target: publicationName, Period: period, Offset: closes % period,
		})
	}
	return all, nil
}

// checkOriginStamp refuses currencies that no target can carry, and those that cannot be told apart.
func (c Config) checkOriginStamp() error {
	o := c.OriginStamp
	for key, period := range map[string]bitcoin.Duration{"bitcoin_period": o.BitcoinPeriod, "ethereum_period": o.EthereumPeriod} {
		if p := time.Duration(period); p < minPeriod || p > maxPeriod {
			return fmt.Errorf("originstamp.%s is %v: write a time from %v on, for example 24h", key, p, minPeriod)
		}
	}
	if !o.Enabled {
		return nil
	}
	for _, chain := range c.Ethereum {
		if chain.Currency == originstamp.Newspaper && c.Publication.Configured() {
			return fmt.Errorf("the chain %s has the currency %d, which is the publication's: write another, or 0 for none", chain.Name, chain.Currency)
		}
	}
	all, err := c.currencies()
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errors.New("originstamp.enabled is true and no target can carry its roots as they are, which other calendars and Litecoin cannot: add a table [bitcoin], one [[ethereum]] with a currency, or [publication]")
	}
	return nil
}

// newSeeds makes the loop that closes seeds, also where no more are opened. Over a store that other nodes have open as
// well it runs on one node at a time.
func newSeeds(db *store.DB, held *prometheus.GaugeVec, log *slog.Logger) loop {
	build := func(db *store.DB) (loop, error) { return seed.New(db, seed.Options{Log: log, Lost: isLost}), nil }
	if !db.Shared() {
		l, _ := build(db)
		return l
	}
	const lease = "seeds"
	return newSingle(lease, nodeName(), db, build, held.WithLabelValues(lease), log)
}

// addSeedSenders adds what tells of seeds. Without the interface what was awaited before stays due.
func (s *Server) addSeedSenders(senders map[string]notify.Sender, post *mail.Client) error {
	currencies, err := s.config.currencies()
	if err != nil || len(currencies) == 0 {
		return err
	}
	senders[notify.SeedHook] = &delivery.Hook{
		Store: s.db, Client: s.notices.client, Secret: s.config.OriginStamp.WebhookSecret,
		Payload: func(sub seed.Submitted, final []seed.State) ([]byte, error) {
			return originstamp.JSON(originstamp.Payload(sub, final, currencies))
		},
	}
	if post != nil {
		senders[notify.SeedMail] = &delivery.Letter{Store: s.db, Mail: post, Currencies: currencies, Service: s.config.URI, Proof: s.stamps.OTS}
	}
	return nil
}

// openOriginStamp makes the interface, or nil where it is not served.
func (s *Server) openOriginStamp(numbers *metrics) (*originstamp.Server, error) {
	currencies, err := s.config.currencies()
	if err != nil || len(currencies) == 0 {
		return nil, err
	}
	if s.notices.secrets == nil {
		return nil, errors.New("originstamp.enabled is true and there is no key for secrets, which links to proofs need: make one with openssl rand -base64 32, mode 0600, give every node the same and name it in secret_key_file")
	}
	trusted, err := proxies(s.config.TrustedProxies)
	if err != nil {
		return nil, err
	}
	return originstamp.New(originstamp.Config{
		URI: s.config.URI, Currencies: currencies, Plans: s.config.Plans, KeyPrefix: s.config.KeyPrefix, TrustedProxies: trusted,
		CreatesPerAddress: s.config.CreatesPerAddress, LinkKey: s.notices.secrets.Derive("links to OriginStamp proofs"),
		Store: s.db, Keeper: s.keeper, Proofs: s.calendar, Caller: s.notices.client, CheckMail: s.config.checkMail(),
		Log: s.log, Observe: numbers.answered("originstamp"),
	})
}

// openSubmitted makes the pages of what was submitted, for the interface that is served.
func (s *Server) openSubmitted(numbers *metrics) (*pages.Server, error) {
	currencies, err := s.config.currencies()
	if err != nil {
		return nil, err
	}
	trusted, err := proxies(s.config.TrustedProxies)
	if err != nil {
		return nil, err
	}
	return pages.New(pages.Config{
		URI: s.config.URI, TrustedProxies: trusted, Store: s.db, Currencies: currencies, Comments: s.config.OriginStamp.Comments,
		Documents: proof.NewMaker(s.db, strings.TrimRight(s.config.URI, "/"), s.stamps.OTS), OTS: s.stamps.OTS,
		Log: s.log, Observe: numbers.answered("submitted"),
	})
}
