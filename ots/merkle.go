package ots

import (
	"crypto/sha256"
	"runtime"
	"sync"
	"sync/atomic"
)

// Tree is the Merkle tree over many digests: neighbours are paired from left to
// right, a parent is sha256(left || right), and a lone last node is carried up
// unchanged. It takes 32 bytes a leaf beside the leaves themselves. A Tree does
// not change and may be used by several goroutines at once.
type Tree struct {
	leaves [][32]byte
	levels []level // the parents of the leaves, their parents, and so on up to the root
}

// level holds the nodes of one height, one after the other.
type level []byte

func (l level) len() int             { return len(l) / 32 }
func (l level) node(i int) *[32]byte { return (*[32]byte)(l[32*i:]) }

// chunk is how many leaves are taken up the tree at once: few enough to stay in
// a processor's nearest cache. A power of two, so that no pair spans two chunks.
const (
	chunkHeight = 9
	chunk       = 1 << chunkHeight
)

// MerkleTree builds the tree on as many processors as the Go runtime may use. It
// keeps a reference to leaves, which must not change afterwards.
func MerkleTree(leaves [][32]byte) *Tree {
	t := &Tree{leaves: leaves}
	total := 0
	for n := len(leaves); n > 1; {
		n = (n + 1) / 2
		total += n
	}
	nodes := make(level, 32*total)
	for n := len(leaves); n > 1; {
		n = (n + 1) / 2
		t.levels = append(t.levels, nodes[:32*n:32*n])
		nodes = nodes[32*n:]
	}

	chunks := (len(leaves) + chunk - 1) / chunk
	var next atomic.Int64
	work := func() {
		for {
			c := int(next.Add(1)) - 1
			if c >= chunks {
				return
			}
			for k := range min(chunkHeight, len(t.levels)) {
				per := chunk >> (k + 1)
				t.hash(k, c*per, min((c+1)*per, t.levels[k].len()))
			}
		}
	}
	var wg sync.WaitGroup
	for range min(chunks, runtime.GOMAXPROCS(0)) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	for k := chunkHeight; k < len(t.levels); k++ {
		t.hash(k, 0, t.levels[k].len())
	}
	return t
}

// hash computes the nodes from..to of levels[k] from those below.
func (t *Tree) hash(k, from, to int) {
	parents := t.levels[k]
	if k == 0 {
		var pair [64]byte
		for i := from; i < to; i++ {
			if 2*i+1 == len(t.leaves) {
				*parents.node(i) = t.leaves[2*i]
				continue
			}
			copy(pair[:32], t.leaves[2*i][:])
			copy(pair[32:], t.leaves[2*i+1][:])
			*parents.node(i) = sha256.Sum256(pair[:])
		}
		return
	}
	children := t.levels[k-1]
	for i := from; i < to; i++ {
		if 2*i+1 == children.len() {
			*parents.node(i) = *children.node(2 * i)
			continue
		}
		*parents.node(i) = sha256.Sum256(children[64*i : 64*i+64])
	}
}

// Len is the number of leaves.
func (t *Tree) Len() int { return len(t.leaves) }

// Root is the node that all leaves lead to; a single leaf is its own root. A
// tree without leaves has the zero root.
func (t *Tree) Root() [32]byte {
	switch {
	case len(t.leaves) == 0:
		return [32]byte{}
	case len(t.leaves) == 1:
		return t.leaves[0]
	}
	return [32]byte(t.levels[len(t.levels)-1])
}

// Path leads from the i-th leaf to the root. Like an index into a slice, i must
// be at least 0 and less than Len.
func (t *Tree) Path(i int) Path {
	_ = t.leaves[i]
	var p Path
	wire := make([]byte, 0, 35*len(t.levels))
	sibling := i ^ 1
	if sibling < len(t.leaves) {
		wire = appendStep(wire, i, &t.leaves[sibling])
		p.ops = 2
	}
	for _, l := range t.levels {
		i /= 2
		if sibling = i ^ 1; sibling < l.len() {
			wire = appendStep(wire, i, l.node(sibling))
			p.ops += 2
		}
	}
	p.wire = string(wire)
	return p
}

// appendStep appends the operations from the i-th node of a level to its parent.
func appendStep(wire []byte, i int, sibling *[32]byte) []byte {
	tag := OpAppend
	if i%2 == 1 {
		tag = OpPrepend
	}
	wire = append(wire, byte(tag), 32)
	wire = append(wire, sibling[:]...)
	return append(wire, byte(OpSHA256))
}
