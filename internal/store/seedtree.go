package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/seed"
)

// The tiles of a seed have the keys from its number << tileBits on.
const tileBits = 24

func seedTileKey(number int64, index int) int64 { return number<<tileBits | int64(index) }

// EndSeeds closes the open seeds whose period has ended, and says how many those are. They have the hashes that were submitted
// until now.
func (db *DB) EndSeeds(ctx context.Context, now time.Time) (closed int64, err error) {
	var over bool
	if err := db.queryRow(ctx, `SELECT CASE WHEN EXISTS (SELECT 1 FROM seed WHERE made = 0 AND before = 0 AND closes <= $1) THEN 1 ELSE 0 END`, []any{micros(now)}, &over); err != nil {
		return 0, fmt.Errorf("reading open seeds: %w", err)
	}
	if !over {
		return 0, nil
	}
	err = db.update(ctx, func(tx tx) error {
		// Nothing is submitted meanwhile.
		if _, _, err := tx.lockHead(ctx); err != nil {
			return err
		}
		r, err := tx.exec(ctx, `UPDATE seed SET before = (SELECT MAX(number) + 1 FROM submitted) WHERE made = 0 AND before = 0 AND closes <= $1`, micros(now))
		if err != nil {
			return err
		}
		closed, err = r.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("closing seeds: %w", err)
	}
	return closed, nil
}

// UnmadeSeeds are up to limit seeds that are closed and have no tree yet, oldest first.
func (db *DB) UnmadeSeeds(ctx context.Context, limit int) ([]seed.Seed, error) {
	return db.seeds(ctx, `SELECT `+seedColumns+` FROM seed s WHERE s.made = 0 AND s.before > 0 ORDER BY s.number LIMIT $1`, limit)
}

// SubmittedHashes are the hashes with up to limit numbers from first on and below before, in the order of numbers.
func (db *DB) SubmittedHashes(ctx context.Context, first, before int64, limit int) ([][32]byte, error) {
	before = min(before, first+int64(limit))
	rows, err := db.query(ctx, `SELECT hash FROM submitted WHERE number >= $1 AND number < $2 ORDER BY number`, first, before)
	if err != nil {
		return nil, fmt.Errorf("reading submitted hashes: %w", err)
	}
	defer rows.Close()
	all := make([][32]byte, 0, max(0, before-first))
	for rows.Next() {
		var b sql.RawBytes
		if err := rows.Scan(&b); err != nil {
			return nil, fmt.Errorf("reading submitted hashes: %w", err)
		}
		h, err := hash32(b)
		if err != nil {
			return nil, fmt.Errorf("reading submitted hashes: %w", err)
		}
		all = append(all, h)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading submitted hashes: %w", err)
	}
	if int64(len(all)) != before-first {
		return nil, fmt.Errorf("there are %d submitted hashes from %d to %d: %w", len(all), first, before-1, logtree.ErrInconsistent)
	}
	return all, nil
}

// SeedNodes are the nodes of the tiles of a seed that there are, and the smallest leaf of each, in order.
func (db *DB) SeedNodes(ctx context.Context, number int64) (nodes, smallest [][32]byte, err error) {
	rows, err := db.query(ctx, `SELECT tile, smallest, node FROM seed_tile WHERE tile >= $1 AND tile < $2 ORDER BY tile`, seedTileKey(number, 0), seedTileKey(number+1, 0))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the tiles of seed %d: %w", number, err)
	}
	defer rows.Close()
	for rows.Next() {
		var key int64
		var small, node sql.RawBytes
		if err := rows.Scan(&key, &small, &node); err != nil {
			return nil, nil, fmt.Errorf("reading the tiles of seed %d: %w", number, err)
		}
		if key != seedTileKey(number, len(nodes)) {
			return nil, nil, fmt.Errorf("seed %d has no tile %d: %w", number, len(nodes), logtree.ErrInconsistent)
		}
		n, err := hash32(node)
		if err != nil {
			return nil, nil, err
		}
		s, err := hash32(small)
		if err != nil {
			return nil, nil, err
		}
		nodes, smallest = append(nodes, n), append(smallest, s)
	}
	if err := rows.Err(); err != nil {
		return nil, nil, fmt.Errorf("reading the tiles of seed %d: %w", number, err)
	}
	return nodes, smallest, nil
}

// SeedTile is a tile of a seed, or ErrNotFound.
func (db *DB) SeedTile(ctx context.Context, number int64, index int) (seed.Tile, error) {
	t := seed.Tile{Index: index}
	var packed []byte
	err := db.queryRow(ctx, `SELECT leaves FROM seed_tile WHERE tile = $1`, []any{seedTileKey(number, index)}, &packed)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return t, ErrNotFound
	case err != nil:
		return t, fmt.Errorf("reading tile %d of seed %d: %w", index, number, err)
	case len(packed) == 0 || len(packed)%32 != 0 || len(packed) > 32*seed.TileLeaves:
		return t, fmt.Errorf("tile %d of seed %d has %d bytes: %w", index, number, len(packed), logtree.ErrInconsistent)
	}
	t.Leaves = make([][32]byte, len(packed)/32)
	for i := range t.Leaves {
		t.Leaves[i] = [32]byte(packed[32*i:])
	}
	return t, nil
}

// AddSeedTiles keeps the next tiles of a seed, with their nodes. One that is there already stays.
func (db *DB) AddSeedTiles(ctx context.Context, number int64, tiles []seed.Tile, nodes [][32]byte) error {
	err := db.update(ctx, func(tx tx) error {
		for i, t := range tiles {
			packed := make([]byte, 0, 32*len(t.Leaves))
			for _, l := range t.Leaves {
				packed = append(packed, l[:]...)
			}
			if _, err := tx.exec(ctx, `INSERT INTO seed_tile (tile, smallest, node, leaves) VALUES ($1, $2, $3, $4) ON CONFLICT (tile) DO NOTHING`,
				seedTileKey(number, t.Index), t.Leaves[0][:], nodes[i][:], packed); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keeping tiles of seed %d: %w", number, err)
	}
	return nil
}

// MakeSeed records that the tree of a seed is whole. A seed that is made stays as it is.
func (db *DB) MakeSeed(ctx context.Context, now time.Time, number int64, root [32]byte) error {
	err := db.update(ctx, func(tx tx) error {
		_, err := tx.exec(ctx, `UPDATE seed SET root = $2, made = $3 WHERE number = $1 AND made = 0 AND before > 0`, number, root[:], micros(now))
		return err
	})
	if err != nil {
		return fmt.Errorf("making seed %d: %w", number, err)
	}
	return nil
}

// SeedBranch is the way from a hash to the root of a seed that is made. It is recomputed before it is given out: what does not
// lead to the root is logtree.ErrInconsistent.
func (db *DB) SeedBranch(ctx context.Context, s seed.Seed, hash [32]byte) (seed.Branch, error) {
	if s.Made.IsZero() {
		return seed.Branch{}, fmt.Errorf("seed %d has no tree yet: %w", s.Number, seed.ErrUnknown)
	}
	nodes, smallest, err := db.SeedNodes(ctx, s.Number)
	if err != nil {
		return seed.Branch{}, err
	}
	index := sort.Search(len(smallest), func(i int) bool { return bytes.Compare(smallest[i][:], hash[:]) > 0 }) - 1
	if index < 0 {
		return seed.Branch{}, fmt.Errorf("seed %d has no tile for a hash: %w", s.Number, logtree.ErrInconsistent)
	}
	tile, err := db.SeedTile(ctx, s.Number, index)
	if err != nil {
		return seed.Branch{}, err
	}
	b, err := seed.NewBranch(hash, s.Root, tile, nodes)
	if err != nil {
		return b, fmt.Errorf("seed %d: %w", s.Number, err)
	}
	return b, nil
}
