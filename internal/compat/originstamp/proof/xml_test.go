package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/datestone/datestone/internal/seed"
)

func digest(t testing.TB, text string) (d [32]byte) {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 32 {
		t.Fatalf("%q is no digest", text)
	}
	return [32]byte(b)
}

func joined(left, right [32]byte) [32]byte {
	return sha256.Sum256([]byte(hex.EncodeToString(left[:]) + hex.EncodeToString(right[:])))
}

// branch is that of a hash in the tree over leaves.
func branch(t testing.TB, leaves [][32]byte, hash [32]byte) seed.Branch {
	t.Helper()
	level := slices.Clone(leaves)
	slices.SortFunc(level, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	at := slices.Index(level, hash)
	if at < 0 {
		t.Fatal("no such leaf")
	}
	b := seed.Branch{Hash: hash}
	for len(level) > 1 || len(b.Steps) == 0 {
		if len(level)%2 == 1 {
			level = append(level, level[len(level)-1])
			if at == len(level)-2 {
				at++ // the copy on the right
			}
		}
		b.Steps = append(b.Steps, seed.Step{Sibling: level[at^1], Left: at%2 == 1})
		var next [][32]byte
		for i := 0; i < len(level); i += 2 {
			next = append(next, joined(level[i], level[i+1]))
		}
		level, at = next, at/2
	}
	b.Root = level[0]
	return b
}

// letters are the SHA-256 of a, b, c and so on.
func letters(n int) (leaves [][32]byte) {
	for i := range n {
		leaves = append(leaves, sha256.Sum256([]byte{byte('a' + i)}))
	}
	return leaves
}

// aion is the branch of a proof that OriginStamp gave out: wonghang's 022a805.tex, in AION.
func aion(t testing.TB) seed.Branch {
	b := seed.Branch{
		Hash: digest(t, "022a80562714d28a11ad5403bca48c3d64217fa04d82a68128c5fa381d69d1c5"),
		Root: digest(t, "d48a0c97174cbd86c891c69b29e4534486ff66683b843c4d4ba0efb2854a6fc8"),
	}
	for _, sibling := range []string{
		"0311553544c8b231f68a7dd6c17ee66d1f16e62c12aa88f04bc37785bd1e4f4f", "f8afe9a7fbc9a4ebf8d0a51ff6949a821e183f64b361e7e05b6f0fc5f34334cc",
		"5e6210f28042ecfe9834f374d1eea940cd0124f24190ecc9299f622a3ce882a7", "d63bb1ab7d602fc6f0d315bdffaeb84e556dc68f070b3736ea5e677090ce8af0",
		"35e0e6a473405e1e210cf39fc9e70de59340f677976d19e617ac0942c4da48b6",
	} {
		b.Steps = append(b.Steps, seed.Step{Sibling: digest(t, sibling)})
	}
	return b
}

// TestKnownProofs: the published roots, and two proofs to the letter.
func TestKnownProofs(t *testing.T) {
	for n, root := range map[int]string{
		1: "bc2ef2f0ec3652599ac78ba7e2aa6f1996fcb195a0418f94940648a7ed22402c",
		2: "ab19ec537f09499b26f0f62eed7aefad46ab9f498e06a7328ce8e8ef90da6d86",
		3: "1182fac24e0103053704f7404ef1a7a21bf25ebf98d238877413f4a35388e5fb",
		5: "9d6b564cf278381e1c0762a7925c2b3d540e33443797f3a5cc570b84f4e90d50",
	} {
		for _, leaf := range letters(n) {
			if got := string(XML(branch(t, letters(n), leaf))); !strings.Contains(got, `<node value="`+root+`" type="key">`) {
				t.Errorf("%d leaves: %s", n, got)
			}
		}
	}
	const declaration = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>`
	const duplicated = declaration + `<node value="1182fac24e0103053704f7404ef1a7a21bf25ebf98d238877413f4a35388e5fb" type="key"><left value="272b58b1eba7bdabab033442be84078360506b6fd1fad7b6e0585f1a3739ce4f" type="mesh"/><right value="bc2ef2f0ec3652599ac78ba7e2aa6f1996fcb195a0418f94940648a7ed22402c" type="mesh"><left value="ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" type="hash"/><right value="ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" type="hash"/></right></node>`
	if got := string(XML(branch(t, letters(3), sha256.Sum256([]byte("a"))))); got != duplicated {
		t.Errorf("the duplicated leaf:\n%s", got)
	}
	const published = declaration + `<node value="d48a0c97174cbd86c891c69b29e4534486ff66683b843c4d4ba0efb2854a6fc8" type="key"><left value="719b99a96d3e3ebd41a6a3432d796b395f57f0b2e3bcf4ca369517b3edc3b626" type="mesh"><left value="8f98eef6f070bb6e98477caf873de752046cc8279193c3686d350216d727b334" type="mesh"><left value="5d5a4c633a267decc9f2e66cb9b11d0bb888929f3aaf35fb46a80e171d60920a" type="mesh"><left value="0de97c5c98d38e321c45dcda78f63af4181f2686bcdc33f6ea0240216a80514c" type="mesh"><left value="022a80562714d28a11ad5403bca48c3d64217fa04d82a68128c5fa381d69d1c5" type="hash"/><right value="0311553544c8b231f68a7dd6c17ee66d1f16e62c12aa88f04bc37785bd1e4f4f" type="mesh"/></left><right value="f8afe9a7fbc9a4ebf8d0a51ff6949a821e183f64b361e7e05b6f0fc5f34334cc" type="mesh"/></left><right value="5e6210f28042ecfe9834f374d1eea940cd0124f24190ecc9299f622a3ce882a7" type="mesh"/></left><right value="d63bb1ab7d602fc6f0d315bdffaeb84e556dc68f070b3736ea5e677090ce8af0" type="mesh"/></left><right value="35e0e6a473405e1e210cf39fc9e70de59340f677976d19e617ac0942c4da48b6" type="mesh"/></node>`
	if got := string(XML(aion(t))); got != published {
		t.Errorf("a published proof:\n%s", got)
	}
}

// verify runs the verifier over a proof, and returns what it says.
func verify(t *testing.T, b seed.Branch, proof []byte) string {
	t.Helper()
	cmd := exec.Command("/usr/bin/python3", "testdata/verify.py", hex.EncodeToString(b.Hash[:]), hex.EncodeToString(b.Root[:]))
	cmd.Stdin = bytes.NewReader(proof)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("python3: %v\n%s", err, out)
	}
	return string(out)
}

const valid = "valid\nvalid\nvalid\n"

// TestVerifiers: verifiers in another language, that read by three different rules, take each proof, and none that was
// changed. In trees of 1, 3, 6 and 7 leaves nodes of each level are joined with themselves.
func TestVerifiers(t *testing.T) {
	t.Parallel()
	branches := []seed.Branch{aion(t)}
	for _, n := range []int{1, 3, 6, 7} {
		leaves := letters(n)
		slices.SortFunc(leaves, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
		branches = append(branches, branch(t, leaves, leaves[0]), branch(t, leaves, leaves[n-1]))
	}
	for _, b := range branches {
		if got := verify(t, b, XML(b)); got != valid {
			t.Errorf("%s\n%s", got, XML(b))
		}
	}
	b := branch(t, letters(7), letters(7)[0])
	text := string(XML(b))
	for _, change := range [][2]string{
		{hex.EncodeToString(b.Steps[0].Sibling[:]), strings.Repeat("00", 32)},
		{hex.EncodeToString(b.Hash[:]), strings.Repeat("00", 32)},
		{"<right", "<left"},
	} {
		cmd := exec.Command("/usr/bin/python3", "testdata/verify.py", hex.EncodeToString(b.Hash[:]), hex.EncodeToString(b.Root[:]))
		cmd.Stdin = strings.NewReader(strings.Replace(text, change[0], change[1], 1))
		if out, _ := cmd.Output(); strings.Contains(string(out), "valid") {
			t.Errorf("a proof is taken after a change of %s: %s", change[0], out)
		}
	}
}

// TestPrinted: what a certificate shows is the same tree, one node in a line.
func TestPrinted(t *testing.T) {
	b := branch(t, letters(5), letters(5)[0])
	var short, long any
	for text, into := range map[string]*any{string(XML(b)): &long, strings.Join(printed(b), "\n"): &short} {
		var n element
		if err := xml.Unmarshal([]byte(text), &n); err != nil {
			t.Fatal(err)
		}
		*into = n.String()
	}
	if short != long {
		t.Errorf("%s\n%s", short, long)
	}
	if first := printed(b)[:2]; first[0] != `<?xml version="1.0" encoding="UTF-8"?>` || !strings.HasPrefix(first[1], `<node type="key" value="9d6b`) {
		t.Errorf("%q", first)
	}
}

type element struct {
	XMLName  xml.Name
	Value    string    `xml:"value,attr"`
	Type     string    `xml:"type,attr"`
	Children []element `xml:",any"`
}

func (e element) String() string {
	text := e.XMLName.Local + " " + e.Type + " " + e.Value + "("
	for _, c := range e.Children {
		text += c.String()
	}
	return text + ")"
}
