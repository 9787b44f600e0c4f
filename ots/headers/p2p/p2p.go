// Package p2p fetches block headers from nodes of Bitcoin's peer-to-peer network, so that a
// proof can be verified with neither a node of one's own nor a website.
//
// Peers are strangers, and what they say is checked. A header must name the one before, meet its
// proof of work and keep the network's rules for difficulty and time; the chain
// with the most work counts, as it does for every node. So one honest peer among
// liars is enough to find the right chain: a liar would have to spend as much
// work as all miners of Bitcoin together. A peer that breaks a rule, stalls or sends
// something else is dropped; an answer is given once several peers show the same chain.
//
// # What remains trusted
//
//   - The checkpoints in this program, which are those of btcd: a block at every few ten thousand. The hashes lead
//     from each back to the one before, so the headers below the last checkpoint need no other
//     proof, and of these only the stretch that is asked about is fetched. Anybody can compare the checkpoints
//     with a node's getblockhash.
//   - That the peers are not all the same stranger, who hides the chain with the most work and shows
//     another with valid work. Peers come from the network's DNS seeds, several of them, or from the caller.
//   - The clock of this machine, within two hours.
//   - On signet its signers, because their signatures are not in the headers; on other test networks nothing is
//     dear, and work proves little.
//
// That the transactions in the blocks are valid is not checked, and a proof does not need it.
package p2p

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers"
)

// DefaultTimeout is how long a peer may take to connect and to answer.
const DefaultTimeout = 15 * time.Second

// Config says whom a [Source] asks. Only the network is needed.
type Config struct {
	Network *headers.Network
	// Peers are nodes, HOST or HOST:PORT. Without any they are found through the DNS seeds of the network.
	Peers []string
	// Agree is how many peers must show the same chain: 2, or 1 where Peers has only one.
	Agree int
	// Dir is a folder where headers are kept between runs, a file for each stretch of the chain in a folder
	// for each network. Without one nothing is kept.
	Dir string
	// Timeout is how long a peer may take to connect and to give its first answer; beyond that it must
	// give 200 headers a second. Default: DefaultTimeout.
	Timeout time.Duration
	// Dial connects; nil is a [net.Dialer]. When it goes through a proxy that resolves names,
	// leave Lookup away: the seeds' names are then dialled themselves.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Lookup finds the addresses of a name. With neither Dial nor Lookup the system's resolver does.
	Lookup func(ctx context.Context, host string) ([]string, error)
	// Progress is told how far the headers go, and how far a peer says that they will; the two are the same
	// at the end of the work, whether it was enough or not.
	Progress func(height, of uint64)
	// Log is told what people may want to know: why a peer was dropped, that a damaged cache was replaced.
	Log func(line string)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// State is what became of the last contact with the peers.
type State struct {
	Peers    int // that answered
	Agreeing int // that showed the chain which is taken for the best
	Tip      uint64
	TipHash  string
	TipTime  time.Time
	Dropped  []Dropped
}

// Dropped is a peer that was given up.
type Dropped struct {
	Peer   string
	Reason string
}

// Source is a [headers.Source] of the peer-to-peer network. What it learned from the peers, or that it
// learned nothing, is good for a minute.
type Source struct {
	cfg    Config
	params *chaincfg.Params
	pins   []pin
	base   int // the pin where the open end begins

	turn chan struct{} // holds one token, for what is below
	open *chain
	run  *chain // between two pins, the last that was asked for
	runI int
	when time.Time // of the last sync
	err  error     // of the last sync

	state State
	wrong bool

	mu    sync.Mutex // guards shown
	shown State
}

const (
	remember = time.Minute
	// current is how old the last block of a chain that goes on may be; one comes every ten minutes or so.
	current = 24 * time.Hour
)

// New makes a source. It contacts nobody yet.
func New(cfg Config) (*Source, error) {
	params := paramsOf(cfg.Network)
	if params == nil {
		return nil, fmt.Errorf("the peer-to-peer network of %v is not known", cfg.Network)
	}
	peers := make([]string, 0, len(cfg.Peers))
	seen := make(map[string]bool)
	for _, p := range cfg.Peers {
		p, err := withPort(p, params.DefaultPort)
		if err != nil {
			return nil, err
		}
		if !seen[p] {
			peers, seen[p] = append(peers, p), true
		}
	}
	cfg.Peers = peers
	if cfg.Agree == 0 {
		cfg.Agree = 2
		if len(peers) == 1 {
			cfg.Agree = 1
		}
	}
	if cfg.Agree < 1 || cfg.Agree > maxAsked || len(peers) > 0 && cfg.Agree > len(peers) {
		return nil, fmt.Errorf("%d peers cannot agree where there are %d", cfg.Agree, max(len(peers), maxAsked))
	}
	if len(peers) == 0 && len(params.DNSSeeds) == 0 {
		return nil, fmt.Errorf("%s has no DNS seeds to find peers by: name a peer", cfg.Network)
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
		if cfg.Lookup == nil {
			cfg.Lookup = net.DefaultResolver.LookupHost
		}
	}
	if cfg.Progress == nil {
		cfg.Progress = func(uint64, uint64) {}
	}
	if cfg.Log == nil {
		cfg.Log = func(string) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	pins := pinsOf(params)
	return &Source{cfg: cfg, params: params, pins: pins, base: openBase(pins), turn: make(chan struct{}, 1)}, nil
}

func paramsOf(n *headers.Network) *chaincfg.Params {
	switch n {
	case headers.Mainnet:
		return &chaincfg.MainNetParams
	case headers.Testnet3:
		return &chaincfg.TestNet3Params
	case headers.Testnet4:
		return &chaincfg.TestNet4Params
	case headers.Signet:
		return &chaincfg.SigNetParams
	case headers.Regtest:
		return &chaincfg.RegressionNetParams
	}
	return nil
}

func (s *Source) String() string {
	st := s.State()
	if st.Peers == 0 {
		return "Bitcoin's peer-to-peer network"
	}
	return fmt.Sprintf("Bitcoin's peer-to-peer network, %d of %d peers agree on block %d", st.Agreeing, st.Peers, st.Tip)
}

// Unchecked implements [headers.Source].
func (s *Source) Unchecked() []string {
	out := []string{"that the peers did not together hide a chain with more work"}
	if n := len(s.pins) - 1; n > 0 {
		out = append(out, fmt.Sprintf("the blocks up to %d, but for their link to the checkpoints of this program", s.pins[n].height))
	}
	if st := s.State(); st.Tip > 0 && !s.cfg.Network.Test() && s.cfg.Now().Sub(st.TipTime) > current {
		out = append(out, fmt.Sprintf("whether the chain went on: the last block that the peers have is of %s", st.TipTime.Format(time.DateOnly)))
	}
	if s.cfg.Network == headers.Signet {
		out = append(out, "whether signet's signers made the blocks: headers do not show it")
	}
	return out
}

// State is what the last contact with the peers came to.
func (s *Source) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown
}

// Header implements [headers.Source].
func (s *Source) Header(ctx context.Context, height uint64) (ots.Header, error) {
	if err := s.take(ctx); err != nil {
		return ots.Header{}, err
	}
	defer s.give()
	if height == 0 {
		return ots.ParseHeader(s.genesis())
	}
	c := s.run
	if height <= s.pins[s.base].height {
		i := 0
		for s.pins[i+1].height < height {
			i++
		}
		if c == nil || s.runI != i {
			var err error
			if c, err = s.fill(ctx, i); err != nil {
				return ots.Header{}, err
			}
			s.run, s.runI = c, i
		}
		return ots.ParseHeader(c.at(height))
	}
	if err := s.fresh(ctx); err != nil {
		return ots.Header{}, err
	}
	if height > s.open.tip() {
		return ots.Header{}, fmt.Errorf("%w: the peers' chain ends at block %d", headers.ErrNoBlock, s.open.tip())
	}
	return ots.ParseHeader(s.open.at(height))
}

// Tip implements [headers.Source].
func (s *Source) Tip(ctx context.Context) (uint64, error) {
	if err := s.take(ctx); err != nil {
		return 0, err
	}
	defer s.give()
	if err := s.fresh(ctx); err != nil {
		return 0, err
	}
	return s.open.tip(), nil
}

func (s *Source) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Source) give() {
	s.mu.Lock()
	s.shown = s.state
	s.mu.Unlock()
	<-s.turn
}

// fresh makes sure that the peers were asked not long ago.
func (s *Source) fresh(ctx context.Context) error {
	if now := time.Now(); s.when.IsZero() || now.Sub(s.when) > remember {
		s.err = s.sync(ctx)
		s.when = time.Now()
		if ctx.Err() != nil {
			s.when = time.Time{}
		}
	}
	return s.err
}

func (s *Source) empty(i int) *chain {
	c := newChain(s.cfg.Network, s.pins, i, s.genesis())
	if i != s.base {
		c.pins = s.pins[i+1 : i+2]
		c.ruled = s.pins[i+1].height
	}
	return c
}

func (s *Source) genesis() []byte {
	var b bytes.Buffer
	if err := s.params.GenesisBlock.Header.Serialize(&b); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}
