package upstream

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers"
	"github.com/datestone/datestone/ots/otshttp"
)

// Config are the settings of the other calendars that heads of the log are given to. The zero value of a field means its default.
// Without any target the public calendars are used; beside another target they are used once a setting of this table is written.
type Config struct {
	// Calendars are the URLs of the calendars; "public" stands for those that the reference client uses. Default: the public ones.
	Calendars []string `toml:"calendars"`
	// Allowed are patterns of the calendars that may be asked because one of Calendars passed a head on to them, for example
	// "https://*.calendar.example.org". Those of Calendars may always be. Default: those that the reference client asks.
	Allowed []string `toml:"allowed"`
	// MinCalendars is how many of Calendars must accept heads for the target to be in order. Default: 2, or 1 where there is one.
	MinCalendars int `toml:"min_calendars"`
	// Interval is the least time between two heads that are given to a calendar, where there is something new. Default 1m.
	Interval Duration `toml:"interval"`
	// Timeout bounds a request to a calendar or to a source of block headers. Default 20s.
	Timeout Duration `toml:"timeout"`

	// Network is the network of the blocks that attestations are checked against: mainnet, testnet3, testnet4, signet or
	// regtest. The public calendars are on mainnet. Default mainnet.
	Network string `toml:"network"`
	// Confirmations is the depth at which an attestation counts; 1 is the newest block. Default 6.
	Confirmations int `toml:"confirmations"`
	// RPCURL is the address of a Bitcoin node that block headers come from, for example http://127.0.0.1:8332. It is then
	// asked instead of Esplora.
	RPCURL string `toml:"rpc_url"`
	// RPCUser and RPCPassword let us in.
	RPCUser     string `toml:"rpc_user"`
	RPCPassword string `toml:"rpc_password"`
	// RPCCookie is the path of the node's .cookie file, instead of a user and a password.
	RPCCookie string `toml:"rpc_cookie"`
	// Esplora are the addresses of block explorers that block headers come from, such as https://blockstream.info/api.
	// Default: on mainnet, two public ones.
	Esplora []string `toml:"esplora"`
	// Agree is how many of Esplora must name the same header. Default: 2, or 1 where there is one.
	Agree int `toml:"agree"`
}

// Given says whether anything is configured.
func (c Config) Given() bool {
	return len(c.Calendars)+len(c.Allowed)+len(c.Esplora) > 0 || c.MinCalendars != 0 || c.Interval != 0 || c.Timeout != 0 || c.Network != "" ||
		c.Confirmations != 0 || c.RPCURL+c.RPCUser+c.RPCPassword+c.RPCCookie != "" || c.Agree != 0
}

// TestNetwork says whether the network's blocks are worth nothing.
func (c Config) TestNetwork() bool { return c.Network != "" && c.Network != headers.Mainnet.Name }

// Duration is a time.Duration that is written like 90s or 1h30m.
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a duration: write it like 90s or 1h30m", b)
	}
	*d = Duration(v)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// publicWord stands for the public calendars in Config.Calendars.
const publicWord = "public"

// publicEsplora are explorers that anybody may ask for headers of mainnet.
var publicEsplora = []string{"https://blockstream.info/api", "https://mempool.space/api"}

const (
	maxCalendars = 32
	maxEsplora   = 8
	minInterval  = time.Second
)

// complete fills in the defaults and refuses what cannot be.
func (c *Config) complete() (*headers.Network, error) {
	var list []string
	if len(c.Calendars) == 0 {
		c.Calendars = []string{publicWord}
	}
	for _, calendar := range c.Calendars {
		if calendar == publicWord {
			list = append(list, otshttp.DefaultCalendars...)
			continue
		}
		list = append(list, strings.TrimRight(calendar, "/"))
	}
	c.Calendars = list
	if len(c.Allowed) == 0 {
		c.Allowed = otshttp.DefaultAllowed
	}
	setDefault(&c.MinCalendars, min(2, len(c.Calendars)))
	setDefault(&c.Interval, Duration(time.Minute))
	setDefault(&c.Timeout, Duration(20*time.Second))
	setDefault(&c.Network, headers.Mainnet.Name)
	setDefault(&c.Confirmations, 6)
	if c.RPCURL == "" && len(c.Esplora) == 0 && c.Network == headers.Mainnet.Name {
		c.Esplora = publicEsplora
	}
	setDefault(&c.Agree, min(2, max(1, len(c.Esplora))))
	i := slices.IndexFunc(headers.Networks, func(n *headers.Network) bool { return n.Name == c.Network })
	if i < 0 {
		return nil, fmt.Errorf("network %q is unknown: write mainnet, testnet3, testnet4, signet or regtest", c.Network)
	}
	for i, calendar := range c.Calendars {
		if _, err := otshttp.CheckURL(calendar); err != nil {
			return nil, fmt.Errorf("calendars: %w", err)
		}
		if len(calendar) > ots.MaxURI {
			return nil, fmt.Errorf("calendars: %.40q... is too long: an address has at most %d bytes", calendar, ots.MaxURI)
		}
		if slices.Contains(c.Calendars[:i], calendar) {
			return nil, fmt.Errorf("calendars: %q is there twice: remove one", calendar)
		}
	}
	switch {
	case len(c.Calendars) > maxCalendars:
		return nil, fmt.Errorf("calendars has %d: write at most %d", len(c.Calendars), maxCalendars)
	case c.MinCalendars < 1 || c.MinCalendars > len(c.Calendars):
		return nil, fmt.Errorf("min_calendars is %d: write a number from 1 to %d, which is how many calendars there are", c.MinCalendars, len(c.Calendars))
	case c.Interval < Duration(minInterval):
		return nil, fmt.Errorf("interval is %v: write at least %v", time.Duration(c.Interval), minInterval)
	case c.Timeout < Duration(time.Second) || c.Timeout > Duration(10*time.Minute):
		return nil, fmt.Errorf("timeout is %v: write from 1s to 10m", time.Duration(c.Timeout))
	case c.Confirmations < 1 || c.Confirmations > deepBlocks:
		return nil, fmt.Errorf("confirmations is %d: write a number from 1 to %d", c.Confirmations, deepBlocks)
	case c.RPCURL != "" && len(c.Esplora) > 0:
		return nil, errors.New("rpc_url and esplora are both there: a node needs no explorer, remove one of them")
	case c.RPCURL == "" && len(c.Esplora) == 0:
		return nil, fmt.Errorf("nothing says where block headers of %s come from: write rpc_url = \"http://user:password@host:port\" or esplora = [\"https://...\"]", c.Network)
	case c.RPCURL == "" && c.RPCUser+c.RPCPassword+c.RPCCookie != "":
		return nil, errors.New("rpc_user, rpc_password and rpc_cookie need rpc_url")
	case len(c.Esplora) > maxEsplora:
		return nil, fmt.Errorf("esplora has %d: write at most %d", len(c.Esplora), maxEsplora)
	case c.Agree < 1 || c.Agree > max(1, len(c.Esplora)):
		return nil, fmt.Errorf("agree is %d: write a number from 1 to %d, which is how many explorers there are", c.Agree, max(1, len(c.Esplora)))
	case c.RPCURL == "" && 2*c.Agree <= len(c.Esplora):
		return nil, fmt.Errorf("agree is %d of %d explorers, so that two halves could each agree on something else: write more than half of them", c.Agree, len(c.Esplora))
	}
	return headers.Networks[i], nil
}

// CheckLoop refuses calendars that are this service itself, under one of the addresses that its clients know.
func (c Config) CheckLoop(own ...string) error {
	if _, err := c.complete(); err != nil {
		return err
	}
	for _, calendar := range c.Calendars {
		for _, uri := range own {
			if uri != "" && sameHost(calendar, uri) {
				return fmt.Errorf("calendars: %q is this service itself, which would attest its own heads without an end: remove it", calendar)
			}
		}
	}
	return nil
}

// sameHost compares where two URLs lead to, whatever their schemes and paths.
func sameHost(a, b string) bool {
	u, err := url.Parse(a)
	if err != nil {
		return false
	}
	v, err := url.Parse(b)
	return err == nil && strings.EqualFold(strings.TrimSuffix(u.Hostname(), "."), strings.TrimSuffix(v.Hostname(), ".")) && port(u) == port(v)
}

// port is the port that a URL leads to. Those of http and https are one service's.
func port(u *url.URL) string {
	if p := u.Port(); p != "80" && p != "443" {
		return p
	}
	return ""
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
