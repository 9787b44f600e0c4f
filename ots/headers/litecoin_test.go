package headers

import (
	"encoding/hex"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/datestone/datestone/ots"
)

// The headers of Litecoin's genesis blocks: their hashes are the networks' and their scrypt hashes meet the target,
// which their hashes do not.
func TestLitecoinGenesis(t *testing.T) {
	root, err := hex.DecodeString("97ddfbbae6be97fd6cdf3e7ca13232a3afff2353e29badfab7f73011edd4ced9")
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(root)
	for _, g := range []struct {
		net   *Network
		time  int64
		bits  uint32
		nonce uint32
	}{
		{LitecoinMainnet, 1317972665, 0x1e0ffff0, 2084524493},
		{LitecoinTestnet, 1486949366, 0x1e0ffff0, 293345},
		{LitecoinRegtest, 1296688602, 0x207fffff, 0},
	} {
		h := ots.Header{Version: 1, MerkleRoot: [32]byte(root), Time: time.Unix(g.time, 0), Bits: g.bits, Nonce: g.nonce}
		if got := HashString(h.Hash()); got != g.net.Genesis {
			t.Errorf("%v: the genesis block is %s", g.net, got)
		}
		if err := g.net.CheckWork(0, h); err != nil {
			t.Errorf("%v: %v", g.net, err)
		}
		if g.net == LitecoinRegtest {
			continue // any hash is good enough every second time
		}
		bitcoin := &Network{Name: "bitcoin", limitBits: g.net.limitBits}
		if err := bitcoin.CheckWork(0, h); !errors.Is(err, ErrBadHeader) {
			t.Errorf("%v: taken for proof of work of Bitcoin: %v", g.net, err)
		}
		h.Nonce++
		if err := g.net.CheckWork(0, h); !errors.Is(err, ErrBadHeader) {
			t.Errorf("%v: another nonce: %v", g.net, err)
		}
	}
	f := NewFile(LitecoinMainnet, "litecoin.go")
	if _, err := f.Tip(t.Context()); !errors.Is(err, ErrWrongNetwork) {
		t.Errorf("headers of Litecoin in a file: %v", err)
	}
}
