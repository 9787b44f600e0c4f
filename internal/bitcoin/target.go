package bitcoin

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin/ledger"
	"github.com/datestone/datestone/internal/logtree"
)

// Store keeps what a target knows: its chain, coins and attempts. store.DB is one. Every verb that
// writes is one transaction; after an error it may have happened.
type Store interface {
	ChainReader
	ChainWriter
	AttemptStore
	// PinTarget ties the target to its chain's genesis hash for good and returns the one that it is
	// tied to.
	PinTarget(ctx context.Context, now time.Time, target, genesis string) (string, error)
}

// ChainReader reads a chain as it was followed, and the coins found in it.
type ChainReader interface {
	Chain(ctx context.Context, target string) (ledger.Chain, error)
	BlockAt(ctx context.Context, target string, height int64) (ledger.Block, error)
	// Coins are those that no transaction of the best chain spends, lost ones among them.
	Coins(ctx context.Context, target string) ([]ledger.Coin, error)
}

// ChainWriter follows a chain.
type ChainWriter interface {
	StartChain(ctx context.Context, now time.Time, target string, base ledger.Block, coins []ledger.Coin) error
	// ConnectBlock returns what it counted, DisconnectBlock what it withdrew of what once counted.
	ConnectBlock(ctx context.Context, now time.Time, target string, b ledger.Observed, depth int64) ([]logtree.Attestation, error)
	DisconnectBlock(ctx context.Context, now time.Time, target string, b ledger.Block) ([]logtree.Attestation, error)
	AddCoins(ctx context.Context, now time.Time, target string, coins []ledger.Coin) error
}

// AttemptStore keeps attempts.
type AttemptStore interface {
	// Unsettled are the attempts that may still change the best chain, with all of their sets; oldest
	// first.
	Unsettled(ctx context.Context, target string) ([]anchor.Attempt, error)
	// SettledFees are what attempts of a purpose, or of all when it is empty, cost that were settled since.
	SettledFees(ctx context.Context, target, purpose string, since time.Time) (int64, error)
	LastAttempt(ctx context.Context, target, purpose string) (anchor.Attempt, bool, error)
	MarkSent(ctx context.Context, now time.Time, id int64) error
}

// Target is a Bitcoin-like chain that attests to heads of the log, and to seeds. It implements [anchor.Target].
type Target struct {
	name   string
	config Config
	net    network
	store  Store
	node   node
	wallet wallet
	log    *slog.Logger
	// promises is nil where there are none.
	promises Promises
	seeds    bool // it carries them

	// Of the goroutine that calls the methods. All can be lost.
	pinned     bool
	lagging    bool // the node was downloading the chain
	nodeHeight int64
	nextSend   time.Time                // when to give the node our transactions again; zero is at once
	cheap      map[string]bool          // transactions that the node found too cheap when it saw them last
	refusals   map[string]int           // how often the node refused a transaction, in a row
	firm       bool                     // the node, as Litecoin Core by default, replaces no transaction of its mempool
	refusal    map[string]*anchor.Fault // by purpose the one that the status names
	rates      rates
	balance    int64 // of the node's wallet, when its best block was at balanceAt
	balanceAt  int64
}

var _ anchor.Target = (*Target)(nil)

// rates are the fee rates as asked last.
type rates struct {
	at        time.Time
	height    int64
	want      feeRate // for the next transaction
	increment feeRate // that a replacement pays more
}

// New makes the target with this name. It asks the node nothing.
func New(name string, c Config, store Store, log *slog.Logger) (*Target, error) {
	net, err := c.complete()
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", name, err)
	}
	client, err := newRPC(c, net)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", name, err)
	}
	if log == nil {
		log = slog.Default()
	}
	t := &Target{
		name: name, config: c, net: net, store: store, node: node{client}, log: log.With("target", name),
		cheap: make(map[string]bool), refusals: make(map[string]int), refusal: make(map[string]*anchor.Fault),
	}
	if isNodeWallet(c.Wallet) {
		t.wallet = newNodeWallet(c, net, t.node)
	} else if t.wallet, err = newOwnWallet(c, net); err != nil {
		return nil, fmt.Errorf("target %s: %w", name, err)
	}
	return t, nil
}

// Close gives connections back.
func (t *Target) Close() { t.node.http.CloseIdleConnections() }

// Check implements [anchor.Target].
func (t *Target) Check(ctx context.Context, now time.Time) error {
	if err := t.follow(ctx, now); err != nil {
		return err
	}
	if w, ok := t.wallet.(*nodeWallet); ok && (w.to == "" || t.balanceAt != t.nodeHeight) {
		if err := w.learn(ctx); err != nil {
			return err
		}
		balance, err := w.balance(ctx)
		if err != nil {
			return err
		}
		t.balance, t.balanceAt = balance, t.nodeHeight
	}
	return t.resend(ctx, now)
}

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// Status implements [anchor.Target]. It asks the node nothing.
func (t *Target) Status(ctx context.Context, now time.Time) (anchor.Status, error) {
	s := anchor.Status{
		Network: t.config.Network, TestNetwork: t.net.test, Height: -1, NodeHeight: t.nodeHeight,
		Unit: t.net.chain.statusUnit(), Confirmations: t.config.Confirmations, Address: t.wallet.address(), FeeRate: t.rates.want.perByte(),
	}
	chain, err := t.store.Chain(ctx, t.name)
	if err != nil || !chain.Followed {
		return s, err
	}
	s.Height, s.Block = chain.Best.Height, hashText(chain.Best.Hash)
	attempts, err := t.store.Unsettled(ctx, t.name)
	if err != nil {
		return s, err
	}
	if s.FeesDay, s.FeesWeek, err = t.fees(ctx, now, attempts, ""); err != nil {
		return s, err
	}
	if last, found, err := t.store.LastAttempt(ctx, t.name, anchor.PurposeLog); err != nil {
		return s, err
	} else if found {
		s.Ref = last.Ref
	}
	coins, err := t.store.Coins(ctx, t.name)
	if err != nil {
		return s, err
	}
	if s.Balance = t.balance; !isNodeWallet(t.config.Wallet) {
		s.Balance = 0
		for _, c := range coins {
			if c.Height > 0 && c.SpentBy == "" {
				s.Balance += c.Value
			}
		}
	}
	s.Waiting, s.Tip = waiting(attempts, anchor.PurposeLog, chain.Best.Height)
	if t.seeds {
		s.Seeds = &anchor.Seeded{}
		s.Seeds.Waiting, _ = waiting(attempts, anchor.PurposeSeed, chain.Best.Height)
		if s.Seeds.FeesDay, s.Seeds.FeesWeek, err = t.fees(ctx, now, attempts, anchor.PurposeSeed); err != nil {
			return s, err
		}
	}
	if n := len(s.Waiting); n > 0 {
		s.Message = fmt.Sprintf("Waiting for confirmations of %d %s.", n, plural(n, "transaction"))
	}
	return s, nil
}

// waiting are the transactions of a purpose without the required confirmations, and the root in the one that no block has.
func waiting(attempts []anchor.Attempt, purpose string, height int64) (all []anchor.Waiting, tip string) {
	for _, set := range group(attempts) {
		a, ok := set.shown()
		if !ok || a.Purpose != purpose {
			continue
		}
		w := anchor.Waiting{Ref: a.Ref}
		if a.State == anchor.Mined {
			w.Height, w.Confirmations = a.Height, height-a.Height+1
		} else {
			tip = fmt.Sprintf("%x", a.Head.Root)
		}
		all = append(all, w)
	}
	return all, tip
}

// fees are what a purpose, or all when it is empty, cost in a day and in a week, with what is reserved.
func (t *Target) fees(ctx context.Context, now time.Time, attempts []anchor.Attempt, purpose string) (inDay, inWeek int64, err error) {
	if inDay, err = t.store.SettledFees(ctx, t.name, purpose, now.Add(-day)); err != nil {
		return 0, 0, err
	}
	if inWeek, err = t.store.SettledFees(ctx, t.name, purpose, now.Add(-week)); err != nil {
		return 0, 0, err
	}
	open := reserved(attempts, purpose)
	return inDay + open, inWeek + open, nil
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
