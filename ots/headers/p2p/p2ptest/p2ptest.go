// Package p2ptest is a node of Bitcoin's peer-to-peer network for tests, which knows
// headers and nothing else, and misbehaves as a test wants.
package p2ptest

import (
	"bytes"
	"io"
	"net"
	"sync"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/ots"
)

// Node gives the headers of a chain, unless a test made it worse. Its fields are set before
// it serves.
type Node struct {
	magic wire.BitcoinNet

	mu     sync.Mutex // guards what is below
	raw    []byte     // the headers from block 0 on
	index  map[[32]byte]int
	asked  int // getheaders messages
	served int // headers

	// Meet takes over before anything was said. Answer gives another answer; nil ends the connection.
	// Every is called before each answer.
	Meet    func(c net.Conn)
	Version int32
	Answer  func(c net.Conn, honest []*wire.BlockHeader) []*wire.BlockHeader
	Every   func()
}

// New makes a node of a network with a chain: the headers from block 0 on, 80 bytes each.
func New(params *chaincfg.Params, raw []byte) *Node {
	n := &Node{magic: params.Net, Version: int32(wire.ProtocolVersion)}
	n.Set(raw)
	return n
}

// Set replaces the node's chain.
func (n *Node) Set(raw []byte) {
	index := make(map[[32]byte]int)
	for i := 0; i < len(raw); i += ots.HeaderSize {
		index[chainhash.DoubleHashH(raw[i:i+ots.HeaderSize])] = i / ots.HeaderSize
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.raw, n.index = raw, index
}

// Counts are the questions for headers so far, and the headers given.
func (n *Node) Counts() (asked, served int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked, n.served
}

func (n *Node) locate(ask *wire.MsgGetHeaders) []*wire.BlockHeader {
	n.mu.Lock()
	defer n.mu.Unlock()
	from := 1
	for _, h := range ask.BlockLocatorHashes {
		if i, ok := n.index[*h]; ok {
			from = i + 1
			break
		}
	}
	var out []*wire.BlockHeader
	for i := from; i < len(n.raw)/ots.HeaderSize && len(out) < wire.MaxBlockHeadersPerMsg; i++ {
		h := new(wire.BlockHeader)
		if err := h.Deserialize(bytes.NewReader(n.raw[i*ots.HeaderSize:])); err != nil {
			panic(err)
		}
		out = append(out, h)
		if h.BlockHash() == ask.HashStop {
			break
		}
	}
	n.asked++
	n.served += len(out)
	return out
}

// Send writes a message.
func (n *Node) Send(c net.Conn, m wire.Message) error {
	return wire.WriteMessage(c, m, wire.ProtocolVersion, n.magic)
}

// Serve is one connection; it returns when that ends.
func (n *Node) Serve(c net.Conn) {
	c = buffer(c)
	defer c.Close()
	if n.Meet != nil {
		n.Meet(c)
		return
	}
	for {
		msg, _, err := wire.ReadMessage(c, wire.ProtocolVersion, n.magic)
		if err != nil {
			return
		}
		switch m := msg.(type) {
		case *wire.MsgVersion:
			n.mu.Lock()
			top := int32(len(n.raw)/ots.HeaderSize - 1)
			n.mu.Unlock()
			v := wire.NewMsgVersion(&wire.NetAddress{}, &wire.NetAddress{}, 7, top)
			v.ProtocolVersion = n.Version
			// What a real node says as well.
			for _, m := range []wire.Message{v, &wire.MsgSendAddrV2{}, wire.NewMsgVerAck(), wire.NewMsgPing(1), wire.NewMsgFeeFilter(1)} {
				if n.Send(c, m) != nil {
					return
				}
			}
		case *wire.MsgGetHeaders:
			if n.Every != nil {
				n.Every()
			}
			out := n.locate(m)
			if n.Answer != nil {
				if out = n.Answer(c, out); out == nil {
					return
				}
			}
			if n.Send(c, &wire.MsgHeaders{Headers: out}) != nil {
				return
			}
		}
	}
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
