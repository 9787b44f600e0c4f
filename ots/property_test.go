package ots_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/datestone/datestone/ots"
)

// generator makes random trees whose paths share beginnings, as those of proofs
// that are merged do.
type generator struct {
	rng        *rand.Rand
	tags       []ots.Tag
	maxHeight  uint64
	noEthereum bool
}

var allTags = []ots.Tag{
	ots.OpSHA256, ots.OpSHA1, ots.OpRIPEMD160, ots.OpKeccak256, ots.OpAppend, ots.OpPrepend, ots.OpReverse, ots.OpHexlify,
}

func newGenerator(seed uint64) generator {
	return generator{rng: rand.New(rand.NewPCG(seed, 0)), tags: allTags, maxHeight: 1<<64 - 1}
}

func (g generator) attestation() ots.Attestation {
	var a ots.Attestation
	var err error
	height := g.rng.Uint64N(g.maxHeight) >> g.rng.IntN(64)
	switch g.rng.IntN(5) {
	case 0:
		a = ots.BitcoinAttestation(height)
	case 1:
		a = ots.LitecoinAttestation(height)
	case 2:
		if !g.noEthereum {
			a = ots.EthereumAttestation(height)
			break
		}
		fallthrough
	case 3:
		a, err = ots.PendingAttestation([]string{"https://a.example", "https://b.example", "https://a.example/x", "http://c.example:80"}[g.rng.IntN(4)])
	default:
		payload := make([]byte, g.rng.IntN(4))
		for i := range payload {
			payload[i] = byte(g.rng.Uint32())
		}
		a, err = ots.UnknownAttestation([8]byte{byte(g.rng.IntN(3)), 9}, payload)
	}
	if err != nil {
		panic(err)
	}
	return a
}

// path is random; every eighth operation at least is a hash, so that messages
// stay short.
func (g generator) path(n int) ots.Path {
	var p ots.Path
	for i := range n {
		tag := g.tags[g.rng.IntN(len(g.tags))]
		if i%8 == 7 || tag == ots.OpHexlify && i%8 > 3 {
			tag = ots.OpSHA256
		}
		op := ots.Op{Tag: tag}
		if tag == ots.OpAppend || tag == ots.OpPrepend {
			op.Arg = bytes.Repeat([]byte{'a' + byte(g.rng.IntN(2))}, 1+g.rng.IntN(2)*g.rng.IntN(150))
		}
		p = p.Then(op)
	}
	return p
}

func (g generator) timestamp() *ots.Timestamp {
	t := new(ots.Timestamp)
	var earlier []ots.Path
	for range 1 + g.rng.IntN(6) {
		p := g.path(g.rng.IntN(12))
		if len(earlier) > 0 && g.rng.IntN(2) == 0 {
			// Begin as an earlier path did.
			q := earlier[g.rng.IntN(len(earlier))]
			ops := slices.Collect(q.Ops())
			start := ots.Path{}
			for _, op := range ops[:g.rng.IntN(len(ops)+1)] {
				start = start.Then(op)
			}
			p = start.SHA256().Concat(g.path(g.rng.IntN(6)))
		}
		earlier = append(earlier, p)
		var atts []ots.Attestation
		for range 1 + g.rng.IntN(3) {
			atts = append(atts, g.attestation())
		}
		t.Merge(ots.New(p, atts...))
	}
	return t
}

func (g generator) file() *ots.File {
	op := []ots.Tag{ots.OpSHA256, ots.OpSHA1, ots.OpRIPEMD160}[g.rng.IntN(3)]
	digest := make([]byte, op.DigestSize())
	for i := range digest {
		digest[i] = byte(g.rng.Uint32())
	}
	return &ots.File{HashOp: op, Digest: digest, Timestamp: g.timestamp()}
}

func wire(t rapid.TB, s *ots.Timestamp) []byte {
	b, err := s.AppendBinary(nil)
	if err != nil {
		t.Fatalf("writing: %v", err)
	}
	return b
}

func same(t rapid.TB, what string, a, b *ots.Timestamp) {
	if x, y := wire(t, a), wire(t, b); !bytes.Equal(x, y) {
		t.Fatalf("%s:\n%x\n%x", what, x, y)
	}
	if x, y := shape(a), shape(b); x != y {
		t.Fatalf("%s: the same bytes in two shapes: %d and %d nodes", what, x, y)
	}
}

// shape counts the nodes: equal timestamps have equal trees.
func shape(t *ots.Timestamp) int {
	n := 1
	for _, b := range t.Branches() {
		n += shape(b.Timestamp)
	}
	return n
}

func compressed(t rapid.TB, s *ots.Timestamp, root bool) {
	if !root && len(s.Attestations()) == 0 && len(s.Branches()) < 2 {
		t.Fatalf("a node is only a step on the way")
	}
	for _, b := range s.Branches() {
		if b.Path.Len() == 0 {
			t.Fatalf("an empty path")
		}
		compressed(t, b.Timestamp, false)
	}
}

func merged(a, b *ots.Timestamp) *ots.Timestamp {
	m := a.Clone()
	m.Merge(b)
	return m
}

func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := newGenerator(rapid.Uint64().Draw(t, "seed"))
		a, b, c := g.timestamp(), g.timestamp(), g.timestamp()
		before := wire(t, b)
		ab := merged(a, b)
		compressed(t, ab, true)
		if !bytes.Equal(before, wire(t, b)) {
			t.Fatal("Merge changed what it merged from")
		}
		same(t, "merge is not commutative", ab, merged(b, a))
		same(t, "merge is not idempotent", ab, merged(ab, b))
		same(t, "merge is not associative", merged(ab, c), merged(a, merged(b, c)))

		back, err := ots.ParseTimestamp(wire(t, ab), 32)
		if err != nil {
			t.Fatalf("parsing what was written: %v", err)
		}
		same(t, "parsing and writing", ab, back)

		// The union of the attestations, message by message.
		msg := make([]byte, 32)
		want := slices.Concat(listAll(t, a, msg), listAll(t, b, msg))
		got := listAll(t, ab, msg)
		for _, x := range want {
			if !slices.Contains(got, x) {
				t.Fatalf("merge lost %v", x)
			}
		}
		for _, x := range got {
			if !slices.Contains(want, x) {
				t.Fatalf("merge invented %v", x)
			}
		}

		keep := func(a ots.Attestation) bool { return a.Kind() == ots.KindPending }
		pruned := ab.Prune(keep)
		var kept [][2]string
		if pruned != nil {
			compressed(t, pruned, true)
			kept = listAll(t, pruned, msg)
			back, err := ots.ParseTimestamp(wire(t, pruned), 32)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "pruned tree", pruned, back)
		}
		for _, x := range got {
			if pending := len(x[1]) > 7 && x[1][:7] == "Pending"; pending != slices.Contains(kept, x) {
				t.Fatalf("prune: %v", x)
			}
		}
		same(t, "prune changed its receiver", ab, back)
	})
}

func listAll(t rapid.TB, s *ots.Timestamp, msg []byte) [][2]string {
	atts, err := attested(s, msg)
	if err != nil {
		t.Fatalf("evaluating: %v", err)
	}
	return atts
}
