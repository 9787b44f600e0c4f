package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/datestone/datestone/internal/logtree"
)

// blockLevels is the height of the part of the tree that Find reads at once: the entry's neighbours.
const blockLevels = 3

// block holds the nodes below blockLevels of an aligned run of entries.
type block struct {
	first int64 // index in the epoch
	rows  [1 << blockLevels]struct {
		here  bool
		tip   [32]byte
		nodes [blockLevels - 1][32]byte
		n     int // of nodes
	}
}

// node is the hash of a node of the block, if it has it.
func (b *block) node(epoch int, n logtree.Node) ([32]byte, bool) {
	i := n.Index() - b.first
	if n.Level >= blockLevels || i < 0 || i >= int64(len(b.rows)) || !b.rows[i].here || n.Level > b.rows[i].n {
		return [32]byte{}, false
	}
	if n.Level > 0 {
		return b.rows[i].nodes[n.Level-1], true
	}
	p, err := logtree.At(epoch, n.Index())
	return logtree.NewEntry(p, b.rows[i].tip).Leaf(), err == nil
}

// Find looks an entry up. It returns logtree.ErrUnknown unless the log has exactly this entry, else the reader
// of its epoch's tree, which knows the entry's neighbours already.
func (db *DB) Find(ctx context.Context, e logtree.Entry) (logtree.Reader, error) {
	p := e.Position()
	if p < 0 {
		return nil, logtree.ErrUnknown
	}
	b := block{first: p.Index() &^ (1<<blockLevels - 1)}
	first := p - logtree.Position(p.Index()-b.first)
	rows, err := db.query(ctx, `SELECT position, tip, nodes FROM entry WHERE position >= $1 AND position <= $2`, int64(first), int64(first)+1<<blockLevels-1)
	if err != nil {
		return nil, fmt.Errorf("looking up entry %v: %w", p, err)
	}
	defer rows.Close()
	for rows.Next() {
		var at int64
		var tip, nodes sql.RawBytes
		if err := rows.Scan(&at, &tip, &nodes); err != nil {
			return nil, fmt.Errorf("looking up entry %v: %w", p, err)
		}
		row := &b.rows[at-int64(first)]
		if row.tip, err = hash32(tip); err != nil {
			return nil, fmt.Errorf("looking up entry %v: %w", p, err)
		}
		for row.here = true; row.n < len(row.nodes) && len(nodes) >= 32*(row.n+1); row.n++ {
			row.nodes[row.n] = [32]byte(nodes[32*row.n:])
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("looking up entry %v: %w", p, err)
	}
	if row := b.rows[p.Index()-b.first]; !row.here || row.tip != e.Tip() {
		return nil, logtree.ErrUnknown
	}
	return db.reader(ctx, p.Epoch(), &b), nil
}

// Nodes is the reader of an epoch's tree. It uses ctx for every read.
func (db *DB) Nodes(ctx context.Context, epoch int) logtree.Reader {
	return db.reader(ctx, epoch, &block{})
}

// reader looks for nodes in the block, then in the cache, then in the database.
func (db *DB) reader(ctx context.Context, epoch int, near *block) logtree.Reader {
	return func(nodes []logtree.Node) ([][32]byte, error) {
		hashes := make([][32]byte, len(nodes))
		var missing []int
		for i, n := range nodes {
			if h, ok := near.node(epoch, n); ok {
				hashes[i] = h
			} else if h, ok := db.nodes.get(epoch, n); ok {
				hashes[i] = h
			} else {
				missing = append(missing, i)
			}
		}
		if len(missing) == 0 {
			return hashes, nil
		}
		if err := db.readNodes(ctx, epoch, nodes, missing, hashes); err != nil {
			return nil, fmt.Errorf("reading nodes of epoch %d: %w", epoch, err)
		}
		return hashes, nil
	}
}

// readNodes reads the missing ones of the nodes, nodesAtOnce in a query.
func (db *DB) readNodes(ctx context.Context, epoch int, nodes []logtree.Node, missing []int, hashes [][32]byte) error {
	for len(missing) > 0 {
		part := missing[:min(len(missing), nodesAtOnce)]
		missing = missing[len(part):]
		args := make([]any, len(part))
		at := make(map[int64]int, len(part))
		for i, m := range part {
			p, err := logtree.At(epoch, nodes[m].Index())
			if err != nil {
				return err
			}
			args[i], at[int64(p)] = int64(p), m
		}
		rows, err := db.query(ctx, selectNodes[len(part)], args...)
		if err != nil {
			return err
		}
		found := 0
		for rows.Next() {
			var p int64
			var tip, stored sql.RawBytes
			if err := rows.Scan(&p, &tip, &stored); err != nil {
				rows.Close()
				return err
			}
			i := at[p]
			h, err := nodeHash(logtree.Position(p), tip, stored, nodes[i].Level)
			if err != nil {
				rows.Close()
				return err
			}
			hashes[i] = h
			db.nodes.put(epoch, nodes[i], h)
			found++
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		if found != len(part) {
			return fmt.Errorf("%d of %d entries are missing: %w", len(part)-found, len(part), logtree.ErrInconsistent)
		}
	}
	return nil
}

const nodesAtOnce = 32

// selectNodes are the queries for 0 to nodesAtOnce entries.
var selectNodes = func() (texts [nodesAtOnce + 1]string) {
	for n := 1; n <= nodesAtOnce; n++ {
		texts[n] = `SELECT position, tip, nodes FROM entry WHERE position IN (` + placeholders(n) + `)`
	}
	return texts
}()

// placeholders is "$1, $2, ... $n".
func placeholders(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", i+1)
	}
	return b.String()
}

// nodeHash is the hash of the node of this level that the stored entry completed.
func nodeHash(p logtree.Position, tip, stored []byte, level int) ([32]byte, error) {
	if level == 0 {
		t, err := hash32(tip)
		if err != nil {
			return [32]byte{}, err
		}
		return logtree.NewEntry(p, t).Leaf(), nil
	}
	if len(stored) < 32*level {
		return [32]byte{}, fmt.Errorf("entry %v has %d bytes of nodes, want %d: %w", p, len(stored), 32*level, logtree.ErrInconsistent)
	}
	return [32]byte(stored[32*(level-1):]), nil
}

// nodeCache keeps interior nodes of the log, which never change. It holds two generations of at
// most nodeGeneration nodes; a node that is asked for moves to the young one, and a full young
// generation becomes the old one. About 25 MB when full.
type nodeCache struct {
	mu    sync.Mutex
	young map[int64][32]byte
	old   map[int64][32]byte
}

const (
	nodeGeneration = 1 << 17
	// Lower nodes are nearly as many as entries, and each is asked for by few of them.
	nodeCacheLevel = 3
)

// nodeKey packs an epoch, a level and the node's place; an epoch has at most 2^26 entries.
func nodeKey(epoch int, n logtree.Node) int64 {
	return int64(epoch)<<48 | int64(n.Level)<<40 | n.N
}

func (c *nodeCache) get(epoch int, n logtree.Node) ([32]byte, bool) {
	if n.Level < nodeCacheLevel {
		return [32]byte{}, false
	}
	key := nodeKey(epoch, n)
	c.mu.Lock()
	defer c.mu.Unlock()
	if h, ok := c.young[key]; ok {
		return h, true
	}
	h, ok := c.old[key]
	if ok {
		c.add(key, h)
	}
	return h, ok
}

func (c *nodeCache) put(epoch int, n logtree.Node, h [32]byte) {
	if n.Level < nodeCacheLevel {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(nodeKey(epoch, n), h)
}

// add requires c.mu.
func (c *nodeCache) add(key int64, h [32]byte) {
	if len(c.young) >= nodeGeneration || c.young == nil {
		c.old, c.young = c.young, make(map[int64][32]byte)
	}
	c.young[key] = h
}
