package certificate

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/publish"
)

// print has the newest head printed, and confirms it.
func (r *rig) print(paper string) publish.Publication {
	r.Helper()
	head, err := r.db.Head(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	n := publish.Notice{Service: testURI, Explains: testURI + "/publications", Language: publish.English, Root: publish.RootOf(head, received)}
	p := publish.Publication{UID: account.NewID(), Target: "publication", Paper: paper, Period: account.NewID().String(), Notice: n, Head: head, Text: n.Text(), Created: received}
	if err := r.db.AddPublication(r.Context(), &p); err != nil {
		r.Fatal(err)
	}
	if err := r.db.ConfirmPublication(r.Context(), p.ID, publish.Place{Issue: "2026-05-04", Page: "12", By: "ann", At: testNow}); err != nil {
		r.Fatal(err)
	}
	return p
}

// TestPrinted: a person who has the evidence and the paper comes from the file to the printed root, with Python and
// nothing of ours.
func TestPrinted(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		st := r.stamp(r.a, "the file", "a.pdf")
		for i := range 5 {
			r.stamp(r.a, fmt.Sprint(i), "other.pdf")
		}
		if files := unzip(t, []byte(r.get(200, pathOf(st, ".zip")).body)); len(files) != 3 {
			t.Fatalf("%d files before anything was printed", len(files))
		}
		r.contains("the page before", r.get(200, "/publications").body, "Nothing has been printed yet")
		p := r.print("Süd<b>kurier")
		// One in another epoch, whose root leads back to this one.
		if _, err := r.db.BeginEpoch(t.Context(), received, 4, "a test"); err != nil {
			t.Fatal(err)
		}
		r.stamp(r.a, "later", "later.pdf")
		later := r.print("Later")
		if err := r.db.WithdrawPublication(t.Context(), testNow, p.ID, "ann"); err != nil {
			t.Fatal(err)
		}
		for _, want := range []publish.Publication{later, p} {
			if want.ID == p.ID {
				if err := r.db.ConfirmPublication(t.Context(), p.ID, publish.Place{Issue: "2026-05-04", Page: "12", By: "ann", At: testNow}); err != nil {
					t.Fatal(err)
				}
			}
			r.contains("the page", r.get(200, pathOf(st, "")).body, "issue of 2026-05-04, page 12", "-<b>kurier")
			files := unzip(t, []byte(r.get(200, pathOf(st, ".zip")).body))
			dir := t.TempDir()
			for _, f := range files {
				if err := os.WriteFile(filepath.Join(dir, f.name), []byte(f.body), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if len(files) != 5 || files[3].name != st.Certificate+"-publication.txt" || files[4].name != st.Certificate+"-publication.json" {
				t.Fatalf("%+v", files)
			}
			words := files[3].body
			root := hex.EncodeToString(want.Head.Root[:])
			for _, l := range want.Notice.Root.Lines() {
				r.contains("the words", words, l)
			}
			if got := followWords(t, words); got != root {
				t.Errorf("the words lead to %s, and the root is %s", got, root)
			}
			python := exec.Command("python3", "-")
			python.Dir = dir
			python.Stdin = strings.NewReader(programIn(words))
			if out, err := python.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != root {
				t.Errorf("Python says %s, %v; the root is %s\n%s", out, err, root, programIn(words))
			}
			r.contains("the instructions", files[2].body, "Printed", "publication.txt says how")
			if want.ID == p.ID && os.Getenv("DATESTONE_KEEP_PDF") != "" {
				for _, f := range files {
					os.WriteFile(filepath.Join(os.Getenv("DATESTONE_KEEP_PDF"), "evidence-"+f.name[len(f.name)-8:]), []byte(f.body), 0o600)
				}
			}
		}
		r.contains("the list", r.get(200, "/publications").body, "issue of 2026-05-04, page 12", "Süd&lt;b&gt;kurier", p.Notice.Root.Lines()[1], later.Notice.Root.Lines()[5])
	})
}

// programIn is the program between the lines of the words.
func programIn(words string) string {
	var lines []string
	for l := range strings.Lines(words) {
		l = strings.TrimRight(l, "\r\n")
		if rest, is := strings.CutPrefix(l, "    "); is && (strings.HasPrefix(rest, "import hashlib") || len(lines) > 0) {
			lines = append(lines, rest)
			if strings.HasPrefix(rest, "print(") {
				break
			}
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// followWords does what the steps say, by hand, and holds each against what it is said to give.
func followWords(t *testing.T, words string) string {
	t.Helper()
	_, steps, _ := strings.Cut(words, "start with the SHA-256 of the file")
	var v []byte
	expect := true
	for l := range strings.Lines(steps) {
		f := strings.Fields(l)
		number := func(text string) []byte {
			b, err := hex.DecodeString(text)
			if err != nil {
				t.Fatalf("%q: %v", l, err)
			}
			return b
		}
		switch {
		case len(f) == 1 && v == nil:
			v, expect = number(f[0]), false
		case len(f) == 1 && expect:
			if hex.EncodeToString(v) != f[0] {
				t.Fatalf("a step gives %x, and the words say %s", v, f[0])
			}
			expect = false
		case len(f) == 3 && f[1] == "append":
			v = append(v, number(f[2])...)
		case len(f) == 3 && f[1] == "prepend":
			v = append(number(f[2]), v...)
		case len(f) == 3 && f[1] == "SHA-256":
			sum := sha256.Sum256(v)
			v, expect = sum[:], true
		}
	}
	return hex.EncodeToString(v)
}
