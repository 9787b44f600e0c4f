package seed

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/datestone/datestone/internal/logtree"
)

// Hashes reads the submitted hashes with up to limit numbers from first on and below before. It fails where one is missing.
type Hashes func(ctx context.Context, first, before int64, limit int) ([][32]byte, error)

// Tiles gives all tiles of the seed's tree to each, in order and some at a time, with their nodes. They are made of the hashes
// that were submitted, and not read; they are each's for good.
func (s Seed) Tiles(ctx context.Context, hashes Hashes, each func(tiles []Tile, nodes [][32]byte) error) error {
	return newBuilder(hashes).tiles(ctx, s, 0, nil, each)
}

// builder makes tiles in bounded memory.
type builder struct {
	hashes   Hashes
	sorted   int // leaves that are sorted at a time
	together int // tiles that are given at a time
}

const (
	// sortedLeaves bounds the memory: twice as many hashes of 32 bytes. Of a larger seed all hashes are read once for each part.
	sortedLeaves = 1 << 20
	// tilesTogether bounds one transaction, for which appends to a file wait.
	tilesTogether = 16
	hashesAtOnce  = 20_000
)

func newBuilder(hashes Hashes) builder {
	return builder{hashes: hashes, sorted: sortedLeaves, together: tilesTogether}
}

// tiles is how many tiles the seed has.
func (s Seed) tiles() int { return int((s.Before - s.First + TileLeaves - 1) / TileLeaves) }

// tiles makes the tiles from one on, whose leaves are larger than last.
func (b builder) tiles(ctx context.Context, s Seed, from int, last *[32]byte, each func([]Tile, [][32]byte) error) error {
	for whole := s.tiles(); from < whole; {
		left := int(s.Before - s.First - int64(from)*TileLeaves)
		leaves, err := b.next(ctx, s, last, min(b.sorted, left))
		if err != nil {
			return err
		}
		for part := range slices.Chunk(leaves, b.together*TileLeaves) {
			var tiles []Tile
			var nodes [][32]byte
			for run := range slices.Chunk(part, TileLeaves) {
				t := Tile{Index: from, Leaves: run}
				tiles, nodes = append(tiles, t), append(nodes, t.Node(whole == 1))
				from++
			}
			if err := each(tiles, nodes); err != nil {
				return err
			}
		}
		last = &leaves[len(leaves)-1]
	}
	return nil
}

func compare(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) }

// next are the n smallest hashes of a seed above one, or of all, in ascending order. It has at most twice as many in memory.
func (b builder) next(ctx context.Context, s Seed, above *[32]byte, n int) ([][32]byte, error) {
	found := make([][32]byte, 0, min(2*n, int(s.Before-s.First)))
	var below *[32]byte // n are smaller, or this one
	settle := func() {
		slices.SortFunc(found, compare)
		if len(found) > n {
			found = found[:n]
			largest := found[n-1]
			below = &largest
		}
	}
	for first := s.First; first < s.Before; first += hashesAtOnce {
		part, err := b.hashes(ctx, first, s.Before, hashesAtOnce)
		if err != nil {
			return nil, err
		}
		for _, h := range part {
			if above != nil && compare(h, *above) <= 0 {
				continue
			}
			if len(found) == 2*n {
				settle()
			}
			if below == nil || compare(h, *below) < 0 {
				found = append(found, h)
			}
		}
	}
	settle()
	if len(found) != n {
		return nil, fmt.Errorf("%d hashes of seed %d where %d are: %w", len(found), s.Number, n, logtree.ErrInconsistent)
	}
	return found, nil
}
