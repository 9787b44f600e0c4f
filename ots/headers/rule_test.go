package headers

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/ots"
)

// A network that is as quick to mine as regtest and changes its difficulty as mainnet does.
func strict() *Network {
	n := *Regtest
	n.Name, n.rule = "strict", retarget
	return &n
}

// mineStrict makes a full headers file. bits gives each block's target.
func mineStrict(t *testing.T, n *Network, blocks int, bits func(height int, prev ots.Header, first time.Time) uint32) string {
	t.Helper()
	h := genesisHeaders(t)[Regtest]
	raw, err := h.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	first := h.Time
	for height := 1; height <= blocks; height++ {
		next := ots.Header{Version: 4, Prev: h.Hash(), Time: h.Time.Add(9 * time.Minute), Bits: bits(height, h, first)}
		for n.CheckWork(uint64(height), next) != nil {
			next.Nonce++
		}
		if height%retargetInterval == 0 {
			first = next.Time
		}
		h = next
		if raw, err = h.AppendBinary(raw); err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Join(t.TempDir(), "headers")
	if err := os.WriteFile(name, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDifficultyRule(t *testing.T) {
	n := strict()
	byRule := func(height int, prev ots.Header, first time.Time) uint32 {
		if height%retargetInterval == 0 {
			return n.nextBits(prev.Bits, first.Unix(), prev.Time.Unix())
		}
		return prev.Bits
	}
	const blocks = 2*retargetInterval + 10
	good := NewFile(n, mineStrict(t, n, blocks, byRule))
	h, err := good.Header(t.Context(), blocks)
	if err != nil {
		t.Fatal(err)
	}
	if h.Bits == Regtest.limitBits {
		t.Error("the difficulty never changed")
	}
	if s := strings.Join(good.Unchecked(), "; "); strings.Contains(s, "difficulty") || !strings.Contains(s, "more work") {
		t.Errorf("unchecked: %s", s)
	}

	// The work of each header is right, but the chain made it easier for itself.
	lazy := func(height int, prev ots.Header, _ time.Time) uint32 { return prev.Bits }
	if _, err := NewFile(n, mineStrict(t, n, retargetInterval, lazy)).Header(t.Context(), 1); !errors.Is(err, ErrBadHeader) || !strings.Contains(err.Error(), "block 2016 has target") {
		t.Errorf("a target that should have changed: %v", err)
	}
	early := func(height int, prev ots.Header, first time.Time) uint32 {
		if height == 100 {
			return 0x2000ffff
		}
		return byRule(height, prev, first)
	}
	if _, err := NewFile(n, mineStrict(t, n, 100, early)).Header(t.Context(), 1); !errors.Is(err, ErrBadHeader) || !strings.Contains(err.Error(), "block 100 has target") {
		t.Errorf("a target that changed too early: %v", err)
	}
	// On regtest there is no such rule.
	if _, err := NewFile(Regtest, mineStrict(t, n, retargetInterval, lazy)).Header(t.Context(), 1); err != nil {
		t.Error(err)
	}
}
