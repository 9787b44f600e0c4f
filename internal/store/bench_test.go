package store

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/datestone/datestone/internal/logtree"
)

// BenchmarkAppend compares an append with one durable commit of a row of the same size, on the same disk.
func BenchmarkAppend(b *testing.B) {
	b.Run("bare-commit", func(b *testing.B) {
		raw, err := sql.Open("sqlite", dsn(filepath.Join(b.TempDir(), "bare.db"), "_txlock=immediate"))
		if err != nil {
			b.Fatal(err)
		}
		defer raw.Close()
		raw.SetMaxOpenConns(1)
		if _, err := raw.Exec(`CREATE TABLE entry (position INTEGER PRIMARY KEY, tip BLOB, nodes BLOB, at BIGINT)`); err != nil {
			b.Fatal(err)
		}
		var tip [32]byte
		for i := 0; b.Loop(); i++ {
			if _, err := raw.Exec(`INSERT INTO entry VALUES ($1, $2, $3, $4)`, i, tip[:], tip[:], i); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("entries-%d", n), func(b *testing.B) {
			db, err := Open(b.Context(), filepath.Join(b.TempDir(), "datestone.db"), Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			tips := make([][32]byte, n)
			for b.Loop() {
				if _, err := db.Append(b.Context(), epoch0, tips); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// fill makes a log of n entries.
func fill(b *testing.B, path string, n int) *DB {
	b.Helper()
	db, err := Open(b.Context(), path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	for done := 0; done < n; {
		tips := make([][32]byte, min(10_000, n-done))
		for i := range tips {
			tips[i] = tip(done + i)
		}
		if _, err := db.Append(b.Context(), epoch0, tips); err != nil {
			b.Fatal(err)
		}
		done += len(tips)
	}
	return db
}

// BenchmarkInclusion reads what a proof needs of a random entry, in a short log and in a long one. It
// begins with nothing remembered.
func BenchmarkInclusion(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		path := filepath.Join(b.TempDir(), "datestone.db")
		db := fill(b, path, n)
		h, err := db.Head(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				i := rand.IntN(n)
				e := logtree.NewEntry(logtree.Position(i), tip(i))
				reader, err := db.Find(b.Context(), e)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := reader.Inclusion(h, e); err != nil {
					b.Fatal(err)
				}
			}
		})
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		b.Logf("%d entries take %.1f bytes each", n, float64(info.Size())/float64(n))
	}
}

// BenchmarkAttestations finds what the proof of a random entry uses among a thousand attestations.
func BenchmarkAttestations(b *testing.B) {
	db := fill(b, filepath.Join(b.TempDir(), "datestone.db"), 1)
	if _, err := db.write.Exec(`INSERT INTO target (name, genesis, height, status, updated) VALUES ('bitcoin', '', 2000, '{}', 0)`); err != nil {
		b.Fatal(err)
	}
	for i := range 1000 {
		if _, err := db.write.Exec(`INSERT INTO attestation (target, purpose, epoch, size, root, proof, height, block, block_time, ref, state, changed)
			VALUES ('bitcoin', 'log', 0, $1, $2, $3, $1, $2, 0, $4, 1, 0)`, (i+1)*1000, make([]byte, 32), make([]byte, 800), fmt.Sprint(i)); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for b.Loop() {
		all, err := db.Attestations(b.Context(), logtree.Position(rand.IntN(1_000_000)))
		if err != nil || len(all) != 1 {
			b.Fatal(all, err)
		}
	}
}
