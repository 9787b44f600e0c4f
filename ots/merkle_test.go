package ots_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/datestone/datestone/ots"
)

func TestMerkleVectors(t *testing.T) {
	for n, want := range map[int]string{
		1:      "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9",
		5:      "ea030edba0761730b75f565d17f9c40ee2b10633c3f4a696197832a6e67edf47",
		10_000: "e08a41fa2a658af6f552d22570da0e9511230e4c81d421ca7f206e76770045d6",
	} {
		root := ots.MerkleTree(numberedLeaves(n)).Root()
		if got := hex.EncodeToString(root[:]); got != want {
			t.Errorf("%d leaves: %s, want %s", n, got, want)
		}
	}
	empty := ots.MerkleTree(nil)
	if empty.Root() != [32]byte{} || empty.Len() != 0 {
		t.Error("a tree without leaves has a root")
	}
}

// plainRoot is the definition: pair from left to right, carry a lone last node.
func plainRoot(nodes [][32]byte) [32]byte {
	for nodes = slices.Clone(nodes); len(nodes) > 1; {
		var up [][32]byte
		for i := 0; i+1 < len(nodes); i += 2 {
			up = append(up, sha256.Sum256(slices.Concat(nodes[i][:], nodes[i+1][:])))
		}
		if len(nodes)%2 == 1 {
			up = append(up, nodes[len(nodes)-1])
		}
		nodes = up
	}
	return nodes[0]
}

// Every size around the powers of two, where carried nodes and the borders of
// parallel work lie; every path leads to the root.
func TestMerklePaths(t *testing.T) {
	sizes := []int{511, 512, 513, 1023, 1024, 1025, 1535, 1536, 1537, 2049, 4095, 4097, 5000}
	for n := 1; n <= 70; n++ {
		sizes = append(sizes, n)
	}
	all := numberedLeaves(5000)
	for _, n := range sizes {
		leaves := all[:n]
		tree := ots.MerkleTree(leaves)
		root := tree.Root()
		if root != plainRoot(leaves) || tree.Len() != n {
			t.Fatalf("%d leaves: root %x", n, root)
		}
		for i := range n {
			if n > 100 && i%97 != 0 && i < n-3 {
				continue
			}
			got, err := tree.Path(i).Apply(leaves[i][:])
			if err != nil || !bytes.Equal(got, root[:]) {
				t.Fatalf("%d leaves: path of %d leads to %x, %v", n, i, got, err)
			}
			if again, err := ots.ParsePath(tree.Path(i).Bytes()); err != nil || again != tree.Path(i) {
				t.Fatalf("%d leaves: path of %d reads back as %v, %v", n, i, again, err)
			}
		}
	}
}

func TestMerkleTreeMemory(t *testing.T) {
	const n = 100_000
	leaves := numberedLeaves(n)
	if got := allocated(func() { ots.MerkleTree(leaves) }); got > 40*n {
		t.Errorf("%d bytes a leaf beside the leaf itself", got/n)
	}
}
