package p2p

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers"
	"github.com/datestone/datestone/ots/headers/headerstest"
	"github.com/datestone/datestone/ots/headers/p2p/p2ptest"
)

// now is when the tests are: the blocks of headerstest are of 2011.
var now = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

func newFake(raw []byte) *p2ptest.Node { return p2ptest.New(&chaincfg.RegressionNetParams, raw) }

// silence reads until nobody writes any more.
func silence(c net.Conn) { io.Copy(io.Discard, c) }

// wires connects peers by name, without a network.
type wires map[string]*p2ptest.Node

func (w wires) dial(_ context.Context, _, addr string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(addr)
	f := w[host]
	if f == nil {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	go f.Serve(there)
	return here, nil
}

// source makes a source whose peers are a, b, c and so on.
func source(t *testing.T, cfg Config, peers ...*p2ptest.Node) *Source {
	t.Helper()
	w := wires{}
	cfg.Peers = nil
	for i, f := range peers {
		name := string(rune('a' + i))
		w[name] = f
		cfg.Peers = append(cfg.Peers, name)
	}
	if cfg.Network == nil {
		cfg.Network = headers.Regtest
	}
	cfg.Dial = w.dial
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return now }
	}
	cfg.Log = func(line string) { t.Log(line) }
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	trunkMu sync.Mutex
	trunk   = headerstest.New().File()
)

// blocks is the chain of n blocks above block 0 that all tests share. Given a fork and a mark it is
// another one above the fork.
func blocks(n int, forkAndMark ...int) []byte {
	trunkMu.Lock()
	defer trunkMu.Unlock()
	if len(forkAndMark) == 0 {
		trunk = mine(trunk, n, 0)
		return bytes.Clone(trunk[:(n+1)*ots.HeaderSize])
	}
	fork := forkAndMark[0]
	trunk = mine(trunk, fork, 0)
	return mine(bytes.Clone(trunk[:(fork+1)*ots.HeaderSize]), n, byte(forkAndMark[1]))
}

// mine adds blocks up to a height.
func mine(raw []byte, n int, mark byte) []byte {
	for height := len(raw) / ots.HeaderSize; height <= n; height++ {
		h := ots.Header{
			Version: 4, Prev: chainhash.DoubleHashH(raw[len(raw)-ots.HeaderSize:]), MerkleRoot: [32]byte{byte(height), byte(height >> 8), mark},
			Time: headerstest.GenesisTime.Add(time.Duration(height) * 10 * time.Minute), Bits: chaincfg.RegressionNetParams.PowLimitBits,
		}
		for hash := h.Hash(); hash[31] >= 0x7f; hash = h.Hash() {
			h.Nonce++
		}
		raw, _ = h.AppendBinary(raw)
	}
	return raw
}

func headerAt(t *testing.T, raw []byte, height uint64) ots.Header {
	t.Helper()
	h, err := ots.ParseHeader(raw[height*ots.HeaderSize : (height+1)*ots.HeaderSize])
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// want checks that a source gives exactly the chain.
func want(t *testing.T, s *Source, raw []byte) {
	t.Helper()
	top := uint64(len(raw)/ots.HeaderSize - 1)
	if tip, err := s.Tip(t.Context()); err != nil || tip != top {
		t.Fatalf("tip %d, %v; want %d", tip, err, top)
	}
	for _, height := range []uint64{0, 1, top / 2, top} {
		if h, err := s.Header(t.Context(), height); err != nil || h != headerAt(t, raw, height) {
			t.Fatalf("block %d: %v, %v", height, h, err)
		}
	}
	if _, err := s.Header(t.Context(), top+1); !errors.Is(err, headers.ErrNoBlock) {
		t.Fatalf("block %d: %v", top+1, err)
	}
}
