package seed

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/datestone/datestone/internal/logtree"
)

// The tree of a seed: its leaves are the hashes, in ascending order and each once. A parent is the SHA-256 of the 128
// hexadecimal digits of its two children, in small letters. The last node of a level that has none to be joined with is joined
// with itself, and so is the leaf of a tree that has one. So all leaves are at the same depth.

// TileLeaves is how many leaves are kept together: their part of the tree is ten levels high.
const TileLeaves = 1 << tileLevels

const tileLevels = 10

// Parent joins two nodes.
func Parent(left, right [32]byte) [32]byte {
	var text [128]byte
	hex.Encode(text[:64], left[:])
	hex.Encode(text[64:], right[:])
	return sha256.Sum256(text[:])
}

// up is the level above one of two nodes and more. It is written into the same place.
func up(nodes [][32]byte) [][32]byte {
	above := nodes[:0]
	for i := 0; i < len(nodes); i += 2 {
		above = append(above, Parent(nodes[i], nodes[min(i+1, len(nodes)-1)]))
	}
	return above
}

// top is the node above all of these.
func top(nodes [][32]byte) [32]byte {
	for len(nodes) > 1 {
		nodes = up(nodes)
	}
	return nodes[0]
}

// Tile is a run of a seed's leaves.
type Tile struct {
	Index  int // from 0
	Leaves [][32]byte
}

// Node is the root of the tile's part of the tree. alone says that the seed has no other tile: then it is the seed's root.
func (t Tile) Node(alone bool) [32]byte {
	nodes := slices.Clone(t.Leaves)
	if alone {
		if len(nodes) == 1 {
			return Parent(nodes[0], nodes[0])
		}
		return top(nodes)
	}
	for range tileLevels {
		nodes = up(nodes)
	}
	return nodes[0]
}

// Root is the root of the tree, given the nodes of its tiles.
func Root(tiles [][32]byte) [32]byte { return top(slices.Clone(tiles)) }

// steps appends the way up from a node of a level to the node above all, at least so many levels.
func steps(all []Step, nodes [][32]byte, i, levels int) []Step {
	nodes = slices.Clone(nodes)
	for ; levels > 0 || len(nodes) > 1; levels-- {
		step := Step{Sibling: nodes[min(i^1, len(nodes)-1)], Left: i%2 == 1}
		all, nodes, i = append(all, step), up(nodes), i/2
	}
	return all
}

// NewBranch is the way from a leaf of a tile to the root, given the nodes of all tiles. What does not lead to the root is
// logtree.ErrInconsistent, and so is a tile without the hash.
func NewBranch(hash, root [32]byte, tile Tile, nodes [][32]byte) (Branch, error) {
	b := Branch{Hash: hash, Root: root}
	i, found := slices.BinarySearchFunc(tile.Leaves, hash, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	if !found || tile.Index >= len(nodes) {
		return b, fmt.Errorf("a hash is not in the tree of its seed: %w", logtree.ErrInconsistent)
	}
	levels := tileLevels
	if len(nodes) == 1 {
		levels = 0
		if len(tile.Leaves) == 1 {
			levels = 1
		}
	}
	b.Steps = steps(nil, tile.Leaves, i, levels)
	b.Steps = steps(b.Steps, nodes, tile.Index, 0)
	if b.top() != root {
		return b, fmt.Errorf("the way from a hash does not lead to the root of its seed: %w", logtree.ErrInconsistent)
	}
	return b, nil
}

// top is where the steps lead.
func (b Branch) top() [32]byte {
	node := b.Hash
	for _, s := range b.Steps {
		if s.Left {
			node = Parent(s.Sibling, node)
		} else {
			node = Parent(node, s.Sibling)
		}
	}
	return node
}
