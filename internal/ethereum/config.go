// Package ethereum is all that is known of Ethereum-like chains: the target that carries heads of the log in the call
// data of transactions, with its account, nonces and fees, the following of its transactions, and the
// proofs out of blocks.
package ethereum

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Config are the settings of an Ethereum-like chain. There may be several such tables, each with a name of
// its own. Money is in gwei, of which a coin has 1,000,000,000.
type Config struct {
	// Name is the target's name, wherever people see it: lower-case letters, digits and dashes, and not the
	// name of another target. Required, and not to be changed later.
	Name string `toml:"name"`
	// ChainID is the number of the chain, 1 for Ethereum. Required: nothing is sent through a node of another chain.
	ChainID uint64 `toml:"chain_id"`

	// RPCURL is the address of the node's RPC, for example http://127.0.0.1:8545. Required.
	RPCURL string `toml:"rpc_url"`
	// RPCUser and RPCPassword let us in, where the node or a proxy before it wants them.
	RPCUser     string `toml:"rpc_user"`
	RPCPassword string `toml:"rpc_password"`
	// RPCJWTFile is the file with the node's JWT secret, 64 hexadecimal digits, where it wants a token.
	RPCJWTFile string `toml:"rpc_jwt_file"`

	// KeyFile is the file with the private key that pays, 64 hexadecimal digits, mode 0600. Required. No other
	// program may use the key; datestoned wallet new-ethereum makes one.
	KeyFile string `toml:"key_file"`
	// To is the account that transactions go to, without value. Default: the key's own.
	To string `toml:"to"`

	// Finalized says that an attestation counts when the chain says that its block is final. Otherwise it
	// counts at a depth.
	Finalized bool `toml:"finalized"`
	// Confirmations is the depth at which an attestation counts; 1 is the newest block. Default 64.
	Confirmations int `toml:"confirmations"`
	// Interval is the least time between two transactions; the real one is, at random, up to twice
	// that. Replacing a transaction does not wait. Default 1h.
	Interval Duration `toml:"interval"`

	// Fees is "eip1559", "legacy", or "auto": what the chain's newest block has. Default auto.
	Fees string `toml:"fees"`
	// MaxFee is the most that one transaction may cost, in gwei. Default 2,000,000.
	MaxFee int64 `toml:"max_fee"`
	// MaxFeeDay is the most that may be spent in 24 hours, in gwei; at most half of it for OriginStamp's
	// periods. Default 20,000,000.
	MaxFeeDay int64 `toml:"max_fee_day"`
	// ReplaceAfter is when a transaction that no block takes is replaced by one that pays an eighth more.
	// Default 5m.
	ReplaceAfter Duration `toml:"replace_after"`
	// Resend is how often a transaction that is not mined is given to the node again. Default 30s.
	Resend Duration `toml:"resend"`

	// Currency is the number by which OriginStamp's interface names the chain, 1 for Ethereum; 0 means that it does
	// not.
	Currency int `toml:"currency"`
}

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

// maxGwei bounds what may be spent, so that amounts in wei fit.
const maxGwei = 1_000_000_000

// testChains are those whose coins have no value.
var testChains = map[uint64]bool{5: true, 1337: true, 17000: true, 31337: true, 560048: true, 11155111: true}

// IsTest says whether the chain's coins are known to have no value.
func (c Config) IsTest() bool { return testChains[c.ChainID] }

var validName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

// complete fills in the defaults and refuses what cannot be.
func (c *Config) complete() error {
	if c.Finalized && c.Confirmations != 0 {
		return errors.New("finalized and confirmations are two ways to say when an attestation counts: leave one out")
	}
	setDefault(&c.Confirmations, 64)
	setDefault(&c.Interval, Duration(time.Hour))
	setDefault(&c.Fees, "auto")
	setDefault(&c.MaxFee, 2_000_000)
	setDefault(&c.MaxFeeDay, 20_000_000)
	setDefault(&c.ReplaceAfter, Duration(5*time.Minute))
	setDefault(&c.Resend, Duration(30*time.Second))
	switch {
	case !validName.MatchString(c.Name):
		return fmt.Errorf("name is %q: write up to 40 lower-case letters, digits and dashes, such as ethereum", c.Name)
	case c.ChainID == 0:
		return errors.New("chain_id is missing: write 1 for Ethereum, 11155111 for its test network Sepolia")
	case c.ChainID > 1<<62:
		return errors.New("chain_id is larger than any chain's")
	case c.RPCURL == "":
		return errors.New(`rpc_url is missing: write the address of a node's RPC, for example "http://127.0.0.1:8545"`)
	case c.KeyFile == "":
		return errors.New("key_file is missing: make a key with datestoned wallet new-ethereum, and name its file")
	case c.Confirmations < 1 || c.Confirmations > 100_000:
		return errors.New("confirmations must be from 1 to 100,000")
	case c.Interval < 0 || c.Resend < 0 || c.ReplaceAfter < 0:
		return errors.New("interval, resend and replace_after cannot be negative")
	case c.Fees != "auto" && c.Fees != "eip1559" && c.Fees != "legacy":
		return fmt.Errorf(`fees is %q: write "auto", "eip1559" or "legacy"`, c.Fees)
	case c.MaxFee < 0 || c.MaxFeeDay < c.MaxFee || c.MaxFeeDay > maxGwei:
		return errors.New("max_fee_day cannot be less than max_fee nor more than 1,000,000,000, and neither can be negative")
	case c.Currency < 0:
		return errors.New("currency cannot be negative")
	}
	if _, err := c.to(); err != nil {
		return err
	}
	return nil
}

// to is the configured receiver, or the zero address.
func (c *Config) to() (to address, err error) {
	if c.To == "" {
		return to, nil
	}
	raw, err := hex.DecodeString(strings.TrimPrefix(c.To, "0x"))
	if err != nil || len(raw) != len(to) || address(raw) == (address{}) {
		return to, fmt.Errorf("to is %q: write an address of 0x and 40 hexadecimal digits", c.To)
	}
	return address(raw), nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
