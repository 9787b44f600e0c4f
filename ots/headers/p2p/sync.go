package p2p

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers"
)

const (
	// wanted is how many peers are asked at least, where there are as many.
	wanted = 3
	// maxAsked bounds how many are tried.
	maxAsked = 24
	// slack is how many blocks at the end peers may differ in: one may have heard of a
	// block that another has not.
	slack = 2
	// maxHeaders bounds the memory that a chain takes, 80 MB. Bitcoin's own takes 14 MB in 2026
	// and 4 MB more each year.
	maxHeaders = 1 << 20
	// maxForks is how often a peer's chain may change while it is asked.
	maxForks = 8
	// freshHeight is how many of a cache's last headers the peers are asked for again,
	// so that what was only seen by one before is seen anew.
	freshHeight = 6
)

// view is the end of the chain that a peer showed, with the block that it follows.
type view []pin

// sync brings the open chain up to date with the peers.
func (s *Source) sync(ctx context.Context) error {
	now := s.cfg.Now()
	c := s.open
	if c == nil {
		c = s.load(s.base)
		if tip, low := c.tip(), max(c.pinned(), c.first); tip >= low {
			c.cut(max(low, tip-min(tip, freshHeight)))
		}
		s.open = c
	}
	defer func() { s.cfg.Progress(c.tip(), c.tip()) }()
	addrs, err := s.candidates(ctx)
	if err != nil {
		return err
	}
	var views []view
	s.state = State{}
	for addr, connected := range s.connected(ctx, addrs) {
		before := c.hash(c.tip())
		v, err := s.follow(ctx, connected, c, now)
		if c.hash(c.tip()) != before {
			s.save(c)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			s.drop(addr, err)
			continue
		}
		views = append(views, v)
		if len(views) >= max(s.cfg.Agree, wanted) && s.agreeing(c, views) >= s.cfg.Agree {
			break
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.state.Peers, s.state.Agreeing = len(views), s.agreeing(c, views)
	switch {
	case len(views) == 0:
		return s.nobody("no peer gave block headers")
	case c.tip() < c.ruled:
		return s.nobody(fmt.Sprintf("no peer has the chain up to block %d, a checkpoint of this program", c.ruled))
	case s.state.Agreeing < s.cfg.Agree:
		return s.nobody(fmt.Sprintf("%d of the %d peers that answered agree on the chain with the most work, %d are needed",
			s.state.Agreeing, len(views), s.cfg.Agree))
	}
	s.state.Tip, s.state.TipHash, s.state.TipTime = c.tip(), headers.HashString(c.hash(c.tip())), time.Unix(timeOf(c.at(c.tip())), 0).UTC()
	return nil
}

func (s *Source) drop(addr string, err error) {
	s.state.Dropped = append(s.state.Dropped, Dropped{addr, err.Error()})
	s.wrong = errors.Is(err, headers.ErrWrongNetwork)
	s.cfg.Log(fmt.Sprintf("peer %s: %v", addr, err))
}

// nobody is the error when the peers were not enough, with what became of each.
func (s *Source) nobody(what string) error {
	const most = 4
	for i, d := range s.state.Dropped {
		if i == most {
			what += fmt.Sprintf("; and %d more", len(s.state.Dropped)-most)
			break
		}
		what += fmt.Sprintf("; %s: %s", d.Peer, d.Reason)
	}
	if s.wrong && len(s.state.Dropped) == 1 {
		return fmt.Errorf("%w: %s", headers.ErrWrongNetwork, what)
	}
	return fmt.Errorf("%w: %s", headers.ErrUnreachable, what)
}

// agreeing counts the peers whose chain is ours but for the last blocks.
func (s *Source) agreeing(c *chain, views []view) int {
	n := 0
	for _, v := range views {
		for _, e := range v {
			known := e.height <= c.tip() && e.height+slack >= c.tip()
			if known && (e.height > c.base.height || c.tip() == c.base.height) && c.hash(e.height) == e.hash {
				n++
				break
			}
		}
	}
	return n
}

// follow asks a peer for its chain and takes over what has more work. What a peer showed before
// it misbehaved was checked, and stays.
func (s *Source) follow(ctx context.Context, connected func() (*peer, error), c *chain, now time.Time) (view, error) {
	var v view
	p, err := connected()
	if err != nil {
		return v, err
	}
	// Below the tip, so that a peer that has the same one says so.
	b, err := c.branch(c.tip() - min(slack, c.tip()-c.pinned()))
	if err != nil {
		return v, err
	}
	var raw []byte
	forks := 0
	for {
		heights := c.locator(b.fork)
		locator := make([][32]byte, 0, len(heights)+1)
		if len(b.raw) > 0 {
			locator = append(locator, b.last)
		}
		for _, h := range heights {
			locator = append(locator, c.hash(h))
		}
		answer, err := p.headers(ctx, locator, [32]byte{})
		if err != nil {
			return v, err
		}
		if len(answer) == 0 {
			if len(v) == 0 {
				v = append(v, c.base)
			}
			return v, nil
		}
		if prev := [32]byte(answer[0].PrevBlock); prev != b.last {
			// Another of the blocks that we named: its chain left ours there.
			fork := -1
			for i, h := range heights {
				if c.hash(h) == prev {
					fork = i
					break
				}
			}
			if fork < 0 {
				return v, s.unconnected(c, prev)
			}
			if forks++; forks > maxForks {
				return v, errors.New("its chain changes again and again")
			}
			if b, err = c.branch(heights[fork]); err != nil {
				return v, err
			}
		}
		v = append(v, pin{b.tip(), b.last})
		for _, h := range answer {
			raw = appendHeader(raw[:0], h)
			if len(b.raw) == 0 && b.fork < c.tip() && string(c.at(b.fork+1)) == string(raw) {
				b.fork++
				b.last = c.hash(b.fork)
			} else if err := b.add(raw, now); err != nil {
				return v, err
			}
			v = append(v, pin{b.tip(), b.last})
		}
		v = v[max(0, len(v)-2*slack-2):]
		b.join()
		s.cfg.Progress(c.tip(), max(c.tip(), min(p.known, maxKnown)))
		if len(answer) < fullAnswer {
			return v, nil
		}
	}
}

// maxKnown bounds what a peer can claim for a progress bar.
const maxKnown = 1 << 24

func (s *Source) unconnected(c *chain, prev [32]byte) error {
	if prev == [32]byte(*s.params.GenesisHash) && c.base.height > 0 {
		return fmt.Errorf("it does not have block %d, a checkpoint of this program: it is still syncing itself, or follows another chain", c.base.height)
	}
	return fmt.Errorf("%w: its headers follow none of the blocks that it was asked about", headers.ErrBadHeader)
}

// fill completes the run of headers between two pins; its end proves all of it.
func (s *Source) fill(ctx context.Context, i int) (*chain, error) {
	end := s.pins[i+1]
	c := s.load(i)
	if c.tip() == end.height {
		return c, nil
	}
	defer func() { s.cfg.Progress(c.tip(), c.tip()) }()
	addrs, err := s.candidates(ctx)
	if err != nil {
		return nil, err
	}
	s.state.Dropped = nil
	for addr, connected := range s.connected(ctx, addrs) {
		err := s.fillFrom(ctx, connected, c, end)
		if ctx.Err() != nil {
			break
		}
		if err == nil {
			s.save(c)
			return c, nil
		}
		if errors.Is(err, headers.ErrBadHeader) {
			// Nobody knows which of the headers before were true.
			c = s.empty(i)
		}
		s.drop(addr, err)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, s.nobody(fmt.Sprintf("no peer gave the headers up to block %d", end.height))
}

func (s *Source) fillFrom(ctx context.Context, connected func() (*peer, error), c *chain, end pin) error {
	p, err := connected()
	if err != nil {
		return err
	}
	b, err := c.branch(c.tip())
	if err != nil {
		return err
	}
	var raw []byte
	again := false
	for c.tip() < end.height {
		answer, err := p.headers(ctx, [][32]byte{b.last, c.base.hash}, end.hash)
		if err != nil {
			return err
		}
		if len(answer) > 0 && c.tip() > c.base.height && [32]byte(answer[0].PrevBlock) == c.base.hash {
			// It does not have what a peer before it gave.
			if again {
				return fmt.Errorf("%w: it begins again and again", headers.ErrBadHeader)
			}
			again = true
			c.cut(c.base.height)
			if b, err = c.branch(c.base.height); err != nil {
				return err
			}
		}
		for _, h := range answer[:min(uint64(len(answer)), end.height-c.tip())] {
			raw = appendHeader(raw[:0], h)
			if err := b.add(raw, s.cfg.Now()); err != nil {
				return err
			}
		}
		b.join()
		s.cfg.Progress(c.tip(), end.height)
		if c.tip() < end.height && len(answer) < fullAnswer {
			return fmt.Errorf("it does not have the headers up to block %d", end.height)
		}
	}
	return nil
}

func appendHeader(raw []byte, h *wire.BlockHeader) []byte {
	own := ots.Header{Version: h.Version, Prev: h.PrevBlock, MerkleRoot: h.MerkleRoot, Time: h.Timestamp, Bits: h.Bits, Nonce: h.Nonce}
	raw, _ = own.AppendBinary(raw)
	return raw
}
