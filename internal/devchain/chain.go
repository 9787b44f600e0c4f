package devchain

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// block is a place in the tree of blocks. Its transactions stay in the file.
type block struct {
	hash    chainhash.Hash
	header  wire.BlockHeader
	parent  *block // nil for the genesis block
	height  int
	arrival int   // among branches of equal work the first to arrive is best
	bad     bool  // it or an ancestor is invalid or named by Invalidate
	invalid bool  // its own transactions break a rule
	at      int64 // of the serialized block in the file; 0 for the genesis block
	size    int
	txs     int
	spent   []spentCoin // what it spent, in order, while it is in the best branch
}

// coin is an unspent output.
type coin struct {
	out      wire.TxOut
	height   int
	coinbase bool
}

type spentCoin struct {
	out wire.OutPoint
	*coin
}

func (c *Chain) tip() *block { return c.active[len(c.active)-1] }

func (c *Chain) isActive(b *block) bool {
	return b.height < len(c.active) && c.active[b.height] == b
}

// read returns the whole block.
func (c *Chain) read(b *block) (*wire.MsgBlock, error) {
	if b.parent == nil {
		return params.GenesisBlock, nil
	}
	raw, err := c.file.read(b.at, b.size)
	if err != nil {
		return nil, err
	}
	m := new(wire.MsgBlock)
	if err := m.Deserialize(bytes.NewReader(raw)); err != nil {
		return nil, fmt.Errorf("block %v on disk: %w", b.hash, err)
	}
	return m, nil
}

// load replays the file, with all checks: it may hold blocks that were refused.
func (c *Chain) load() error {
	bodies := make(map[*block]*wire.MsgBlock)
	err := c.file.load(func(r record) error {
		switch r.magic {
		case magicInvalidate:
			c.banned[r.hash] = true
			return nil
		case magicReconsider:
			if b := c.blocks[r.hash]; b != nil {
				c.unban(b)
			}
			return nil
		}
		b, err := c.attach(r.block, r.size)
		if err != nil {
			return err
		}
		b.at = r.at
		bodies[b] = r.block
		return nil
	})
	if err != nil {
		return err
	}
	c.markBad()
	return c.activate(c.best(), func(b *block) (*wire.MsgBlock, error) { return bodies[b], nil })
}

// attach adds a block whose header is valid to the tree, not to the best branch.
func (c *Chain) attach(m *wire.MsgBlock, size int) (*block, error) {
	parent := c.blocks[m.Header.PrevBlock]
	if parent == nil {
		return nil, errors.New("its previous block is unknown")
	}
	c.arrivals++
	b := &block{hash: m.BlockHash(), header: m.Header, parent: parent, height: parent.height + 1,
		arrival: c.arrivals, bad: parent.bad, size: size, txs: len(m.Transactions)}
	c.blocks[b.hash] = b
	return b, nil
}

// add takes a new block: it must pass the checks that need no outputs, is written
// to disk, and then becomes the tip if its branch is the best and it is valid.
func (c *Chain) add(m *wire.MsgBlock) (*block, error) {
	if c.closed {
		return nil, ErrClosed
	}
	if err := c.checkBlock(m); err != nil {
		return nil, err
	}
	var raw bytes.Buffer
	if err := m.Serialize(&raw); err != nil {
		return nil, err
	}
	at, err := c.file.append(encodeRecord(magicBlock, raw.Bytes()))
	if err != nil {
		return nil, err
	}
	b, err := c.attach(m, raw.Len())
	if err != nil {
		return nil, err
	}
	b.at = at
	best := c.tip()
	if b.height > best.height && !b.bad {
		best = b
	}
	return b, c.activate(best, c.read)
}

// best returns the tip of the branch with the most work. All blocks have the same
// difficulty, so that is the highest one.
func (c *Chain) best() *block {
	best := c.active[0]
	for _, b := range c.blocks {
		if !b.bad && (b.height > best.height || b.height == best.height && b.arrival < best.arrival) {
			best = b
		}
	}
	return best
}

// activate makes the branch that ends in best the active one. A block that turns
// out to be invalid is marked, and the next best branch is taken; the error is that
// of the last such block.
func (c *Chain) activate(best *block, read func(*block) (*wire.MsgBlock, error)) error {
	before := c.tip()
	var returned []*wire.MsgTx // of disconnected blocks, oldest first
	var invalid error
	for best != c.tip() {
		fork := best
		for !c.isActive(fork) {
			fork = fork.parent
		}
		for c.tip() != fork {
			txs, err := c.disconnect(read)
			if err != nil {
				return err
			}
			returned = append(txs, returned...)
		}
		for b := range up(fork, best) {
			m, err := read(b)
			if err != nil {
				return err
			}
			if err := c.connect(b, m); err != nil {
				invalid = err
				b.invalid = true
				c.markBad()
				best = c.best()
				break
			}
		}
	}
	if c.tip() != before {
		if len(returned) > 0 {
			c.refill(returned)
		}
		close(c.changed)
		c.changed = make(chan struct{})
	}
	return invalid
}

// up walks from the block above fork to best.
func up(fork, best *block) func(yield func(*block) bool) {
	return func(yield func(*block) bool) {
		var path []*block
		for b := best; b != fork; b = b.parent {
			path = append(path, b)
		}
		for _, b := range slices.Backward(path) {
			if !yield(b) {
				return
			}
		}
	}
}

// connect puts b, which stands on the tip, on the active branch, or changes nothing.
func (c *Chain) connect(b *block, m *wire.MsgBlock) error {
	spent, err := c.checkConnect(b.height, m)
	if err != nil {
		return err
	}
	b.spent = spent
	for i, tx := range m.Transactions {
		txid := tx.TxHash()
		for n, out := range tx.TxOut {
			if spendable(out.PkScript) {
				c.coins[wire.OutPoint{Hash: txid, Index: uint32(n)}] = &coin{*out, b.height, i == 0}
			}
		}
		for _, in := range tx.TxIn {
			delete(c.coins, in.PreviousOutPoint)
		}
		c.txBlocks[txid] = b
	}
	c.active = append(c.active, b)
	c.pool.confirm(m.Transactions)
	return nil
}

// disconnect takes the tip off the active branch and returns its transactions
// without the coinbase.
func (c *Chain) disconnect(read func(*block) (*wire.MsgBlock, error)) ([]*wire.MsgTx, error) {
	b := c.tip()
	m, err := read(b)
	if err != nil {
		return nil, err
	}
	for _, tx := range slices.Backward(m.Transactions) {
		txid := tx.TxHash()
		for n := range tx.TxOut {
			delete(c.coins, wire.OutPoint{Hash: txid, Index: uint32(n)})
		}
	}
	for _, s := range b.spent {
		if s.height < b.height {
			c.coins[s.out] = s.coin
		}
	}
	b.spent = nil
	c.active = c.active[:len(c.active)-1]
	return m.Transactions[1:], nil
}

func (c *Chain) invalidate(b *block) error {
	if c.closed {
		return ErrClosed
	}
	if b.parent == nil {
		return errors.New("the genesis block cannot be invalidated")
	}
	if _, err := c.file.append(encodeRecord(magicInvalidate, b.hash[:])); err != nil {
		return err
	}
	c.banned[b.hash] = true
	c.markBad()
	return c.activate(c.best(), c.read)
}

func (c *Chain) reconsider(b *block) error {
	if c.closed {
		return ErrClosed
	}
	if _, err := c.file.append(encodeRecord(magicReconsider, b.hash[:])); err != nil {
		return err
	}
	c.unban(b)
	c.markBad()
	return c.activate(c.best(), c.read)
}

// unban forgets the marks on b, on what it stands on and on what stands on it.
func (c *Chain) unban(b *block) {
	for hash := range c.banned {
		if other := c.blocks[hash]; other != nil && (descends(other, b) || descends(b, other)) {
			delete(c.banned, hash)
		}
	}
	for _, other := range c.blocks {
		if other.invalid && (descends(other, b) || descends(b, other)) {
			other.invalid = false
		}
	}
}

func descends(b, from *block) bool {
	for b.height > from.height {
		b = b.parent
	}
	return b == from
}

// markBad sets bad on every block anew: parents come before children when sorted
// by height.
func (c *Chain) markBad() {
	for _, b := range c.byHeight() {
		b.bad = b.invalid || c.banned[b.hash] || b.parent != nil && b.parent.bad
	}
}

func (c *Chain) byHeight() []*block {
	all := make([]*block, 0, len(c.blocks))
	for _, b := range c.blocks {
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b *block) int { return a.height - b.height })
	return all
}
