package ots_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/ots"
)

// The two receipts of a calendar's published documentation, and the operations
// that it prints for each. Its comment lines are the printing tool's.
func TestPublishedReceipts(t *testing.T) {
	for _, name := range []string{"pending", "receipt"} {
		f, err := ots.ParseFile(testdata(t, name+".hex"))
		if err != nil {
			t.Fatal(err)
		}
		got := []string{fmt.Sprintf("File %v hash: %x", f.HashOp, f.Digest), "Timestamp:"}
		for n := f.Timestamp; n != nil; {
			for _, a := range n.Attestations() {
				got = append(got, "verify "+a.String())
			}
			switch branches := n.Branches(); len(branches) {
			case 0:
				n = nil
			case 1:
				for op := range branches[0].Path.Ops() {
					got = append(got, op.String())
				}
				n = branches[0].Timestamp
			default:
				t.Fatalf("%s: %d branches in a straight proof", name, len(branches))
			}
		}
		text, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "#") {
				want = append(want, strings.TrimSpace(line))
			}
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s: published -, ours +:\n%s", name, diff)
		}
	}
}

func mustPending(t *testing.T, uri string) ots.Attestation {
	t.Helper()
	a, err := ots.PendingAttestation(uri)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// An upgrade: the calendar's reply is merged during the walk, where its pending
// attestation stands, and is walked as well.
func TestWalkWhileMerging(t *testing.T) {
	digest := make([]byte, 32)
	path := ots.Path{}.Append([]byte("nonce")).SHA256()
	f := &ots.File{HashOp: ots.OpSHA256, Digest: digest, Timestamp: ots.New(path, mustPending(t, "https://a.example"))}
	reply := ots.New(ots.Path{}.Prepend([]byte("left")).SHA256(), ots.BitcoinAttestation(5))
	var seen []string
	if err := f.Timestamp.Walk(f.Digest, func(n *ots.Timestamp, msg []byte) error {
		for _, a := range n.Attestations() {
			seen = append(seen, a.String())
			if a.Kind() == ots.KindPending {
				n.Merge(reply)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := []string{"PendingAttestation('https://a.example')", "BitcoinBlockHeaderAttestation(5)"}
	if !slices.Equal(seen, want) {
		t.Errorf("walked %v, want %v", seen, want)
	}
	out, err := f.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ots.ParseFile(out)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "upgraded proof", f.Timestamp, back.Timestamp)
}

func TestWalkStopsAtVisitorsError(t *testing.T) {
	stop := errors.New("stop")
	f, err := ots.ParseFile(testdata(t, "receipt.hex"))
	if err != nil {
		t.Fatal(err)
	}
	visits := 0
	if err := f.Timestamp.Walk(f.Digest, func(*ots.Timestamp, []byte) error {
		visits++
		return stop
	}); err != stop || visits != 1 {
		t.Errorf("%v after %d visits", err, visits)
	}
}

// Merging a timestamp with itself or a part of itself is harmless.
func TestMergeWithItself(t *testing.T) {
	a := ots.New(ots.Path{}.SHA256().SHA256(), ots.BitcoinAttestation(1))
	before := wire(t, a)
	a.Merge(a)
	a.Merge(nil)
	if !bytes.Equal(before, wire(t, a)) {
		t.Error("merging with itself changed a timestamp")
	}
	a.Merge(a.Branches()[0].Timestamp)
	want := ots.New(ots.Path{}, ots.BitcoinAttestation(1))
	want.Merge(ots.New(ots.Path{}.SHA256().SHA256(), ots.BitcoinAttestation(1)))
	same(t, "merged with its own part", a, want)
}

// What is merged is copied: neither changes with the other afterwards.
func TestMergeShareNothing(t *testing.T) {
	a, b := new(ots.Timestamp), ots.New(ots.Path{}.SHA256(), ots.BitcoinAttestation(1))
	a.Merge(b)
	before := wire(t, b)
	a.Branches()[0].Timestamp.Merge(ots.New(ots.Path{}, ots.BitcoinAttestation(2)))
	if !bytes.Equal(before, wire(t, b)) {
		t.Error("a change to the merged timestamp showed in what was merged")
	}
}

// Many branches, one merge each, in no order: with equal beginnings of 200
// operations and without.
func TestManyMerges(t *testing.T) {
	const n = 10_000
	prefix := ots.Path{}
	for range 100 {
		prefix = prefix.Append([]byte("a")).SHA256()
	}
	branch := func(start ots.Path) func(int) *ots.Timestamp {
		return func(i int) *ots.Timestamp {
			return ots.New(start.Append(fmt.Appendf(nil, "%05d", i)).SHA256(), ots.BitcoinAttestation(uint64(i)))
		}
	}
	for name, one := range map[string]func(i int) *ots.Timestamp{
		"wide":             branch(ots.Path{}),
		"equal beginnings": branch(prefix),
		"attestations":     func(i int) *ots.Timestamp { return ots.New(ots.Path{}, ots.BitcoinAttestation(uint64(i))) },
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			all := new(ots.Timestamp)
			for i := range n {
				all.Merge(one(i * 7919 % n))
			}
			if d := time.Since(began); d > 20*time.Second {
				t.Errorf("%d merges took %v", n, d)
			}
			compressed(t, all, true)
			once := wire(t, all)
			for i := range 100 {
				all.Merge(one(i * 97))
			}
			if !bytes.Equal(once, wire(t, all)) {
				t.Error("merging again what is there changed something")
			}
			back, err := ots.ParseTimestamp(wire(t, all), 32)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "many merges", all, back)
			msg := make([]byte, 32)
			if got := len(listAll(t, back, msg)); got != n {
				t.Errorf("%d attestations, want %d", got, n)
			}
		})
	}
}

func TestPrune(t *testing.T) {
	f, err := ots.ParseFile(testdata(t, "receipt.hex"))
	if err != nil {
		t.Fatal(err)
	}
	if p := f.Timestamp.Prune(func(ots.Attestation) bool { return false }); p != nil {
		t.Error("a timestamp without attestations is left")
	}
	same(t, "pruned of nothing", f.Timestamp, f.Timestamp.Prune(func(ots.Attestation) bool { return true }))
	p := f.Timestamp.Prune(func(a ots.Attestation) bool { return a.Kind() == ots.KindBitcoin })
	compressed(t, p, true)
	if len(p.Branches()) != 1 || len(p.Branches()[0].Timestamp.Attestations()) != 1 {
		t.Error("the pending attestation's place is still a node")
	}
}

func TestShrink(t *testing.T) {
	if _, ok := ots.New(ots.Path{}, mustPending(t, "a"), ots.LitecoinAttestation(1)).Shrink(); ok {
		t.Error("shrunk to a Bitcoin attestation that is not there")
	}
	h := ots.Path{}.SHA256()
	all := ots.New(h.SHA256().SHA256(), ots.BitcoinAttestation(300))
	for _, u := range []*ots.Timestamp{
		ots.New(h, ots.BitcoinAttestation(1000), mustPending(t, "a")),
		ots.New(h.Append([]byte("x")).SHA256().SHA256(), ots.BitcoinAttestation(300)),
		ots.New(h.Append([]byte("y")), ots.BitcoinAttestation(300), ots.BitcoinAttestation(301), ots.LitecoinAttestation(2)),
		ots.New(h.Append([]byte("z")), ots.BitcoinAttestation(300)),
	} {
		all.Merge(u)
	}
	before := wire(t, all)
	got, ok := all.Shrink()
	if !ok {
		t.Fatal("no Bitcoin attestation found")
	}
	same(t, "shrunk", got, ots.New(h.Append([]byte("y")), ots.BitcoinAttestation(300)))
	if !bytes.Equal(before, wire(t, all)) {
		t.Error("Shrink changed its receiver")
	}
	// By number, not by bytes, and beyond 64 bits.
	huge, err := ots.ParseTimestamp(unhex(t, "ff00 0588960d73d71901 0a 80808080808080808003 00 0588960d73d71901 0a 81808080808080808002"), 32)
	if err != nil {
		t.Fatal(err)
	}
	got, _ = huge.Shrink()
	if want := unhex(t, "00 0588960d73d71901 0a 81808080808080808002"); !bytes.Equal(wire(t, got), want) {
		t.Errorf("shrunk to %x", wire(t, got))
	}
}

// What cannot be read must not be written.
func TestWriteRefuses(t *testing.T) {
	bitcoin := ots.BitcoinAttestation(1)
	hashes := func(n int) ots.Path {
		p := ots.Path{}
		for range n {
			p = p.SHA256()
		}
		return p
	}
	big := ots.Path{}.Append(make([]byte, 4000))
	for _, c := range []struct {
		name  string
		stamp *ots.Timestamp
		bare  error // as a bare timestamp, whose message has any length
		file  error
	}{
		{"nothing", new(ots.Timestamp), ots.ErrEmpty, ots.ErrEmpty},
		{"nil", nil, ots.ErrEmpty, ots.ErrEmpty},
		{"a path to nothing", ots.New(hashes(1)), ots.ErrEmpty, ots.ErrEmpty},
		{"the zero attestation", ots.New(ots.Path{}, ots.Attestation{}), ots.ErrEmpty, ots.ErrEmpty},
		{"255 operations", ots.New(hashes(255), bitcoin), nil, nil},
		{"256 operations", ots.New(hashes(256), bitcoin), ots.ErrTooDeep, ots.ErrTooDeep},
		{"an empty argument", ots.New(ots.Path{}.Append(nil), bitcoin), ots.ErrLimit, ots.ErrLimit},
		{"an argument of 4097", ots.New(ots.Path{}.Prepend(make([]byte, 4097)), bitcoin), ots.ErrLimit, ots.ErrLimit},
		{"an unknown operation", ots.New(ots.Path{}.Then(ots.Op{Tag: 0x42}), bitcoin), ots.ErrLimit, ots.ErrLimit},
		{"a fork as operation", ots.New(ots.Path{}.Then(ots.Op{Tag: 0xff}), bitcoin), ots.ErrLimit, ots.ErrLimit},
		{"4032 bytes", ots.New(big, bitcoin), nil, nil},
		{"a message too long", ots.New(big.Append(make([]byte, 65)), bitcoin), nil, ots.ErrLimit},
		{"a message too long after a hash", ots.New(hashes(1).Concat(big).Append(make([]byte, 65)), bitcoin), ots.ErrLimit, ots.ErrLimit},
	} {
		begin := []byte("before")
		out, err := c.stamp.AppendBinary(begin)
		if !errors.Is(err, c.bare) || err != nil && !bytes.Equal(out, begin) {
			t.Errorf("%s: %v, want %v; returned %.20x", c.name, err, c.bare, out)
		}
		f := &ots.File{HashOp: ots.OpSHA256, Digest: make([]byte, 32), Timestamp: c.stamp}
		out, err = f.AppendBinary(begin)
		if !errors.Is(err, c.file) || err != nil && !bytes.Equal(out, begin) {
			t.Errorf("%s: %v in a file, want %v; returned %.20x", c.name, err, c.file, out)
		}
		if c.stamp != nil && c.file != nil && c.file != ots.ErrEmpty {
			if err := c.stamp.Walk(make([]byte, 32), func(*ots.Timestamp, []byte) error { return nil }); !errors.Is(err, c.file) {
				t.Errorf("%s: evaluating: %v, want %v", c.name, err, c.file)
			}
		}
	}
	for _, f := range []*ots.File{
		{HashOp: ots.OpSHA256, Digest: make([]byte, 20), Timestamp: ots.New(ots.Path{}, bitcoin)},
		{HashOp: ots.OpAppend, Digest: nil, Timestamp: ots.New(ots.Path{}, bitcoin)},
		{Timestamp: ots.New(ots.Path{}, bitcoin)},
	} {
		if _, err := f.AppendBinary(nil); !errors.Is(err, ots.ErrMalformed) {
			t.Errorf("%v with %d bytes: %v", f.HashOp, len(f.Digest), err)
		}
	}
	if err := ots.New(ots.Path{}, bitcoin).Walk(make([]byte, 4097), func(*ots.Timestamp, []byte) error { return nil }); !errors.Is(err, ots.ErrLimit) {
		t.Errorf("evaluating 4097 bytes: %v", err)
	}
}

func TestPath(t *testing.T) {
	p := ots.Path{}.Append([]byte("x")).SHA256()
	q := p.Prepend([]byte("left"))
	r := p.Append([]byte("right"))
	if got := q.String(); got != "append 78, sha256, prepend 6c656674" {
		t.Error(got)
	}
	if got := r.String(); got != "append 78, sha256, append 7269676874" {
		t.Error(got)
	}
	both := p.Concat(ots.Path{}.Append([]byte("right")))
	if both != r || both.Len() != 3 {
		t.Errorf("%v and %v differ", both, r)
	}
	arg := []byte("abc")
	s := ots.Path{}.Append(arg)
	arg[0] = 'z'
	s.Bytes()[2] = 'z'
	if s.String() != "append 616263" {
		t.Error("a path shares its argument with the caller")
	}
	back, err := ots.ParsePath(q.Bytes())
	if err != nil || back != q {
		t.Errorf("%v, %v; want %v", back, err, q)
	}
	overlong, err := ots.ParsePath(unhex(t, "f0810078 08"))
	if err != nil || overlong != p {
		t.Errorf("%v, %v; want %v", overlong, err, p)
	}
	if empty, err := ots.ParsePath(nil); err != nil || empty != (ots.Path{}) {
		t.Errorf("%v, %v", empty, err)
	}
	for wire, want := range map[string]error{
		"ff": ots.ErrMalformed, "00": ots.ErrMalformed, "08f0": ots.ErrTruncated, "f00261": ots.ErrTruncated, "f000": ots.ErrLimit,
		"f18120": ots.ErrLimit,
	} {
		if _, err := ots.ParsePath(unhex(t, wire)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", wire, err, want)
		}
	}
	if _, err := (ots.Path{}.Append(nil)).Apply([]byte("x")); !errors.Is(err, ots.ErrLimit) {
		t.Errorf("an empty argument: %v", err)
	}
	if _, err := (ots.Path{}.Then(ots.Op{Tag: ots.OpReverse})).Apply(nil); !errors.Is(err, ots.ErrLimit) {
		t.Errorf("reverse of nothing: %v", err)
	}
	if got, err := (ots.Path{}).Apply([]byte("same")); err != nil || string(got) != "same" {
		t.Errorf("the empty path made %q, %v", got, err)
	}
}

func TestAttestations(t *testing.T) {
	for _, c := range []struct {
		a      ots.Attestation
		kind   ots.Kind
		height uint64
		has    bool
		text   string
	}{
		{ots.BitcoinAttestation(428648), ots.KindBitcoin, 428648, true, "BitcoinBlockHeaderAttestation(428648)"},
		{ots.LitecoinAttestation(1 << 63), ots.KindLitecoin, 1 << 63, true, "LitecoinBlockHeaderAttestation(9223372036854775808)"},
		{ots.EthereumAttestation(1<<64 - 1), ots.KindEthereum, 1<<64 - 1, true, "EthereumBlockHeaderAttestation(18446744073709551615)"},
		{mustPending(t, "https://a.example"), ots.KindPending, 0, false, "PendingAttestation('https://a.example')"},
		{parsedAttestation(t, "0102030405060708 02 abcd"), ots.KindUnknown, 0, false, "UnknownAttestation(0102030405060708, abcd)"},
		{parsedAttestation(t, "0588960d73d71901 0a 80808080808080808002"), ots.KindBitcoin, 0, false, "BitcoinBlockHeaderAttestation(18446744073709551616)"},
	} {
		h, has := c.a.Height()
		if c.a.Kind() != c.kind || h != c.height || has != c.has || c.a.String() != c.text {
			t.Errorf("%v %d %v %s; want %v %d %v %s", c.a.Kind(), h, has, c.a, c.kind, c.height, c.has, c.text)
		}
	}
	if uri := mustPending(t, "https://a.example").URI(); uri != "https://a.example" {
		t.Error(uri)
	}
	u, err := ots.UnknownAttestation([8]byte{1, 2, 3, 4, 5, 6, 7, 8}, []byte{0xab, 0xcd})
	if err != nil || !u.Equal(parsedAttestation(t, "0102030405060708 02 abcd")) {
		t.Errorf("%v, %v", u, err)
	}
	if u.Tag() != [8]byte{1, 2, 3, 4, 5, 6, 7, 8} || !bytes.Equal(u.Payload(), []byte{0xab, 0xcd}) || u.URI() != "" {
		t.Errorf("%x %x", u.Tag(), u.Payload())
	}
	if _, err := ots.UnknownAttestation(ots.BitcoinAttestation(1).Tag(), nil); !errors.Is(err, ots.ErrMalformed) {
		t.Errorf("an unknown attestation with Bitcoin's tag: %v", err)
	}
	if _, err := ots.UnknownAttestation([8]byte{1}, make([]byte, 8193)); !errors.Is(err, ots.ErrLimit) {
		t.Errorf("a payload of 8193: %v", err)
	}
	for uri, want := range map[string]error{
		"": nil, strings.Repeat("a", 1000): nil, strings.Repeat("a", 1001): ots.ErrLimit, "https://a.example/?x": ots.ErrMalformed,
		"https://user@a.example": ots.ErrMalformed, "https://[::1]": ots.ErrMalformed, "höhe": ots.ErrMalformed, "a b": ots.ErrMalformed,
	} {
		if _, err := ots.PendingAttestation(uri); !errors.Is(err, want) {
			t.Errorf("%.30q: %v, want %v", uri, err, want)
		}
	}
	var zero ots.Attestation
	if !zero.IsZero() || zero.Kind() != ots.KindUnknown || len(zero.Payload()) != 0 || zero.URI() != "" || zero.String() == "" {
		t.Error("the zero attestation")
	}
}

func parsedAttestation(t *testing.T, digits string) ots.Attestation {
	t.Helper()
	s, err := ots.ParseTimestamp(unhex(t, "00"+digits), 32)
	if err != nil {
		t.Fatal(err)
	}
	return s.Attestations()[0]
}

// Several goroutines may read proofs at once, and the same one.
func TestConcurrentReaders(t *testing.T) {
	raw := testdata(t, "receipt.hex")
	shared, err := ots.ParseFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	want := listAll(t, shared.Timestamp, shared.Digest)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				own, err := ots.ParseFile(raw)
				if err != nil {
					t.Error(err)
					return
				}
				for _, f := range []*ots.File{own, shared} {
					got, err := attested(f.Timestamp, f.Digest)
					if err != nil || !slices.Equal(got, want) {
						t.Errorf("%v, %v", got, err)
					}
					if out, err := f.AppendBinary(nil); err != nil || !bytes.Equal(out, raw) {
						t.Errorf("written as %x, %v", out, err)
					}
				}
			}
		})
	}
	wg.Wait()
}
