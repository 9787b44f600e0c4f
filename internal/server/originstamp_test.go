package server

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/ethereum"
	"github.com/datestone/datestone/internal/seed"
)

// A currency is a target that can carry a root as it is; without one there is no such interface.
func TestCheckOriginStamp(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := bitcoin.GenerateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	withBitcoin := func(c *Config) {
		c.Bitcoin = bitcoin.Config{Network: "regtest", KeyFile: key, RPCUser: "u", RPCPassword: "p"}
	}
	withPublication := func(c *Config) {
		c.Publication.Name, c.Publication.Folder = "Südkurier", t.TempDir()
	}
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string // in the error; empty is none
	}{
		{"Bitcoin", withBitcoin, ""},
		{"a publication", withPublication, ""},
		{"other calendars alone", func(*Config) {}, "no target can carry its roots as they are, which other calendars and Litecoin cannot: add a table [bitcoin]"},
		{"Litecoin alone", func(c *Config) { withBitcoin(c); c.Litecoin, c.Bitcoin = c.Bitcoin, bitcoin.Config{} }, "no target can carry"},
		{"no targets", func(c *Config) { c.Targets = "none" }, "no target can carry"},
		{"no target, and not served", func(c *Config) { c.OriginStamp.Enabled = false }, ""},
		{"a chain without a currency", func(c *Config) { c.Ethereum = []ethereum.Config{{Name: "main"}} }, "one [[ethereum]] with a currency"},
		{"a short period", func(c *Config) { withBitcoin(c); c.OriginStamp.BitcoinPeriod = 0 }, "originstamp.bitcoin_period is 0s: write a time from 1s on, for example 24h"},
		{"a long period", func(c *Config) {
			withBitcoin(c)
			c.OriginStamp.EthereumPeriod = bitcoin.Duration(10_000 * time.Hour)
		}, "originstamp.ethereum_period is 10000h0m0s"},
		{"a period where it is not served", func(c *Config) { c.OriginStamp.Enabled, c.OriginStamp.BitcoinPeriod = false, -1 }, "originstamp.bitcoin_period"},
		{"two with one number", func(c *Config) {
			withPublication(c)
			c.Ethereum = []ethereum.Config{{Name: "main", Currency: 100}}
		}, "the chain main has the currency 100, which is the publication's"},
	} {
		config := sound(t)
		config.Targets, config.OriginStamp.Enabled = "configured", true
		c.change(&config)
		err := config.checkOriginStamp()
		if err == nil {
			err = config.Check()
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestCurrencies(t *testing.T) {
	config := sound(t)
	config.OriginStamp.Enabled = true
	config.OriginStamp.EthereumPeriod = bitcoin.Duration(time.Hour)
	config.Bitcoin.Network = "regtest"
	config.Ethereum = []ethereum.Config{{Name: "gnosis", Currency: 7}, {Name: "silent"}, {Name: "main", Currency: 1}}
	config.Publication.Name, config.Publication.Folder, config.Publication.Period = "Südkurier", "/x", "weekly monday 09:00"
	all, err := config.currencies()
	if err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	// The first day of 1970 was a Thursday.
	if d := cmp.Diff([]seed.Currency{
		{ID: 0, Name: "BITCOIN", Target: "bitcoin", Period: day},
		{ID: 7, Name: "GNOSIS", Target: "gnosis", Period: time.Hour},
		{ID: 1, Name: "ETHEREUM", Target: "main", Period: time.Hour},
		{ID: 100, Name: "SÜDKURIER", Target: "publication", Period: 7 * day, Offset: 4*day + 8*time.Hour},
	}, all); d != "" {
		t.Errorf("currencies (-want +got):\n%s", d)
	}
	_, closes := all[3].PeriodOf(time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC))
	if want := time.Date(2026, 5, 11, 8, 0, 0, 0, time.UTC); !closes.Equal(want) {
		t.Errorf("the publication's period ends %v, want %v", closes, want)
	}
	config.OriginStamp.Enabled = false
	if all, err := config.currencies(); err != nil || all != nil {
		t.Errorf("without the interface: %v, %v", all, err)
	}
}

// The interface and its pages are there where they are served, beside the others, and need the key that nodes share.
func TestOriginStampIsServed(t *testing.T) {
	const hash = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
	config := Config{}
	off := "http://" + runServer(t, config).Addr().String()
	config.OriginStamp.Enabled, config.Publication.Name, config.Publication.Folder = true, "Paper", t.TempDir()
	on := "http://" + runServer(t, config).Addr().String()
	for path, want := range map[string]string{
		"/v3/timestamp/" + hash: `{"error_code":3201,"error_message":"You do not have a valid API key. [`, "/v4": `{"error_code":4004,`,
		"/s/" + hash: hash, "/u/7d9f1c0a-4b1e-4c7e-9a51-2f6b0c1d2e3f": "7d9f1c0a", "/comments": "omment", "/api/v1/public/comments?q=x": `"data":[]`,
	} {
		if status, body := get(t, on+path); status == 500 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.300s", path, status, body)
		}
		if status, body := get(t, off+path); status < 400 || strings.Contains(body, want) && want != hash {
			t.Errorf("%s where it is not served: %d %.300s", path, status, body)
		}
	}
	for _, base := range []string{on, off} { // the other surfaces answer as before
		submit(t, base, strings.Repeat("d", 32))
		if status, body := get(t, base+"/api/v1/usage"); status != 401 || !strings.Contains(body, "AUTHENTICATION_REQUIRED") {
			t.Errorf("the REST API: %d %s", status, body)
		}
		if status, body := get(t, base+"/timestamp/"+hash+"0000000000000000"); status != 404 || body != "Not found" {
			t.Errorf("the calendar: %d %q", status, body)
		}
	}

	keyless := sound(t)
	keyless.Listen, keyless.OriginStamp.Enabled, keyless.Publication.Name, keyless.Publication.Folder = "127.0.0.1:0", true, "Paper", t.TempDir()
	keyless.Database, keyless.Mark, keyless.Data = filepath.Join(keyless.Data, "db"), filepath.Join(keyless.Data, "mark"), ""
	if _, err := Open(t.Context(), keyless, Options{Log: testLog{t}}); err == nil || !strings.Contains(err.Error(), "there is no key for secrets, which links to proofs need") {
		t.Errorf("without a key for secrets: %v", err)
	}
}
