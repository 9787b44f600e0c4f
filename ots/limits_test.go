package ots_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/datestone/datestone/ots"
)

// allocated is how many bytes f allocates in all, whether kept or not.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// bombs are small inputs that cost some readers much memory or time.
func bombs(t *testing.T) map[string][]byte {
	bare := func(wire ...string) []byte { return fileBytes(t, ots.OpSHA256, strings.Join(wire, "")) }
	// Distinct attestations, in an order that is not the canonical one.
	wide := func(n int, item func(i int) string) string {
		var b strings.Builder
		for i := range n {
			if i < n-1 {
				b.WriteString("ff")
			}
			b.WriteString(item(i * 7919 % n))
		}
		return b.String()
	}
	appendArg := func(i int) string { return fmt.Sprintf("f004%08x00", i) + bitcoin7 }
	return map[string][]byte{
		"forty hexlify":                  bare(rep("f3", 40), "00", bitcoin7),
		"forks over a 4 KB message":      bare("f0", arg(4060), wide(430, func(i int) string { return fmt.Sprintf("f004%08x", i) + rep("f2", 240) + "00" + bitcoin7 })),
		"twenty thousand forks":          bare(wide(20_000, appendArg)),
		"the same fork 20,000 times":     bare(wide(20_000, func(int) string { return "0800" + bitcoin7 })),
		"twenty thousand attestations":   bare(wide(20_000, func(i int) string { return fmt.Sprintf("000102030405060708 04 %08x", i) })),
		"the same attestation over":      bare(wide(20_000, func(int) string { return "00" + unknownNone })),
		"an argument of 2^40":            bare("f0808080808020"),
		"a payload of 2^40":              bare("00 0102030405060708 808080808020"),
		"a comb":                         bare(rep("ff02 00"+unknownNone+"08", 255), "00", unknownNone),
		"a comb of repeated operations":  bare(rep("ff0800"+unknownNone+"08", 255), "00", unknownNone),
		"overlong lengths at every turn": bare(strings.Repeat("f0"+"81"+rep("80", 500)+"0061", 250), "00", bitcoin7),
		"a tree of forks":                bare(tree(11)),
		"nested forks without an end":    bare(rep("ff08", 100_000)),
		"operations without an end":      bare(rep("f2", 100_000)),
		"forks without an end":           bare(rep("ff00"+unknownNone, 10_000)),
	}
}

// tree is a binary tree of that height.
func tree(height int) string {
	if height == 0 {
		return "00" + unknownNone
	}
	return "ff02" + tree(height-1) + "08" + tree(height-1)
}

// Reading, evaluating and writing take memory in proportion to the input,
// whatever the input, and little time.
func TestBombs(t *testing.T) {
	for name, raw := range bombs(t) {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			var f *ots.File
			var err error
			parse := allocated(func() { f, err = ots.ParseFile(raw) })
			// 12 bytes of fork and attestation become a node, a branch and an
			// attestation: 96 bytes, and as much again while lists grow.
			if limit := uint64(24*len(raw) + 16<<10); parse > limit {
				t.Errorf("parsing %d bytes allocated %d, more than %d", len(raw), parse, limit)
			}
			t.Logf("%d bytes: %v, allocated %d", len(raw), err, parse)
			if err != nil {
				return
			}
			seen := 0
			walk := allocated(func() {
				err = f.Timestamp.Walk(f.Digest, func(n *ots.Timestamp, msg []byte) error {
					seen += len(n.Attestations())
					return nil
				})
			})
			if err != nil || seen == 0 {
				t.Fatalf("evaluating: %d attestations, %v", seen, err)
			}
			if walk > 64<<10 {
				t.Errorf("evaluating %d bytes allocated %d", len(raw), walk)
			}
			out := make([]byte, 0, len(raw))
			var n int
			write := allocated(func() {
				out, err = f.AppendBinary(out)
				n = len(out)
			})
			if err != nil || n > len(raw) || write > 1<<10 {
				t.Errorf("writing: %d bytes, allocated %d, %v", n, write, err)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

// A fork at every level over messages of 4096 bytes is what evaluation needs
// most memory for: a message for each level.
func TestWalkMemoryIsBounded(t *testing.T) {
	raw := fileBytes(t, ots.OpSHA256, "f0"+arg(4064)+rep("ff0800"+unknownNone+"f2", 254)+"00"+bitcoin7)
	f, err := ots.ParseFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	got := allocated(func() {
		if _, err = attested(f.Timestamp, f.Digest); err != nil {
			t.Fatal(err)
		}
	})
	if got > 8<<20 {
		t.Errorf("evaluating %d bytes allocated %d", len(raw), got)
	}
}

// An ordinary proof takes one piece of memory for its bytes, one for its tree
// and one for its evaluation.
func TestAllocationsOfOrdinaryProof(t *testing.T) {
	raw := testdata(t, "receipt.hex")
	out := make([]byte, 0, len(raw))
	visit := func(*ots.Timestamp, []byte) error { return nil }
	if n := testing.AllocsPerRun(100, func() {
		f, err := ots.ParseFile(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Timestamp.Walk(f.Digest, visit); err != nil {
			t.Fatal(err)
		}
		if _, err := f.AppendBinary(out); err != nil {
			t.Fatal(err)
		}
	}); n > 4 {
		t.Errorf("%v allocations", n)
	}
}

// No beginning of a proof is a proof, and nothing may follow one.
func TestTruncationAndTrailing(t *testing.T) {
	var files [][]byte
	for _, name := range []string{"receipt.hex", "pending.hex"} {
		files = append(files, testdata(t, name))
	}
	for _, v := range vectors() {
		if v.err == nil && len(v.wire) < 2000 {
			files = append(files, fileBytes(t, ots.OpSHA256, v.wire))
		}
	}
	for _, b := range files {
		if _, err := ots.ParseFile(b); err != nil {
			t.Fatal(err)
		}
		for i := range len(b) {
			want := ots.ErrTruncated
			if i == 0 {
				want = ots.ErrNotOTS
			}
			if _, err := ots.ParseFile(b[:i]); !errors.Is(err, want) {
				t.Fatalf("%x cut to %d bytes: %v", b, i, err)
			}
		}
		for _, more := range []byte{0x00, 0x08, 0xff} {
			if _, err := ots.ParseFile(append(bytes.Clone(b), more)); !errors.Is(err, ots.ErrTrailing) {
				t.Fatalf("%x and %02x: %v", b, more, err)
			}
		}
	}
}

func TestFileHeader(t *testing.T) {
	body := unhex(t, "00"+bitcoin7)
	file := func(magic string, rest ...byte) []byte {
		return slices.Concat([]byte(magic), rest, make([]byte, 32), body)
	}
	for _, c := range []struct {
		name string
		raw  []byte
		err  error
	}{
		{"sha256", file(ots.Magic, 1, 8), nil},
		{"keccak256", file(ots.Magic, 1, 0x67), nil},
		{"version 0", file(ots.Magic, 0, 8), ots.ErrVersion},
		{"version 2", file(ots.Magic, 2, 8), ots.ErrVersion},
		{"not a hash", file(ots.Magic, 1, 0xf2), ots.ErrMalformed},
		{"an append", file(ots.Magic, 1, 0xf0), ots.ErrMalformed},
		{"sha512 of RFC 4880", file(ots.Magic, 1, 10), ots.ErrMalformed},
		{"another magic", file(strings.Repeat("x", 31), 1, 8), ots.ErrNotOTS},
		{"a bare timestamp", body, ots.ErrNotOTS},
		{"nothing", nil, ots.ErrNotOTS},
	} {
		if _, err := ots.ParseFile(c.raw); !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
	}
}

func TestReadFile(t *testing.T) {
	raw := testdata(t, "receipt.hex")
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole":               func(r io.Reader) io.Reader { return r },
		"a byte at a time":    iotest.OneByteReader,
		"half of every read":  iotest.HalfReader,
		"the end with data":   iotest.DataErrReader,
		"an empty read first": func(r io.Reader) io.Reader { return io.MultiReader(strings.NewReader(""), r) },
	} {
		f, err := ots.ReadFile(wrap(bytes.NewReader(raw)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if out, err := f.AppendBinary(nil); err != nil || !bytes.Equal(out, raw) {
			t.Errorf("%s: written as %x, %v", name, out, err)
		}
	}
	if _, err := ots.ReadFile(iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(raw)))); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("a failing reader: %v", err)
	}
	if _, err := ots.ReadFile(endless{}); !errors.Is(err, ots.ErrLimit) {
		t.Errorf("a reader without end: %v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// The tree keeps nothing of the bytes that it was read from.
func TestInputMayChangeAfterwards(t *testing.T) {
	raw := testdata(t, "receipt.hex")
	b := bytes.Clone(raw)
	f, err := ots.ParseFile(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if out, err := f.AppendBinary(nil); err != nil || !bytes.Equal(out, raw) {
		t.Errorf("written as %x, %v", out, err)
	}
}
