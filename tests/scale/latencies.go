package main

import (
	"math"
	"time"
)

// latencies counts durations, each to 0.2 %.
type latencies struct {
	counts [1 << 14]int // by the logarithm
	n      int
	sum    time.Duration
}

const fineness = 0.002

func (l *latencies) add(d time.Duration) {
	i := int(math.Log(float64(max(1, d))) / fineness)
	l.counts[min(i, len(l.counts)-1)]++
	l.n++
	l.sum += d
}

// Mean is the mean latency.
func (l *latencies) Mean() time.Duration { return l.sum / time.Duration(max(1, l.n)) }

// Quantile is the latency that a part q of them did not exceed.
func (l *latencies) Quantile(q float64) time.Duration {
	rank := int(math.Ceil(q * float64(l.n)))
	for i, n := range l.counts {
		if rank -= n; rank <= 0 && n > 0 {
			return time.Duration(math.Exp((float64(i) + 0.5) * fineness))
		}
	}
	return 0
}
