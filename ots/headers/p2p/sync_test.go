package p2p

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers"
	"github.com/datestone/datestone/ots/headers/p2p/p2ptest"
)

func TestSync(t *testing.T) {
	raw := blocks(4500)
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Dir: t.TempDir()}
		var reached, of uint64
		cfg.Progress = func(height, target uint64) { reached, of = height, target }
		s := source(t, cfg, newFake(raw), newFake(raw), newFake(raw), newFake(raw))
		want(t, s, raw)
		if st := s.State(); st.Peers != wanted || st.Agreeing != wanted || st.Tip != 4500 || len(st.Dropped) != 0 {
			t.Errorf("%+v", st)
		}
		if reached != 4500 || of != 4500 {
			t.Errorf("progress to %d of %d", reached, of)
		}
		if !strings.Contains(s.String(), "3 of 3 peers") {
			t.Error(s.String())
		}

		// The next run begins where the last one ended.
		f := newFake(blocks(4510))
		s = source(t, cfg, f)
		want(t, s, blocks(4510))
		if asked, served := f.Counts(); asked != 1 || served > 10+freshHeight+slack {
			t.Errorf("%d headers were fetched in %d answers", served, asked)
		}
		// What is known is good for a while.
		f.Set(blocks(4511))
		want(t, s, blocks(4510))
		time.Sleep(remember + time.Second)
		want(t, s, blocks(4511))
	})
}

// change changes a header, and mines it anew if it is to have its work.
func change(h *wire.BlockHeader, work bool, how func(*wire.BlockHeader)) {
	how(h)
	for ; ; h.Nonce++ {
		hash := h.BlockHash()
		if (hash[31] < 0x7f) == work {
			return
		}
	}
}

func TestFaults(t *testing.T) {
	raw := blocks(2100)
	honest := newFake(raw)
	tests := []struct {
		name   string
		make   func(*p2ptest.Node)
		reason string
	}{
		{"closes at once", func(f *p2ptest.Node) { f.Meet = func(net.Conn) {} }, "closed"},
		{"silent", func(f *p2ptest.Node) { f.Meet = silence }, "slow"},
		{"no message", func(f *p2ptest.Node) {
			f.Meet = func(c net.Conn) {
				go silence(c)
				c.Write([]byte(strings.Repeat("HTTP/1.1 400 Bad Request\r\n", 10)))
			}
		}, "no message"},
		{"other network", func(f *p2ptest.Node) {
			f.Meet = func(c net.Conn) {
				go silence(c)
				wire.WriteMessage(c, wire.NewMsgVerAck(), wire.ProtocolVersion, wire.MainNet)
			}
		}, "another network"},
		{"drips", func(f *p2ptest.Node) {
			f.Meet = func(c net.Conn) {
				go silence(c)
				for {
					time.Sleep(time.Second)
					if _, err := c.Write([]byte{0xfa}); err != nil {
						return
					}
				}
			}
		}, "slow"},
		{"old", func(f *p2ptest.Node) { f.Version = 209 }, "too old"},
		{"no answer", func(f *p2ptest.Node) {
			f.Answer = func(c net.Conn, _ []*wire.BlockHeader) []*wire.BlockHeader { silence(c); return nil }
		}, "slow"},
		{"hangs up", func(f *p2ptest.Node) {
			f.Answer = func(c net.Conn, _ []*wire.BlockHeader) []*wire.BlockHeader { go silence(c); return nil }
		}, "closed"},
		{"slow answers", func(f *p2ptest.Node) {
			f.Answer = func(_ net.Conn, hs []*wire.BlockHeader) []*wire.BlockHeader {
				time.Sleep(DefaultTimeout - 2*time.Second)
				return hs
			}
		}, "slow"},
		{"chatter", func(f *p2ptest.Node) {
			f.Answer = func(c net.Conn, _ []*wire.BlockHeader) []*wire.BlockHeader {
				go silence(c)
				for f.Send(c, &noise{}) == nil {
				}
				return nil
			}
		}, "more than"},
		{"pings for ever", func(f *p2ptest.Node) {
			f.Answer = func(c net.Conn, _ []*wire.BlockHeader) []*wire.BlockHeader {
				go silence(c)
				for f.Send(c, wire.NewMsgPing(1)) == nil {
				}
				return nil
			}
		}, "more than"},
		{"no work", func(f *p2ptest.Node) {
			f.Answer = func(_ net.Conn, hs []*wire.BlockHeader) []*wire.BlockHeader {
				change(hs[len(hs)-1], false, func(*wire.BlockHeader) {})
				return hs
			}
		}, "proof of work"},
		{"other target", func(f *p2ptest.Node) {
			f.Answer = func(_ net.Conn, hs []*wire.BlockHeader) []*wire.BlockHeader {
				change(hs[len(hs)-1], true, func(h *wire.BlockHeader) { h.Bits = 0x207ffffe })
				return hs
			}
		}, "difficulty rule"},
		{"easier than allowed", func(f *p2ptest.Node) {
			f.Answer = func(_ net.Conn, hs []*wire.BlockHeader) []*wire.BlockHeader {
				hs[0].Bits = 0x2100ffff
				return hs
			}
		}, "easier"},
		{"too early", func(f *p2ptest.Node) {
			f.Answer = func(_ net.Conn, hs []*wire.BlockHeader) []*wire.BlockHeader {
				change(hs[len(hs)-1], true, func(h *wire.BlockHeader) { h.Timestamp = h.Timestamp.Add(-time.Hour) })
				return hs
			}
		}, "median"},
		{"too late", func(f *p2ptest.Node) {
			f.Answer = func(_ net.Conn, hs []*wire.BlockHeader) []*wire.BlockHeader {
				change(hs[len(hs)-1], true, func(h *wire.BlockHeader) { h.Timestamp = now.Add(maxAhead + time.Second) })
				return hs
			}
		}, "clock"},
		{"broken link", func(f *p2ptest.Node) {
			f.Answer = func(_ net.Conn, hs []*wire.BlockHeader) []*wire.BlockHeader { return append(hs[:5], hs[6:]...) }
		}, "does not follow"},
		{"follows nothing", func(f *p2ptest.Node) {
			f.Answer = func(_ net.Conn, hs []*wire.BlockHeader) []*wire.BlockHeader { return hs[1:] }
		}, "follow none"},
		{"the same for ever", func(f *p2ptest.Node) {
			var first []*wire.BlockHeader
			f.Answer = func(_ net.Conn, hs []*wire.BlockHeader) []*wire.BlockHeader {
				if first == nil {
					first = hs
				}
				return first
			}
		}, "again and again"},
		{"too many", func(f *p2ptest.Node) {
			f.Answer = func(c net.Conn, hs []*wire.BlockHeader) []*wire.BlockHeader {
				go silence(c)
				wire.WriteMessage(c, &tooMany{}, wire.ProtocolVersion, wire.TestNet)
				return nil
			}
		}, "no message"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				defer time.Sleep(time.Hour) // the liars find out
				liar := newFake(raw)
				tt.make(liar)
				s := source(t, Config{}, liar, honest, honest)
				want(t, s, raw)
				st := s.State()
				if st.Peers != 2 || st.Agreeing != 2 || len(st.Dropped) != 1 || st.Dropped[0].Peer != "a:18444" || !strings.Contains(st.Dropped[0].Reason, tt.reason) {
					t.Errorf("%+v, want the reason %q", st, tt.reason)
				}

				// Alone it proves nothing.
				liar = newFake(raw)
				tt.make(liar)
				s = source(t, Config{}, liar)
				if h, err := s.Header(t.Context(), 2100); !errors.Is(err, headers.ErrUnreachable) && !errors.Is(err, headers.ErrWrongNetwork) || !strings.Contains(err.Error(), tt.reason) {
					t.Errorf("alone: %v, %v", h, err)
				}
			})
		})
	}
}

const maxAhead = 2 * time.Hour

// tooMany is a message of 2001 headers.
type tooMany struct{ wire.MsgHeaders }

// BtcEncode implements [wire.Message].
func (tooMany) BtcEncode(w io.Writer, _ uint32, _ wire.MessageEncoding) error {
	_, err := w.Write(append([]byte{0xfd, 0xd1, 0x07}, make([]byte, 2001*81)...))
	return err
}

// MaxPayloadLength implements [wire.Message].
func (tooMany) MaxPayloadLength(uint32) uint32 { return 1 << 20 }

// noise is a long message of a kind that nobody knows.
type noise struct{ tooMany }

// Command implements [wire.Message].
func (noise) Command() string { return "noise" }

// Real liars with a valid chain of less work do not count, however many they are, but nothing is
// said where too few peers show the one with the most.
func TestMostWork(t *testing.T) {
	right, wrong := blocks(2300), blocks(2200, 150, 9)
	synctest.Test(t, func(t *testing.T) {
		for _, order := range []string{"wwwr", "rwww", "wwrw"} {
			var peers []*p2ptest.Node
			for _, p := range order {
				peers = append(peers, newFake(map[rune][]byte{'r': right, 'w': wrong}[p]))
			}
			s := source(t, Config{Agree: 1}, peers...)
			if tip, err := s.Tip(t.Context()); err != nil || tip != 2300 && order[3] != 'r' {
				t.Errorf("%s: tip %d, %v", order, tip, err)
			}
			s = source(t, Config{Agree: 2}, peers...)
			tip, err := s.Tip(t.Context())
			if order == "wwwr" {
				continue // three agree before the fourth is asked
			}
			if !errors.Is(err, headers.ErrUnreachable) || !strings.Contains(err.Error(), "1 of the 4") {
				t.Errorf("%s: tip %d, %v", order, tip, err)
			}
		}
	})
}

// Two peers that differ in their last block agree.
func TestLastBlockDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, behind := blocks(100), blocks(100, 99, 5), blocks(99)
		s := source(t, Config{Agree: 3}, newFake(a), newFake(b), newFake(behind))
		want(t, s, a)
		open := true
		progress := func(height, of uint64) { open = height < of }
		s = source(t, Config{Agree: 2, Progress: progress}, newFake(a), newFake(blocks(90)))
		if _, err := s.Tip(t.Context()); err == nil || !strings.Contains(err.Error(), "1 of the 2") {
			t.Errorf("with a peer that is far behind: %v", err)
		}
		if open {
			t.Error("the progress has no end")
		}
	})
}

func TestReorganizations(t *testing.T) {
	old, replaced := blocks(2300), blocks(2400, 1500, 7)
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Dir: t.TempDir()}
		want(t, source(t, cfg, newFake(old)), old)
		// While nobody looked.
		want(t, source(t, cfg, newFake(replaced)), replaced)
		// And what is kept is the new chain.
		f := newFake(replaced)
		want(t, source(t, cfg, f), replaced)
		if _, served := f.Counts(); served > 20 {
			t.Errorf("%d headers were fetched", served)
		}
		// The one with less work does not come back.
		if tip, err := source(t, cfg, newFake(old)).Tip(t.Context()); !errors.Is(err, headers.ErrUnreachable) {
			t.Errorf("with less work than is known: %d, %v", tip, err)
		}

		// Between two answers of a peer.
		for _, fork := range []int{0, 1000, 1999, 2000, 2001} {
			other := blocks(2400, fork, 8)
			f := newFake(old)
			f.Every = func() {
				if asked, _ := f.Counts(); asked == 1 {
					f.Set(other)
				}
			}
			want(t, source(t, Config{}, f), other)
		}
	})
}

func TestChainIsBounded(t *testing.T) {
	raw := blocks(30)
	s := source(t, Config{}, newFake(raw))
	c := s.empty(0)
	c.limit = 20
	b, err := c.branch(0)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; err == nil && i < 30; i++ {
		err = b.add(raw[i*ots.HeaderSize:(i+1)*ots.HeaderSize], now)
	}
	if !errors.Is(err, errLong) || b.tip() != 19 {
		t.Errorf("%v at block %d", err, b.tip())
	}
}

// A run is the same list whatever its parts are.
func TestRun(t *testing.T) {
	raw := make([]byte, (2*partLen+100)*ots.HeaderSize)
	for i := range len(raw) / ots.HeaderSize {
		raw[i*ots.HeaderSize], raw[i*ots.HeaderSize+1] = byte(i), byte(i>>8)
	}
	header := func(i int) []byte { return raw[i*ots.HeaderSize : (i+1)*ots.HeaderSize] }
	for _, keep := range []int{0, 1, partLen - 1, partLen, partLen + 1, 2 * partLen, 2*partLen + 99} {
		var r run
		r.append(raw)
		r.cut(keep)
		r.append(raw[keep*ots.HeaderSize:])
		if r.n != len(raw)/ots.HeaderSize {
			t.Fatalf("%d headers after a cut at %d", r.n, keep)
		}
		for i := range r.n {
			if !bytes.Equal(r.at(i), header(i)) {
				t.Fatalf("header %d is another after a cut at %d", i, keep)
			}
		}
	}
}
