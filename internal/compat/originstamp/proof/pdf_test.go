package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/seed"
)

var blockTime = time.Date(2026, 5, 1, 12, 7, 36, 0, time.UTC)

// deep is a branch of so many levels.
func deep(levels int) seed.Branch {
	b := seed.Branch{Hash: sha256.Sum256([]byte("deep"))}
	at := b.Hash
	for i := range levels {
		s := seed.Step{Sibling: sha256.Sum256([]byte{byte(i)}), Left: i%3 == 1}
		if s.Left {
			at = joined(s.Sibling, at)
		} else {
			at = joined(at, s.Sibling)
		}
		b.Steps = append(b.Steps, s)
	}
	b.Root = at
	return b
}

func certificate(b seed.Branch, comment string) Certificate {
	return Certificate{
		Submitted: seed.Submitted{Number: 7, Hash: b.Hash, Created: blockTime.Add(-time.Hour), Comment: comment},
		State:     seed.State{Seed: seed.Seed{Number: 1, Root: b.Root}, Status: seed.Final, Ref: strings.Repeat("cd", 32), Time: blockTime, Attestation: logtree.Attestation{Kind: logtree.Bitcoin}},
		Branch:    b, Currency: seed.Currency{ID: 0, Name: "BITCOIN", Target: "bitcoin"}, Service: "https://stamp.example", OTS: []byte("an OpenTimestamps proof"),
	}
}

// reads runs a program of poppler-utils, which script/setup installs, over a PDF.
func reads(t *testing.T, file []byte, name string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "certificate.pdf")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	for i, a := range args {
		if a == "PDF" {
			args[i] = path
		}
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v (script/setup installs poppler-utils)\n%s", name, err, out)
	}
	return string(out)
}

func between(t *testing.T, text, before, after string) string {
	t.Helper()
	_, text, some := strings.Cut(text, before)
	text, _, more := strings.Cut(text, after)
	if !some || !more {
		t.Fatalf("not between %q and %q", before, after)
	}
	return strings.TrimSpace(text)
}

// TestScraped: programs find the hashes and the proof in the text of each certificate, whatever its comment, and the
// proof that they find is valid.
func TestScraped(t *testing.T) {
	t.Parallel()
	for i, test := range []struct {
		comment, want string
		levels        int // of the tree
	}{
		{"", "", 1},
		{"Build 17 of the manual", "Comment Build 17 of the manual Hash:", 20},
		{strings.Repeat("長い注釈", 64), strings.Repeat("長い注釈", 64), 14},
		{strings.Repeat("\U0010fffd", 256), strings.Repeat("[U+10FFFD]", 256), 26},
		{strings.Repeat("سلام ", 51), "Comment", 7},
		{"\u202eevil <b>\n\x00</b> &", "[U+202E]evil <b>[U+000A][U+0000]</b> &", 2},
	} {
		c := certificate(deep(test.levels), test.comment)
		c.TestNetwork = i%2 == 1
		file, err := c.PDF()
		if err != nil {
			t.Fatal(err)
		}
		text := reads(t, file, "pdftotext", "PDF", "-")
		if got := between(t, text, "\nHash:\n", "\nTransaction"); got != hex.EncodeToString(c.Branch.Hash[:]) {
			t.Errorf("the hash is %q", got)
		}
		if got := between(t, text, "\nTransaction:\n", "\nRoot Hash:\n"); got != c.State.Ref {
			t.Errorf("the transaction is %q", got)
		}
		root, _, _ := strings.Cut(between(t, text, "\nRoot Hash:\n", "\f"), "\n")
		if root != hex.EncodeToString(c.Branch.Root[:]) {
			t.Errorf("the root is %q", root)
		}
		proof := between(t, text, "reproducibility of your document.\n", "\fTimestamp Certi\ufb01cate")
		if !strings.HasPrefix(proof, `<?xml version="1.0" encoding="UTF-8"?>`+"\n") {
			t.Errorf("%.100s", proof)
		}
		if got := verify(t, c.Branch, []byte(proof)); got != valid {
			t.Errorf("%s\n%s", got, proof)
		}
		page, _, _ := strings.Cut(text, "\f")
		if joined := strings.Join(strings.Fields(page), ""); !strings.Contains(joined, strings.Join(strings.Fields(test.want), "")) {
			t.Errorf("%q is not in %s", test.want, page)
		}
		if got := strings.Contains(page, "TEST NETWORK"); got != c.TestNetwork {
			t.Errorf("test network: %v", got)
		}
		if !strings.Contains(page, "May-01-2026 12:07:36 UTC") || !strings.Contains(page, "This timestamp was created with Bitcoin") {
			t.Error(page)
		}
		inside(t, file)
	}
}

var word = regexp.MustCompile(`<word xMin="([0-9.-]+)" yMin="([0-9.-]+)" xMax="([0-9.-]+)" yMax="([0-9.-]+)">(.*)</word>`)

// inside fails the test when a word stands in the margin.
func inside(t *testing.T, file []byte) {
	t.Helper()
	const point = 72 / 25.4 // of a millimetre
	words := word.FindAllStringSubmatch(reads(t, file, "pdftotext", "-bbox", "PDF", "-"), -1)
	if len(words) < 100 {
		t.Fatalf("%d words", len(words))
	}
	for _, w := range words {
		var at [4]float64
		for i := range at {
			var err error
			if at[i], err = strconv.ParseFloat(w[i+1], 64); err != nil {
				t.Fatal(err)
			}
		}
		const slack = 2.0
		if at[0] < margin*point-slack || at[1] < margin*point-slack || at[2] > (pageWidth-margin)*point+slack || at[3] > (pageHeight-margin)*point+slack {
			t.Errorf("%q stands at %v", w[5], at)
		}
	}
}

// TestPDF: three pages with embedded fonts, and other programs take out of it the files as they are.
func TestPDF(t *testing.T) {
	t.Parallel()
	c := certificate(aion(t), "one")
	file, err := c.PDF()
	if err != nil {
		t.Fatal(err)
	}
	if info := reads(t, file, "pdfinfo", "PDF"); !strings.Contains(info, "(A4)") || !regexp.MustCompile(`Pages: +3\n`).MatchString(info) {
		t.Error(info)
	}
	for i, line := range strings.Split(strings.TrimSpace(reads(t, file, "pdffonts", "PDF")), "\n") {
		if fields := strings.Fields(line); i >= 2 && fields[len(fields)-5] != "yes" {
			t.Errorf("a font that is not embedded: %s", line)
		}
	}
	dir := t.TempDir()
	reads(t, file, "pdfdetach", "-saveall", "-o", dir, "PDF")
	hash := hex.EncodeToString(c.Branch.Hash[:])
	for name, want := range map[string][]byte{"proof.Bitcoin." + hash + ".xml": XML(c.Branch), hash + ".ots": c.OTS} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is another", name)
		}
	}
	again, err := c.PDF()
	if err != nil || !bytes.Equal(file, again) {
		t.Errorf("the same certificate is another document: %v", err)
	}
	// Without an .ots file, and of a newspaper and a chain without outputs.
	c.OTS, c.State.Attestation, c.State.Ref, c.Currency = nil, logtree.Attestation{}, "2021-03-16", seed.Currency{ID: 100, Name: "SÜDKURIER"}
	for kind, want := range map[logtree.Kind]string{"": "the issue of 2021-03-16", logtree.Ethereum: "Its input data must be the Root Hash"} {
		c.State.Attestation.Kind = kind
		if file, err = c.PDF(); err != nil {
			t.Fatal(err)
		}
		text := strings.Join(strings.Fields(reads(t, file, "pdftotext", "PDF", "-")), " ")
		if !strings.Contains(text, want) || !strings.Contains(text, "created with Suedkurier") || strings.Contains(text, ".ots") {
			t.Error(text)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{"BITCOIN": "Bitcoin", "ethereum": "Ethereum", "SÜDKURIER": "Suedkurier", "../x\"": "X", "株": "Currency7"} {
		if got := CurrencyName(seed.Currency{ID: 7, Name: name}); got != want {
			t.Errorf("%s is called %s", name, got)
		}
	}
	if got := Name("certificate", seed.Currency{Name: "AION"}, [32]byte{1}, "pdf"); got != "certificate.Aion.01"+strings.Repeat("00", 31)+".pdf" {
		t.Error(got)
	}
}
