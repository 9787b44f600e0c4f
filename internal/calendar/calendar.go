// Package calendar turns a digest into a durable log entry, and an entry into its proof. It knows no
// HTTP, no SQL and no chain.
//
// Submit puts a digest into the open batch and waits. Run, in one goroutine, takes the batch, hands
// its root to the store, and wakes the waiters once the entry is on disk: the first digest after a
// quiet time is committed at once, and under load a batch is what came in while the one before it was
// being written. Proof only reads.
package calendar

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/ots"
)

const (
	// MaxDigest is the largest digest that is accepted, in bytes.
	MaxDigest = 64
	// MaxBatch is the largest number of digests in a batch.
	MaxBatch = 1 << 12
	// MaxProof is the largest proof that is answered, in bytes: more than clients read.
	MaxProof = 10_000
	// DeepBlocks is how deep a block must be for a proof that ends in it to be final.
	DeepBlocks = 100

	nonceSize = 16
)

var (
	// ErrDigestTooLong says that a digest is longer than MaxDigest.
	ErrDigestTooLong = errors.New("digest too long")
	// ErrUnavailable says that the digest was not acknowledged and may be sent again.
	ErrUnavailable = errors.New("the calendar cannot commit now, try again")
	// ErrUnknown says that a commitment was never given out.
	ErrUnknown = logtree.ErrUnknown
)

// Store keeps the log. store.DB is one.
type Store interface {
	// Append adds an entry for each tip and returns them only after all are on disk.
	Append(ctx context.Context, now time.Time, tips [][32]byte) ([]logtree.Entry, error)
	// Find returns a reader of the nodes of the entry's epoch, or an error that is ErrUnknown when
	// the log does not have exactly this entry.
	Find(ctx context.Context, e logtree.Entry) (logtree.Reader, error)
	// Attestations returns for each target what a proof of the entry at p uses, lowest block first.
	Attestations(ctx context.Context, p logtree.Position) ([]logtree.Attestation, error)
	// Promises returns what other calendars promised of heads above p, smallest head first.
	Promises(ctx context.Context, p logtree.Position) ([]logtree.Promise, error)
}

// Config are the calendar's settings; the zero value of each means its default.
type Config struct {
	// Burst is the number of entries that may be appended without a delay. Default 10,000.
	Burst int
	// Rate is the number of entries a second at which the burst refills; when it is used up, a batch
	// waits for at most a second divided by Rate. Default 50.
	Rate int
	// Bucket, when set, has the burst and the rate for several that append to one log, in place of Burst and Rate.
	Bucket *rate.Limiter
	// Waiting is the number of digests that may wait for a commit; more are refused. Default 65,536.
	Waiting int
	// Patience bounds how long a batch, and so a digest, waits to be committed. Default 10 s.
	Patience time.Duration
	// Observe, when set, is told of each commit: how many digests, how long, and its error.
	Observe func(digests int, took time.Duration, err error)
	// Log receives commits that failed. Default slog.Default().
	Log *slog.Logger
}

func (config Config) withDefaults() Config {
	if config.Burst == 0 {
		config.Burst = 10_000
	}
	if config.Rate == 0 {
		config.Rate = 50
	}
	if config.Bucket == nil {
		config.Bucket = rate.NewLimiter(rate.Limit(config.Rate), config.Burst)
	}
	if config.Waiting == 0 {
		config.Waiting = 65_536
	}
	if config.Patience == 0 {
		config.Patience = 10 * time.Second
	}
	if config.Observe == nil {
		config.Observe = func(int, time.Duration, error) {}
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	return config
}

// Calendar commits digests to a log. Make one with New.
type Calendar struct {
	store    Store
	config   Config
	wake     chan struct{} // holds one token when batches may not be empty
	gathered chan struct{} // holds one token when waiting has reached goal

	lost   int // digests whose failed commit is not logged yet; of the goroutine of Run, as logged
	logged time.Time

	mu      sync.Mutex // guards what follows
	batches []*batch   // oldest first; only the last takes more digests
	waiting int        // digests in batches
	goal    int        // of waiting, that gathered tells; 0 while nobody asks
	stopped bool
}

// batch is a set of digests that become one entry. leaves grows under Calendar.mu until Run takes
// the batch.
type batch struct {
	leaves   [][32]byte
	patience *time.Timer // fails the batch unless it is stopped

	settled sync.Once
	done    chan struct{} // closed when the outcome is set, after which it does not change
	outcome outcome
}

// outcome is what became of a batch.
type outcome struct {
	tree  *ots.Tree
	entry logtree.Entry
	err   error
}

// settle wakes the waiters. Only the first outcome counts: a commit that comes after the patience ran
// out is one that nobody waits for any more.
func (b *batch) settle(o outcome) {
	b.settled.Do(func() {
		b.outcome = o
		close(b.done)
	})
}

// New makes a calendar over a store. It does nothing until Run.
func New(store Store, config Config) *Calendar {
	config = config.withDefaults()
	return &Calendar{
		store:    store,
		config:   config,
		wake:     make(chan struct{}, 1),
		gathered: make(chan struct{}, 1),
	}
}

// Receipt is what a submission got.
type Receipt struct {
	// Path is the operations from the digest to the entry, in wire form.
	Path  []byte
	Entry logtree.Entry
}

// Submit adds a digest of at most MaxDigest bytes to the log. It returns only after the entry that
// holds it is on disk. ErrUnavailable means that nothing was acknowledged.
func (c *Calendar) Submit(ctx context.Context, digest []byte) (Receipt, error) {
	if len(digest) > MaxDigest {
		return Receipt{}, ErrDigestTooLong
	}
	var message [MaxDigest + nonceSize]byte
	n := copy(message[:], digest)
	nonce := message[n : n+nonceSize]
	rand.Read(nonce)

	b, i, err := c.join(sha256.Sum256(message[:n+nonceSize]))
	if err != nil {
		return Receipt{}, err
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		return Receipt{}, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
	if err := b.outcome.err; err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return Receipt{Path: path(nonce, b.outcome.tree, i, b.outcome.entry), Entry: b.outcome.entry}, nil
}

// path is the operations from the i-th digest of a batch to the batch's entry.
func path(nonce []byte, tree *ots.Tree, i int, e logtree.Entry) []byte {
	const room = 512 // for the path of the largest batch, and for what a caller adds
	b := make([]byte, 0, room)
	b = append(append(b, byte(ots.OpAppend), nonceSize), nonce...)
	b = append(b, byte(ots.OpSHA256))
	b = append(b, tree.Path(i).Bytes()...)
	position := e[:8]
	return append(append(b, byte(ots.OpPrepend), byte(len(position))), position...)
}

// join puts a leaf into the open batch and returns the batch with the leaf's index.
func (c *Calendar) join(leaf [32]byte) (*batch, int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stopped:
		return nil, 0, fmt.Errorf("%w: stopping", ErrUnavailable)
	case c.waiting >= c.config.Waiting:
		return nil, 0, fmt.Errorf("%w: %d digests are waiting", ErrUnavailable, c.waiting)
	}
	if len(c.batches) == 0 || len(c.batches[len(c.batches)-1].leaves) == MaxBatch {
		b := &batch{done: make(chan struct{})}
		b.patience = time.AfterFunc(c.config.Patience, func() {
			b.settle(outcome{err: fmt.Errorf("the commit takes longer than %v", c.config.Patience)})
		})
		c.batches = append(c.batches, b)
	}
	b := c.batches[len(c.batches)-1]
	b.leaves = append(b.leaves, leaf)
	c.waiting++
	if c.waiting == c.goal {
		c.goal = 0
		select {
		case c.gathered <- struct{}{}:
		default:
		}
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return b, len(b.leaves) - 1, nil
}

// take removes the batches that wait, after which they take no more digests.
func (c *Calendar) take() []*batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.batches
	c.batches, c.waiting, c.goal = nil, 0, 0
	select {
	case <-c.gathered:
	default:
	}
	return taken
}

// Run commits batches until ctx is done, then commits what was accepted before and returns nil.
func (c *Calendar) Run(ctx context.Context) error {
	for {
		select {
		case <-c.wake:
		case <-ctx.Done():
			c.mu.Lock()
			c.stopped = true
			c.mu.Unlock()
			c.drain(ctx)
			return nil
		}
		c.drain(ctx)
	}
}

// drain commits batches until there is none.
func (c *Calendar) drain(ctx context.Context) {
	for {
		pace(ctx, c.config.Bucket)
		batches := c.take()
		if len(batches) == 0 {
			return
		}
		if digests := c.commit(context.WithoutCancel(ctx), batches); digests > crowd {
			c.gather(digests)
		}
	}
}

const (
	// crowd is how many digests in one commit show that there is load.
	crowd     = 8
	maxGather = 4 * time.Millisecond
)

// gather waits after a commit under load, whose clients are about to send more, until three quarters of all clients
// wait, at most maxGather: more digests share the cost of the next commit, and the last clients are served beside it.
func (c *Calendar) gather(answered int) {
	c.mu.Lock()
	goal := (answered + c.waiting) * 3 / 4
	reached := c.waiting >= goal
	if !reached {
		c.goal = goal
	}
	c.mu.Unlock()
	if reached {
		return
	}
	timer := time.NewTimer(maxGather)
	defer timer.Stop()
	select {
	case <-c.gathered:
	case <-timer.C:
	}
}

// pace waits while the token bucket is empty, at most one refill.
func pace(ctx context.Context, bucket *rate.Limiter) {
	if bucket.Tokens() >= 1 {
		return
	}
	wait := time.NewTimer(time.Duration(float64(time.Second) / float64(bucket.Limit())))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
}

// commit makes the batches durable, together, and wakes their waiters. A failure is theirs alone: the
// loop goes on.
func (c *Calendar) commit(ctx context.Context, batches []*batch) (digests int) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.config.Patience)
	defer cancel()

	tips := make([][32]byte, len(batches))
	trees := make([]*ots.Tree, len(batches))
	for i, b := range batches {
		c.config.Bucket.Allow()
		trees[i] = ots.MerkleTree(b.leaves)
		tips[i] = trees[i].Root()
		digests += len(b.leaves)
	}
	entries, err := c.store.Append(ctx, start, tips)
	for i, b := range batches {
		b.patience.Stop()
		if err != nil {
			b.settle(outcome{err: err})
		} else {
			b.settle(outcome{tree: trees[i], entry: entries[i]})
		}
	}
	c.config.Observe(digests, time.Since(start), err)
	if err != nil {
		c.failed(digests, err)
	}
	return digests
}

// failedEvery is how often failed commits are logged: while the store refuses all, there are many.
const failedEvery = time.Second

// failed logs that a commit failed, with those that were not logged before. Run alone calls it.
func (c *Calendar) failed(digests int, err error) {
	c.lost += digests
	if time.Since(c.logged) < failedEvery {
		return
	}
	c.config.Log.Warn("digests were not committed; their clients were told to try again", "digests", c.lost, "err", err)
	c.lost, c.logged = 0, time.Now()
}
