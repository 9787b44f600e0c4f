package store

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/datestone/datestone/internal/logtree"
)

// A tile is the part of an epoch's tree that is read at once: tileLevels levels above an aligned run of
// tileWidth nodes of the level that it stands on, which is a multiple of tileLevels. The entries that
// completed those nodes keep all of it.
const (
	tileLevels = 3
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

// tile holds its levels one after the other: eight nodes, four, and two.
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

// Find looks an entry up. It returns logtree.ErrUnknown unless the log has exactly this entry, else the reader
// of its epoch's tree, which knows the entry's neighbours already.
func (db *DB) Find(ctx context.Context, e logtree.Entry) (logtree.Reader, error) {
	p := e.Position()
	if p < 0 {
		return nil, logtree.ErrUnknown
	}
	key := keyOf(p.Epoch(), logtree.Node{N: p.Index()})
	first := int64(p) - p.Index() + key.row(0)
	rows, err := db.query(ctx, `SELECT position, tip, nodes FROM entry WHERE position >= $1 AND position <= $2`, first, first+tileWidth-1)
	if err != nil {
		return nil, fmt.Errorf("looking up entry %v: %w", p, err)
	}
	defer rows.Close()
	var near tile
	found := false
	for rows.Next() {
		var at int64
		var tip, nodes sql.RawBytes
		if err := rows.Scan(&at, &tip, &nodes); err != nil {
			return nil, fmt.Errorf("looking up entry %v: %w", p, err)
		}
		if at == int64(p) {
			want := e.Tip()
			found = bytes.Equal(tip, want[:])
		}
		if err := near.add(key, int(at-first), tip, nodes); err != nil {
			return nil, fmt.Errorf("looking up entry %v: %w", p, err)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("looking up entry %v: %w", p, err)
	}
	if !found {
		return nil, logtree.ErrUnknown
	}
	return db.reader(ctx, p.Epoch(), map[tileKey]*tile{key: &near}), nil
}

// Nodes is the reader of an epoch's tree. It uses ctx for every read.
func (db *DB) Nodes(ctx context.Context, epoch int) logtree.Reader {
	return db.reader(ctx, epoch, map[tileKey]*tile{})
}

// reader looks for nodes in the tiles at hand, then in the cache, then in the database. What it reads
// it adds to the tiles at hand.
func (db *DB) reader(ctx context.Context, epoch int, near map[tileKey]*tile) logtree.Reader {
	return func(nodes []logtree.Node) ([][32]byte, error) {
		var missing []tileKey
		for _, n := range nodes {
			key := keyOf(epoch, n)
			t := near[key]
			if t == nil {
				t = db.tiles.get(key)
			}
			if t == nil || !t.has(n) {
				if !slices.Contains(missing, key) {
					missing = append(missing, key)
				}
				t = new(tile)
			}
			near[key] = t
		}
		for part := range slices.Chunk(missing, tilesAtOnce) {
			if err := db.readTiles(ctx, part, near); err != nil {
				return nil, fmt.Errorf("reading nodes of epoch %d: %w", epoch, err)
			}
		}
		hashes := make([][32]byte, len(nodes))
		for i, n := range nodes {
			t := near[keyOf(epoch, n)]
			if !t.has(n) {
				return nil, fmt.Errorf("reading nodes of epoch %d: node %d of level %d is missing: %w", epoch, n.N, n.Level, logtree.ErrInconsistent)
			}
			hashes[i] = t.node(n)
		}
		return hashes, nil
	}
}

// readTiles fills the tiles of these keys and caches them. One on the right edge has not all its nodes yet
// and is read again when one of those is asked for.
func (db *DB) readTiles(ctx context.Context, keys []tileKey, tiles map[tileKey]*tile) error {
	args := make([]any, 0, len(keys)*tileWidth)
	places := make(map[int64][]int, cap(args)) // position -> places in args: tiles share rows
	for _, key := range keys {
		for i := range tileWidth {
			p, err := logtree.At(key.epoch, key.row(i))
			if err != nil {
				return err
			}
			places[int64(p)] = append(places[int64(p)], len(args))
			args = append(args, int64(p))
		}
	}
	rows, err := db.query(ctx, selectTiles[len(keys)], args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var p int64
		var tip, stored sql.RawBytes
		if err := rows.Scan(&p, &tip, &stored); err != nil {
			return err
		}
		for _, at := range places[p] {
			key := keys[at/tileWidth]
			if err := tiles[key].add(key, at%tileWidth, tip, stored); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, key := range keys {
		db.tiles.put(key, tiles[key])
	}
	return nil
}

// tilesAtOnce bounds a query; a log of 2^26 entries has nine levels of tiles.
const tilesAtOnce = 9

// selectTiles are the queries for 0 to tilesAtOnce tiles.
var selectTiles = func() (texts [tilesAtOnce + 1]string) {
	for n := 1; n <= tilesAtOnce; n++ {
		texts[n] = `SELECT position, tip, nodes FROM entry WHERE position IN (` + placeholders(n*tileWidth) + `)`
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

// tileCache keeps tiles. What is in one never changes: the log only grows. It holds two generations of at most
// tileGeneration tiles; one that is asked for moves to the young generation, and a full young
// generation becomes the old one. About 45 MB when full.
type tileCache struct {
	mu    sync.Mutex
	young map[tileKey]*tile
	old   map[tileKey]*tile
}

const tileGeneration = 1 << 15

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
