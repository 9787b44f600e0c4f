package ethereum

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/testnode"
)

// On a real geth: an attestation counts, its block and those above it go, and it counts again in another one.
func TestGeth(t *testing.T) {
	address, err := Address(keyFile(t, testKey))
	if err != nil {
		t.Fatal(err)
	}
	chain := testnode.Geth(t, address)
	r := &rig{t: t, chain: chain, path: filepath.Join(t.TempDir(), "datestone.db"), now: time.Now().UTC(), config: testConfig(t, chain)}
	r.config.ChainID = 1337
	r.open()
	t.Cleanup(func() { r.db.Close() })
	r.append()
	r.step()
	ref := r.last(1).Ref
	counted := func() (a logtree.Attestation) {
		testnode.Eventually(t, time.Minute, "the attestation counts", func() bool {
			r.now = r.now.Add(2 * time.Second)
			if err := r.loop.Step(t.Context(), r.now); err != nil && anchor.CodeOf(err) != anchor.NodeBehind {
				t.Fatal(err)
			}
			var err error
			a, err = r.db.AttestationOf(t.Context(), name, ref)
			return err == nil && a.State == logtree.Counted && (chain.Height(t) >= a.Height)
		})
		return a
	}
	first := counted()
	r.step()
	chain.Must(t, nil, "debug_setHead", fmt.Sprintf("%#x", first.Height-1))
	testnode.Eventually(t, time.Minute, "the attestation is withdrawn", func() bool {
		r.now = r.now.Add(2 * time.Second)
		if err := r.loop.Step(t.Context(), r.now); err != nil && anchor.CodeOf(err) != anchor.NodeBehind {
			t.Fatal(err)
		}
		a, err := r.db.AttestationOf(t.Context(), name, ref)
		return err != nil || a.BlockHash != first.BlockHash || a.State == logtree.Withdrawn
	})
	if again := counted(); again.BlockHash == first.BlockHash {
		t.Error("the chain was not reorganised")
	}
	r.step()
	r.last(1)
}
