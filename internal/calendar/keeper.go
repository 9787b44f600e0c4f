package calendar

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/datestone/datestone/internal/account"
)

// StampStore keeps stamps. store.DB is one.
type StampStore interface {
	// AppendStamps decides each request in its turn and adds what it admits to the log, in one
	// transaction, and returns the results only after all is on disk.
	AppendStamps(ctx context.Context, now time.Time, creates []account.Create) ([]account.Result, error)
}

const (
	// MaxItems is the largest number of stamps in one request.
	MaxItems = 10_000
	// commitItems is how many stamps one transaction takes, unless a single request has more.
	commitItems = 4 * MaxBatch
	// waitingItems is how many stamps may wait; more are refused.
	waitingItems = 16 * MaxItems
)

// Keeper commits stamps that are kept for accounts, as Calendar commits digests that are not: Create waits, Run
// commits together what came in while it committed before. Make one with NewKeeper.
type Keeper struct {
	store  StampStore
	config Config
	wake   chan struct{} // holds one token when queue may not be empty

	mu      sync.Mutex // guards what follows
	queue   []*creation
	items   int // in the queue
	stopped bool
}

// creation is a request that waits. result is set before done is closed.
type creation struct {
	create account.Create
	result account.Result
	done   chan struct{}
}

// NewKeeper makes a keeper over a store. It does nothing until Run.
func NewKeeper(store StampStore, config Config) *Keeper {
	config = config.withDefaults()
	return &Keeper{
		store: store, config: config, wake: make(chan struct{}, 1),
	}
}

// Create makes stamps. It returns only after they are on disk, with an error of account, or ErrUnavailable, which
// means that nothing was acknowledged. With an idempotency key it may be asked again.
func (k *Keeper) Create(ctx context.Context, c account.Create) (account.Created, error) {
	w := &creation{create: c, done: make(chan struct{})}
	if err := k.join(w); err != nil {
		return account.Created{}, err
	}
	select {
	case <-w.done:
		return w.result.Created, w.result.Err
	case <-ctx.Done():
		return account.Created{}, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
}

func (k *Keeper) join(w *creation) error {
	n := w.create.Count()
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case n == 0 || n > MaxItems:
		return fmt.Errorf("%w: a request has 1 to %d items, not %d", account.ErrItem, MaxItems, n)
	case k.stopped:
		return fmt.Errorf("%w: stopping", ErrUnavailable)
	case k.items+n > waitingItems:
		return fmt.Errorf("%w: %d stamps are waiting", ErrUnavailable, k.items)
	}
	k.queue = append(k.queue, w)
	k.items += n
	select {
	case k.wake <- struct{}{}:
	default:
	}
	return nil
}

// take removes the requests of one transaction from the queue.
func (k *Keeper) take() []*creation {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, items := 0, 0
	for n < len(k.queue) && (n == 0 || items+k.queue[n].create.Count() <= commitItems) {
		items += k.queue[n].create.Count()
		n++
	}
	taken := k.queue[:n:n]
	k.queue, k.items = k.queue[n:], k.items-items
	return taken
}

// Run commits requests until ctx is done, then commits what was accepted before and returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		select {
		case <-k.wake:
		case <-ctx.Done():
			k.mu.Lock()
			k.stopped = true
			k.mu.Unlock()
		}
		for k.waiting() > 0 {
			pace(ctx, k.config.Bucket) // at once when it stops
			k.commit(context.WithoutCancel(ctx), k.take())
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// waiting is how many requests wait.
func (k *Keeper) waiting() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.queue)
}

// commit makes the requests durable, together, and answers them.
func (k *Keeper) commit(ctx context.Context, taken []*creation) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, k.config.Patience)
	defer cancel()
	creates := make([]account.Create, len(taken))
	items := 0
	for i, w := range taken {
		creates[i] = w.create
		items += w.create.Count()
	}
	for range max(1, (items+MaxBatch-1)/MaxBatch) { // at most as many entries
		k.config.Bucket.Allow()
	}
	results, err := k.store.AppendStamps(ctx, start, creates)
	k.config.Observe(items, time.Since(start), err)
	for i, w := range taken {
		switch {
		case err == nil:
			w.result = results[i]
		case errors.Is(err, account.ErrInProgress) && w.create.Key != "":
			w.result.Err = err
		case errors.Is(err, account.ErrInProgress): // it has no key that another request could have
			w.result.Err = fmt.Errorf("%w: %v", ErrUnavailable, err)
		default:
			w.result.Err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		close(w.done)
	}
	if err != nil {
		k.config.Log.Warn("stamps were not committed; their clients were told to try again", "stamps", items, "err", err)
	}
}
