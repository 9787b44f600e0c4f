package bitcoin

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/ots"
)

// Chain is what differs between the chains of this package. Only [Bitcoin] and [Litecoin] are.
type Chain struct {
	name     string // in sentences
	unit     string // the smallest amount
	table    string // of the configuration
	networks map[string]network
	kind     logtree.Kind
	attest   func(height uint64) ots.Attestation
	// dust is the smallest change that is made: what nodes relay to either kind of script.
	dust   int64
	supply int64 // more than all coins together
	// extension blocks follow the transactions of a block, and add a last one to them (MWEB).
	extension bool

	// Defaults of settings.
	confirmations, confTarget int
}

// network is what is known of a network by its name.
type network struct {
	chain   *Chain
	params  *chaincfg.Params
	genesis chainhash.Hash
	bits    uint32 // of the genesis block
	port    string // of the RPC
	test    bool   // coins without value
}

// Bitcoin is the chain that settings are for that name none.
var Bitcoin = &Chain{
	name: "Bitcoin", unit: "satoshi", table: "bitcoin", kind: logtree.Bitcoin, attest: ots.BitcoinAttestation,
	dust: 330, supply: 21e14, confirmations: 6, confTarget: 12,
	networks: map[string]network{
		"mainnet":  bitcoinNetwork(&chaincfg.MainNetParams, "8332", false),
		"testnet4": bitcoinNetwork(&chaincfg.TestNet4Params, "48332", true),
		"signet":   bitcoinNetwork(&chaincfg.SigNetParams, "38332", true),
		"regtest":  bitcoinNetwork(&chaincfg.RegressionNetParams, "18443", true),
	},
}

// Litecoin has a block every 2.5 minutes, so four times as many blocks are as long a time. Its nodes call ten times
// as much dust.
var Litecoin = &Chain{
	name: "Litecoin", unit: "litoshi", table: "litecoin", kind: logtree.Litecoin, attest: ots.LitecoinAttestation,
	dust: 3300, supply: 84e14, extension: true, confirmations: 24, confTarget: 48,
	networks: map[string]network{
		"mainnet": litecoinNetwork(chaincfg.MainNetParams, 0xdbb6c0fb, "ltc", 2, 0x30, 0x32, "9332", false,
			"12a765e31ffd4059bada1e25190f6e98c99d9714d334efa41a195a7e7e04bfe2", 0x1e0ffff0),
		"testnet": litecoinNetwork(chaincfg.TestNet3Params, 0xf1c8d2fd, "tltc", 1, 0x6f, 0x3a, "19332", true,
			"4966625a4b2851d9fdee139e56211a0d88575f59ed816ff5e6a63deb4e3e29a0", 0x1e0ffff0),
		"regtest": litecoinNetwork(chaincfg.RegressionNetParams, litecoinRegtest, "rltc", 1, 0x6f, 0x3a, "19443", true,
			"530827f38f93b43ed12af0b3ad25a288dc02ed74d6d7857862df51fc56c416f9", 0x207fffff),
	},
}

func init() {
	for _, c := range []*Chain{Bitcoin, Litecoin} {
		for name, n := range c.networks {
			n.chain = c
			c.networks[name] = n
		}
	}
}

func bitcoinNetwork(p *chaincfg.Params, port string, test bool) network {
	return network{params: p, genesis: *p.GenesisHash, bits: p.GenesisBlock.Header.Bits, port: port, test: test}
}

// litecoinRegtest stands for a magic number that is Bitcoin's regtest's as well, which the registry of package
// chaincfg does not take twice. This package speaks no peer-to-peer protocol.
const litecoinRegtest wire.BitcoinNet = 0x7274_6c74

// litecoinNetwork is like a network of Bitcoin but for its addresses. It is registered with package chaincfg, without
// which its addresses could not be read.
func litecoinNetwork(like chaincfg.Params, magic wire.BitcoinNet, prefix string, coin uint32, key, script byte, port string, test bool, genesis string, bits uint32) network {
	p := like
	p.Net, p.Bech32HRPSegwit, p.HDCoinType, p.PubKeyHashAddrID, p.ScriptHashAddrID = magic, prefix, coin, key, script
	hash, err := chainhash.NewHashFromStr(genesis)
	if err == nil {
		err = chaincfg.Register(&p)
	}
	if err != nil {
		panic(err)
	}
	p.GenesisHash, p.GenesisBlock = hash, nil
	return network{params: &p, genesis: *hash, bits: bits, port: port, test: test}
}

// names lists the networks, the one with value first.
func (c *Chain) names() string {
	names := slices.SortedFunc(maps.Keys(c.networks), func(a, b string) int {
		order := []string{"mainnet", "testnet", "testnet4", "signet", "regtest"}
		return slices.Index(order, a) - slices.Index(order, b)
	})
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// Blocks are the defaults of the settings confirmations and conf_target.
func (c *Chain) Blocks() (confirmations, confTarget int) { return c.confirmations, c.confTarget }

// Unit is the smallest amount.
func (c *Chain) Unit() string { return c.unit }

// statusUnit is the unit that a status names, where it is not the usual one.
func (c *Chain) statusUnit() string {
	if c == Bitcoin {
		return ""
	}
	return c.unit
}

// complete fills in the defaults and refuses what cannot be.
func (c *Config) complete() (network, error) {
	if c.Chain == nil {
		c.Chain = Bitcoin
	}
	net, ok := c.Chain.networks[c.Network]
	if !ok {
		return net, fmt.Errorf("network %q is unknown: write %s", c.Network, c.Chain.names())
	}
	fallback := 2.0
	if !net.test {
		fallback = 10
	}
	setDefault(&c.RPCURL, "http://127.0.0.1:"+net.port)
	setDefault(&c.Wallet, "own")
	setDefault(&c.Script, "wpkh")
	setDefault(&c.Confirmations, c.Chain.confirmations)
	setDefault(&c.Interval, Duration(time.Hour))
	setDefault(&c.ConfTarget, c.Chain.confTarget)
	setDefault(&c.MinFeeRate, 1)
	setDefault(&c.FallbackFeeRate, max(fallback, c.MinFeeRate))
	setDefault(&c.MaxFee, 20_000)
	setDefault(&c.MaxFeeDay, 150_000)
	setDefault(&c.Resend, Duration(30*time.Second))
	switch {
	case c.Script != "wpkh" && c.Script != "tr":
		return net, fmt.Errorf("script %q is unknown: write wpkh or tr", c.Script)
	case c.Wallet != "own" && !isNodeWallet(c.Wallet):
		return net, fmt.Errorf("wallet %q is unknown: write own, or node: and the name of a wallet of the node", c.Wallet)
	case c.Wallet == "own" && c.KeyFile == "":
		return net, errors.New("the own wallet needs a key_file; make one, or write wallet = \"node:NAME\"")
	case c.Wallet != "own" && c.KeyFile != "":
		return net, errors.New("key_file is for the own wallet, and wallet names one of the node: leave one out")
	case c.Birth < 0:
		return net, errors.New("birth is a height and cannot be negative")
	case c.Confirmations < 1 || c.Confirmations > 1000:
		return net, errors.New("confirmations must be from 1 to 1000")
	case c.Interval < 0 || c.Resend < 0:
		return net, errors.New("interval and resend cannot be negative")
	case c.ConfTarget < 1 || c.ConfTarget > 1008:
		return net, errors.New("conf_target must be from 1 to 1008 blocks")
	case !(c.MinFeeRate > 0) || c.MinFeeRate > 10_000:
		return net, fmt.Errorf("min_fee_rate must be above 0 and at most 10,000 %s per virtual byte", c.Chain.unit)
	case !(c.FallbackFeeRate >= c.MinFeeRate) || c.FallbackFeeRate > 10_000:
		return net, fmt.Errorf("fallback_fee_rate must be from min_fee_rate to 10,000 %s per virtual byte", c.Chain.unit)
	case c.MaxFee < 0 || c.MaxFeeDay < c.MaxFee:
		return net, errors.New("max_fee_day cannot be less than max_fee, and neither can be negative")
	}
	return net, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
