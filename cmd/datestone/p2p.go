package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/net/proxy"

	"github.com/datestone/datestone/ots/headers"
	"github.com/datestone/datestone/ots/headers/p2p"
)

// p2pJSON is what the peers came to.
type p2pJSON struct {
	Peers    int           `json:"peers"`    // that answered
	Agreeing int           `json:"agreeing"` // on the chain with the most work
	Tip      uint64        `json:"tip"`
	TipHash  string        `json:"tip_hash"`
	Dropped  []droppedJSON `json:"dropped"`
}

type droppedJSON struct {
	Peer   string `json:"peer"`
	Reason string `json:"reason"`
}

// newP2PJSON is nil for a source that is another one, or was not asked.
func newP2PJSON(source headers.Source) *p2pJSON {
	s, ok := source.(*p2p.Source)
	if !ok {
		return nil
	}
	st := s.State()
	j := &p2pJSON{st.Peers, st.Agreeing, st.Tip, st.TipHash, []droppedJSON{}}
	for _, d := range st.Dropped {
		j.Dropped = append(j.Dropped, droppedJSON(d))
	}
	return j
}

// p2p makes a source of the peer-to-peer network. Its connections go through --socks5-proxy, or
// the proxy of ALL_PROXY; neither is told a name that this machine resolved.
func (a *app) p2p(network *headers.Network) (headers.Source, error) {
	cfg := p2p.Config{
		Network: network, Peers: a.Peer, Agree: a.Agree, Dir: a.Cache,
		Log: func(line string) { a.detailf("%s", line) },
	}
	if cfg.Dir == "" && !a.NoCache {
		if dir, err := os.UserCacheDir(); err == nil {
			cfg.Dir = filepath.Join(dir, "datestone", "headers")
		} else {
			a.detailf("no headers are kept: %v", err)
		}
	}
	if a.NoCache {
		cfg.Dir = ""
	}
	dialer, err := a.p2pDialer()
	if err != nil {
		return nil, err
	}
	if dialer != nil {
		cfg.Dial = dialer.DialContext
	}
	var bar *progress
	var at uint64
	cfg.Progress = func(height, of uint64) {
		if bar == nil {
			at, bar = height, a.progress(int64(of-height), "block headers", false)
		}
		bar.add(int(height - min(at, height)))
		if at = height; height == of {
			bar.done()
			bar = nil
		}
	}
	s, err := p2p.New(cfg)
	if err != nil {
		return nil, usage(err, "such as --peer 203.0.113.5")
	}
	return s, nil
}

// p2pDialer is nil where there is no proxy.
func (a *app) p2pDialer() (proxy.ContextDialer, error) {
	if a.socks5 != "" {
		d, err := proxy.SOCKS5("tcp", a.socks5, nil, proxy.Direct)
		if err != nil {
			return nil, usage(err, "such as --socks5-proxy localhost:9050")
		}
		return d.(proxy.ContextDialer), nil
	}
	if os.Getenv("ALL_PROXY") == "" && os.Getenv("all_proxy") == "" {
		return nil, nil
	}
	d, ok := proxy.FromEnvironment().(proxy.ContextDialer)
	if !ok || d == proxy.ContextDialer(proxy.Direct) {
		return nil, usage(errors.New("ALL_PROXY is not a SOCKS5 proxy"), "unset it, or set it to socks5h://HOST:PORT")
	}
	return d, nil
}

func (a *app) p2pHint() string {
	if len(a.Peer) > 0 {
		return "name other peers with --peer HOST[:PORT], or see with -v what each of them did"
	}
	port := map[*headers.Network]string{headers.Mainnet: "8333", headers.Testnet3: "18333", headers.Testnet4: "48333", headers.Signet: "38333"}[a.network()]
	return fmt.Sprintf("connections to port %s must be allowed to leave, and names to be resolved; else name a node with --peer HOST[:PORT], or go through --socks5-proxy", port)
}
