package ots_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/datestone/datestone/ots"
)

// BenchmarkProof is the whole way of an 875-byte proof with a pending and a
// Bitcoin attestation: parse, evaluate, write.
func BenchmarkProof(b *testing.B) {
	raw := testdata(b, "receipt.hex")
	out := make([]byte, 0, len(raw))
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		f, err := ots.ParseFile(raw)
		if err != nil {
			b.Fatal(err)
		}
		seen := 0
		if err := f.Timestamp.Walk(f.Digest, func(n *ots.Timestamp, msg []byte) error {
			seen += len(n.Attestations())
			return nil
		}); err != nil || seen != 2 {
			b.Fatal(seen, err)
		}
		if out, err = f.AppendBinary(out[:0]); err != nil || len(out) != len(raw) {
			b.Fatal(err)
		}
	}
}

func BenchmarkProofParts(b *testing.B) {
	raw := testdata(b, "receipt.hex")
	f, err := ots.ParseFile(raw)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ots.ParseFile(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("evaluate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := f.Timestamp.Walk(f.Digest, func(*ots.Timestamp, []byte) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		out := make([]byte, 0, len(raw))
		for b.Loop() {
			if _, err := f.AppendBinary(out[:0]); err != nil {
				b.Fatal(err)
			}
		}
	})
	// What the proof's hashes cost by themselves.
	b.Run("hashes", func(b *testing.B) {
		var sizes []int
		n := len(f.Digest)
		var follow func(t *ots.Timestamp, n int)
		follow = func(t *ots.Timestamp, n int) {
			for _, branch := range t.Branches() {
				m := n
				for op := range branch.Path.Ops() {
					if op.Tag == ots.OpSHA256 {
						sizes = append(sizes, m)
						m = 32
					}
					m += len(op.Arg)
				}
				follow(branch.Timestamp, m)
			}
		}
		follow(f.Timestamp, n)
		buf := make([]byte, 4096)
		for b.Loop() {
			for _, n := range sizes {
				sum := sha256.Sum256(buf[:n])
				copy(buf, sum[:])
			}
		}
		b.ReportMetric(float64(len(sizes)), "hashes")
	})
}

// BenchmarkMerkleTree times the tree; x-hashing is its best time over the best
// time of the same number of hashes of 64 bytes, on as many goroutines and taken
// in turn with it.
func BenchmarkMerkleTree(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		leaves := numberedLeaves(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(32 * n))
			b.ReportAllocs()
			tree, hashing := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
			for b.Loop() {
				start := time.Now()
				ots.MerkleTree(leaves)
				tree = min(tree, time.Since(start))
				b.StopTimer()
				start = time.Now()
				hashOnly(n - 1)
				hashing = min(hashing, time.Since(start))
				b.StartTimer()
			}
			b.ReportMetric(float64(tree)/float64(hashing), "x-hashing")
		})
	}
}

// hashOnly computes n hashes of 64 bytes on every processor.
func hashOnly(n int) {
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			var pair [64]byte
			for i := w; i < n; i += workers {
				binary.LittleEndian.PutUint64(pair[:], uint64(i))
				sum := sha256.Sum256(pair[:])
				pair[63] = sum[0]
			}
		})
	}
	wg.Wait()
}

func numberedLeaves(n int) [][32]byte {
	leaves := make([][32]byte, n)
	for i := range leaves {
		leaves[i] = sha256.Sum256(fmt.Append(nil, i))
	}
	return leaves
}
