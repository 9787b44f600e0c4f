package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/bitcoin"
)

func sound(t *testing.T) Config {
	c := Defaults()
	c.URI, c.Targets, c.Data = "https://calendar.example.org", "none", t.TempDir()
	return c
}

func TestCheck(t *testing.T) {
	if err := sound(t).Check(); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "key")
	if err := bitcoin.GenerateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string // in the error; empty is none
	}{
		{"no uri", func(c *Config) { c.URI = "" }, `uri = "https://calendar.example.org"`},
		{"uri with a port", func(c *Config) { c.URI = "http://127.0.0.1:14788" }, ""},
		{"uri with a path", func(c *Config) { c.URI = "https://example.org/calendar" }, `here "https://example.org"`},
		{"uri with a slash", func(c *Config) { c.URI = "https://example.org/" }, `here "https://example.org"`},
		{"uri with a query", func(c *Config) { c.URI = "https://example.org?a" }, "clients disagree"},
		{"uri with a bare question mark", func(c *Config) { c.URI = "https://example.org?" }, "clients disagree"},
		{"uri with a fragment", func(c *Config) { c.URI = "https://example.org#" }, "clients disagree"},
		{"uri with a login", func(c *Config) { c.URI = "https://a:b@example.org" }, "clients disagree"},
		{"uri without a scheme", func(c *Config) { c.URI = "example.org" }, "write the address"},
		{"uri of a file", func(c *Config) { c.URI = "file:///etc" }, "write the address"},
		{"uri without a host", func(c *Config) { c.URI = "http://:80" }, "write the address"},
		{"uri that receipts cannot carry", func(c *Config) { c.URI = "http://[::1]:80" }, "cannot carry"},
		{"long uri", func(c *Config) { c.URI = "http://" + strings.Repeat("a", 1000) }, "1007 bytes"},
		{"longest uri", func(c *Config) { c.URI = "http://" + strings.Repeat("a", 993) }, ""},
		{"listen without a port", func(c *Config) { c.Listen = "127.0.0.1" }, "an address and a port"},
		{"no data", func(c *Config) { c.Data = "" }, "name the folder"},
		{"no data, but both files", func(c *Config) { c.Data, c.Database, c.Mark = "", "a", "b" }, ""},
		{"PostgreSQL", func(c *Config) { c.Database = "postgres://u:secret@db.example.org:5432/datestone" }, ""},
		{"several servers", func(c *Config) { c.Database = "postgresql://u@a:5432,b:5433/datestone" }, ""},
		{"another database", func(c *Config) { c.Database = "mysql://u:secret@db/datestone" }, `database is an address that begins with mysql://: write the path of a file, or "postgres://`},
		{"few database connections", func(c *Config) { c.DatabaseConnections = 3 }, "database_connections is 3: write a number from 4 to 1000"},
		{"many database connections", func(c *Config) { c.DatabaseConnections = 1001 }, "database_connections is 1001"},
		{"migrate", func(c *Config) { c.Migrate = "never" }, `migrate is "never": write "auto" or "manual"`},
		{"migrate by hand", func(c *Config) { c.Migrate = "manual" }, ""},
		{"epoch too large", func(c *Config) { c.EpochEntries = 1<<26 + 1 }, "epoch_entries is 67108865"},
		{"epoch too small", func(c *Config) { c.EpochEntries = 0 }, "epoch_entries is 0"},
		{"no burst", func(c *Config) { c.Burst = 0 }, "burst is 0"},
		{"slow rate", func(c *Config) { c.Rate = 49 }, "rate is 49"},
		{"no connections", func(c *Config) { c.Connections = 0 }, "connections is 0"},
		{"metrics without a port", func(c *Config) { c.Metrics = "x" }, `metrics is "x"`},
		{"metrics at the same address", func(c *Config) { c.Metrics = c.Listen }, `metrics = "same"`},
		{"metrics same", func(c *Config) { c.Metrics = "same" }, ""},
		{"level", func(c *Config) { c.LogLevel = "loud" }, `log_level is "loud"`},
		{"format", func(c *Config) { c.LogFormat = "xml" }, `log_format is "xml"`},
		{"none and other calendars", func(c *Config) { c.Upstream.MinCalendars = 1 }, "there is a table [upstream]: remove one of them"},
		{"its own calendar", func(c *Config) {
			c.Targets, c.Upstream.Calendars = "configured", []string{"public", c.URI + "/"}
		}, "is this service itself"},
		{"its own calendar by another scheme", func(c *Config) {
			c.Targets, c.URI, c.Upstream.Calendars = "configured", "https://calendar.example.org", []string{"http://Calendar.example.org:80"}
		}, "is this service itself"},
		{"more than all calendars", func(c *Config) { c.Targets, c.Upstream.MinCalendars = "configured", 5 }, "min_calendars is 5: write a number from 1 to 4"},
		{"a calendar twice", func(c *Config) {
			c.Targets, c.Upstream.Calendars = "configured", []string{"https://a.test", "https://a.test/"}
		}, "remove one"},
		{"a calendar that is no address", func(c *Config) { c.Targets, c.Upstream.Calendars = "configured", []string{"a.test"} }, "must start with https://"},
		{"another network without headers", func(c *Config) { c.Targets, c.Upstream.Network = "configured", "signet" }, "nothing says where block headers"},
		{"explorers that may split", func(c *Config) {
			c.Targets, c.Upstream.Esplora = "configured", []string{"https://a.test", "https://b.test", "https://c.test", "https://d.test"}
		}, "more than half"},
		{"unknown targets", func(c *Config) { c.Targets = "all" }, `targets is "all"`},
		{"none and one", func(c *Config) { c.Bitcoin.Network = "regtest" }, "remove one of them"},
		{"none and litecoin", func(c *Config) { c.Litecoin.Network = "regtest" }, "table [litecoin]"},
		{"litecoin on a network of bitcoin", func(c *Config) { c.Targets, c.Litecoin.Network = "configured", "testnet4" }, "target litecoin: network \"testnet4\" is unknown: write mainnet, testnet or regtest"},
		{"litecoin with a fee rate", func(c *Config) {
			c.Targets, c.Litecoin.Network, c.Litecoin.KeyFile, c.Litecoin.MinFeeRate = "configured", "mainnet", key, 20_000
		}, "10,000 litoshi"},
		{"litecoin beside bitcoin", func(c *Config) {
			c.Targets, c.Bitcoin.Network, c.Bitcoin.KeyFile = "configured", "regtest", key
			c.Bitcoin.RPCUser, c.Bitcoin.RPCPassword = "u", "p"
			c.Litecoin = c.Bitcoin
		}, ""},
		{"bitcoin without a network", func(c *Config) { c.Targets, c.Bitcoin.RPCUser = "configured", "x" }, "mainnet, testnet4, signet or regtest"},
		{"bitcoin without a key", func(c *Config) { c.Targets, c.Bitcoin.Network = "configured", "regtest" }, "key_file"},
		{"bitcoin without a way in", func(c *Config) { c.Targets, c.Bitcoin.Network, c.Bitcoin.KeyFile = "configured", "regtest", key }, "cookie"},
		{"bitcoin", func(c *Config) {
			c.Targets, c.Bitcoin.Network, c.Bitcoin.KeyFile = "configured", "regtest", key
			c.Bitcoin.RPCUser, c.Bitcoin.RPCPassword = "u", "p"
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := sound(t)
			c.change(&config)
			err := config.Check()
			if c.want == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "datestone.toml")
	for _, c := range []struct {
		name, text string
		given      Given
		change     func(*Config)
		want       string
	}{
		{name: "empty", change: func(*Config) {}},
		{name: "file wins over the default", text: "burst = 5\nmark = \"m\"", change: func(c *Config) { c.Burst, c.Mark = 5, "m" }},
		{name: "given wins over the file", text: "burst = 5\n[bitcoin]\nnetwork = \"signet\"", given: Given{"burst": "6", "bitcoin.network": "mainnet"}, change: func(c *Config) { c.Burst, c.Bitcoin.Network = 6, "mainnet" }},
		{name: "durations", text: "[bitcoin]\ninterval = \"90s\"", given: Given{"bitcoin.resend": "1h30m", "bitcoin.min_fee_rate": "1.5"}, change: func(c *Config) {
			c.Bitcoin.Interval, c.Bitcoin.Resend, c.Bitcoin.MinFeeRate = bitcoin.Duration(90e9), bitcoin.Duration(5400e9), 1.5
		}},
		{name: "unknown key", text: "bursts = 5", want: `"bursts" is no setting, did you mean "burst"`},
		{name: "key of another table", text: "network = \"regtest\"", want: `did you mean "bitcoin.network"`},
		{name: "unknown table", text: "[monero]\nrate = 5", want: `"monero" is no setting`},
		{name: "wrong type", text: "\nburst = \"many\"", want: "line 2"},
		{name: "no TOML", text: "burst = = 5", want: "line 1"},
		{name: "twice", text: "burst = 5\nburst = 6", want: "line 2"},
		{name: "wrong duration in the file", text: "[bitcoin]\ninterval = \"soon\"", want: "90s or 1h30m"},
		{name: "given text for a number", given: Given{"burst": "many"}, want: `--burst or DATESTONED_BURST: "many" is no whole number`},
		{name: "given too large a number", given: Given{"burst": "99999999999999999999"}, want: "no whole number"},
		{name: "given a wrong duration", given: Given{"bitcoin.interval": "soon"}, want: "--bitcoin-interval or DATESTONED_BITCOIN_INTERVAL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := Load(path, c.given)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want an error with %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := Defaults()
			c.change(&want)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("configuration (-want +got):\n%s", d)
			}
		})
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none"), nil); err == nil {
		t.Error("a file that is not there was read")
	}
}
