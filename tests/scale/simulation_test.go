package main

import (
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"
)

// constant is a model without chance in what takes how long, and without a bucket.
func constant(nodes int, rate float64) Model {
	m := Defaults()
	m.Trips, m.Rate, m.Refill, m.Tail, m.Digest = near(nodes, 500*time.Microsecond), rate, 0, 0, 0
	return m
}

// alone is how long an append of one entry takes when nobody else has the row, and held for how long it
// has the row, tiles left out.
func (m Model) alone() time.Duration {
	return time.Duration(m.Before+1+m.Locked)*(m.Trips[0]+m.Server) + m.Flush
}

func (m Model) held() time.Duration {
	return m.Server + time.Duration(m.Locked)*(m.Trips[0]+m.Server) + m.Flush
}

// tiles is what the tiles add to each append on average.
func (m Model) tiles() time.Duration {
	return time.Duration(m.Tile) * (m.Trips[0] + m.Server) / tileEntries
}

// A digest that comes alone waits for one append.
func TestAlone(t *testing.T) {
	m := constant(1, 1)
	m.Length = 10 * time.Minute
	r := m.Simulate()
	within(t, "median latency", r.Quantile(0.5).Seconds(), m.alone().Seconds(), fineness)
	within(t, "commits", float64(r.Commits), float64(r.Digests), 0.01)
}

// One busy node appends one batch after the other, and a digest waits for half of a cycle and for its append.
func TestOneBusyNode(t *testing.T) {
	for _, flush := range []time.Duration{500 * time.Microsecond, 5 * time.Millisecond, 50 * time.Millisecond} {
		m := constant(1, 20_000)
		m.Flush = flush
		r := m.Simulate()
		took := m.alone() + m.tiles()
		// What arrives meanwhile is a third of what is waited for, which is rounded down.
		cycle := min((3*m.Rate*took.Seconds()-1.5)/m.Rate, (took + maxGather).Seconds())
		within(t, "commits a second", r.PerSecond(r.Commits), 1/cycle, 0.01)
		within(t, "mean latency", r.Mean().Seconds(), cycle/2+took.Seconds(), 0.02)
	}
}

// However many the nodes are, the commits are bounded by the time for which each has the row, and many nodes
// come close. A digest then waits on average for one and a half rounds of all nodes.
func TestManyBusyNodes(t *testing.T) {
	for _, nodes := range []int{4, 8, 32} {
		m := constant(nodes, 20_000)
		r := m.Simulate()
		hold := m.held() + m.tiles() + m.Pass
		within(t, "commits a second", r.PerSecond(r.Commits), 1/hold.Seconds(), 0.01)
		if busy := r.Held.Seconds() / r.Took.Seconds(); busy > 1 {
			t.Errorf("%d nodes have the row for %g of the time", nodes, busy)
		}
		round := time.Duration(nodes) * hold
		within(t, "mean latency", r.Mean().Seconds(), (round + round/2 - maxGather).Seconds(), 0.03)
	}
}

// Many nodes that seldom have a digest, over a database whose commits are exponentially distributed, are the
// M/M/1 queue.
func TestQueue(t *testing.T) {
	m := constant(200, 100)
	m.Trips, m.Server, m.Pass, m.Tile = near(200, 0), 0, 0, 0
	m.Flush, m.Tail, m.Length = 5*time.Millisecond, 1, 10*time.Minute
	r := m.Simulate()
	within(t, "mean latency", r.Mean().Seconds(), 1/(1/m.Flush.Seconds()-m.Rate), 0.03)
	within(t, "99 %", r.Quantile(0.99).Seconds(), math.Log(100)/(1/m.Flush.Seconds()-m.Rate), 0.05)
}

// The bucket bounds the entries of each node, and what it costs is at most its one wait.
func TestBucket(t *testing.T) {
	for _, nodes := range []int{1, 4} {
		m := constant(nodes, 20_000)
		free := m.Simulate()
		m.Refill = 50
		r := m.Simulate()
		within(t, "entries a second and node", r.PerSecond(r.Entries)/float64(nodes), 50, 0.01)
		if most := free.Mean() + time.Second/50; r.Mean() > most {
			t.Errorf("with a bucket the mean latency is %v, and at most %v is promised", r.Mean(), most)
		}
		m.Tokens = m.Burst
		if r := m.Simulate(); r.Commits != free.Commits {
			t.Errorf("with a full bucket there are %d commits, and without one %d", r.Commits, free.Commits)
		}
	}
}

// No digest is lost: it is acknowledged or refused, and those are what is more than may wait.
func TestRefused(t *testing.T) {
	m := constant(1, 40_000)
	m.Flush, m.Warm, m.Length = 4*time.Second, 0, 40*time.Second
	r := m.Simulate()
	within(t, "digests and refusals", float64(r.Digests+r.Refused), m.Rate*m.Length.Seconds(), 0.01)
	within(t, "refused part", float64(r.Refused)/float64(r.Digests+r.Refused), 1-waiting/(m.Rate*m.Flush.Seconds()), 0.03)
	if r.Entries < 15*(r.Commits-2) {
		t.Errorf("%d commits of 65,536 digests have %d entries", r.Commits, r.Entries)
	}
	if r.Late != 0 {
		t.Errorf("%d digests waited longer than 10 s", r.Late)
	}
	m.Flush = 8 * time.Second
	if r := m.Simulate(); r.Late == 0 {
		t.Error("no digest waited longer than 10 s for commits of 8 s")
	}
}

// An append that would wait longer than 5 s for the row fails, and its digests with it.
func TestLockWithin(t *testing.T) {
	for nodes, fails := range map[int]bool{3: false, 4: true} {
		m := constant(nodes, 100)
		m.Flush, m.Length = 2*time.Second, time.Minute
		if r := m.Simulate(); (r.Refused > 0) != fails || r.Digests == 0 {
			t.Errorf("%d nodes with commits of 2 s: %d digests acknowledged and %d refused", nodes, r.Digests, r.Refused)
		}
	}
}

func TestSeed(t *testing.T) {
	m := Defaults()
	first := m.Simulate()
	if again := m.Simulate(); !reflect.DeepEqual(first, again) {
		t.Error("the same seed gave another result")
	}
	m.Seed++
	other := m.Simulate()
	if reflect.DeepEqual(first, other) {
		t.Error("another seed gave the same result")
	}
	within(t, "mean latency", other.Mean().Seconds(), first.Mean().Seconds(), 0.02)
}

func BenchmarkSimulate(b *testing.B) {
	for _, nodes := range []int{2, 64} {
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			m := Defaults()
			m.Trips = near(nodes, m.Trips[0])
			for b.Loop() {
				m.Simulate()
			}
		})
	}
}
