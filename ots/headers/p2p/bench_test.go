package p2p_test

import (
	"crypto/sha256"
	"runtime"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/testnode"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers"
	"github.com/datestone/datestone/ots/headers/p2p"
)

// 10,000 headers from a bitcoind of this machine to a file on disk, and, in the same run, what their
// hashes alone cost: the work that nobody can leave out.
func BenchmarkSync(b *testing.B) {
	const blocks = 10_000
	n := testnode.Bitcoind(b)
	n.Mine(b, blocks)
	var m runtime.MemStats
	var most uint64
	b.ReportAllocs()
	for b.Loop() {
		s, err := p2p.New(p2p.Config{Network: headers.Regtest, Peers: []string{n.P2P}, Dir: b.TempDir(), Progress: func(uint64, uint64) {
			runtime.ReadMemStats(&m)
			most = max(most, m.Sys)
		}})
		if err != nil {
			b.Fatal(err)
		}
		if tip, err := s.Tip(b.Context()); err != nil || tip != blocks {
			b.Fatalf("tip %d, %v", tip, err)
		}
	}
	each := b.Elapsed() / time.Duration(b.N)
	b.ReportMetric(float64(most)/1e6, "MB-from-the-system")

	raw := make([]byte, blocks*ots.HeaderSize)
	start := time.Now()
	const rounds = 20
	for range rounds {
		for h := raw; len(h) > 0; h = h[ots.HeaderSize:] {
			sum := sha256.Sum256(h[:ots.HeaderSize])
			sum = sha256.Sum256(sum[:])
		}
	}
	hashing := time.Since(start) / rounds
	b.ReportMetric(float64(each)/float64(hashing), "x-hashing")
}
