package logtree

import (
	"errors"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/datestone/datestone/ots"
)

// ErrInconsistent says that stored hashes do not recompute to the root that they should give.
var ErrInconsistent = errors.New("the log's hashes do not recompute")

// Leaf is the RFC 6962 leaf hash of an entry.
func (e Entry) Leaf() [32]byte { return tlog.RecordHash(e[:]) }

// Edge is the right edge of a tree: the roots of its largest complete subtrees from left to right,
// one for each bit that is set in the tree's size. It is all that an append needs.
type Edge [][32]byte

// ParseEdge reads the concatenated 32-byte hashes of the edge of a tree of the given size.
func ParseEdge(b []byte, size int64) (Edge, error) {
	if want := bits.OnesCount64(uint64(size)); len(b) != 32*want {
		return nil, fmt.Errorf("edge of a tree of %d entries has %d bytes, want %d: %w", size, len(b), 32*want, ErrInconsistent)
	}
	edge := make(Edge, len(b)/32)
	for i := range edge {
		edge[i] = [32]byte(b[32*i:])
	}
	return edge, nil
}

// Bytes is the concatenation of the edge's hashes.
func (edge Edge) Bytes() []byte {
	b := make([]byte, 0, 32*len(edge))
	for _, h := range edge {
		b = append(b, h[:]...)
	}
	return b
}

// reader answers for the nodes that make up the edge of a tree of this size.
func (edge Edge) reader(size int64) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			level, n := tlog.SplitStoredHashIndex(index)
			if size>>level&1 == 0 || n != size>>level-1 {
				return nil, fmt.Errorf("node %d of level %d is not on the edge of %d entries: %w", n, level, size, ErrInconsistent)
			}
			above := bits.OnesCount64(uint64(size) >> (level + 1))
			hashes[i] = edge[above]
		}
		return hashes, nil
	})
}

// Root is the tree hash of the tree of this size whose edge it is.
func (edge Edge) Root(size int64) ([32]byte, error) {
	if size == 0 {
		return [32]byte{}, nil
	}
	h, err := tlog.TreeHash(size, edge.reader(size))
	return h, err
}

// Append adds a leaf to a tree of the given size. It returns the new edge and the interior nodes
// that the leaf completes, lowest level first.
func (edge Edge) Append(size int64, leaf [32]byte) (Edge, [][32]byte, error) {
	stored, err := tlog.StoredHashesForRecordHash(size, leaf, edge.reader(size))
	if err != nil {
		return nil, nil, err
	}
	next := make(Edge, 0, len(edge)+1)
	next = append(next, edge[:len(edge)-(len(stored)-1)]...)
	next = append(next, stored[len(stored)-1])
	nodes := make([][32]byte, len(stored)-1)
	for i, h := range stored[1:] {
		nodes[i] = h
	}
	return next, nodes, nil
}

// Node names a node of an epoch's tree: Level 0 is the leaves, N counts from the left.
type Node struct {
	Level int
	N     int64
}

// Index is the index of the entry whose arrival completed the node, and beside which it is kept.
func (n Node) Index() int64 { return (n.N+1)<<n.Level - 1 }

// Reader fetches nodes of one epoch's tree, in the order asked for.
type Reader func(nodes []Node) ([][32]byte, error)

func (r Reader) hashReader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		nodes := make([]Node, len(indexes))
		for i, index := range indexes {
			nodes[i].Level, nodes[i].N = tlog.SplitStoredHashIndex(index)
		}
		found, err := r(nodes)
		if err != nil {
			return nil, err
		}
		hashes := make([]tlog.Hash, len(found))
		for i, h := range found {
			hashes[i] = h
		}
		return hashes, nil
	})
}

// Root is the tree hash over the first size entries.
func (r Reader) Root(size int64) ([32]byte, error) {
	if size == 0 {
		return [32]byte{}, nil
	}
	h, err := tlog.TreeHash(size, r.hashReader())
	return h, err
}

// Edge is the right edge of the tree of the first size entries.
func (r Reader) Edge(size int64) (Edge, error) {
	var nodes []Node
	for level := bits.Len64(uint64(size)) - 1; level >= 0; level-- {
		if size>>level&1 == 1 {
			nodes = append(nodes, Node{level, size>>level - 1})
		}
	}
	hashes, err := r(nodes)
	return hashes, err
}

// Inclusion is the path from the entry to the root of a head that covers it. It is returned only
// if it recomputes; otherwise the error is ErrInconsistent.
func (r Reader) Inclusion(h Head, e Entry) (ots.Path, error) {
	p := e.Position()
	if !h.Covers(p) {
		return ots.Path{}, fmt.Errorf("position %v in head %v: %w", p, h, ErrPosition)
	}
	proof, err := tlog.ProveRecord(h.Size, p.Index(), r.hashReader())
	if err != nil {
		return ots.Path{}, err
	}
	if err := tlog.CheckRecord(proof, h.Size, h.Root, p.Index(), e.Leaf()); err != nil {
		return ots.Path{}, fmt.Errorf("position %v in head %v: %w: %w", p, h, ErrInconsistent, err)
	}
	return inclusionPath(proof, h.Size, p.Index())
}

// inclusionPath writes an RFC 6962 audit path as operations on the entry. The walk over fn and sn
// that tells left siblings from right ones is that of RFC 9162, section 2.1.3.2.
func inclusionPath(proof tlog.RecordProof, size, index int64) (ots.Path, error) {
	const hash = byte(ots.OpSHA256)
	wire := make([]byte, 0, 4+len(proof)*(2+32+3+1))
	wire = append(wire, byte(ots.OpPrepend), 1, 0, hash)
	fn, sn := index, size-1
	for _, sibling := range proof {
		if fn&1 == 1 || fn == sn {
			wire = append(append(wire, byte(ots.OpPrepend), 33, 1), sibling[:]...)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			wire = append(append(wire, byte(ots.OpAppend), 32), sibling[:]...)
			wire = append(wire, byte(ots.OpPrepend), 1, 1)
		}
		wire = append(wire, hash)
		fn, sn = fn>>1, sn>>1
	}
	return ots.ParsePath(wire)
}

// MaxPathOps is the largest number of operations from a submitted digest to the root of a head,
// for batches of at most maxBatch digests and epochs of at most maxEntries entries: nonce and hash,
// two a level of the batch, the position, leaf prefix and hash, three a level of the log.
func MaxPathOps(maxBatch int, maxEntries int64) int {
	return 2 + 2*bits.Len64(uint64(maxBatch-1)) + 1 + 2 + 3*bits.Len64(uint64(maxEntries-1))
}
