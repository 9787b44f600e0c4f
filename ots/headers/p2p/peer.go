package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/ots/headers"
)

const (
	// slowest is how many headers a second a peer must give, 16 kB, beyond its first answer.
	slowest = 200
	// maxChatter bounds what a peer may send besides and including one answer.
	maxChatter = 4 << 20
	// maxMessages is as much in messages.
	maxMessages = 1000
	// fullAnswer is the number of headers in an answer that does not end at the peer's tip.
	fullAnswer = wire.MaxBlockHeadersPerMsg
	// headersVersion is the oldest protocol version that has getheaders.
	headersVersion = 31800
)

// peer is a connection to a node, and is used by one goroutine.
type peer struct {
	conn  net.Conn
	magic wire.BitcoinNet
	pver  uint32
	in    meter
	until time.Time // without the headers that it has given
	got   int
	heard int    // messages since the last question
	known uint64 // the height that it claims
	stop  func() bool
}

// meter reads until its bytes are used up.
type meter struct {
	r    io.Reader
	left int
}

var errChatter = errors.New("it sends more than anybody asked for")

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errChatter
	}
	n, err := m.r.Read(p[:min(len(p), m.left)])
	m.left -= n
	return n, err
}

// connect dials a node and exchanges versions, in half of the timeout.
func (s *Source) connect(ctx context.Context, addr string) (*peer, error) {
	until := time.Now().Add(s.cfg.Timeout / 2)
	dctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	conn, err := s.cfg.Dial(dctx, "tcp", addr)
	if err != nil {
		return nil, plain(err)
	}
	p := &peer{conn: conn, magic: s.params.Net, pver: wire.ProtocolVersion, in: meter{r: conn}, until: until}
	// A context that ends wakes what waits on the connection.
	p.stop = context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	if err := p.handshake(ctx); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// atOnce is how many of the seeds' peers are connected to at the same time: of strangers many
// are gone.
const atOnce = 6

// connected yields the peers of a list, or why there is no connection, as they come. Each
// is closed when the loop goes on; its time begins when it is yielded.
func (s *Source) connected(ctx context.Context, addrs []string) iter.Seq2[string, func() (*peer, error)] {
	return func(yield func(string, func() (*peer, error)) bool) {
		ctx, cancel := context.WithCancel(ctx)
		type result struct {
			addr string
			p    *peer
			err  error
		}
		results := make(chan result)
		var wg sync.WaitGroup
		next := make(chan string)
		workers := atOnce
		if len(s.cfg.Peers) > 0 {
			workers = 1 // in their order
		}
		for range workers {
			wg.Go(func() {
				for addr := range next {
					p, err := s.connect(ctx, addr)
					select {
					case results <- result{addr, p, err}:
					case <-ctx.Done():
						if p != nil {
							p.close()
						}
					}
				}
			})
		}
		defer wg.Wait()
		defer cancel()
		wg.Go(func() {
			defer close(next)
			for _, addr := range addrs {
				select {
				case next <- addr:
				case <-ctx.Done():
					return
				}
			}
		})
		for range addrs {
			select {
			case r := <-results:
				if r.p != nil {
					r.p.until = time.Now().Add(s.cfg.Timeout)
				}
				more := yield(r.addr, func() (*peer, error) { return r.p, r.err })
				if r.p != nil {
					r.p.close()
				}
				if !more {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

func (p *peer) close() {
	p.stop()
	p.conn.Close()
}

func (p *peer) handshake(ctx context.Context) error {
	p.begin(ctx)
	me := wire.NewMsgVersion(&wire.NetAddress{}, &wire.NetAddress{}, rand.Uint64(), 0)
	me.UserAgent, me.DisableRelayTx = "/datestone/", true
	if err := p.send(me); err != nil {
		return err
	}
	for version, verack := false, false; !version || !verack; {
		msg, err := p.read()
		if err != nil {
			return err
		}
		switch m := msg.(type) {
		case *wire.MsgVersion:
			if m.ProtocolVersion < headersVersion {
				return fmt.Errorf("its protocol version %d is too old", m.ProtocolVersion)
			}
			p.pver = min(p.pver, uint32(m.ProtocolVersion))
			p.known, version = uint64(max(m.LastBlock, 0)), true
			if err := p.send(wire.NewMsgVerAck()); err != nil {
				return err
			}
		case *wire.MsgVerAck:
			verack = true
		}
	}
	return nil
}

// begin starts to wait for one answer.
func (p *peer) begin(ctx context.Context) {
	p.in.left, p.heard = maxChatter, 0
	p.conn.SetDeadline(p.until.Add(time.Duration(p.got) * time.Second / slowest))
	if ctx.Err() != nil {
		p.conn.SetDeadline(time.Unix(1, 0))
	}
}

// headers asks for what follows the first of the blocks that the peer has, at most 2000, up to the one
// named stop unless that is zero.
func (p *peer) headers(ctx context.Context, locator [][32]byte, stop [32]byte) ([]*wire.BlockHeader, error) {
	p.begin(ctx)
	ask := wire.NewMsgGetHeaders()
	ask.ProtocolVersion, ask.HashStop = p.pver, stop
	for _, h := range locator {
		if err := ask.AddBlockLocatorHash((*chainhash.Hash)(&h)); err != nil {
			return nil, err
		}
	}
	if err := p.send(ask); err != nil {
		return nil, err
	}
	for {
		msg, err := p.read()
		if err != nil {
			return nil, err
		}
		switch m := msg.(type) {
		case *wire.MsgHeaders:
			p.got += len(m.Headers)
			return m.Headers, nil
		case *wire.MsgPing:
			if err := p.send(wire.NewMsgPong(m.Nonce)); err != nil {
				return nil, err
			}
		}
	}
}

func (p *peer) send(m wire.Message) error {
	_, err := wire.WriteMessageWithEncodingN(p.conn, m, p.pver, p.magic, wire.LatestEncoding)
	return plain(err)
}

// read returns the next message of a kind that is known here, which a person may have
// chosen in each byte.
func (p *peer) read() (wire.Message, error) {
	for {
		if p.heard++; p.heard > maxMessages {
			return nil, errChatter
		}
		_, msg, _, err := wire.ReadMessageWithEncodingN(&p.in, p.pver, p.magic, wire.LatestEncoding)
		if errors.Is(err, wire.ErrUnknownMessage) {
			continue
		}
		return msg, plain(err)
	}
}

// plain says in a few words what happened to a connection.
func plain(err error) error {
	var bad *wire.MessageError
	var timeout net.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errChatter):
		return errChatter
	case errors.As(err, &bad) && strings.Contains(bad.Description, "other network"):
		return fmt.Errorf("%w: it is on another network", headers.ErrWrongNetwork)
	case errors.As(err, &bad):
		return errors.New("it sends what is no message: " + bad.Description)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe):
		return errors.New("it closed the connection; it may be on another network, or full")
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("it is too slow, or gives no answer; a node that is still syncing itself gives none")
	}
	return err
}
