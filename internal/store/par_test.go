package store

import (
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/datestone/datestone/internal/logtree"
)

func BenchmarkPar(b *testing.B) {
	const n = 1_000_000
	db := fill(b, filepath.Join(b.TempDir(), "datestone.db"), n)
	h, err := db.Head(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if _, err := db.write.Exec(`INSERT INTO target (name, genesis, height, status, updated) VALUES ('bitcoin', '', 2000, '{}', 0)`); err != nil {
		b.Fatal(err)
	}
	if _, err := db.write.Exec(`INSERT INTO attestation (target, purpose, epoch, size, root, proof, height, block, block_time, ref, state, changed)
			VALUES ('bitcoin', 'log', 0, $1, $2, $3, $1, $2, 0, $4, 1, 0)`, n, h.Root[:], make([]byte, 800), "x"); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	b.SetParallelism(32)
	b.Run("x", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				i := rand.IntN(n)
				e := logtree.NewEntry(logtree.Position(i), tip(i))
				r, err := db.Find(b.Context(), e)
				if err != nil {
					b.Fatal(err)
				}
				as, err := db.Attestations(b.Context(), e.Position())
				if err != nil {
					b.Fatal(err)
				}
				if _, err := r.Inclusion(as[0].Head, e); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}
