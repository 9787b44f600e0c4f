package devchain

import (
	"maps"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// mempool holds the accepted transactions that no active block confirms. What its
// entries spend is known to be there, at the tip or in another entry.
type mempool struct {
	entries map[chainhash.Hash]*entry
	spender map[wire.OutPoint]*entry // which entry spends an output
	added   int
}

type entry struct {
	tx     *wire.MsgTx
	txid   chainhash.Hash
	fee    int64
	vsize  int
	weight int
	time   time.Time
	height int // of the tip when it came
	order  int // of arrival; parents come before children
}

// unconfirmed is the height of outputs that only the mempool has.
const unconfirmed = 1 << 30

func newMempool() *mempool {
	return &mempool{entries: make(map[chainhash.Hash]*entry), spender: make(map[wire.OutPoint]*entry)}
}

func (p *mempool) insert(e *entry) {
	p.added++
	e.order = p.added
	p.entries[e.txid] = e
	for _, in := range e.tx.TxIn {
		p.spender[in.PreviousOutPoint] = e
	}
}

// remove takes out e and everything that descends from it.
func (p *mempool) remove(e *entry) {
	for d := range p.descendants(e) {
		p.drop(d)
	}
}

func (p *mempool) drop(e *entry) {
	delete(p.entries, e.txid)
	for _, in := range e.tx.TxIn {
		delete(p.spender, in.PreviousOutPoint)
	}
}

// confirm removes what a block's transactions confirm or contradict.
func (p *mempool) confirm(txs []*wire.MsgTx) {
	for _, tx := range txs {
		if e := p.entries[tx.TxHash()]; e != nil {
			p.drop(e)
		}
		for _, in := range tx.TxIn {
			if e := p.spender[in.PreviousOutPoint]; e != nil {
				p.remove(e)
			}
		}
	}
}

// parents are the entries whose outputs tx spends.
func (p *mempool) parents(tx *wire.MsgTx) []*entry {
	var found []*entry
	for _, in := range tx.TxIn {
		if e := p.entries[in.PreviousOutPoint.Hash]; e != nil && !slices.Contains(found, e) {
			found = append(found, e)
		}
	}
	return found
}

func (p *mempool) children(e *entry) []*entry {
	var found []*entry
	for n := range e.tx.TxOut {
		child := p.spender[wire.OutPoint{Hash: e.txid, Index: uint32(n)}]
		if child != nil && !slices.Contains(found, child) {
			found = append(found, child)
		}
	}
	return found
}

// closure collects what next reaches from the given entries, themselves included.
func closure(from []*entry, next func(*entry) []*entry) map[*entry]bool {
	seen := make(map[*entry]bool)
	for todo := slices.Clone(from); len(todo) > 0; {
		e := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !seen[e] {
			seen[e] = true
			todo = append(todo, next(e)...)
		}
	}
	return seen
}

// descendants includes e.
func (p *mempool) descendants(e *entry) map[*entry]bool {
	return closure([]*entry{e}, p.children)
}

// ancestors of a transaction that may not be an entry, without itself.
func (p *mempool) ancestors(tx *wire.MsgTx) map[*entry]bool {
	return closure(p.parents(tx), func(e *entry) []*entry { return p.parents(e.tx) })
}

func totals(set map[*entry]bool) (vsize int, fees int64) {
	for e := range set {
		vsize += e.vsize
		fees += e.fee
	}
	return vsize, fees
}

// ordered lists the entries with parents before children.
func (p *mempool) ordered() []*entry {
	return slices.SortedFunc(maps.Values(p.entries), func(a, b *entry) int { return a.order - b.order })
}

// template chooses a block's transactions: by the fee rate of each with its
// ancestors, as long as they fit.
func (c *Chain) template(int) []*wire.MsgTx {
	p := c.pool
	const room = maxWeight - 8000 // for the header and the coinbase
	type candidate struct {
		*entry
		with map[*entry]bool
		rate float64
	}
	var all []candidate
	for _, e := range p.ordered() {
		with := p.ancestors(e.tx)
		with[e] = true
		size, fees := totals(with)
		all = append(all, candidate{e, with, float64(fees) / float64(size)})
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		switch {
		case a.rate > b.rate:
			return -1
		case a.rate < b.rate:
			return 1
		}
		return 0
	})
	taken := make(map[*entry]bool)
	total := 0
	for _, cand := range all {
		more := 0
		for e := range cand.with {
			if !taken[e] {
				more += e.weight
			}
		}
		if total+more > room {
			continue
		}
		total += more
		maps.Copy(taken, cand.with)
	}
	sorted := slices.SortedFunc(maps.Keys(taken), func(a, b *entry) int { return a.order - b.order })
	var txs []*wire.MsgTx
	for _, e := range sorted {
		txs = append(txs, e.tx)
	}
	return txs
}

// refill brings transactions of disconnected blocks back and checks every entry
// against the new tip.
func (c *Chain) refill(returned []*wire.MsgTx) {
	old := c.pool
	c.pool = newMempool()
	for _, tx := range returned {
		// What the new branch contradicts or confirms already is refused here.
		c.accept(tx, fromBlock)
	}
	for _, e := range old.ordered() {
		if again, err := c.accept(e.tx, fromBlock); err == nil {
			again.time, again.height = e.time, e.height
		}
	}
}
