package main

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/datestone/datestone/internal/calendar"
)

// What the nodes do, as in internal/calendar; TestSameAsTheCalendar holds the two together.
const (
	waiting   = 65_536
	patience  = 10 * time.Second
	crowd     = 8
	maxGather = 4 * time.Millisecond
)

// lockWithin is how long an append waits for the row before it fails: lock_timeout in internal/store.
const lockWithin = 5 * time.Second

// tileEntries is the number of entries after which an append writes a tile as well.
const tileEntries = 64

// Model is nodes over one database, all of whose appends lock the same row until they are on disk.
type Model struct {
	Trips  []time.Duration // for each node, the network's round trip to the database
	Rate   float64         // digests that arrive in a second, at all nodes together
	Refill int             // entries a second and node at which the token bucket refills; 0 for no bucket
	Burst  int             // entries that fit into the bucket
	Tokens int             // entries that are in it at the beginning

	Before int           // statements of an append before the one that locks the row
	Locked int           // statements after it, the commit among them
	Tile   int           // statements more for the last of each 64 entries
	Server time.Duration // what the database needs for a statement
	Flush  time.Duration // what a commit waits for disks and standbys, on average
	Tail   float64       // the part of Flush that is exponentially distributed; the rest is constant
	Pass   time.Duration // from one holder of the row to the next that waits for it
	Digest time.Duration // what a node's batching needs for each digest before it begins the append

	Length time.Duration // how long digests arrive
	Warm   time.Duration // how much of that is not counted
	Seed   uint64
}

// Result is what happened after the warm-up.
type Result struct {
	Took      time.Duration
	Digests   int // that were acknowledged
	Refused   int // because too many waited, or too long for the row
	Late      int // that were acknowledged after the client had been told to try again
	Commits   int
	Entries   int
	Held      time.Duration // how long the row was locked, all together
	latencies               // of Digests, from Submit to the receipt
}

// PerSecond is n for each second of the result.
func (r Result) PerSecond(n int) float64 { return float64(n) / r.Took.Seconds() }

// node is one calendar. Times are nanoseconds from the start of the simulation.
type node struct {
	trip   time.Duration
	gap    float64 // mean time between two digests, in nanoseconds
	random *rand.Rand
	bucket bucket

	at    time.Duration // when the node does next what do says
	do    func(*node)
	next  time.Duration   // when the next digest arrives
	queue []time.Duration // when those arrived that wait
	batch []time.Duration // when the digests of the append arrived
}

// never is after everything.
const never = time.Duration(math.MaxInt64)

// run is one run of a model.
type run struct {
	Model
	result Result
	nodes  []*node
	free   time.Duration // when the row is unlocked
	size   int           // of the log
	disk   *rand.Rand
}

// Simulate runs the model. The same model gives the same result.
func (m Model) Simulate() Result {
	s := &run{Model: m, disk: rand.New(rand.NewPCG(m.Seed, 0))}
	for i, trip := range m.Trips {
		n := &node{
			trip:   trip,
			gap:    float64(time.Second) * float64(len(m.Trips)) / m.Rate,
			random: rand.New(rand.NewPCG(m.Seed, uint64(i+1))),
			bucket: bucket{tokens: float64(m.Tokens), burst: float64(m.Burst), refill: float64(m.Refill)},
		}
		s.nodes = append(s.nodes, n)
		s.arrive(n)
		s.sleep(n)
	}
	for {
		first := slices.MinFunc(s.nodes, func(a, b *node) int { return cmp.Compare(a.at, b.at) })
		if first.at == never {
			break
		}
		first.do(first)
	}
	s.result.Took = m.Length - m.Warm
	return s.result
}

// arrive moves on to the node's next digest.
func (s *run) arrive(n *node) {
	n.next += time.Duration(n.random.ExpFloat64() * n.gap)
	if n.next >= s.Length {
		n.next = never
	}
}

// sleep is the node without digests: the next one wakes it.
func (s *run) sleep(n *node) {
	n.at = n.next
	n.do = s.pace
}

// pace is the node before it takes what is waiting: an empty bucket costs the time of one refill.
func (s *run) pace(n *node) {
	if s.Refill > 0 && n.bucket.at(n.at) < 1 {
		n.at += time.Second / time.Duration(s.Refill)
	}
	n.do = s.take
}

// take is the node taking all that arrived, as one append.
func (s *run) take(n *node) {
	s.collect(n, n.at, waiting+1)
	n.batch, n.queue = n.queue, n.batch[:0]
	if len(n.batch) == 0 {
		s.sleep(n)
		return
	}
	for range s.entries(n) {
		n.bucket.take(n.at)
	}
	n.at += time.Duration(len(n.batch))*s.Digest + time.Duration(s.Before)*(n.trip+s.Server) + n.trip/2
	n.do = s.append
}

// collect queues what arrives until a time, or until some are queued.
func (s *run) collect(n *node, until time.Duration, goal int) {
	for n.next <= until && len(n.queue) < goal {
		if len(n.queue) < waiting {
			n.queue = append(n.queue, n.next)
		} else if n.next >= s.Warm {
			s.result.Refused++
		}
		s.arrive(n)
	}
}

// entries is the number of entries that the node's batch becomes.
func (s *run) entries(n *node) int {
	return (len(n.batch) + calendar.MaxBatch - 1) / calendar.MaxBatch
}

// append is the statement that locks the row reaching the database, and all that comes of it. The
// database gives the row to those who wait for it in the order in which they asked.
func (s *run) append(n *node) {
	locked := n.at
	if s.free > n.at {
		locked = s.free + s.Pass
	}
	if locked-n.at > lockWithin {
		n.at += lockWithin + n.trip/2
		n.do = s.fail
		return
	}
	entries := s.entries(n)
	tiles := (s.size+entries)/tileEntries - s.size/tileEntries
	statements := s.Locked + entries - 1 + tiles*s.Tile
	s.size += entries
	s.free = locked + s.Server + time.Duration(statements)*(n.trip+s.Server) + s.flush()

	if locked >= s.Warm && locked < s.Length {
		s.result.Commits++
		s.result.Entries += entries
	}
	s.result.Held += max(0, min(s.free, s.Length)-max(locked, s.Warm))
	n.at = s.free + n.trip/2
	n.do = s.answer
}

// flush is how long one commit waits for the disk.
func (s *run) flush() time.Duration {
	tail := s.Tail * float64(s.Flush)
	return s.Flush - time.Duration(tail) + time.Duration(tail*s.disk.ExpFloat64())
}

// answer is the node learning that its append is on disk.
func (s *run) answer(n *node) {
	for _, arrived := range n.batch {
		if arrived < s.Warm {
			continue
		}
		s.result.Digests++
		latency := n.at - arrived
		if latency > patience {
			s.result.Late++
		}
		s.result.add(latency)
	}
	s.rest(n)
}

// fail is the node learning that its append is not, and telling its clients.
func (s *run) fail(n *node) {
	for _, arrived := range n.batch {
		if arrived >= s.Warm {
			s.result.Refused++
		}
	}
	s.rest(n)
}

// rest is the node's pause after an append of many.
func (s *run) rest(n *node) {
	if len(n.batch) > crowd {
		s.collect(n, n.at, waiting+1)
		if goal := (len(n.batch) + len(n.queue)) * 3 / 4; len(n.queue) < goal {
			end := n.at + maxGather
			s.collect(n, end, goal)
			if len(n.queue) >= goal {
				end = n.queue[len(n.queue)-1]
			}
			n.at = end
		}
	}
	n.do = s.pace
}

// bucket is a token bucket.
type bucket struct {
	tokens, burst, refill float64
	last                  time.Duration
}

// at is the number of tokens at a time that is not before the last one.
func (b *bucket) at(now time.Duration) float64 {
	b.tokens = min(b.burst, b.tokens+b.refill*(now-b.last).Seconds())
	b.last = now
	return b.tokens
}

// take takes a token if there is one.
func (b *bucket) take(now time.Duration) {
	if b.at(now) >= 1 {
		b.tokens--
	}
}
