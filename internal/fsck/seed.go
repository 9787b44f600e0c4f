package fsck

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/internal/store"
)

// checkSeeds makes the tree of every seed that is closed anew, of what was submitted, and holds what is kept of it against
// that. Then it looks whether submissions and seeds fit each other.
func (c *checker) checkSeeds(ctx context.Context) error {
	for after := int64(0); ; {
		part, err := c.db.AllSeeds(ctx, after, rowsAtOnce)
		if err != nil {
			return err
		}
		for _, s := range part {
			if after = s.Number; s.Before == 0 {
				continue
			}
			c.report.Seeds++
			if err := c.checkSeed(ctx, s); errors.Is(err, logtree.ErrInconsistent) {
				c.report.problem(seedName(s), "%v", err)
			} else if err != nil {
				return err
			}
		}
		if len(part) < rowsAtOnce {
			break
		}
	}
	if err := c.checkSubmitted(ctx); err != nil {
		return err
	}
	wrong, err := c.db.CheckSeeds(ctx, MaxProblems)
	for _, text := range wrong {
		c.report.problem("seeds", "%s", text)
	}
	return err
}

// checkSubmitted checks that every submission is in its batch.
func (c *checker) checkSubmitted(ctx context.Context) error {
	for after := int64(0); ; {
		part, err := c.db.AllSubmitted(ctx, after, rowsAtOnce)
		if err != nil {
			return err
		}
		for _, s := range part {
			at := fmt.Sprintf("submission %d, leaf %d of the batch at %v", s.Number, s.Leaf, s.Position)
			if leaf := account.Leaf(s.Hash, s.Nonce); len(s.InBatch) == 0 {
				c.report.problem(at, "there is no such leaf")
			} else if !bytes.Equal(leaf[:], s.InBatch) {
				c.report.problem(at, "hash and nonce give the leaf %s, and the batch has %x", short(leaf), s.InBatch)
			}
			after = s.Number
		}
		if len(part) < rowsAtOnce {
			return nil
		}
	}
}

func seedName(s seed.Seed) string { return fmt.Sprintf("seed %d of %s", s.Number, s.Target) }

func (c *checker) checkSeed(ctx context.Context, s seed.Seed) error {
	if s.First < 1 || s.Before <= s.First {
		return nil // store.CheckSeeds says so
	}
	nodes, smallest, err := c.db.SeedNodes(ctx, s.Number)
	if err != nil {
		return err
	}
	var made [][32]byte
	err = s.Tiles(ctx, c.db.SubmittedHashes, func(tiles []seed.Tile, want [][32]byte) error {
		made = append(made, want...)
		for i, tile := range tiles {
			if tile.Index >= len(nodes) {
				continue
			}
			if nodes[tile.Index] != want[i] || smallest[tile.Index] != tile.Leaves[0] {
				c.report.problem(seedName(s), "tile %d says that it begins with %s and gives %s, and what was submitted begins with %s and gives %s",
					tile.Index, short(smallest[tile.Index]), short(nodes[tile.Index]), short(tile.Leaves[0]), short(want[i]))
			}
			have, err := c.db.SeedTile(ctx, s.Number, tile.Index)
			if errors.Is(err, logtree.ErrInconsistent) || errors.Is(err, store.ErrNotFound) {
				c.report.problem(seedName(s), "tile %d: %v", tile.Index, err)
			} else if err != nil {
				return err
			} else if n := differs(have.Leaves, tile.Leaves); n >= 0 {
				c.report.problem(seedName(s), "tile %d is not of what was submitted, from its leaf %d on", tile.Index, n)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(nodes) > len(made) || !s.Made.IsZero() && len(nodes) < len(made) {
		c.report.problem(seedName(s), "it has %d tiles, and %d hashes have %d", len(nodes), s.Before-s.First, len(made))
	}
	if root := seed.Root(made); !s.Made.IsZero() && s.Root != root {
		c.report.problem(seedName(s), "its root is %s, and what was submitted gives %s", short(s.Root), short(root))
	}
	return nil
}

// differs is the first place where two lists differ, or -1.
func differs(a, b [][32]byte) int {
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			return i
		}
	}
	return -1
}
