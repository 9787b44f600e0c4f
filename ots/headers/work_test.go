package headers

import (
	"encoding/hex"
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/datestone/datestone/ots"
)

func unhex32(t *testing.T, s string) (h [32]byte) {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 32 {
		t.Fatalf("%q is not 32 bytes of hex", s)
	}
	copy(h[:], b)
	slices.Reverse(h[:])
	return h
}

// genesis headers as the networks' sources have them.
func genesisHeaders(t *testing.T) map[*Network]ots.Header {
	satoshi := unhex32(t, "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b")
	fourth := unhex32(t, "7aa0a7ae1e223414cb807e40cd57e667b718e42aaf9306db9102fe28912b7b4e")
	h := func(root [32]byte, at int64, bits, nonce uint32) ots.Header {
		return ots.Header{Version: 1, MerkleRoot: root, Time: time.Unix(at, 0).UTC(), Bits: bits, Nonce: nonce}
	}
	return map[*Network]ots.Header{
		Mainnet:  h(satoshi, 1231006505, 0x1d00ffff, 2083236893),
		Testnet3: h(satoshi, 1296688602, 0x1d00ffff, 414098458),
		Testnet4: h(fourth, 1714777860, 0x1d00ffff, 393743547),
		Signet:   h(satoshi, 1598918400, 0x1e0377ae, 52613770),
		Regtest:  h(satoshi, 1296688602, 0x207fffff, 2),
	}
}

func TestGenesis(t *testing.T) {
	headers := genesisHeaders(t)
	for _, n := range Networks {
		if got := HashString(headers[n].Hash()); got != n.Genesis {
			t.Errorf("%s: block 0 has the hash %s, the table says %s", n, got, n.Genesis)
		}
		if err := n.CheckWork(0, headers[n]); err != nil {
			t.Errorf("%s: %v", n, err)
		}
	}
	if err := Mainnet.checkGenesis(Regtest.Genesis, "it"); !errors.Is(err, ErrWrongNetwork) {
		t.Errorf("regtest's genesis taken for mainnet's: %v", err)
	}
}

func TestCheckWork(t *testing.T) {
	genesis := genesisHeaders(t)[Mainnet]
	with := func(change func(*ots.Header)) ots.Header {
		h := genesis
		change(&h)
		return h
	}
	tests := []struct {
		name   string
		net    *Network
		height uint64
		header ots.Header
	}{
		{"hash misses the target", Mainnet, 0, with(func(h *ots.Header) { h.Nonce++ })},
		{"easier than the network allows", Mainnet, 0, with(func(h *ots.Header) { h.Bits = 0x207fffff })},
		{"negative target", Regtest, 0, with(func(h *ots.Header) { h.Bits = 0x1d80ffff })},
		{"zero target", Regtest, 0, with(func(h *ots.Header) { h.Bits = 0x1d000000 })},
		{"target vanishes", Regtest, 0, with(func(h *ots.Header) { h.Bits = 0x00123456 })},
		{"huge exponent", Regtest, 0, with(func(h *ots.Header) { h.Bits = 0xff7fffff })},
		{"difficulty 1 in 2014", Mainnet, 300_000, genesis},
		{"difficulty 1 in 2026", Mainnet, 900_000, genesis},
	}
	for _, tt := range tests {
		if err := tt.net.CheckWork(tt.height, tt.header); !errors.Is(err, ErrBadHeader) {
			t.Errorf("%s: %v, want %v", tt.name, err, ErrBadHeader)
		}
	}
	// The same header passes where its difficulty is possible.
	if err := Mainnet.CheckWork(299_999, genesis); err != nil {
		t.Error(err)
	}
}

// The header of block 125552, which the Bitcoin wiki takes apart byte by byte.
func TestCheckWorkRealBlock(t *testing.T) {
	raw, err := hex.DecodeString("0100000081cd02ab7e569e8bcd9317e2fe99f2de44d49ab2b8851ba4a308000000000000" +
		"e320b6c2fffc8d750423db8b1eb942ae710e951ed797f7affc8892b0f1fc122bc7f5d74df2b9441a42a14695")
	if err != nil {
		t.Fatal(err)
	}
	h, err := ots.ParseHeader(raw)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := HashString(h.Hash()), "00000000000000001e8d6829a8a21adc5d38d0a473b144b6765798e61f98bd1d"; got != want {
		t.Fatalf("hash %s, want %s", got, want)
	}
	if err := Mainnet.CheckWork(125_552, h); err != nil {
		t.Error(err)
	}
}

// The vectors of Bitcoin Core's tests of the difficulty rule: the interval's first and
// last time, the old target, the new one.
func TestNextBits(t *testing.T) {
	tests := []struct {
		name        string
		first, last int64
		old, want   uint32
	}{
		{"as it was", 1261130161, 1262152739, 0x1d00ffff, 0x1d00d86a},
		{"not above the limit", 1231006505, 1233061996, 0x1d00ffff, 0x1d00ffff},
		{"at most four times harder", 1279008237, 1279297671, 0x1c05a3f4, 0x1c0168fd},
		{"at most four times easier", 1263163443, 1269211443, 0x1c387f6f, 0x1d00e1fd},
	}
	for _, tt := range tests {
		if got := Mainnet.nextBits(tt.old, tt.first, tt.last); got != tt.want {
			t.Errorf("%s: %08x, want %08x", tt.name, got, tt.want)
		}
	}
}

func TestCompact(t *testing.T) {
	for _, bits := range []uint32{0x1d00ffff, 0x207fffff, 0x1e0377ae, 0x1c0168fd, 0x04123456, 0x03123456, 0x02123400, 0x01120000} {
		target, ok := expand(bits)
		if !ok {
			t.Fatalf("%08x does not expand", bits)
		}
		if got := compact(target); got != bits {
			t.Errorf("%08x expands to %x, which compacts to %08x", bits, target, got)
		}
	}
	// A mantissa whose top bit would be the sign moves down a byte.
	if got := compact(big.NewInt(0x80)); got != 0x02008000 {
		t.Errorf("0x80 compacts to %08x, want 02008000", got)
	}
}
