package p2p

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers"
)

// pin is a block that the program knows to be in the chain: the genesis block, or a
// checkpoint.
type pin struct {
	height uint64
	hash   [32]byte
}

// pinsOf lists a network's pins from the genesis block on.
func pinsOf(params *chaincfg.Params) []pin {
	pins := []pin{{0, *params.GenesisHash}}
	for _, c := range params.Checkpoints {
		pins = append(pins, pin{uint64(c.Height), *c.Hash})
	}
	return pins
}

// ruleContext is how many headers the rules look back at: a whole interval of the difficulty
// and eleven blocks before it.
const ruleContext = 2016 + 11

// openBase is which pin the open end of the chain begins at: the last but one, or an earlier one,
// so that the rules can be applied from the last one on.
func openBase(pins []pin) int {
	last := len(pins) - 1
	for i := last; i > 0; i-- {
		if pins[last].height-pins[i].height >= ruleContext {
			return i
		}
	}
	return 0
}

// partLen is how many headers one part of a run holds, 320 kB.
const partLen = 4096

// run is a list of headers in parts, so that a long one grows without being copied.
type run struct {
	parts [][]byte
	n     int
}

func (r *run) at(i int) []byte {
	at := i % partLen * ots.HeaderSize
	return r.parts[i/partLen][at : at+ots.HeaderSize]
}

// append adds headers, one after the other in raw.
func (r *run) append(raw []byte) {
	for len(raw) > 0 {
		if r.n == len(r.parts)*partLen {
			r.parts = append(r.parts, make([]byte, 0, partLen*ots.HeaderSize))
		}
		last := &r.parts[len(r.parts)-1]
		k := min(len(raw), cap(*last)-len(*last))
		*last = append(*last, raw[:k]...)
		raw, r.n = raw[k:], r.n+k/ots.HeaderSize
	}
}

// cut keeps the first n headers.
func (r *run) cut(n int) {
	r.n = n
	r.parts = r.parts[:(n+partLen-1)/partLen]
	if rest := n % partLen; rest > 0 {
		last := &r.parts[len(r.parts)-1]
		*last = (*last)[:rest*ots.HeaderSize]
	}
}

// chain is a run of headers above a base. It is the best that is known, and every header
// in it was checked.
type chain struct {
	net   *headers.Network
	base  pin
	pins  []pin  // above the base
	ruled uint64 // above this height the rules are checked; up to it the pins stand for them
	limit int    // at most so many headers
	first uint64 // the height of the first header here: the base if it is the genesis block
	run   run
}

// newChain makes a chain that holds nothing but its base. genesis is its header if the
// base is the genesis block.
func newChain(net *headers.Network, pins []pin, base int, genesis []byte) *chain {
	c := &chain{net: net, base: pins[base], pins: pins[base+1:], first: pins[base].height + 1, limit: maxHeaders}
	if net == headers.Testnet3 {
		c.limit *= 4 // its exceptions let blocks storm
	}
	if last := len(pins) - 1; last > base {
		c.ruled = pins[last].height
	}
	if base == 0 {
		c.first = 0
		c.run.append(genesis)
	}
	return c
}

func (c *chain) tip() uint64 { return c.first + uint64(c.run.n) - 1 }

func (c *chain) at(height uint64) []byte { return c.run.at(int(height - c.first)) }

func (c *chain) hash(height uint64) [32]byte {
	if height == c.base.height {
		return c.base.hash
	}
	h, err := ots.ParseHeader(c.at(height))
	if err != nil {
		panic(err) // its length is right
	}
	return h.Hash()
}

// cut drops what is above a height.
func (c *chain) cut(height uint64) { c.run.cut(int(height + 1 - c.first)) }

// pinned is the height of the highest pin that the chain has reached.
func (c *chain) pinned() uint64 {
	h := c.base.height
	for _, p := range c.pins {
		if p.height <= c.tip() {
			h = p.height
		}
	}
	return h
}

// locator lists heights from one down to the base, the nearest ten singly, then ever
// farther apart.
func (c *chain) locator(from uint64) []uint64 {
	heights := []uint64{from}
	for step := uint64(1); from > c.base.height; {
		if len(heights) >= 10 {
			step *= 2
		}
		from = max(c.base.height, from-min(step, from))
		heights = append(heights, from)
	}
	return heights
}

// work is that of the blocks above a height.
func (c *chain) work(above uint64) *big.Int {
	sum, one, bits := new(big.Int), new(big.Int), uint32(0)
	for h := above + 1; h <= c.tip(); h++ {
		if b := bitsOf(c.at(h)); b != bits {
			bits, one = b, headers.Work(b)
		}
		sum.Add(sum, one)
	}
	return sum
}

func bitsOf(raw []byte) uint32 { return binary.LittleEndian.Uint32(raw[72:]) }

func timeOf(raw []byte) int64 { return int64(binary.LittleEndian.Uint32(raw[68:])) }

// branch is what a peer shows instead of a chain's blocks above a fork, or after its
// tip. It joins the chain as soon as it has more work.
type branch struct {
	chain *chain
	rules *headers.Rules
	fork  uint64
	raw   []byte
	last  [32]byte
	work  *big.Int

	bits uint32 // the last header's
	one  *big.Int
}

// errLow says that a branch leaves the chain where nothing may: at or below a checkpoint.
var errLow = errors.New("its chain leaves the right one below a checkpoint of this program")

// errLong bounds memory.
var errLong = errors.New("its chain is longer than any can be")

func (c *chain) branch(fork uint64) (*branch, error) {
	if fork < c.pinned() {
		return nil, errLow
	}
	return &branch{chain: c, rules: headers.NewRules(c.net), fork: fork, last: c.hash(fork), work: new(big.Int)}, nil
}

func (b *branch) tip() uint64 { return b.fork + uint64(len(b.raw)/ots.HeaderSize) }

func (b *branch) at(height uint64) []byte {
	if height <= b.fork {
		return b.chain.at(height)
	}
	i := (height - b.fork - 1) * ots.HeaderSize
	return b.raw[i : i+ots.HeaderSize]
}

// add checks a header and puts it at the end.
func (b *branch) add(raw []byte, now time.Time) error {
	h, err := ots.ParseHeader(raw)
	if err != nil {
		return err
	}
	c, height := b.chain, b.tip()+1
	if h.Prev != b.last {
		return fmt.Errorf("%w: block %d does not follow block %d", headers.ErrBadHeader, height, height-1)
	}
	if height-c.first >= uint64(c.limit) {
		return errLong
	}
	hash := h.Hash()
	for _, p := range c.pins {
		if p.height == height && p.hash != hash {
			return fmt.Errorf("%w: block %d is not the one of this program's checkpoint", headers.ErrBadHeader, height)
		}
	}
	if height <= c.ruled {
		err = b.rules.Work(height, h.Bits, hash)
	} else {
		before := func(height uint64) (int64, uint32) {
			raw := b.at(height)
			return timeOf(raw), bitsOf(raw)
		}
		err = b.rules.Next(height, h, hash, before, c.first, now)
	}
	if err != nil {
		return err
	}
	if b.one == nil || b.bits != h.Bits {
		b.bits, b.one = h.Bits, headers.Work(h.Bits)
	}
	b.work.Add(b.work, b.one)
	b.raw, b.last = append(b.raw, raw...), hash
	return nil
}

// join makes the branch the chain's end if it has more work than what stands there now,
// and begins again at the new tip.
func (b *branch) join() bool {
	c := b.chain
	if b.work.Cmp(c.work(b.fork)) <= 0 {
		return false
	}
	c.cut(b.fork)
	c.run.append(b.raw)
	b.fork, b.raw = c.tip(), b.raw[:0]
	b.work.SetUint64(0)
	return true
}
