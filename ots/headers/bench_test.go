package headers_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/datestone/datestone/ots/headers"
)

// Reading and checking a full headers file; mainnet has some 900,000 blocks.
func BenchmarkFullFile(b *testing.B) {
	const blocks = 100_000
	name := filepath.Join(b.TempDir(), "headers")
	if err := os.WriteFile(name, chain(blocks).File(), 0o644); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(80 * (blocks + 1))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := headers.NewFile(headers.Regtest, name).Header(b.Context(), blocks); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/blocks, "ns/header")
}
