package ots_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/datestone/datestone/ots"
)

// Attestations in hexadecimal, without the byte that announces them.
const (
	bitcoin7    = "0588960d73d71901 01 07"
	bitcoin300  = "0588960d73d71901 02 ac02"
	litecoin7   = "06869a0d73d71b45 01 07"
	ethereum7   = "30fe8087b5c7ead7 01 07"
	pendingA    = "83dfe30d2ef90c8e 02 01 61"
	pendingB    = "83dfe30d2ef90c8e 02 01 62"
	unknown     = "0102030405060708 03 aabbcc"
	unknownNone = "0102030405060708 00"
	unknownLast = "ffffffffffffffff 00"
)

// vector is a timestamp in hexadecimal, for a message of 32 bytes, and what is to
// come of it: an error, or the canonical form, "=" where it is in that already.
type vector struct {
	name, wire, want string
	err              error
}

func rep(s string, n int) string { return strings.Repeat(s, n) }

// arg is varbytes of n bytes.
func arg(n int) string {
	if n < 0x80 {
		return fmt.Sprintf("%02x", n) + rep("61", n)
	}
	return fmt.Sprintf("%02x%02x", n&0x7f|0x80, n>>7) + rep("61", n)
}

// vectors has every item of the format, and every limit at and over.
func vectors() []vector {
	v := []vector{
		{name: "bitcoin", wire: "00" + bitcoin7, want: "="},
		{name: "litecoin", wire: "00" + litecoin7, want: "="},
		{name: "ethereum", wire: "00" + ethereum7, want: "="},
		{name: "pending", wire: "00" + pendingA, want: "="},
		{name: "unknown", wire: "00" + unknown, want: "="},
		{name: "unknown without payload", wire: "00" + unknownNone, want: "="},
		{name: "unknown, last tag", wire: "00" + unknownLast, want: "="},
		{name: "attestations in order", want: "=",
			wire: "ff00" + unknownNone + "ff00" + unknown + "ff00" + bitcoin7 + "ff00" + bitcoin300 + "ff00" + litecoin7 +
				"ff00" + ethereum7 + "ff00" + pendingA + "ff00" + pendingB + "00" + unknownLast},
		{name: "attestations out of order",
			wire: "ff00" + unknownLast + "ff00" + pendingB + "ff00" + bitcoin300 + "ff00" + pendingA + "ff00" + litecoin7 +
				"ff00" + bitcoin7 + "ff00" + unknown + "ff00" + ethereum7 + "00" + unknownNone,
			want: "ff00" + unknownNone + "ff00" + unknown + "ff00" + bitcoin7 + "ff00" + bitcoin300 + "ff00" + litecoin7 +
				"ff00" + ethereum7 + "ff00" + pendingA + "ff00" + pendingB + "00" + unknownLast},
		{name: "attestation twice", wire: "ff00" + bitcoin7 + "00" + bitcoin7, want: "00" + bitcoin7},
		{name: "attestations before operations", wire: "ff0800" + bitcoin7 + "00" + pendingA, want: "ff00" + pendingA + "0800" + bitcoin7},
		{name: "operations out of order",
			wire: "fff300" + bitcoin7 + "fff200" + bitcoin7 + "fff1016100" + bitcoin7 + "fff00200ff00" + bitcoin7 + "fff0010000" + bitcoin7 +
				"ff6700" + bitcoin7 + "ff0800" + bitcoin7 + "ff0300" + bitcoin7 + "0200" + bitcoin7,
			want: "ff0200" + bitcoin7 + "ff0300" + bitcoin7 + "ff0800" + bitcoin7 + "ff6700" + bitcoin7 + "fff0010000" + bitcoin7 +
				"fff00200ff00" + bitcoin7 + "fff1016100" + bitcoin7 + "fff200" + bitcoin7 + "f300" + bitcoin7},
		// An argument's bytes come before its length in the order.
		{name: "long argument first", wire: "fff0" + arg(200) + "00" + bitcoin7 + "f0016200" + bitcoin7, want: "="},
		{name: "long argument last", wire: "fff0016200" + bitcoin7 + "f0" + arg(200) + "00" + bitcoin7,
			want: "fff0" + arg(200) + "00" + bitcoin7 + "f0016200" + bitcoin7},
		// Of an operation that occurs twice at one node the last counts.
		{name: "operation twice", wire: "ff0800" + bitcoin7 + "0800" + pendingA, want: "0800" + pendingA},
		{name: "operation three times", wire: "ff0800" + bitcoin7 + "ff0300" + unknown + "ff0800" + pendingB + "0800" + pendingA,
			want: "ff0300" + unknown + "0800" + pendingA},
		{name: "operation twice, deeper", wire: "02ff080300" + bitcoin7 + "08f20300" + pendingA, want: "0208f20300" + pendingA},
		{name: "operation twice with its argument overlong", wire: "fff0016100" + bitcoin7 + "f081006100" + pendingA, want: "f0016100" + pendingA},
		{name: "operation twice at every level", wire: rep("ff0800"+bitcoin7+"08", 255) + "00" + pendingA, want: rep("08", 255) + "00" + pendingA},

		{name: "every operation", wire: "020308 67 f00161 f10162 f2 f3 00" + bitcoin7, want: "="},
		{name: "append 4064", wire: "f0" + arg(4064) + "00" + bitcoin7, want: "="},
		{name: "append 4065", wire: "f0" + arg(4065) + "00" + bitcoin7, err: ots.ErrLimit},
		{name: "prepend 4064", wire: "f1" + arg(4064) + "00" + bitcoin7, want: "="},
		{name: "prepend 4065", wire: "f1" + arg(4065) + "00" + bitcoin7, err: ots.ErrLimit},
		{name: "append 1 to 4096", wire: "f0" + arg(4064) + "f00161" + "00" + bitcoin7, err: ots.ErrLimit},
		{name: "prepend 100 to 4000", wire: "f0" + arg(3968) + "f1" + arg(100) + "00" + bitcoin7, err: ots.ErrLimit},
		{name: "sha256 of 4096", wire: "f0" + arg(4064) + "08" + "00" + bitcoin7, want: "="},
		{name: "keccak256 of 4096", wire: "f0" + arg(4064) + "67" + "00" + bitcoin7, want: "="},
		{name: "ripemd160 of 4096", wire: "f0" + arg(4064) + "03" + "00" + bitcoin7, want: "="},
		{name: "hexlify of 2048", wire: "f0" + arg(2016) + "f3" + "00" + bitcoin7, want: "="},
		{name: "hexlify of 2049", wire: "f0" + arg(2017) + "f3" + "00" + bitcoin7, err: ots.ErrLimit},
		{name: "seven hexlify", wire: rep("f3", 7) + "00" + bitcoin7, want: "="},
		{name: "eight hexlify", wire: rep("f3", 8) + "00" + bitcoin7, err: ots.ErrLimit},
		{name: "forty hexlify", wire: rep("f3", 40) + "00" + bitcoin7, err: ots.ErrLimit},
		{name: "reverse of 4096", wire: "f0" + arg(4064) + "f2f2f2" + "00" + bitcoin7, want: "="},
		{name: "empty argument", wire: "f00000" + bitcoin7, err: ots.ErrLimit},
		{name: "empty argument of prepend", wire: "f10000" + bitcoin7, err: ots.ErrLimit},
		{name: "argument of 4097", wire: "08f0" + arg(4097) + "00" + bitcoin7, err: ots.ErrLimit},
		{name: "argument of 2^40", wire: "f0808080808020", err: ots.ErrLimit},
		{name: "argument of 2^64", wire: "f080808080808080808002" + "61" + "00" + bitcoin7, err: ots.ErrLimit},
		{name: "argument of 2^70+1", wire: "f08180808080808080808001" + "61" + "00" + bitcoin7, err: ots.ErrLimit},
		{name: "overlong argument length", wire: "f081006100" + bitcoin7, want: "f0016100" + bitcoin7},
		{name: "overlong argument length, 2000 bytes of it", wire: "f081" + rep("80", 2000) + "006100" + bitcoin7, want: "f0016100" + bitcoin7},
		{name: "overlong argument of 200", wire: "f1c88100" + rep("61", 200) + "0800" + bitcoin7, want: "f1" + arg(200) + "0800" + bitcoin7},
		{name: "overlong zero length", wire: "f0800000" + bitcoin7, err: ots.ErrLimit},

		{name: "255 operations", wire: rep("08", 255) + "00" + bitcoin7, want: "="},
		{name: "256 operations", wire: rep("08", 256) + "00" + bitcoin7, err: ots.ErrTooDeep},
		{name: "255 operations with forks", wire: rep("ff00"+bitcoin7+"f2", 255) + "00" + bitcoin7, want: "="},
		{name: "256 operations with forks", wire: rep("ff00"+bitcoin7+"f2", 256) + "00" + bitcoin7, err: ots.ErrTooDeep},
		{name: "100,000 operations", wire: rep("08", 100_000) + "00" + bitcoin7, err: ots.ErrTooDeep},
		{name: "100,000 nested forks", wire: rep("ff08", 100_000), err: ots.ErrTooDeep},

		{name: "payload of 8192", wire: "00 0102030405060708" + arg(8192), want: "="},
		{name: "payload of 8193", wire: "00 0102030405060708" + arg(8193), err: ots.ErrLimit},
		{name: "payload of 2^40", wire: "00 0102030405060708 808080808020", err: ots.ErrLimit},
		{name: "overlong payload length", wire: "00 0102030405060708 8300 aabbcc", want: "00" + unknown},
		{name: "height 0", wire: "00 0588960d73d71901 01 00", want: "="},
		{name: "height 2^31", wire: "00 0588960d73d71901 05 8080808008", want: "="},
		{name: "height 2^63", wire: "00 06869a0d73d71b45 0a 80808080808080808001", want: "="},
		{name: "height 2^64-1", wire: "00 30fe8087b5c7ead7 0a ffffffffffffffffff01", want: "="},
		{name: "height 2^64", wire: "00 0588960d73d71901 0a 80808080808080808002", want: "="},
		{name: "height 2^700", wire: "00 0588960d73d71901 65" + rep("80", 100) + "01", want: "="},
		{name: "heights beyond 64 bits, out of order",
			wire: "ff00 0588960d73d71901 0b 8080808080808080808001 ff00 0588960d73d71901 0a 80808080808080808003 00 0588960d73d71901 0a 81808080808080808002",
			want: "ff00 0588960d73d71901 0a 81808080808080808002 ff00 0588960d73d71901 0a 80808080808080808003 00 0588960d73d71901 0b 8080808080808080808001"},
		{name: "overlong height", wire: "00 0588960d73d71901 03 878000", want: "00" + bitcoin7},
		{name: "overlong height, 8192 bytes", wire: "00 0588960d73d71901 8040 87" + rep("80", 8190) + "00", want: "00" + bitcoin7},
		{name: "heights equal but for their length", wire: "ff00 0588960d73d71901 02 8700 00" + bitcoin7, want: "00" + bitcoin7},
		{name: "height missing", wire: "00 0588960d73d71901 00", err: ots.ErrTruncated},
		{name: "height cut", wire: "00 0588960d73d71901 01 80", err: ots.ErrTruncated},
		{name: "bytes after a height", wire: "00 0588960d73d71901 02 0700", err: ots.ErrTrailing},
		{name: "empty URI", wire: "00 83dfe30d2ef90c8e 01 00", want: "="},
		{name: "URI of 1000", wire: "00 83dfe30d2ef90c8e ea07" + arg(1000), want: "="},
		{name: "URI of 1001", wire: "00 83dfe30d2ef90c8e eb07" + arg(1001), err: ots.ErrLimit},
		{name: "URI longer than its payload", wire: "00 83dfe30d2ef90c8e 02 0261", err: ots.ErrTruncated},
		{name: "URI shorter than its payload", wire: "00 83dfe30d2ef90c8e 03 016161", err: ots.ErrTrailing},
		{name: "pending without payload", wire: "00 83dfe30d2ef90c8e 00", err: ots.ErrTruncated},
		{name: "overlong URI length", wire: "00 83dfe30d2ef90c8e 03 810061", want: "00" + pendingA},
		{name: "overlong payload and URI lengths", wire: "00 83dfe30d2ef90c8e 8300 810061", want: "00" + pendingA},

		{name: "nothing", wire: "", err: ots.ErrTruncated},
		{name: "a fork and nothing", wire: "ff", err: ots.ErrTruncated},
		{name: "a fork after the last item", wire: "ff00" + bitcoin7 + "ff", err: ots.ErrTruncated},
		{name: "one item announced as not the last", wire: "ff00" + bitcoin7, err: ots.ErrTruncated},
		{name: "two forks", wire: "ffff00" + bitcoin7 + "00" + bitcoin7, err: ots.ErrMalformed},
		{name: "operations and no attestation", wire: "0808", err: ots.ErrTruncated},
		{name: "bytes after the end", wire: "00" + bitcoin7 + "00", err: ots.ErrTrailing},
		{name: "a second timestamp after the end", wire: "00" + bitcoin7 + "00" + bitcoin7, err: ots.ErrTrailing},
	}
	for tag := range 256 {
		switch tag {
		case 0x00, 0x02, 0x03, 0x08, 0x67, 0xf0, 0xf1, 0xf2, 0xf3, 0xff:
		default:
			v = append(v, vector{name: fmt.Sprintf("operation %02x", tag), wire: fmt.Sprintf("%02x00", tag) + bitcoin7, err: ots.ErrMalformed})
		}
		w := vector{name: fmt.Sprintf("URI with %02x", tag), wire: fmt.Sprintf("0083dfe30d2ef90c8e0201%02x", tag), err: ots.ErrMalformed}
		if strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/:", rune(tag)) {
			w.want, w.err = "=", nil
		}
		v = append(v, w)
	}
	return v
}

func TestVectors(t *testing.T) {
	for _, v := range vectors() {
		raw := unhex(t, v.wire)
		stamp, err := ots.ParseTimestamp(raw, 32)
		if !errors.Is(err, v.err) {
			t.Errorf("%s: error %v, want %v", v.name, err, v.err)
			continue
		}
		file := fileBytes(t, ots.OpSHA256, v.wire)
		f, ferr := ots.ParseFile(file)
		if !errors.Is(ferr, v.err) {
			t.Errorf("%s: error %v in a file, want %v", v.name, ferr, v.err)
		}
		if v.err != nil {
			continue
		}
		want := raw
		if v.want != "=" {
			want = unhex(t, v.want)
		}
		if got, err := stamp.AppendBinary(nil); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: written as %.200x, %v; want %.200x", v.name, got, err, want)
		}
		if got, err := f.AppendBinary(nil); err != nil || !bytes.Equal(got, slices.Concat(file[:len(file)-len(raw)], want)) {
			t.Errorf("%s: file written as %.200x, %v", v.name, got, err)
		}
	}
}

// Operations on messages of other lengths than 32, the empty one above all.
func TestMessageLengths(t *testing.T) {
	for _, c := range []struct {
		wire   string
		msgLen int
		err    error
	}{
		{"00" + bitcoin7, 0, nil},
		{"0800" + bitcoin7, 0, nil},
		{"f0016100" + bitcoin7, 0, nil},
		{"f200" + bitcoin7, 0, ots.ErrLimit},
		{"f300" + bitcoin7, 0, ots.ErrLimit},
		{"f20800" + bitcoin7, 1, nil},
		{"f0" + arg(4096) + "00" + bitcoin7, 0, nil},
		{"f0" + arg(4096) + "00" + bitcoin7, 1, ots.ErrLimit},
		{"0800" + bitcoin7, 4096, nil},
		{"0800" + bitcoin7, 4097, ots.ErrLimit},
		{"0800" + bitcoin7, -1, ots.ErrLimit},
		{"f300" + bitcoin7, 2048, nil},
		{"f300" + bitcoin7, 2049, ots.ErrLimit},
	} {
		stamp, err := ots.ParseTimestamp(unhex(t, c.wire), c.msgLen)
		if !errors.Is(err, c.err) {
			t.Errorf("%.40s for %d bytes: %v, want %v", c.wire, c.msgLen, err, c.err)
			continue
		}
		if err != nil {
			continue
		}
		if _, err := attested(stamp, make([]byte, c.msgLen)); err != nil {
			t.Errorf("%.40s for %d bytes: evaluating: %v", c.wire, c.msgLen, err)
		}
	}
}

// Every operation's result, from the published vectors of each hash.
func TestOperations(t *testing.T) {
	for _, c := range []struct {
		op       ots.Op
		msg      string
		want     string // hexadecimal
		asString string
	}{
		{ots.Op{Tag: ots.OpSHA1}, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d", "sha1"},
		{ots.Op{Tag: ots.OpRIPEMD160}, "abc", "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc", "ripemd160"},
		{ots.Op{Tag: ots.OpRIPEMD160}, "", "9c1185a5c5e9fc54612808977ee8f548b2258d31", "ripemd160"},
		{ots.Op{Tag: ots.OpSHA256}, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "sha256"},
		{ots.Op{Tag: ots.OpKeccak256}, "", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470", "keccak256"},
		{ots.Op{Tag: ots.OpKeccak256}, "abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45", "keccak256"},
		{ots.Op{Tag: ots.OpAppend, Arg: []byte{0xab, 0x01}}, "abc", "616263ab01", "append ab01"},
		{ots.Op{Tag: ots.OpPrepend, Arg: []byte{0xab, 0x01}}, "abc", "ab01616263", "prepend ab01"},
		{ots.Op{Tag: ots.OpReverse}, "abcd", "64636261", "reverse"},
		{ots.Op{Tag: ots.OpHexlify}, "\xab\x01", "61623031", "hexlify"},
	} {
		got, err := c.op.Apply([]byte(c.msg))
		if err != nil || hex.EncodeToString(got) != c.want {
			t.Errorf("%v of %q: %x, %v; want %s", c.op, c.msg, got, err, c.want)
		}
		path := ots.Path{}.Then(c.op)
		got, err = path.Apply([]byte(c.msg))
		if err != nil || hex.EncodeToString(got) != c.want {
			t.Errorf("path %v of %q: %x, %v; want %s", c.op, c.msg, got, err, c.want)
		}
		if s := c.op.String(); s != c.asString {
			t.Errorf("%q, want %q", s, c.asString)
		}
	}
}

// fileBytes is a detached proof of the digest 00 01 02 ... with that timestamp.
func fileBytes(tb testing.TB, op ots.Tag, timestamp string) []byte {
	tb.Helper()
	b := append([]byte(ots.Magic), 1, byte(op))
	for i := range op.DigestSize() {
		b = append(b, byte(i))
	}
	return append(b, unhex(tb, timestamp)...)
}

// craftedRequests are all our vectors for other libraries to read.
func craftedRequests(t *testing.T) []request {
	t.Helper()
	var rs []request
	for _, v := range vectors() {
		raw := unhex(t, v.wire)
		rs = append(rs, request{name: v.name, bare: true, msg: make([]byte, 32), raw: raw})
		rs = append(rs, request{name: v.name, raw: fileBytes(t, ots.OpSHA256, v.wire)})
	}
	for tag := range 256 {
		b := append([]byte(ots.Magic), 1, byte(tag))
		for _, size := range []int{20, 32} {
			rs = append(rs, request{name: fmt.Sprintf("file hash %02x of %d", tag, size), raw: slices.Concat(b, make([]byte, size), unhex(t, "00"+bitcoin7))})
		}
	}
	for _, version := range []byte{0, 2, 0x7f} {
		b := append([]byte(ots.Magic), version, 8)
		rs = append(rs, request{name: fmt.Sprint("version ", version), raw: slices.Concat(b, make([]byte, 32), unhex(t, "00"+bitcoin7))})
	}
	for _, n := range []int{0, 1, 2048, 2049, 4096, 4097} {
		for _, op := range []string{"", "08", "02", "03", "67", "f2", "f3", "f00161", "f10161", "f0" + arg(4096)} {
			rs = append(rs, request{name: fmt.Sprintf("%.10s of %d", op, n), bare: true, msg: make([]byte, n), raw: unhex(t, op+"00"+bitcoin7)})
		}
	}
	for _, name := range []string{"receipt.hex", "pending.hex"} {
		b := testdata(t, name)
		for i := range len(b) {
			rs = append(rs, request{name: fmt.Sprint(name, " cut to ", i), raw: b[:i]})
		}
		rs = append(rs, request{name: name, raw: b}, request{name: name + " and a byte", raw: append(bytes.Clone(b), 0)})
	}
	return rs
}

// testdata reads a file of hexadecimal digits in lines.
func testdata(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return unhex(tb, string(text))
}

// unhex reads hexadecimal digits; spaces and line ends are for the reader.
func unhex(tb testing.TB, digits string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "").Replace(digits))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
