package headers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/testnode"
	"github.com/datestone/datestone/ots"
)

// Recorded headers around a real change of difficulty. A target that did not change, or
// changed otherwise, is refused.
func TestRecordedRetarget(t *testing.T) {
	f := NewFile(Mainnet, filepath.Join("testdata", "mainnet-741888"))
	if _, err := f.Tip(t.Context()); err != nil {
		t.Fatal(err)
	}
	chain := f.sparse
	before := func(height uint64) (int64, uint32) {
		h, ok := chain[height]
		if !ok {
			t.Fatalf("asked for block %d, which was not recorded", height)
		}
		return h.Time.Unix(), h.Bits
	}
	rules, now := NewRules(Mainnet), time.Unix(1656000000, 0)
	next := func(height uint64, h ots.Header) error {
		return rules.Next(height, h, chain[height].Hash(), before, 0, now)
	}
	for height := uint64(741887); height <= 741892; height++ {
		if err := next(height, chain[height]); err != nil {
			t.Error(err)
		}
	}
	if old, changed := chain[741887].Bits, chain[741888].Bits; old != 0x17094b6a || changed != 0x170984cc {
		t.Fatalf("the target went from %08x to %08x", old, changed)
	}
	for _, bits := range []uint32{0x17094b6a, 0x170984cd, 0x170984cb} {
		h := chain[741888]
		h.Bits = bits
		if err := next(741888, h); !errors.Is(err, ErrBadHeader) || !strings.Contains(err.Error(), "wants 170984cc") {
			t.Errorf("target %08x: %v", bits, err)
		}
	}
	old := chain[741888]
	old.Time = chain[741882].Time // the median of the eleven before
	if err := next(741888, old); !errors.Is(err, ErrBadHeader) || !strings.Contains(err.Error(), "median") {
		t.Errorf("a time at the median: %v", err)
	}
	now = chain[741888].Time.Add(-maxAhead)
	if err := next(741888, chain[741888]); err != nil {
		t.Errorf("two hours ahead: %v", err)
	}
	now = now.Add(-time.Second)
	if err := next(741888, chain[741888]); !errors.Is(err, ErrBadHeader) || !strings.Contains(err.Error(), "clock") {
		t.Errorf("more than two hours ahead: %v", err)
	}
}

// The beginning of the main chain, through the whole check of a file.
func TestRealMainnetFile(t *testing.T) {
	raw := testnode.MainnetHeaders(t)
	name := filepath.Join(t.TempDir(), "headers")
	if err := os.WriteFile(name, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	h, err := NewFile(Mainnet, name).Header(t.Context(), 11111)
	if err != nil || HashString(h.Hash()) != "0000000069e244f73d78e8fd29ba2fd2ed618bd6fa2ee92559f542fdb26e7c1d" {
		t.Fatalf("%s, %v", HashString(h.Hash()), err)
	}
}

// chainOf makes what Rules asks for from times and targets by height.
func chainOf(first uint64, blocks ...[2]int64) Before {
	return func(height uint64) (int64, uint32) {
		if height < first || height >= first+uint64(len(blocks)) {
			panic(fmt.Sprintf("asked for block %d", height))
		}
		b := blocks[height-first]
		return b[0], uint32(b[1])
	}
}

func TestTwentyMinutes(t *testing.T) {
	const hard, easy = 0x1c00ffff, 0x1d00ffff
	// An exception in the middle does not last.
	chain := chainOf(4032, [2]int64{0, hard}, [2]int64{600, hard}, [2]int64{2000, easy}, [2]int64{3300, easy})
	for _, n := range []*Network{Testnet3, Testnet4} {
		for _, tt := range []struct {
			height uint64
			at     int64
			want   uint32
		}{
			{4034, 1800, hard},
			{4034, 1801, easy},
			{4035, 3200, hard},
			{4035, 3201, easy},
			{4036, 3301, hard},
		} {
			if got := n.wantedBits(tt.height, tt.at, chain); got != tt.want {
				t.Errorf("%s: block %d at %d: %08x, want %08x", n, tt.height, tt.at, got, tt.want)
			}
		}
	}
	if got := Mainnet.wantedBits(4035, 9999, chain); got != easy {
		t.Errorf("mainnet: %08x, want the last block's", got)
	}
	if got := Regtest.wantedBits(4035, 9999, chain); got != Regtest.limitBits {
		t.Errorf("regtest: %08x, want its limit", got)
	}
}

// BIP 94: the target of an interval whose last block was an exception is not lost, and an
// interval cannot begin long before the last one ended.
func TestBIP94(t *testing.T) {
	const hard, easy = 0x1c00ffff, 0x1d00ffff
	interval := make([][2]int64, retargetInterval)
	for i := range interval {
		interval[i] = [2]int64{int64(i) * 600, hard}
	}
	last := int64(retargetSeconds) // exactly two weeks
	interval[retargetInterval-1] = [2]int64{last, easy}
	chain := chainOf(0, interval...)
	if got := Testnet4.wantedBits(retargetInterval, last+1, chain); got != hard {
		t.Errorf("testnet4: %08x, want %08x", got, hard)
	}
	if got := Testnet3.wantedBits(retargetInterval, last+1, chain); got != easy {
		t.Errorf("testnet3: %08x, want %08x", got, easy)
	}
	warped := ots.Header{Time: time.Unix(last-maxTimewarp-1, 0), Bits: hard}
	check := func(n *Network, h ots.Header) error {
		return NewRules(n).Next(retargetInterval, h, [32]byte{}, chain, 0, time.Unix(last, 0))
	}
	if err := check(Testnet4, warped); !errors.Is(err, ErrBadHeader) || !strings.Contains(err.Error(), "ten minutes before") {
		t.Errorf("a time warp: %v", err)
	}
	warped.Time = warped.Time.Add(time.Second)
	if err := check(Testnet4, warped); err != nil {
		t.Errorf("ten minutes back: %v", err)
	}
}

func TestMedianTime(t *testing.T) {
	var blocks [][2]int64
	for _, at := range []int64{50, 10, 90, 20, 80, 30, 70, 40, 60, 100, 110, 120} {
		blocks = append(blocks, [2]int64{at, 0})
	}
	chain := chainOf(0, blocks...)
	for _, tt := range []struct {
		height uint64
		want   int64
	}{{1, 50}, {2, 50}, {3, 50}, {4, 50}, {11, 60}, {12, 70}} {
		if got := medianTime(tt.height, chain, 0); got != tt.want {
			t.Errorf("median before block %d: %d, want %d", tt.height, got, tt.want)
		}
	}
}
