package cluster_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/testpg"
	"github.com/datestone/datestone/tests/cluster"
)

// BenchmarkNodes takes digests with one and with two nodes over PostgreSQL and with one over SQLite, in turn and on the
// same disk, and reports the first two as ratios of the last, with the entries that they made a second. A round takes
// three seconds each.
//
//	go test -run - -bench Nodes -benchtime 5x ./tests/cluster
func BenchmarkNodes(b *testing.B) {
	const settings = "burst = 100000000\nlog_level = \"warn\"\n"
	server := testpg.Start(b, testpg.Options{})
	start := func(nodes int, database string) *cluster.Cluster {
		return cluster.Start(b, cluster.Options{Program: program, Nodes: nodes, Database: database, Settings: settings})
	}
	clusters := map[string]*cluster.Cluster{
		"sqlite": start(1, ""),
		"one":    start(1, server.NewDatabase(b)),
		"two":    start(2, server.NewDatabase(b)),
	}
	entries := func(c *cluster.Cluster) float64 {
		n, err := strconv.ParseFloat(c.SQL(b, `SELECT size FROM head`), 64)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	rates, commits := map[string][]float64{}, map[string][]float64{}
	b.ResetTimer()
	for range b.N {
		for name, c := range clusters {
			before := 0.0
			if name != "sqlite" {
				before = entries(c)
			}
			digests, began := c.Acks.Digests(), time.Now()
			load := c.Load(b, cluster.Clients{Count: 64})
			time.Sleep(3 * time.Second)
			load.End(b)
			seconds := time.Since(began).Seconds()
			rates[name] = append(rates[name], float64(c.Acks.Digests()-digests)/seconds)
			if name != "sqlite" {
				commits[name] = append(commits[name], (entries(c)-before)/seconds)
			}
		}
	}
	median := func(all []float64) float64 {
		all = slices.Sorted(slices.Values(all))
		return all[len(all)/2]
	}
	sqlite, one, two := median(rates["sqlite"]), median(rates["one"]), median(rates["two"])
	b.ReportMetric(sqlite, "sqlite-digests/s")
	b.ReportMetric(one/sqlite, "one/sqlite")
	b.ReportMetric(two/sqlite, "two/sqlite")
	b.ReportMetric(two/one, "two/one")
	b.ReportMetric(median(commits["one"]), "one-entries/s")
	b.ReportMetric(median(commits["two"]), "two-entries/s")
}
