package ethereum

import (
	"bytes"
	"errors"
	"slices"

	"golang.org/x/crypto/sha3"

	"github.com/datestone/datestone/ots"
)

func keccak256(parts ...[]byte) (sum [32]byte) {
	h := sha3.NewLegacyKeccak256()
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(sum[:0])
	return sum
}

// emptyRoot is the transactionsRoot of a block without transactions.
var emptyRoot = keccak256([]byte{0x80})

// pathInTrie leads from the value with this index to the root of the Merkle-Patricia trie (Yellow Paper, appendix D)
// that has values[i] under the key RLP(i): a block's transactionsRoot over its transactions.
func pathInTrie(values [][]byte, index int) (path ots.Path, root [32]byte, err error) {
	if index < 0 || index >= len(values) {
		return path, root, errors.New("no such value in the trie")
	}
	leaves := make([]leaf, len(values))
	for i, v := range values {
		key := appendUint(nil, uint64(i))
		nibbles := make([]byte, 0, 2*len(key))
		for _, c := range key {
			nibbles = append(nibbles, c>>4, c&15)
		}
		leaves[i] = leaf{nibbles, v, i == index}
	}
	slices.SortFunc(leaves, func(a, b leaf) int { return bytes.Compare(a.key, b.key) })
	var b trieBuilder
	message := b.node(leaves, 0)
	if len(message) != 32 { // the root is hashed however short it is
		root = keccak256(message)
		b.path = b.path.Then(ots.Op{Tag: ots.OpKeccak256})
	} else {
		root = [32]byte(message)
	}
	return b.path, root, nil
}

// leaf is a value below its key in nibbles, and whether the path begins at it.
type leaf struct {
	key   []byte
	value []byte
	here  bool
}

// trieBuilder collects the path while nodes are made from the leaves up.
type trieBuilder struct{ path ots.Path }

// node makes the node of the leaves, which share their keys up to depth, and returns what its parent has of it: the
// hash, or, of a node that is shorter, the node itself. No key is the beginning of another: branches have no values.
func (b *trieBuilder) node(leaves []leaf, depth int) []byte {
	here := slices.ContainsFunc(leaves, func(l leaf) bool { return l.here })
	if len(leaves) == 1 {
		key := appendBytes(nil, compact(leaves[0].key[depth:], true))
		list := appendList(nil, appendBytes(key, leaves[0].value))
		return b.seal(list, len(list)-len(leaves[0].value), len(leaves[0].value), here)
	}
	// Sorted: what the first and the last share all share.
	shared := depth
	for first, last := leaves[0].key, leaves[len(leaves)-1].key; first[shared] == last[shared]; {
		shared++
	}
	if shared > depth {
		child := b.node(leaves, shared)
		list := appendList(nil, appendChild(appendBytes(nil, compact(leaves[0].key[depth:shared], false)), child))
		return b.seal(list, len(list)-len(child), len(child), here)
	}
	var items []byte
	var at, size int // of the child on the path, from the end of the items
	for nibble := range byte(16) {
		n := 0
		for n < len(leaves) && leaves[n].key[depth] == nibble {
			n++
		}
		if n == 0 {
			items = append(items, 0x80)
			continue
		}
		child := b.node(leaves[:n], depth+1)
		items = appendChild(items, child)
		if slices.ContainsFunc(leaves[:n], func(l leaf) bool { return l.here }) {
			at, size = len(items)-len(child), len(child)
		}
		leaves = leaves[n:]
	}
	items = append(items, 0x80)
	list := appendList(nil, items)
	return b.seal(list, len(list)-len(items)+at, size, here)
}

// seal hashes a node. Where the path goes through it, at list[at:at+size], it is extended.
func (b *trieBuilder) seal(list []byte, at, size int, here bool) []byte {
	if here {
		if at > 0 {
			b.path = b.path.Prepend(list[:at])
		}
		if at+size < len(list) {
			b.path = b.path.Append(list[at+size:])
		}
	}
	if len(list) < 32 {
		return list
	}
	if here {
		b.path = b.path.Then(ots.Op{Tag: ots.OpKeccak256})
	}
	sum := keccak256(list)
	return sum[:]
}

// appendChild appends what a parent has of a child: a hash as a string, a short node as it is.
func appendChild(dst, child []byte) []byte {
	if len(child) == 32 {
		return appendBytes(dst, child)
	}
	return append(dst, child...)
}

// compact packs the rest of a key with the flags of its node (hex-prefix encoding).
func compact(nibbles []byte, isLeaf bool) []byte {
	var flag byte
	if isLeaf {
		flag = 2
	}
	if len(nibbles)%2 == 1 {
		flag, nibbles = (flag|1)<<4|nibbles[0], nibbles[1:]
	} else {
		flag <<= 4
	}
	packed := []byte{flag}
	for ; len(nibbles) > 0; nibbles = nibbles[2:] {
		packed = append(packed, nibbles[0]<<4|nibbles[1])
	}
	return packed
}
