package seed

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/datestone/datestone/internal/logtree"
)

// numbered are hashes in the order of their numbers, from 1 on.
type numbered [][32]byte

func (all numbered) hashes(_ context.Context, first, before int64, limit int) ([][32]byte, error) {
	return all[first-1 : min(before, first+int64(limit))-1], nil
}

// However few leaves are in memory, and wherever it goes on, the tiles are the same.
func TestBuildInParts(t *testing.T) {
	t.Parallel()
	const n = 3*TileLeaves + 300
	all := make(numbered, n)
	for i := range all {
		all[i] = sha256.Sum256(fmt.Append(nil, i))
	}
	s := Seed{Number: 3, First: 1, Before: n + 1}
	want := slices.Clone(all)
	slices.SortFunc(want, compare)
	for name, order := range map[string]func(){
		"ascending":  func() { slices.SortFunc(all, compare) },
		"descending": func() { slices.SortFunc(all, func(a, b [32]byte) int { return compare(b, a) }) },
		"mixed":      func() { rand.Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] }) },
	} {
		order()
		for _, sorted := range []int{TileLeaves, 2 * TileLeaves, 1 << 20} {
			for from := range s.tiles() {
				var last *[32]byte
				if from > 0 {
					last = &want[from*TileLeaves-1]
				}
				got := slices.Clone(want[:from*TileLeaves])
				next := from
				b := builder{hashes: all.hashes, sorted: sorted, together: 2}
				err := b.tiles(t.Context(), s, from, last, func(tiles []Tile, nodes [][32]byte) error {
					for i, tile := range tiles {
						if tile.Index != next || nodes[i] != tile.Node(false) {
							t.Errorf("tile %d comes after %d others", tile.Index, next)
						}
						next++
						got = append(got, tile.Leaves...)
					}
					return nil
				})
				if err != nil || !slices.Equal(got, want) {
					t.Fatalf("%s, %d at a time, from tile %d: not the same leaves, %v", name, sorted, from, err)
				}
			}
		}
	}
	b := builder{hashes: all.hashes, sorted: TileLeaves, together: 2}
	if err := b.tiles(t.Context(), s, 2, &want[n-1], func([]Tile, [][32]byte) error { return nil }); !errors.Is(err, logtree.ErrInconsistent) {
		t.Errorf("with hashes that are not there: %v", err)
	}
}
