package p2p

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/internal/testnode"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers"
	"github.com/datestone/datestone/ots/headers/p2p/p2ptest"
)

// The beginning of the real chain, with the real checkpoint at block 11111.
func TestBelowTheCheckpoint(t *testing.T) {
	raw := testnode.MainnetHeaders(t)[:11200*ots.HeaderSize]
	mainnet := func() *p2ptest.Node { return p2ptest.New(&chaincfg.MainNetParams, raw) }
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Network: headers.Mainnet, Dir: t.TempDir()}
		get := func(s *Source, height uint64) {
			t.Helper()
			if h, err := s.Header(t.Context(), height); err != nil || h != headerAt(t, raw, height) {
				t.Fatalf("block %d: %v, %v", height, h, err)
			}
		}
		f := mainnet()
		s := source(t, cfg, f)
		for _, height := range []uint64{5000, 0, 1, 11111} {
			get(s, height)
		}
		if _, served := f.Counts(); served != 11111 {
			t.Errorf("%d headers were fetched", served)
		}
		// Of a chain that ends before the last checkpoint nothing else is believed.
		if tip, err := s.Tip(t.Context()); !errors.Is(err, headers.ErrUnreachable) || !strings.Contains(err.Error(), "checkpoint") {
			t.Errorf("tip %d, %v", tip, err)
		}
		// The next run asks nobody.
		get(source(t, cfg), 5000)

		// A liar who changes one header, and one who leaves in the middle.
		changed := mainnet()
		changed.Answer = func(_ net.Conn, hs []*wire.BlockHeader) []*wire.BlockHeader {
			if asked, _ := changed.Counts(); asked == 2 {
				hs[7].MerkleRoot[0]++
			}
			return hs
		}
		gone := mainnet()
		gone.Answer = func(c net.Conn, hs []*wire.BlockHeader) []*wire.BlockHeader {
			if asked, _ := gone.Counts(); asked == 3 {
				go silence(c)
				return nil
			}
			return hs
		}
		last := mainnet()
		s = source(t, Config{Network: headers.Mainnet}, changed, gone, last)
		get(s, 5000)
		if st := s.state; len(st.Dropped) != 2 || !strings.Contains(st.Dropped[0].Reason, "proof of work") {
			t.Errorf("%+v", st)
		}
		if _, served := last.Counts(); served != 11111-4000 {
			t.Errorf("%d headers were fetched from the last peer", served)
		}
		short := p2ptest.New(&chaincfg.MainNetParams, raw[:9000*ots.HeaderSize])
		if _, err := source(t, Config{Network: headers.Mainnet}, short).Header(t.Context(), 5000); !errors.Is(err, headers.ErrUnreachable) {
			t.Errorf("from a peer whose chain is shorter: %v", err)
		}
	})
}

// Above the last checkpoint mainnet's own rules hold, with real headers and a checkpoint among them.
func TestAboveTheCheckpoint(t *testing.T) {
	raw := testnode.MainnetHeaders(t)[:12200*ots.HeaderSize]
	early := func(s *Source) *Source {
		s.pins, s.base = s.pins[:2], 0
		return s
	}
	honest := p2ptest.New(&chaincfg.MainNetParams, raw)
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Network: headers.Mainnet, Agree: 1}
		s := early(source(t, cfg, honest))
		want(t, s, raw)
		if u := strings.Join(s.Unchecked(), "; "); !strings.Contains(u, "up to 11111, but for their link") || !strings.Contains(u, "the last block that the peers have is of 2009-") {
			t.Errorf("unchecked: %s", u)
		}

		// Each liar changes what one header says; none has the work.
		for _, height := range []int{11111, 12096} {
			liar := bytes.Clone(raw)
			liar[height*ots.HeaderSize+40]++
			s = early(source(t, cfg, p2ptest.New(&chaincfg.MainNetParams, liar), honest))
			want(t, s, raw)
			if st := s.State(); len(st.Dropped) != 1 {
				t.Errorf("block %d: %+v", height, st)
			}
		}

		// A chain that leaves the right one below the checkpoint is refused though each header has its
		// work, and so is a checkpoint that is another block.
		if _, err := s.open.branch(11110); !errors.Is(err, errLow) {
			t.Errorf("a branch below the checkpoint: %v", err)
		}
		s = early(source(t, cfg, honest))
		s.pins[1].hash[0]++
		if _, err := s.Tip(t.Context()); err == nil || !strings.Contains(err.Error(), "block 11111 is not the one") {
			t.Errorf("another checkpoint: %v", err)
		}
	})
}

// Where the open end begins leaves the rules what they look back at.
func TestPins(t *testing.T) {
	for _, n := range headers.Networks {
		params := paramsOf(n)
		if params == nil {
			t.Fatalf("%s is not known", n)
		}
		if params.GenesisHash.String() != n.Genesis {
			t.Errorf("%s: block 0 is %s, want %s", n, params.GenesisHash, n.Genesis)
		}
		pins := pinsOf(params)
		base, last := openBase(pins), len(pins)-1
		if base != 0 && pins[last].height-pins[base].height < ruleContext {
			t.Errorf("%s: the open end begins at %d, the last checkpoint is %d", n, pins[base].height, pins[last].height)
		}
	}
	pins := pinsOf(&chaincfg.MainNetParams)
	if last := pins[len(pins)-1]; last.height < 810000 || pins[openBase(pins)].height < 800000 {
		t.Errorf("the last checkpoint is %d", last.height)
	}
}
