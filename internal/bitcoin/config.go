// Package bitcoin is all that is known of Bitcoin-like chains: the target that carries heads of the
// log into transactions, with its wallet, fees, the following of blocks and the proofs out of them.
package bitcoin

import (
	"fmt"
	"time"
)

// Config are the settings of a Bitcoin target. The zero value of a field means its default.
type Config struct {
	// Chain is the chain; nil is Bitcoin.
	Chain *Chain `toml:"-"`

	// Network is mainnet, testnet4, signet or regtest; of Litecoin mainnet, testnet or regtest. Required:
	// money depends on it.
	Network string `toml:"network"`

	// RPCURL is the address of the node's RPC, for example http://127.0.0.1:8332. Bitcoin Core and
	// btcd are known to work, for Litecoin Litecoin Core. Default: 127.0.0.1 and the network's usual port.
	RPCURL string `toml:"rpc_url"`
	// RPCUser and RPCPassword let us in.
	RPCUser     string `toml:"rpc_user"`
	RPCPassword string `toml:"rpc_password"`
	// RPCCookie is the path of the node's .cookie file, instead of a user and a password.
	RPCCookie string `toml:"rpc_cookie"`

	// Wallet is "own", for a key of our own, or "node:NAME" for the wallet of the node with that name
	// ("node:" for the one without a name). Default own.
	Wallet string `toml:"wallet"`
	// KeyFile is the file with the own wallet's key: an extended private key (xprv, tprv) or a seed of
	// 32 to 128 hexadecimal digits. Required with the own wallet.
	KeyFile string `toml:"key_file"`
	// Script is the kind of address of the own wallet: wpkh (BIP-84) or tr (BIP-86, taproot).
	// Default wpkh.
	Script string `toml:"script"`
	// Birth is the height of a block before the wallet's first coin; following the chain begins there.
	// Default: near the tip when first started, with older coins found by the node's scantxoutset; on
	// regtest without scantxoutset, the first block.
	Birth int64 `toml:"birth"`

	// Confirmations is the depth at which an attestation counts; 1 is the newest block. Default 6.
	Confirmations int `toml:"confirmations"`
	// Interval is the least time between two transactions; the real one is, at random, up to twice
	// that. Replacing a transaction does not wait. Default 1h.
	Interval Duration `toml:"interval"`

	// ConfTarget is the number of blocks within which a transaction should be mined: what the node is
	// asked to estimate the fee for. Default 12.
	ConfTarget int `toml:"conf_target"`
	// MinFeeRate is the lowest fee rate, in satoshi per virtual byte. Default 1.
	MinFeeRate float64 `toml:"min_fee_rate"`
	// FallbackFeeRate is used when the node has no estimate. Default 10 on mainnet, else 2.
	FallbackFeeRate float64 `toml:"fallback_fee_rate"`
	// MaxFee is the most that one transaction may cost, in satoshi. Default 20,000.
	MaxFee int64 `toml:"max_fee"`
	// MaxFeeDay is the most that may be spent in 24 hours, in satoshi; at most half of it for OriginStamp's
	// periods. Default 150,000.
	MaxFeeDay int64 `toml:"max_fee_day"`
	// Resend is how often a transaction that is not mined is given to the node again. Default 30s.
	Resend Duration `toml:"resend"`
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
