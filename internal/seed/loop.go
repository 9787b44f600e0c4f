package seed

import (
	"context"
	"fmt"
	"log/slog"
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
	store   Store
	builder builder
	o       Options
}

const seedsAtOnce = 10

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
	return &Loop{store: store, builder: newBuilder(store.SubmittedHashes), o: o}
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
	var last *[32]byte // leaf of the tiles that there are
	if n := len(nodes); n > 0 {
		tile, err := l.store.SeedTile(ctx, s.Number, n-1)
		if err != nil {
			return root, err
		}
		last = &tile.Leaves[len(tile.Leaves)-1]
	}
	err = l.builder.tiles(ctx, s, len(nodes), last, func(tiles []Tile, made [][32]byte) error {
		nodes = append(nodes, made...)
		return l.store.AddSeedTiles(ctx, s.Number, tiles, made)
	})
	if err != nil {
		return root, err
	}
	if want := s.tiles(); len(nodes) != want {
		return root, fmt.Errorf("it has %d tiles and should have %d: %w", len(nodes), want, logtree.ErrInconsistent)
	}
	return Root(nodes), nil
}
