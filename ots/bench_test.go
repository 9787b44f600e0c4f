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

// BenchmarkProof is the way of an 875-byte proof with a pending and a Bitcoin
// attestation: whole, and its parts. x-hashing is the best time over the best
// time of the proof's 29 hashes alone, taken in turn with it.
func BenchmarkProof(b *testing.B) {
	raw := testdata(b, "receipt.hex")
	out := make([]byte, 0, len(raw))
	file, err := ots.ParseFile(raw)
	if err != nil {
		b.Fatal(err)
	}
	sizes := hashSizes(file.Timestamp, len(file.Digest), nil)
	parse := func() (err error) {
		file, err = ots.ParseFile(raw)
		return err
	}
	evaluate := func() error {
		return file.Timestamp.Walk(file.Digest, func(*ots.Timestamp, []byte) error { return nil })
	}
	write := func() (err error) {
		out, err = file.AppendBinary(out[:0])
		return err
	}
	for _, part := range []struct {
		name  string
		steps []func() error
	}{
		{"whole", []func() error{parse, evaluate, write}},
		{"parse", []func() error{parse}},
		{"evaluate", []func() error{evaluate}},
		{"write", []func() error{write}},
	} {
		b.Run(part.name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			best, hashing := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
			for i := 0; b.Loop(); i++ {
				start := time.Now()
				for _, step := range part.steps {
					if err := step(); err != nil {
						b.Fatal(err)
					}
				}
				best = min(best, time.Since(start))
				if i%64 == 0 {
					b.StopTimer()
					start = time.Now()
					hashSizesOnly(sizes)
					hashing = min(hashing, time.Since(start))
					b.StartTimer()
				}
			}
			b.ReportMetric(float64(best)/float64(hashing), "x-hashing")
			b.ReportMetric(float64(best.Nanoseconds()), "best-ns")
		})
	}
}

// hashSizes lists the lengths of the messages that t has hashed.
func hashSizes(t *ots.Timestamp, msgLen int, sizes []int) []int {
	for _, b := range t.Branches() {
		n := msgLen
		for op := range b.Path.Ops() {
			if op.Tag == ots.OpSHA256 {
				sizes = append(sizes, n)
				n = 32
			}
			n += len(op.Arg)
		}
		sizes = hashSizes(b.Timestamp, n, sizes)
	}
	return sizes
}

func hashSizesOnly(sizes []int) {
	var msg [512]byte
	for _, n := range sizes {
		sum := sha256.Sum256(msg[:n])
		copy(msg[:], sum[:])
	}
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
