package ots

import "crypto/sha256"

// Tree is the Merkle tree over many digests: neighbours are paired from left to
// right, a parent is sha256(left || right), and a lone last node is carried up
// unchanged.
type Tree struct {
	leaves [][32]byte
	levels [][][32]byte // levels[k] holds the parents that were hashed from level k; carried nodes are not repeated
}

// MerkleTree builds the tree. It keeps a reference to leaves, which must not
// change afterwards.
func MerkleTree(leaves [][32]byte) *Tree {
	t := &Tree{leaves: leaves}
	for n := len(leaves); n > 1; n = (n + 1) / 2 {
		k := len(t.levels)
		level := make([][32]byte, n/2)
		for i := range level {
			var pair [64]byte
			l, r := t.node(k, 2*i), t.node(k, 2*i+1)
			copy(pair[:32], l[:])
			copy(pair[32:], r[:])
			level[i] = sha256.Sum256(pair[:])
		}
		t.levels = append(t.levels, level)
	}
	return t
}

// node is the i-th node of level k, where level 0 are the leaves.
func (t *Tree) node(k, i int) *[32]byte {
	for ; k > 0; k, i = k-1, 2*i {
		if i < len(t.levels[k-1]) {
			return &t.levels[k-1][i]
		}
	}
	return &t.leaves[i]
}

// Len is the number of leaves.
func (t *Tree) Len() int { return len(t.leaves) }

// Root is the node that all leaves lead to; a single leaf is its own root. A
// tree without leaves has the zero root.
func (t *Tree) Root() [32]byte {
	if len(t.leaves) == 0 {
		return [32]byte{}
	}
	return *t.node(len(t.levels), 0)
}

// Path leads from the i-th leaf to the root.
func (t *Tree) Path(i int) Path {
	_ = t.leaves[i]
	var p Path
	wire := make([]byte, 0, 35*len(t.levels))
	for k, n := 0, len(t.leaves); n > 1; k, i, n = k+1, i/2, (n+1)/2 {
		sibling := i ^ 1
		if sibling >= n {
			continue
		}
		tag := OpAppend
		if sibling < i {
			tag = OpPrepend
		}
		wire = append(wire, byte(tag), 32)
		wire = append(wire, t.node(k, sibling)[:]...)
		wire = append(wire, byte(OpSHA256))
		p.ops += 2
	}
	p.wire = string(wire)
	return p
}
