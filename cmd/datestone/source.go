package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/datestone/datestone/ots/headers"
	"github.com/datestone/datestone/ots/otshttp"
)

// sourceFlags say where block headers come from and of which network they are.
type sourceFlags struct {
	BitcoinNode   string `placeholder:"URL" xor:"src" help:"A Bitcoin node's RPC address, such as http://user:password@127.0.0.1:8332. The default is the local node, found through bitcoin.conf." group:"src"`
	BitcoinCookie string `placeholder:"FILE" help:"The .cookie file of the node, when its address has no user and password." group:"src"`
	Esplora       string `placeholder:"URL" xor:"src" help:"A block explorer's API, such as https://blockstream.info/api; it is trusted for which chain is the best." group:"src"`
	Headers       string `placeholder:"FILE" xor:"src" help:"A file of block headers: all of them, 80 bytes each, or lines of HEIGHT HEADERHEX." group:"src"`
	P2P           bool   `name:"p2p" xor:"src" help:"Bitcoin's peer-to-peer network: needs no node and trusts no website; strangers are asked and checked." group:"src"`
	NoBitcoin     bool   `xor:"src" help:"Check no Bitcoin attestation." group:"src"`

	Peer    []string `sep:"none" placeholder:"HOST[:PORT]" help:"With --p2p: ask this node, not those that the DNS seeds name. Repeat for more." group:"src"`
	Agree   int      `placeholder:"N" help:"With --p2p: how many peers must agree. Default: 2, or 1 with one --peer." group:"src"`
	Cache   string   `placeholder:"FOLDER" help:"With --p2p: where headers are kept. Default: datestone/headers in the user's cache folder." group:"src"`
	NoCache bool     `help:"With --p2p: keep no headers." group:"src"`

	LitecoinNode   string `placeholder:"URL" help:"A Litecoin node's RPC address, such as http://user:password@127.0.0.1:9332: Litecoin attestations are checked as well." group:"ltc"`
	LitecoinCookie string `placeholder:"FILE" help:"The .cookie file of that node, when its address has no user and password." group:"ltc"`

	EthereumRPC []string `name:"ethereum-rpc" sep:"none" placeholder:"[CHAIN=]URL" help:"The RPC of an Ethereum node, such as http://127.0.0.1:8545, or with the number of its chain 1=http://127.0.0.1:8545: Ethereum attestations are checked as well. It is trusted for its blocks. Repeat for other chains." group:"src"`

	BtcTestnet  bool `xor:"net" help:"Proofs are of the test network testnet3, not of Bitcoin." group:"net"`
	BtcTestnet4 bool `name:"btc-testnet4" xor:"net" help:"The same for testnet4." group:"net"`
	BtcSignet   bool `xor:"net" help:"The same for signet." group:"net"`
	BtcRegtest  bool `xor:"net" help:"The same for a regtest chain." group:"net"`
	LtcTestnet  bool `xor:"ltcnet" help:"Litecoin attestations are of its test network." group:"ltc"`
	LtcRegtest  bool `xor:"ltcnet" help:"The same for a regtest chain of Litecoin." group:"ltc"`
}

func (f *sourceFlags) network() *headers.Network {
	switch {
	case f.BtcTestnet:
		return headers.Testnet3
	case f.BtcTestnet4:
		return headers.Testnet4
	case f.BtcSignet:
		return headers.Signet
	case f.BtcRegtest:
		return headers.Regtest
	}
	return headers.Mainnet
}

func (f *sourceFlags) litecoinNetwork() *headers.Network {
	switch {
	case f.LtcTestnet:
		return headers.LitecoinTestnet
	case f.LtcRegtest:
		return headers.LitecoinRegtest
	}
	return headers.LitecoinMainnet
}

// testNetwork says whether proofs are of a network without value.
func (f *sourceFlags) testNetwork() bool { return f.network().Test() || f.litecoinNetwork().Test() }

// litecoin makes the source of Litecoin's headers, or nil when no node is named.
func (a *app) litecoin() (headers.Source, error) {
	if a.LitecoinNode == "" {
		if a.LitecoinCookie != "" || a.LtcTestnet || a.LtcRegtest {
			return nil, usagef("add --litecoin-node URL", "--litecoin-cookie and the --ltc- options go with --litecoin-node")
		}
		return nil, nil
	}
	cfg := headers.NodeConfig{URL: a.LitecoinNode, Cookie: a.LitecoinCookie}
	if !strings.Contains(cfg.URL, "://") {
		cfg.URL = "http://" + cfg.URL
	}
	if a.socks5 != "" {
		cfg.HTTP = a.client(seconds(headers.DefaultTimeout))
	}
	s, err := headers.NewNode(a.litecoinNetwork(), cfg)
	if err != nil {
		return nil, usage(err, "such as --litecoin-node http://user:password@127.0.0.1:9332")
	}
	return s, nil
}

// errNoBitcoin says that --no-bitcoin was given.
var errNoBitcoin = errors.New("disabled by --no-bitcoin")

// source makes the source of headers that the options ask for; nothing is contacted yet.
func (a *app) source() (headers.Source, error) {
	network := a.network()
	if a.BitcoinCookie != "" && a.BitcoinNode == "" {
		return nil, usagef("add --bitcoin-node URL", "--bitcoin-cookie goes with --bitcoin-node")
	}
	if !a.P2P && (len(a.Peer) > 0 || a.Agree != 0) {
		return nil, usagef("add --p2p", "--peer and --agree go with --p2p")
	}
	switch {
	case a.NoBitcoin:
		return nil, errNoBitcoin
	case a.P2P:
		return a.p2p(network)
	case a.Headers != "":
		return headers.NewFile(network, a.Headers), nil
	case a.Esplora != "":
		s, err := headers.NewEsplora(network, a.Esplora, a.client(seconds(headers.DefaultTimeout)))
		if err != nil {
			return nil, usage(err, "such as --esplora https://blockstream.info/api")
		}
		return s, nil
	}
	local := a.BitcoinNode == ""
	cfg := headers.NodeConfig{URL: a.BitcoinNode, Cookie: a.BitcoinCookie}
	if !local && !strings.Contains(cfg.URL, "://") {
		cfg.URL = "http://" + cfg.URL
	}
	if u, err := url.Parse(cfg.URL); local || err == nil && u.User == nil && cfg.Cookie == "" {
		// Without a way in, the local node's own may be right: at least for a node
		// on this machine.
		if local || isLocal(u.Hostname()) {
			found, err := a.localNode()
			if err != nil {
				return nil, err
			}
			if local {
				cfg = found
				if !exists(cfg.Cookie) {
					// No node has been started here, or it has ended. That it cannot be
					// reached says more than a missing file.
					cfg.Cookie = ""
				}
			} else if v, err := url.Parse(found.URL); err == nil && v.User != nil {
				u.User = v.User
				cfg.URL = u.String()
			} else if exists(found.Cookie) {
				cfg.Cookie = found.Cookie
			}
		}
	}
	if a.socks5 != "" {
		cfg.HTTP = a.client(seconds(headers.DefaultTimeout))
	}
	s, err := headers.NewNode(network, cfg)
	if err != nil {
		return nil, usage(err, "such as --bitcoin-node http://user:password@127.0.0.1:8332")
	}
	return s, nil
}

func (a *app) localNode() (headers.NodeConfig, error) {
	dir, err := headers.DefaultDataDir()
	if err != nil {
		return headers.NodeConfig{}, err
	}
	cfg, err := headers.LocalNode(a.network(), dir)
	if err != nil {
		return headers.NodeConfig{}, usage(err, "name the node with --bitcoin-node URL")
	}
	return cfg, nil
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// sourceHint says what to do about a source that failed.
func (a *app) sourceHint(err error) string {
	switch {
	case errors.Is(err, headers.ErrWrongNetwork) && strings.Contains(err.Error(), "the Litecoin node is "):
		for _, n := range headers.LitecoinNetworks {
			if !strings.Contains(err.Error(), "is on "+n.String()+",") {
				continue
			}
			if n == headers.LitecoinMainnet {
				return "leave the --ltc- option away"
			}
			return "add --ltc-" + n.Name
		}
		return "name it with --litecoin-node"
	case a.P2P && (errors.Is(err, headers.ErrWrongNetwork) || errors.Is(err, headers.ErrUnreachable)):
		return a.p2pHint()
	case errors.Is(err, headers.ErrWrongNetwork):
		for _, n := range headers.Networks {
			if strings.Contains(err.Error(), "is on "+n.Name+",") {
				if n == headers.Mainnet {
					return "leave the --btc- option away"
				}
				return "add --btc-" + strings.TrimSuffix(n.Name, "3")
			}
		}
		return ""
	case errors.Is(err, headers.ErrUnreachable) && a.Headers == "" && a.Esplora == "" && a.BitcoinNode == "":
		return "start a Bitcoin node here, name one with --bitcoin-node URL, ask the peer-to-peer network with --p2p, or trust an explorer: --esplora https://blockstream.info/api"
	}
	return ""
}

// sourceCode is the exit code for a source that failed: what the user named was wrong, or
// something outside was.
func (a *app) sourceCode(err error) int {
	if errors.Is(err, headers.ErrWrongNetwork) || a.Headers != "" {
		return exitUsage
	}
	return exitUnreached
}

// setUp checks the options that several commands share.
func (a *app) setUp() error {
	if _, err := a.allowlist(); err != nil {
		return err
	}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.MaxIdleConnsPerHost = maxProofs
	if p := a.Socks5Proxy; p != "" {
		host, port, err := net.SplitHostPort(p)
		if err != nil {
			host, port = strings.Trim(p, "[]"), "1080"
		}
		if host == "" || strings.ContainsAny(host, "/@") {
			return usagef("such as --socks5-proxy localhost:9050", "%q is not a proxy", p)
		}
		// With this scheme names go to the proxy unresolved.
		a.socks5 = net.JoinHostPort(host, port)
		tr.Proxy = http.ProxyURL(&url.URL{Scheme: "socks5h", Host: a.socks5})
	}
	a.http = &http.Client{Transport: tr}
	return nil
}

func (a *app) client(timeout seconds) *http.Client {
	c := *a.http
	c.Timeout = timeout.duration()
	return &c
}

func (a *app) calendarClient(timeout seconds) *otshttp.Client {
	return &otshttp.Client{HTTP: a.client(timeout), UserAgent: "datestone/" + version(), Promises: true}
}

// allowlist is what -l and --no-default-whitelist make, with exact URLs added.
func (a *app) allowlist(also ...string) (*otshttp.Allowlist, error) {
	l := &otshttp.Allowlist{}
	if !a.NoDefaultWhitelist {
		for _, p := range otshttp.DefaultAllowed {
			if err := l.Add(p); err != nil {
				return nil, err
			}
		}
	}
	for _, p := range append(a.Whitelist, also...) {
		if err := l.Add(p); err != nil {
			return nil, usage(fmt.Errorf("-l: %w", err), "such as -l https://*.example.org")
		}
	}
	return l, nil
}
