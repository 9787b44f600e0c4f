package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/datestone/datestone/internal/logtree"
)

// A tile is the part of an epoch's tree that is read at once: tileLevels levels above an aligned run of
// tileWidth nodes of the level that it stands on, which is a multiple of tileLevels. The entries that
// completed those nodes keep all of it.
const (
	tileLevels = 6
	tileWidth  = 1 << tileLevels
)

// tileKey names a tile: the lowest of its levels, and its place from the left.
type tileKey struct {
	epoch int
	level int
	n     int64
}

// keyOf is the tile that a node is in.
func keyOf(epoch int, n logtree.Node) tileKey {
	level := n.Level - n.Level%tileLevels
	return tileKey{epoch, level, n.N >> (tileLevels - (n.Level - level))}
}

// row is the index of the entry that completed the i-th of the lowest nodes.
func (k tileKey) row(i int) int64 {
	return logtree.Node{Level: k.level, N: k.n*tileWidth + int64(i)}.Index()
}

// tile holds its levels one after the other, each half as wide as the one below. One on the right edge has
// not all its nodes yet.
type tile struct {
	nodes [2 * tileWidth][32]byte
	have  [2 * tileWidth]bool
}

// slot is where the tile keeps a node of the given level above its lowest.
func slot(above int, n int64) int {
	width := tileWidth >> above
	return 2*tileWidth - 2*width + int(n)&(width-1)
}

func (t *tile) has(n logtree.Node) bool { return t.have[slot(n.Level%tileLevels, n.N)] }

func (t *tile) node(n logtree.Node) [32]byte { return t.nodes[slot(n.Level%tileLevels, n.N)] }

// add takes over what the entry that completed the i-th lowest node keeps.
func (t *tile) add(k tileKey, i int, tip, stored []byte) error {
	n := k.n*tileWidth + int64(i)
	for above := range tileLevels {
		// The entry completed the node above only if that ends where it does.
		if (n+1)&(1<<above-1) != 0 {
			break
		}
		p, err := logtree.At(k.epoch, k.row(i))
		if err != nil {
			return err
		}
		h, err := nodeHash(p, tip, stored, k.level+above)
		if err != nil {
			return err
		}
		s := slot(above, n>>above)
		t.nodes[s], t.have[s] = h, true
	}
	return nil
}

// wholeTile is the tile over these leaves.
func wholeTile(leaves [][32]byte) *tile {
	t := new(tile)
	copy(t.nodes[:], leaves)
	below := t.nodes[:tileWidth]
	for above := 1; above < tileLevels; above++ {
		next := t.nodes[slot(above, 0):][:tileWidth>>above]
		for i := range next {
			next[i] = tlog.NodeHash(below[2*i], below[2*i+1])
		}
		below = next
	}
	for i := range t.have {
		t.have[i] = true
	}
	return t
}

// Find looks an entry up. It returns logtree.ErrUnknown unless the log has exactly this entry, else the reader
// of its epoch's tree.
func (db *DB) Find(ctx context.Context, e logtree.Entry) (logtree.Reader, error) {
	p := e.Position()
	if p < 0 {
		return nil, logtree.ErrUnknown
	}
	leaf := logtree.Node{N: p.Index()}
	t, err := db.tileWith(ctx, p.Epoch(), leaf)
	if err != nil {
		return nil, fmt.Errorf("looking up entry %v: %w", p, err)
	}
	if !t.has(leaf) || t.node(leaf) != e.Leaf() {
		return nil, logtree.ErrUnknown
	}
	return db.Nodes(ctx, p.Epoch()), nil
}

// Nodes is the reader of an epoch's tree. It uses ctx for every read.
func (db *DB) Nodes(ctx context.Context, epoch int) logtree.Reader {
	return func(nodes []logtree.Node) ([][32]byte, error) {
		hashes := make([][32]byte, len(nodes))
		for i, n := range nodes {
			t, err := db.tileWith(ctx, epoch, n)
			if err != nil {
				return nil, fmt.Errorf("reading nodes of epoch %d: %w", epoch, err)
			}
			if !t.has(n) {
				return nil, fmt.Errorf("reading nodes of epoch %d: node %d of level %d is missing: %w", epoch, n.N, n.Level, logtree.ErrInconsistent)
			}
			hashes[i] = t.node(n)
		}
		return hashes, nil
	}
}

// tileWith is the tile that the node is in: as it is remembered if it has the node, else as it is stored.
func (db *DB) tileWith(ctx context.Context, epoch int, n logtree.Node) (*tile, error) {
	key := keyOf(epoch, n)
	if t := db.tiles.get(key); t != nil && t.has(n) {
		return t, nil
	}
	t, err := db.readTile(ctx, key)
	if err == nil && t.has(n) {
		db.tiles.put(key, t)
	}
	return t, err
}

// readTile reads a tile: one row where its run of entries is whole, else what its entries keep.
func (db *DB) readTile(ctx context.Context, key tileKey) (*tile, error) {
	first, err := logtree.At(key.epoch, key.row(0))
	if err != nil {
		return nil, err
	}
	if key.level == 0 {
		leaves, err := db.Leaves(ctx, first)
		if err != nil {
			return nil, err
		}
		if leaves != nil {
			return wholeTile(leaves), nil
		}
	}
	args := make([]any, 0, tileWidth)
	places := make(map[int64]int, tileWidth) // position -> which of the lowest nodes
	for i := range tileWidth {
		p, err := logtree.At(key.epoch, key.row(i))
		if err != nil {
			return nil, err
		}
		places[int64(p)] = i
		args = append(args, int64(p))
	}
	text := selectTile
	if key.level == 0 {
		text, args = selectRun, []any{args[0], args[tileWidth-1]}
	}
	rows, err := db.query(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	t := new(tile)
	for rows.Next() {
		var p int64
		var tip, stored sql.RawBytes
		if err := rows.Scan(&p, &tip, &stored); err != nil {
			return nil, err
		}
		if err := t.add(key, places[p], tip, stored); err != nil {
			return nil, err
		}
	}
	return t, rows.Err()
}

const selectRun = `SELECT position, tip, nodes FROM entry WHERE position >= $1 AND position <= $2`

var selectTile = `SELECT position, tip, nodes FROM entry WHERE position IN (` + placeholders(tileWidth) + `)`

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

// tileCache keeps tiles. What is in one never changes: the log only grows. It holds two generations of at
// most tileGeneration tiles; one that is asked for moves to the young generation, and a full young
// generation becomes the old one. About 70 MB when full, the nodes of a million entries.
type tileCache struct {
	mu    sync.Mutex
	young map[tileKey]*tile
	old   map[tileKey]*tile
}

const tileGeneration = 1 << 13

func (c *tileCache) get(key tileKey) *tile {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.young[key]; t != nil {
		return t
	}
	t := c.old[key]
	if t != nil {
		c.add(key, t)
	}
	return t
}

func (c *tileCache) put(key tileKey, t *tile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(key, t)
}

// add requires c.mu.
func (c *tileCache) add(key tileKey, t *tile) {
	if len(c.young) >= tileGeneration || c.young == nil {
		c.old, c.young = c.young, make(map[tileKey]*tile)
	}
	c.young[key] = t
}
