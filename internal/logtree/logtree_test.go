package logtree_test

import (
	"crypto/sha256"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/datestone/datestone/internal/logtree"
)

// tree keeps an epoch's nodes where the store would.
type tree struct {
	entries []logtree.Entry
	nodes   [][][32]byte // of each entry, from level 1
	edge    logtree.Edge
}

func (tr *tree) add(t testing.TB, tip [32]byte) {
	t.Helper()
	p, err := logtree.At(3, int64(len(tr.entries)))
	if err != nil {
		t.Fatal(err)
	}
	e := logtree.NewEntry(p, tip)
	edge, nodes, err := tr.edge.Append(int64(len(tr.entries)), e.Leaf())
	if err != nil {
		t.Fatal(err)
	}
	tr.edge, tr.entries, tr.nodes = edge, append(tr.entries, e), append(tr.nodes, nodes)
}

func (tr *tree) read(nodes []logtree.Node) ([][32]byte, error) {
	out := make([][32]byte, len(nodes))
	for i, n := range nodes {
		if n.Level == 0 {
			out[i] = tr.entries[n.Index()].Leaf()
		} else {
			out[i] = tr.nodes[n.Index()][n.Level-1]
		}
	}
	return out, nil
}

// root is RFC 6962's recursive definition of the tree hash, section 2.1.
func root(entries []logtree.Entry) [32]byte {
	if len(entries) == 1 {
		return sha256.Sum256(append([]byte{0}, entries[0][:]...))
	}
	k := 1
	for 2*k < len(entries) {
		k *= 2
	}
	l, r := root(entries[:k]), root(entries[k:])
	return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
}

func TestTreeAgainstDefinition(t *testing.T) {
	var tr tree
	for n := range 130 {
		tr.add(t, sha256.Sum256([]byte{byte(n)}))
		size := int64(n + 1)
		want := root(tr.entries)
		if got, err := tr.edge.Root(size); err != nil || got != want {
			t.Fatalf("edge root of %d: %x, %v; want %x", size, got, err, want)
		}
		if got, err := logtree.Reader(tr.read).Root(size); err != nil || got != want {
			t.Fatalf("stored root of %d: %x, %v; want %x", size, got, err, want)
		}
		head := logtree.Head{Epoch: 3, Size: size, Root: want}
		for _, e := range tr.entries {
			path, err := logtree.Reader(tr.read).Inclusion(head, e)
			if err != nil {
				t.Fatalf("inclusion of %v in %d: %v", e.Position(), size, err)
			}
			if got, err := path.Apply(e[:]); err != nil || [32]byte(got) != want {
				t.Fatalf("path of %v in %d ends at %x, %v", e.Position(), size, got, err)
			}
		}
	}
}

func TestInclusionRefusesWhatDoesNotRecompute(t *testing.T) {
	var tr tree
	for n := range 21 {
		tr.add(t, sha256.Sum256([]byte{byte(n)}))
	}
	h := logtree.Head{Epoch: 3, Size: 21, Root: root(tr.entries)}
	tr.nodes[7][2][5] ^= 1
	if _, err := logtree.Reader(tr.read).Inclusion(h, tr.entries[12]); !errors.Is(err, logtree.ErrInconsistent) {
		t.Errorf("a damaged node: %v, want ErrInconsistent", err)
	}
	if _, err := logtree.Reader(tr.read).Inclusion(logtree.Head{Epoch: 3, Size: 5}, tr.entries[5]); !errors.Is(err, logtree.ErrPosition) {
		t.Errorf("an entry that the head does not cover: %v, want ErrPosition", err)
	}
}

func TestEdgeSurvivesItsBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 300).Draw(t, "n")
		var edge logtree.Edge
		for i := range n {
			p, _ := logtree.At(0, int64(i))
			next, _, err := edge.Append(int64(i), logtree.NewEntry(p, [32]byte{byte(i), byte(i >> 8)}).Leaf())
			if err != nil {
				t.Fatal(err)
			}
			if edge, err = logtree.ParseEdge(next.Bytes(), int64(i+1)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := logtree.ParseEdge(append(edge.Bytes(), make([]byte, 32)...), int64(n)); !errors.Is(err, logtree.ErrInconsistent) {
			t.Fatalf("an edge that is too long: %v", err)
		}
	})
}

// The bound of MaxPathOps is that of real paths: the entry whose siblings all stand to its right has
// the longest.
func TestPathBudget(t *testing.T) {
	if got := logtree.MaxPathOps(1<<12, 1<<26); got != 107 {
		t.Errorf("operations from a digest to a head: %d, want the 107 of the budget", got)
	}
	var tr tree
	for n := range 64 {
		tr.add(t, [32]byte{byte(n)})
	}
	path, err := logtree.Reader(tr.read).Inclusion(logtree.Head{Epoch: 3, Size: 64, Root: root(tr.entries)}, tr.entries[0])
	if err != nil {
		t.Fatal(err)
	}
	if got, want := path.Len(), logtree.MaxPathOps(1, 64)-3; got != want {
		t.Errorf("path of entry 0 of 64 has %d operations, want %d", got, want)
	}
}

func TestPositions(t *testing.T) {
	for _, c := range []struct {
		epoch int
		index int64
		ok    bool
	}{{0, 0, true}, {1<<15 - 1, 1<<48 - 1, true}, {1 << 15, 0, false}, {-1, 0, false}, {0, 1 << 48, false}, {0, -1, false}} {
		p, err := logtree.At(c.epoch, c.index)
		if (err == nil) != c.ok {
			t.Errorf("At(%d, %d): %v", c.epoch, c.index, err)
		}
		if err == nil && (p.Epoch() != c.epoch || p.Index() != c.index || logtree.NewEntry(p, [32]byte{}).Position() != p) {
			t.Errorf("At(%d, %d) does not survive: %v", c.epoch, c.index, p)
		}
	}
}
