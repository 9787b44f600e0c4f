package store

import (
	"database/sql"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/testpg"
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

// BenchmarkStamps compares requests of many stamps with the bare insertion of the same rows into the same table. Both
// report the time for a stamp.
func BenchmarkStamps(b *testing.B) {
	for name, where := range map[string]func(*testing.B) string{
		"sqlite":   func(b *testing.B) string { return filepath.Join(b.TempDir(), "datestone.db") },
		"postgres": func(b *testing.B) string { return testpg.Shared(b).NewDatabase(b) },
	} {
		open := func(b *testing.B) (*DB, account.Account) {
			db, err := Open(b.Context(), where(b), Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { db.Close() })
			a, err := db.CreateAccount(b.Context(), epoch0, "a@example.org", "business")
			if err != nil {
				b.Fatal(err)
			}
			return db, a
		}
		perStamp := func(b *testing.B, stamps int) {
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(stamps), "ns/stamp")
			b.ReportMetric(0, "ns/op")
		}
		for _, width := range []int{64, 256, 10_000} {
			b.Run(fmt.Sprintf("%s/bare-%d", name, width), func(b *testing.B) {
				db, a := open(b)
				n := 0
				for b.Loop() {
					err := db.append(b.Context(), func(tx tx) error {
						return tx.each(b.Context(), insertStamp, width, func(int) []any {
							n++
							id, digest := account.NewID(), tip(n)
							return []any{n, a.ID, id[:], fmt.Sprintf("TS-%08X", rand.Uint32()), digest[:], "plan.pdf", 1024, "application/pdf",
								micros(epoch0) + int64(n), "", []byte(nil), 0, digest[:16], n % maxLeaves, n / maxLeaves}
						}, nil)
					})
					if err != nil {
						b.Fatal(err)
					}
				}
				perStamp(b, n)
			})
			b.Run(fmt.Sprintf("%s/batch-%d", name, width), func(b *testing.B) {
				db, a := open(b)
				n := 0
				for b.Loop() {
					all := make([]account.Item, width)
					for i := range all {
						n++
						all[i] = account.Item{SHA256: tip(n), File: account.File{Name: "plan.pdf", Size: 1024, Type: "application/pdf"}}
					}
					r, err := db.AppendStamps(b.Context(), epoch0, []account.Create{{Account: a.ID, Items: all, Quota: math.MaxInt64}})
					if err != nil || r[0].Err != nil {
						b.Fatal(err, r[0].Err)
					}
				}
				perStamp(b, n)
			})
			if width > maxLeaves {
				continue
			}
			b.Run(fmt.Sprintf("%s/single-%d", name, width), func(b *testing.B) {
				db, a := open(b)
				n := 0
				for b.Loop() {
					creates := make([]account.Create, width)
					for i := range creates {
						n++
						item := account.Item{SHA256: tip(n), File: account.File{Name: "plan.pdf", Size: 1024, Type: "application/pdf"}}
						creates[i] = account.Create{Account: a.ID, Items: []account.Item{item}, Whole: true, Quota: math.MaxInt64, Key: fmt.Sprint(n), Payload: tip(n)}
					}
					if _, err := db.AppendStamps(b.Context(), epoch0, creates); err != nil {
						b.Fatal(err)
					}
				}
				perStamp(b, n)
			})
		}
	}
}
