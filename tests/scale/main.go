// Command scale computes and simulates what docs/scale.md says of a load that cannot be made on one machine.
// Without flags it prints the tables of that page. With flags it simulates one case:
//
//	go run ./tests/scale -nodes 4 -rate 34722 -trip 500us -flush 2ms
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("scale: ")
	m := Defaults()
	var (
		nodes   = flag.Int("nodes", len(m.Trips), "nodes")
		trip    = flag.Duration("trip", m.Trips[0], "round trip between a node and the database")
		far     = flag.Int("far", 0, "how many of the nodes are far away")
		farTrip = flag.Duration("far-trip", 40*time.Millisecond, "round trip between these and the database")
	)
	flag.Float64Var(&m.Rate, "rate", m.Rate, "digests a second, at all nodes together")
	flag.IntVar(&m.Refill, "refill", m.Refill, "entries a second and node at which the token bucket refills; 0 for no bucket")
	flag.IntVar(&m.Tokens, "tokens", m.Tokens, "entries in each bucket at the beginning")
	flag.IntVar(&m.Before, "before", m.Before, "statements of an append before the one that locks the head row")
	flag.IntVar(&m.Locked, "locked", m.Locked, "statements of an append after it")
	flag.DurationVar(&m.Server, "server", m.Server, "what the database needs for a statement")
	flag.DurationVar(&m.Flush, "flush", m.Flush, "what a commit waits for disks and standbys")
	flag.Float64Var(&m.Tail, "tail", m.Tail, "the part of that which is exponentially distributed")
	flag.DurationVar(&m.Pass, "pass", m.Pass, "from one holder of the head row to the next that waits")
	flag.DurationVar(&m.Digest, "digest", m.Digest, "what batching needs for a digest")
	flag.DurationVar(&m.Length, "length", m.Length, "how long digests arrive")
	flag.DurationVar(&m.Warm, "warm", m.Warm, "how much of that is not counted")
	flag.Uint64Var(&m.Seed, "seed", m.Seed, "of the random numbers")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("%q is not a flag", flag.Arg(0))
	}
	if flag.NFlag() == 0 {
		for _, t := range tables() {
			fmt.Println(t)
		}
		return
	}
	switch {
	case *nodes < 1 || *far < 0 || *far > *nodes:
		log.Fatalf("%d nodes of which %d are far away cannot be", *nodes, *far)
	case m.Rate <= 0 || m.Warm < 0 || m.Warm >= m.Length:
		log.Fatal("nothing arrives: rate must be above 0, and warm below length")
	}
	m.Trips = append(near(*nodes-*far, *trip), near(*far, *farTrip)...)
	fmt.Fprint(os.Stdout, simulated("case", row{"as the flags say", m}))
}

// near is as many round trips of the same length.
func near(nodes int, trip time.Duration) []time.Duration {
	trips := make([]time.Duration, nodes)
	for i := range trips {
		trips[i] = trip
	}
	return trips
}
