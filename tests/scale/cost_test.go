package main

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/logtree"
)

// instant is a store that takes a millisecond and no processor.
type instant struct{ calendar.Store }

func (instant) Append(_ context.Context, _ time.Time, tips [][32]byte) ([]logtree.Entry, error) {
	time.Sleep(time.Millisecond)
	return make([]logtree.Entry, len(tips)), nil
}

// BenchmarkStamp is what a digest costs a node's processors from Submit to its path, HTTP and the database left
// out: nonce, hash, its part of the batch's tree, waiting and waking.
func BenchmarkStamp(b *testing.B) {
	c := calendar.New(instant{}, calendar.Config{Burst: 1 << 30})
	ctx, stop := context.WithCancel(b.Context())
	var loop, clients sync.WaitGroup
	loop.Go(func() { c.Run(ctx) })
	var left atomic.Int64
	left.Store(int64(b.N))
	before := processorTime(b)
	for range 1000 {
		clients.Go(func() {
			digest := make([]byte, 32)
			for left.Add(-1) >= 0 {
				_, err := c.Submit(ctx, digest)
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
	b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	stop()
	loop.Wait()
}

// processorTime is what this process has used of the processors.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
