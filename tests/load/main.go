// Command load measures a datestoned against a bare HTTP server that reads and answers the same
// bytes, both in processes of their own on this machine, in turn, in one run. Its numbers are in
// docs/performance.md.
//
//	go build -o datestoned ./cmd/datestoned
//	go run ./tests/load -datestoned ./datestoned
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("load: ")
	if len(os.Args) == 2 && os.Args[1] == "bare" {
		log.Fatal(serveBare())
	}
	var (
		binary      = flag.String("datestoned", "./datestoned", "the binary to measure")
		connections = flag.String("connections", "1,64,1000", "numbers of connections")
		seconds     = flag.Float64("seconds", 3, "length of one round")
		rounds      = flag.Int("rounds", 5, "rounds of each server, in turn")
		entries     = flag.String("entries", "10000,1000000", "sizes of the log for GET, and numbers of stamps for reads")
		only        = flag.String("only", "post,sustained,get,start,creates,batches,bulks,reads", "what to measure")
	)
	flag.Parse()
	l := &lab{binary: *binary, round: time.Duration(*seconds * float64(time.Second)), rounds: *rounds}
	ctx := context.Background()
	for _, what := range strings.Split(*only, ",") {
		var err error
		switch what {
		case "post":
			err = l.post(ctx, numbers(*connections))
		case "sustained":
			err = l.sustained(ctx)
		case "get":
			err = l.get(ctx, numbers(*entries))
		case "start":
			err = l.start(ctx, numbers(*entries))
		case "creates":
			err = l.creates(ctx, []int{64, 256})
		case "batches":
			err = l.batches(ctx)
		case "bulks":
			err = l.bulks(ctx, []int{16, 64})
		case "reads":
			err = l.reads(ctx, numbers(*entries))
		default:
			err = fmt.Errorf("cannot measure %q", what)
		}
		if err != nil {
			log.Fatalf("%s: %v", what, err)
		}
	}
}

func numbers(list string) (ns []int) {
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			log.Fatal(err)
		}
		ns = append(ns, n)
	}
	return ns
}

// median is the middle of the values, which it sorts.
func median[T cmp.Ordered](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}
