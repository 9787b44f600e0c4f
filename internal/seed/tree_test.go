package seed

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/datestone/datestone/internal/logtree"
)

func unhex(t *testing.T, text string) [32]byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 32 {
		t.Fatal(text, err)
	}
	return [32]byte(b)
}

// letters are the SHA-256 of "a", "b" and so on, in ascending order.
func letters(n int) [][32]byte {
	all := make([][32]byte, n)
	for i := range all {
		all[i] = sha256.Sum256([]byte{'a' + byte(i)})
	}
	slices.SortFunc(all, compare)
	return all
}

// The roots of contracts/originstamp-proof.md, which OriginStamp's own verifier accepts.
func TestKnownRoots(t *testing.T) {
	for n, want := range map[int]string{
		1: "bc2ef2f0ec3652599ac78ba7e2aa6f1996fcb195a0418f94940648a7ed22402c",
		2: "ab19ec537f09499b26f0f62eed7aefad46ab9f498e06a7328ce8e8ef90da6d86",
		3: "1182fac24e0103053704f7404ef1a7a21bf25ebf98d238877413f4a35388e5fb",
		5: "9d6b564cf278381e1c0762a7925c2b3d540e33443797f3a5cc570b84f4e90d50",
	} {
		tile := Tile{Leaves: letters(n)}
		root := tile.Node(true)
		if got := hex.EncodeToString(root[:]); got != want {
			t.Errorf("%d leaves: %s, want %s", n, got, want)
		}
		for _, l := range tile.Leaves {
			if _, err := NewBranch(l, root, tile, [][32]byte{root}); err != nil {
				t.Errorf("%d leaves: %v", n, err)
			}
		}
	}
}

// A way that OriginStamp made: of an AION tree of more than 69 leaves, all siblings on the right, some of them the node itself.
func TestRealBranch(t *testing.T) {
	b := Branch{Hash: unhex(t, "022a80562714d28a11ad5403bca48c3d64217fa04d82a68128c5fa381d69d1c5")}
	for _, sibling := range []string{
		"0311553544c8b231f68a7dd6c17ee66d1f16e62c12aa88f04bc37785bd1e4f4f", "f8afe9a7fbc9a4ebf8d0a51ff6949a821e183f64b361e7e05b6f0fc5f34334cc",
		"5e6210f28042ecfe9834f374d1eea940cd0124f24190ecc9299f622a3ce882a7", "d63bb1ab7d602fc6f0d315bdffaeb84e556dc68f070b3736ea5e677090ce8af0",
		"35e0e6a473405e1e210cf39fc9e70de59340f677976d19e617ac0942c4da48b6",
	} {
		b.Steps = append(b.Steps, Step{Sibling: unhex(t, sibling)})
	}
	if got := b.top(); got != unhex(t, "d48a0c97174cbd86c891c69b29e4534486ff66683b843c4d4ba0efb2854a6fc8") {
		t.Errorf("it leads to %x", got)
	}
}

// plainRoot is the root of a tree without tiles, as the contract says it.
func plainRoot(nodes []string) string {
	parent := func(l, r string) string {
		h := sha256.Sum256([]byte(l + r))
		return hex.EncodeToString(h[:])
	}
	if len(nodes) == 1 {
		return parent(nodes[0], nodes[0])
	}
	for len(nodes) > 1 {
		if len(nodes)%2 == 1 {
			nodes = append(nodes, nodes[len(nodes)-1])
		}
		var above []string
		for i := 0; i < len(nodes); i += 2 {
			above = append(above, parent(nodes[i], nodes[i+1]))
		}
		nodes = above
	}
	return nodes[0]
}

// Trees of tiles are those of the contract, and every leaf has its way, whatever is left over at whatever level.
func TestTiles(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 1023, 1024, 1025, 2048, 2049, 3*1024 + 1, 3*1024 + 513} {
		leaves := make([][32]byte, n)
		for i := range leaves {
			leaves[i] = sha256.Sum256(fmt.Append(nil, i))
		}
		slices.SortFunc(leaves, compare)
		var text []string
		for _, l := range leaves {
			text = append(text, hex.EncodeToString(l[:]))
		}
		var tiles []Tile
		var nodes [][32]byte
		for run := range slices.Chunk(leaves, TileLeaves) {
			tiles = append(tiles, Tile{len(tiles), run})
		}
		for _, tile := range tiles {
			nodes = append(nodes, tile.Node(len(tiles) == 1))
		}
		root := Root(nodes)
		if got := hex.EncodeToString(root[:]); got != plainRoot(text) {
			t.Fatalf("%d leaves: root %s, want %s", n, got, plainRoot(text))
		}
		depth := -1
		for i := 0; i < n; i += 1 + n/10 {
			b, err := NewBranch(leaves[i], root, tiles[i/TileLeaves], nodes)
			if err != nil || depth >= 0 && len(b.Steps) != depth {
				t.Fatalf("%d leaves: leaf %d has %d steps and others %d: %v", n, i, len(b.Steps), depth, err)
			}
			depth = len(b.Steps)
		}
		last := tiles[len(tiles)-1]
		if _, err := NewBranch(leaves[n-1], root, last, nodes); err != nil {
			t.Fatalf("%d leaves: the last one: %v", n, err)
		}
		wrong := slices.Clone(nodes)
		wrong[0][5] ^= 1
		if _, err := NewBranch(leaves[n-1], root, last, wrong); n > TileLeaves && !errors.Is(err, logtree.ErrInconsistent) {
			t.Errorf("%d leaves: with a damaged node: %v", n, err)
		}
		if _, err := NewBranch([32]byte{1}, root, last, nodes); !errors.Is(err, logtree.ErrInconsistent) {
			t.Errorf("%d leaves: a hash that is none of them: %v", n, err)
		}
	}
}
