package ots_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/ots"
)

// reading is what a library makes of a proof.
type reading struct {
	Valid        bool        `json:"valid"`
	Error        string      `json:"error"`
	Attestations [][2]string `json:"attestations"` // message, text; sorted
	Written      string      `json:"written"`
}

// request is one proof for a library to read.
type request struct {
	name string
	bare bool
	msg  []byte // where bare
	raw  []byte
}

func (r request) line() string {
	if r.bare {
		return "bare " + cmp.Or(hex.EncodeToString(r.msg), "-") + " " + cmp.Or(hex.EncodeToString(r.raw), "-")
	}
	return "file " + cmp.Or(hex.EncodeToString(r.raw), "-")
}

// ours is this package's reading.
func (r request) ours() reading {
	fail := func(err error) reading { return reading{Error: err.Error()} }
	var t *ots.Timestamp
	var write func([]byte) ([]byte, error)
	msg := r.msg
	if r.bare {
		var err error
		if t, err = ots.ParseTimestamp(r.raw, len(r.msg)); err != nil {
			return fail(err)
		}
		write = t.AppendBinary
	} else {
		f, err := ots.ParseFile(r.raw)
		if err != nil {
			return fail(err)
		}
		t, msg, write = f.Timestamp, f.Digest, f.AppendBinary
	}
	atts, err := attested(t, msg)
	if err != nil {
		return fail(err)
	}
	out, err := write(nil)
	if err != nil {
		return fail(err)
	}
	return reading{Valid: true, Attestations: atts, Written: hex.EncodeToString(out)}
}

// attested lists message and text of every attestation, sorted.
func attested(t *ots.Timestamp, msg []byte) ([][2]string, error) {
	var atts [][2]string
	err := t.Walk(msg, func(n *ots.Timestamp, msg []byte) error {
		for _, a := range n.Attestations() {
			atts = append(atts, [2]string{hex.EncodeToString(msg), a.String()})
		}
		return nil
	})
	slices.SortFunc(atts, func(a, b [2]string) int {
		return cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1]))
	})
	return atts, err
}

// ask has another library, in one process, read all requests.
func ask(t *testing.T, requests []request, hint string, command ...string) []reading {
	t.Helper()
	var in bytes.Buffer
	for _, r := range requests {
		fmt.Fprintln(&in, r.line())
	}
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Stdin = &in
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		tail := errs.Bytes()
		t.Fatalf("%v: %v; %s\n%s", command, err, hint, tail[max(0, len(tail)-2000):])
	}
	var answers []reading
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var r reading
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%v answered %q: %v", command, lines.Text(), err)
		}
		answers = append(answers, r)
	}
	if len(answers) != len(requests) {
		t.Fatalf("%v answered %d of %d requests; %s\n%s", command, len(answers), len(requests), hint, errs.Bytes())
	}
	return answers
}

// pythonReference is Debian's Python with python3-opentimestamps.
func pythonReference(t *testing.T, requests []request) []reading {
	t.Helper()
	return ask(t, requests, "run script/setup, which installs python3-opentimestamps",
		"/usr/bin/python3", filepath.Join("testdata", "reference.py"))
}

// npmReference is the npm library opentimestamps.
func npmReference(t *testing.T, requests []request) []reading {
	t.Helper()
	tools := os.Getenv("DATESTONE_TOOLS")
	if tools == "" {
		tools = filepath.Join("..", ".tools")
	}
	library, err := filepath.Abs(filepath.Join(tools, "npm", "node_modules", "opentimestamps"))
	if err != nil {
		t.Fatal(err)
	}
	return ask(t, requests, "run script/setup, which installs the npm clients in "+tools,
		"node", filepath.Join("testdata", "reference.js"), library)
}

func compareReadings(t *testing.T, requests []request, theirs []reading) {
	t.Helper()
	failures := 0
	for i, r := range requests {
		want, got := theirs[i], r.ours()
		if got.Valid == want.Valid {
			got.Error, want.Error = "", ""
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %.600s\nreference -, ours +:\n%.3000s", r.name, r.line(), diff)
			if failures++; failures == 10 {
				t.Fatal("giving up after ten differences")
			}
		}
	}
}

func TestSameAsPython(t *testing.T) {
	requests := slices.Concat(craftedRequests(t), mutatedRequests(t, 4000), randomRequests(1500))
	theirs := pythonReference(t, requests)
	valid := 0
	for _, r := range theirs {
		if r.Valid {
			valid++
		}
	}
	if valid < len(requests)/5 || valid > len(requests)*9/10 {
		t.Errorf("%d of %d requests are valid: the mixture tests too little", valid, len(requests))
	}
	compareReadings(t, requests, theirs)
}

// The installed Python library reads the version as a varuint, later ones as one
// byte. This package does as the later ones do.
func TestVersionIsOneByte(t *testing.T) {
	f := fileBytes(t, ots.OpSHA256, "00"+bitcoin7)
	at := len(ots.Magic)
	long := slices.Concat(f[:at], []byte{0x81, 0x00}, f[at+1:])
	if _, err := ots.ParseFile(long); err == nil {
		t.Error("a version of two bytes was accepted")
	}
}

// What this package writes, the npm library reads as the same, and what that
// writes this package reads. The library knows neither keccak256 nor hexlify nor
// Ethereum, heights only up to 31 bits, and no order among attestations.
func TestSameAsNPM(t *testing.T) {
	var requests []request
	rng := rand.New(rand.NewPCG(7, 7))
	g := generator{rng: rng, tags: []ots.Tag{
		ots.OpSHA256, ots.OpSHA1, ots.OpRIPEMD160, ots.OpAppend, ots.OpPrepend, ots.OpReverse,
	}, maxHeight: 1<<31 - 1, noEthereum: true}
	for i := range 500 {
		f := g.file()
		raw, err := f.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		requests = append(requests, request{name: fmt.Sprint("random ", i), raw: raw})
	}
	for _, name := range []string{"receipt.hex", "pending.hex"} {
		requests = append(requests, request{name: name, raw: testdata(t, name)})
	}
	theirs := npmReference(t, requests)
	for i, r := range requests {
		back := request{name: r.name, raw: unhex(t, theirs[i].Written)}
		theirs[i].Written = back.ours().Written
	}
	compareReadings(t, requests, theirs)
}

// mutatedRequests damages good proofs: bytes changed, removed, doubled, swapped
// between proofs, and tags and lengths made likely.
func mutatedRequests(t *testing.T, n int) []request {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	var seeds [][]byte
	for _, r := range craftedRequests(t) {
		if !r.bare && len(r.raw) < 3000 {
			if _, err := ots.ParseFile(r.raw); err == nil {
				seeds = append(seeds, r.raw)
			}
		}
	}
	likely := []byte{0x00, 0x01, 0x02, 0x03, 0x08, 0x20, 0x67, 0x7f, 0x80, 0x81, 0xf0, 0xf1, 0xf2, 0xf3, 0xff}
	header := len(ots.Magic) + 1 // the version is another test's
	requests := make([]request, n)
	for i := range requests {
		b := bytes.Clone(seeds[rng.IntN(len(seeds))])
		for range 1 + rng.IntN(3) {
			at := header + rng.IntN(len(b)-header)
			switch rng.IntN(6) {
			case 0:
				b[at] = byte(rng.Uint32())
			case 1:
				b[at] = likely[rng.IntN(len(likely))]
			case 2:
				b = slices.Delete(b, at, at+1)
			case 3:
				b = slices.Insert(b, at, likely[rng.IntN(len(likely))])
			case 4:
				end := at + rng.IntN(min(len(b)-at, 40))
				b = slices.Insert(b, at, bytes.Clone(b[at:end])...)
			case 5:
				other := seeds[rng.IntN(len(seeds))]
				cut := header + rng.IntN(len(other)-header)
				b = append(b[:at:at], other[cut:]...)
			}
			if len(b) <= header {
				break
			}
		}
		requests[i] = request{name: fmt.Sprint("mutated ", i), raw: b}
	}
	return requests
}

// randomRequests are wire forms made at random by the grammar, not in canonical
// order, with repeated items and overlong numbers.
func randomRequests(n int) []request {
	rng := rand.New(rand.NewPCG(3, 4))
	requests := make([]request, n)
	for i := range requests {
		w := looseWriter{rng: rng, budget: 2 + rng.IntN(20)}
		w.timestamp(0)
		if i%2 == 0 {
			requests[i] = request{name: fmt.Sprint("grammar ", i), bare: true, msg: make([]byte, rng.IntN(70)), raw: w.out}
			continue
		}
		head := append([]byte(ots.Magic), 1, byte(ots.OpSHA256))
		requests[i] = request{name: fmt.Sprint("grammar ", i), raw: slices.Concat(head, make([]byte, 32), w.out)}
	}
	return requests
}

// looseWriter writes what the grammar allows in ways that no library would.
type looseWriter struct {
	rng    *rand.Rand
	budget int
	out    []byte
}

func (w *looseWriter) varuint(v uint64) {
	for v >= 0x80 {
		w.out = append(w.out, byte(v)|0x80)
		v >>= 7
	}
	if w.rng.IntN(8) > 0 {
		w.out = append(w.out, byte(v))
		return
	}
	w.out = append(w.out, byte(v)|0x80)
	for range w.rng.IntN(12) {
		w.out = append(w.out, 0x80)
	}
	w.out = append(w.out, 0)
}

func (w *looseWriter) timestamp(depth int) {
	for w.budget > 0 && depth < 200 && w.rng.IntN(3) == 0 {
		w.out = append(w.out, 0xff)
		w.item(depth)
	}
	w.item(depth)
}

func (w *looseWriter) item(depth int) {
	w.budget--
	if w.budget <= 0 || w.rng.IntN(4) == 0 {
		w.attestation()
		return
	}
	// Few different operations, so that they repeat.
	switch w.rng.IntN(6) {
	case 0, 1:
		w.out = append(w.out, 0x08)
	case 2, 3:
		w.out = append(w.out, 0xf0+byte(w.rng.IntN(2)))
		n := 1 + w.rng.IntN(2)
		w.varuint(uint64(n))
		for range n {
			w.out = append(w.out, 'a'+byte(w.rng.IntN(2)))
		}
	case 4:
		w.out = append(w.out, []byte{0x02, 0x03, 0x67}[w.rng.IntN(3)])
	case 5:
		w.out = append(w.out, 0xf2+byte(w.rng.IntN(2)))
	}
	w.timestamp(depth + 1)
}

func (w *looseWriter) attestation() {
	tags := []string{"\x05\x88\x96\x0d\x73\xd7\x19\x01", "\x06\x86\x9a\x0d\x73\xd7\x1b\x45",
		"\x30\xfe\x80\x87\xb5\xc7\xea\xd7", "\x83\xdf\xe3\x0d\x2e\xf9\x0c\x8e", "\x01\x02\x03\x04\x05\x06\x07\x08", "\xff\xff\xff\xff\xff\xff\xff\xff"}
	kind := w.rng.IntN(len(tags))
	inner := looseWriter{rng: w.rng}
	switch {
	case kind < 3:
		inner.varuint([]uint64{0, 1, 127, 128, 300, 1 << 31, 1 << 62, 1<<64 - 1}[w.rng.IntN(8)])
	case kind == 3:
		uri := []string{"", "https://a.example", "https://b.example", "b"}[w.rng.IntN(4)]
		inner.varuint(uint64(len(uri)))
		inner.out = append(inner.out, uri...)
	default:
		inner.out = []byte("opaque")[:w.rng.IntN(3)]
	}
	w.out = append(w.out, 0)
	w.out = append(w.out, tags[kind]...)
	w.varuint(uint64(len(inner.out)))
	w.out = append(w.out, inner.out...)
}
