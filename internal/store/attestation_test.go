package store

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/logtree"
)

// What is remembered of attestations must be what is stored, whatever was written meanwhile.
func TestRememberedAttestations(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{})
		r := rand.New(rand.NewPCG(1, 2))
		write := func(text string, args ...any) {
			t.Helper()
			if err := db.update(t.Context(), func(tx tx) error {
				_, err := tx.exec(t.Context(), text, args...)
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"bitcoin", "litecoin"} {
			write(`INSERT INTO target (name, genesis, height, status, updated) VALUES ($1, '', 0, '{}', 0)`, name)
		}
		hash := make([]byte, 32)
		used := 0
		for round := range 150 {
			switch target := []string{"bitcoin", "litecoin"}[r.IntN(2)]; r.IntN(4) {
			case 0:
				write(`UPDATE attestation SET state = $1 WHERE id = $2`, r.IntN(4), 1+r.IntN(20))
			case 1:
				write(`UPDATE target SET height = height + 1 WHERE name = $1`, target)
			default:
				write(`INSERT INTO attestation (target, purpose, epoch, size, root, proof, height, block, block_time, ref, state, changed)
					VALUES ($1, 'log', $2, $3, $4, $4, $5, $4, 0, $6, $7, 0)`, target, r.IntN(2), 1+r.IntN(100), hash, round, fmt.Sprint(round), r.IntN(4))
			}
			for range 12 {
				p, err := logtree.At(r.IntN(2), r.Int64N(110))
				if err != nil {
					t.Fatal(err)
				}
				got, err := db.Attestations(t.Context(), p)
				if err != nil {
					t.Fatal(err)
				}
				want, err := db.readAttestations(t.Context(), p)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("round %d, position %v: %s", round, p, diff)
				}
				used += len(got)
			}
		}
		if used == 0 {
			t.Error("no attestation was ever used")
		}
	})
}
