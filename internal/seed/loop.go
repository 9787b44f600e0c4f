package seed

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/datestone/datestone/internal/logtree"
)

// Seeds are those that there are. store.DB knows them.
type Seeds interface {
	// EndSeeds closes the open seeds whose period has ended, and says how many those are.
	EndSeeds(ctx context.Context, now time.Time) (int64, error)
	// UnmadeSeeds are those that are closed and have no tree yet, oldest first.
	UnmadeSeeds(ctx context.Context, limit int) ([]Seed, error)
	// SubmittedHashes are the hashes with up to limit numbers from first on and below before.
	SubmittedHashes(ctx context.Context, first, before int64, limit int) ([][32]byte, error)
	// MakeSeed records that the tree of a seed is whole.
	MakeSeed(ctx context.Context, now time.Time, number int64, root [32]byte) error
}

// Tiles are those of seeds. store.DB keeps them.
type Tiles interface {
	// SeedNodes are the nodes of the tiles that there are, and the smallest leaf of each, in order.
	SeedNodes(ctx context.Context, number int64) (nodes, smallest [][32]byte, err error)
	SeedTile(ctx context.Context, number int64, index int) (Tile, error)
	// AddSeedTiles keeps the next tiles, with their nodes. One that is there already stays.
	AddSeedTiles(ctx context.Context, number int64, tiles []Tile, nodes [][32]byte) error
}

// Store is both.
type Store interface {
	Seeds
	Tiles
}

// Options of a loop. The zero value is fine.
type Options struct {
	// Poll is how often there is a look whether a period has ended. Default a second.
	Poll time.Duration
	Log  *slog.Logger     // default slog.Default()
	Now  func() time.Time // default time.Now
	Lost func(error) bool // of the lease
}

// Loop closes seeds whose period has ended and makes their trees. One loop may run at a time. Whatever step it was stopped
// in, it goes on after the tiles that are there.
type Loop struct {
	store    Store
	o        Options
	sorted   int // leaves that are in memory at a time
	together int // tiles of one transaction
}

const (
	// sortedLeaves bounds the memory: twice as many hashes of 32 bytes. A larger seed is read once for each part.
	sortedLeaves = 1 << 20
	// tilesTogether bounds one transaction, for which appends to a file wait.
	tilesTogether = 16
	hashesAtOnce  = 20_000
	seedsAtOnce   = 10
)

// New makes a loop. It starts nothing.
func New(store Store, o Options) *Loop {
	if o.Poll == 0 {
		o.Poll = time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Lost == nil {
		o.Lost = func(error) bool { return false }
	}
	return &Loop{store: store, o: o, sorted: sortedLeaves, together: tilesTogether}
}

// Announce has nothing to say before the loop runs.
func (l *Loop) Announce(context.Context) error { return nil }

// Run closes seeds and makes their trees until ctx ends or the lease is lost.
func (l *Loop) Run(ctx context.Context) error {
	tick := time.NewTicker(l.o.Poll)
	defer tick.Stop()
	failed := false
	for {
		err := l.Step(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case l.o.Lost(err):
			return err
		case err != nil && !failed:
			l.o.Log.Warn("seeds were not made; it is tried again", "err", err)
		case err == nil && failed:
			l.o.Log.Info("seeds are made again")
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Step closes what has ended, and makes the trees of some seeds that are closed.
func (l *Loop) Step(ctx context.Context) error {
	if _, err := l.store.EndSeeds(ctx, l.o.Now()); err != nil {
		return err
	}
	unmade, err := l.store.UnmadeSeeds(ctx, seedsAtOnce)
	if err != nil {
		return err
	}
	for _, s := range unmade {
		began := time.Now()
		root, err := l.makeTree(ctx, s)
		if err != nil {
			return fmt.Errorf("making the tree of seed %d: %w", s.Number, err)
		}
		if err := l.store.MakeSeed(ctx, l.o.Now(), s.Number, root); err != nil {
			return err
		}
		l.o.Log.Info("a seed is made", "seed", s.Number, "target", s.Target, "hashes", s.Before-s.First, "took", time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// makeTree keeps the tiles of a seed that are not there yet, and returns its root.
func (l *Loop) makeTree(ctx context.Context, s Seed) (root [32]byte, err error) {
	nodes, _, err := l.store.SeedNodes(ctx, s.Number)
	if err != nil {
		return root, err
	}
	count := s.Before - s.First
	whole := int((count + TileLeaves - 1) / TileLeaves)
	var last *[32]byte // leaf of the tiles that there are
	if n := len(nodes); n > 0 {
		tile, err := l.store.SeedTile(ctx, s.Number, n-1)
		if err != nil {
			return root, err
		}
		last = &tile.Leaves[len(tile.Leaves)-1]
	}
	for len(nodes) < whole {
		left := int(count - int64(len(nodes))*TileLeaves)
		leaves, err := l.next(ctx, s, last, min(l.sorted, left))
		if err != nil {
			return root, err
		}
		for part := range slices.Chunk(leaves, l.together*TileLeaves) {
			var tiles []Tile
			var made [][32]byte
			for run := range slices.Chunk(part, TileLeaves) {
				tiles = append(tiles, Tile{Index: len(nodes) + len(tiles), Leaves: run})
				made = append(made, tiles[len(tiles)-1].Node(whole == 1))
			}
			if err := l.store.AddSeedTiles(ctx, s.Number, tiles, made); err != nil {
				return root, err
			}
			nodes = append(nodes, made...)
		}
		last = &leaves[len(leaves)-1]
	}
	if len(nodes) != whole {
		return root, fmt.Errorf("%d tiles for %d hashes: %w", len(nodes), count, logtree.ErrInconsistent)
	}
	return Root(nodes), nil
}

func compare(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) }

// next are the n smallest hashes of a seed above one, or of all, in ascending order. It has at most twice as many in memory.
func (l *Loop) next(ctx context.Context, s Seed, above *[32]byte, n int) ([][32]byte, error) {
	found := make([][32]byte, 0, min(2*n, int(s.Before-s.First)))
	var below *[32]byte // n are smaller
	settle := func() {
		slices.SortFunc(found, compare)
		if len(found) > n {
			found = found[:n]
			largest := found[n-1]
			below = &largest
		}
	}
	for first := s.First; first < s.Before; first += hashesAtOnce {
		part, err := l.store.SubmittedHashes(ctx, first, s.Before, hashesAtOnce)
		if err != nil {
			return nil, err
		}
		for _, h := range part {
			if above != nil && compare(h, *above) <= 0 || below != nil && compare(h, *below) >= 0 {
				continue
			}
			if len(found) == 2*n {
				settle()
				if compare(h, *below) >= 0 {
					continue
				}
			}
			found = append(found, h)
		}
	}
	settle()
	if len(found) != n {
		return nil, fmt.Errorf("%d hashes where %d are: %w", len(found), n, logtree.ErrInconsistent)
	}
	return found, nil
}
