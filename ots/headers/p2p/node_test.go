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
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers"
	"github.com/datestone/datestone/ots/headers/headerstest"
)

// now is when the tests are: the blocks of headerstest are of 2011.
var now = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

// fake is a node that gives headers, or one that a test made worse.
type fake struct {
	magic wire.BitcoinNet

	mu     sync.Mutex // guards what is below
	raw    []byte     // the headers from block 0 on
	index  map[[32]byte]int
	asked  int // getheaders messages
	served int // headers

	// meet takes over before anything was said; answer instead of what is asked for.
	meet    func(c net.Conn)
	version int32
	answer  func(c net.Conn, honest []*wire.BlockHeader) []*wire.BlockHeader
	every   func() // before each answer
}

func newFake(raw []byte) *fake { return fakeOf(&chaincfg.RegressionNetParams, raw) }

func fakeOf(params *chaincfg.Params, raw []byte) *fake {
	f := &fake{magic: params.Net, version: int32(wire.ProtocolVersion)}
	f.set(raw)
	return f
}

// set replaces the node's chain.
func (f *fake) set(raw []byte) {
	index := make(map[[32]byte]int)
	for i := 0; i < len(raw); i += ots.HeaderSize {
		index[chainhash.DoubleHashH(raw[i:i+ots.HeaderSize])] = i / ots.HeaderSize
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.raw, f.index = raw, index
}

func (f *fake) counts() (asked, served int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked, f.served
}

func (f *fake) locate(ask *wire.MsgGetHeaders) []*wire.BlockHeader {
	f.mu.Lock()
	defer f.mu.Unlock()
	from := 1
	for _, h := range ask.BlockLocatorHashes {
		if i, ok := f.index[*h]; ok {
			from = i + 1
			break
		}
	}
	var out []*wire.BlockHeader
	for i := from; i < len(f.raw)/ots.HeaderSize && len(out) < wire.MaxBlockHeadersPerMsg; i++ {
		h := new(wire.BlockHeader)
		if err := h.Deserialize(bytes.NewReader(f.raw[i*ots.HeaderSize:])); err != nil {
			panic(err)
		}
		out = append(out, h)
		if h.BlockHash() == ask.HashStop {
			break
		}
	}
	f.asked++
	f.served += len(out)
	return out
}

func (f *fake) send(c net.Conn, m wire.Message) error {
	return wire.WriteMessage(c, m, wire.ProtocolVersion, f.magic)
}

func (f *fake) serve(c net.Conn) {
	defer c.Close()
	if f.meet != nil {
		f.meet(c)
		return
	}
	for {
		msg, _, err := wire.ReadMessage(c, wire.ProtocolVersion, f.magic)
		if err != nil {
			return
		}
		switch m := msg.(type) {
		case *wire.MsgVersion:
			v := wire.NewMsgVersion(&wire.NetAddress{}, &wire.NetAddress{}, 7, int32(len(f.raw)/ots.HeaderSize-1))
			v.ProtocolVersion = f.version
			// What a real node says as well.
			for _, m := range []wire.Message{v, &wire.MsgSendAddrV2{}, wire.NewMsgVerAck(), wire.NewMsgPing(1), wire.NewMsgFeeFilter(1)} {
				if f.send(c, m) != nil {
					return
				}
			}
		case *wire.MsgGetHeaders:
			if f.every != nil {
				f.every()
			}
			out := f.locate(m)
			if f.answer != nil {
				if out = f.answer(c, out); out == nil {
					return
				}
			}
			if f.send(c, &wire.MsgHeaders{Headers: out}) != nil {
				return
			}
		}
	}
}

// silence reads until nobody writes any more.
func silence(c net.Conn) { io.Copy(io.Discard, c) }

// wires connects peers by name, without a network.
type wires map[string]*fake

func (w wires) dial(_ context.Context, _, addr string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(addr)
	f := w[host]
	if f == nil {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	go f.serve(buffer(there))
	return here, nil
}

// buffered is a connection whose writes need not wait for the other side, as a network's
// does.
type buffered struct {
	net.Conn
	queue chan []byte
	gone  chan struct{}
}

func buffer(c net.Conn) *buffered {
	b := &buffered{c, make(chan []byte, 64), make(chan struct{})}
	go func() {
		defer c.Close()
		defer close(b.gone)
		for p := range b.queue {
			if _, err := c.Write(p); err != nil {
				return
			}
		}
	}()
	return b
}

func (b *buffered) Write(p []byte) (int, error) {
	select {
	case b.queue <- bytes.Clone(p):
		return len(p), nil
	case <-b.gone:
		return 0, io.ErrClosedPipe
	}
}

// Close lets what was written be read.
func (b *buffered) Close() error {
	close(b.queue)
	return nil
}

// source makes a source whose peers are a, b, c and so on.
func source(t *testing.T, cfg Config, peers ...*fake) *Source {
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

// blocks makes a regtest chain. Chains of the same mark share their blocks; with two marks they
// part above the fork.
func blocks(n int, marks ...int) []byte {
	c := headerstest.New()
	fork := n
	mark := byte(0)
	if len(marks) == 2 {
		fork, mark = marks[0], byte(marks[1])
	}
	for i := 1; i <= n; i++ {
		root := [32]byte{byte(i), byte(i >> 8), byte(i >> 16)}
		if i > fork {
			root[31] = mark
		}
		c.Mine(root)
	}
	return c.File()
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
