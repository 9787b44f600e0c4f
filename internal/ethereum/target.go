package ethereum

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
)

// Store keeps what a target knows: attempts and attestations. store.DB is one. Every verb that writes is one
// transaction; after an error it may have happened.
type Store interface {
	AttemptStore
	AttestationStore
	// PinTarget ties the target to its chain for good and returns the one that it is tied to.
	PinTarget(ctx context.Context, now time.Time, target, chain string) (string, error)
}

// AttemptStore keeps attempts.
type AttemptStore interface {
	// Unsettled are the attempts that may still change the best chain, with all of their sets; oldest first.
	Unsettled(ctx context.Context, target string) ([]anchor.Attempt, error)
	// SettledFees are what attempts of a purpose, or of all when it is empty, cost that were settled since.
	SettledFees(ctx context.Context, target, purpose string, since time.Time) (int64, error)
	LastAttempt(ctx context.Context, target, purpose string) (anchor.Attempt, bool, error)
	MarkSent(ctx context.Context, now time.Time, id int64) error
	// Abandon marks the live attempts of a set dead: something else used what they use.
	Abandon(ctx context.Context, now time.Time, target, set string, height int64) error
}

// AttestationStore keeps attestations without following blocks.
type AttestationStore interface {
	// Confirm records that an attempt is in a block, and what it cost.
	Confirm(ctx context.Context, now time.Time, target string, a logtree.Attestation, fee int64) error
	// Settle counts what is in blocks up to a height, and returns what it counted. tip is the best block's height.
	Settle(ctx context.Context, now time.Time, target string, tip, deep int64) ([]logtree.Attestation, error)
	// Withdraw takes back what is in a block that left the best chain, and returns what had counted.
	Withdraw(ctx context.Context, now time.Time, target string, height int64, block [32]byte) ([]logtree.Attestation, error)
	// Standing are attestations below a height that are not withdrawn, highest first.
	Standing(ctx context.Context, target string, below int64, limit int) ([]logtree.Attestation, error)
}

// Target is an Ethereum-like chain that attests to heads of the log, and to seeds. It implements [anchor.Target].
type Target struct {
	name   string
	config Config
	store  Store
	node   node
	key    *btcec.PrivateKey
	from   address
	to     address
	log    *slog.Logger

	// Of the goroutine that calls the methods. All can be lost.
	pinned   bool
	seen     view // in the last step; its latest block has number 0 before the first
	looked   bool
	offer    offer            // for the next transaction
	nextSend time.Time        // when to give the node our transactions again; zero is at once
	since    map[string]int64 // height at which a transaction was seen first without a block
	cheap    map[string]bool  // transactions that the node found too cheap when it saw them last
	refusals map[string]int   // how often the node refused a transaction, in a row
	taken    map[string]int64 // sets whose nonce something else used, and the height at which that was seen
	settled  int64            // height up to which everything was settled
}

var _ anchor.Target = (*Target)(nil)

// New makes the target. It asks the node nothing.
func New(c Config, store Store, log *slog.Logger) (*Target, error) {
	if err := c.complete(); err != nil {
		return nil, fmt.Errorf("target %s: %w", cmp.Or(c.Name, "ethereum"), err)
	}
	client, err := newRPC(c)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", c.Name, err)
	}
	if log == nil {
		log = slog.Default()
	}
	t := &Target{
		name: c.Name, config: c, store: store, node: node{client}, log: log.With("target", c.Name),
		since: make(map[string]int64), cheap: make(map[string]bool), refusals: make(map[string]int), taken: make(map[string]int64), settled: -1,
	}
	if t.key, err = readKeyFile(c.KeyFile); err != nil {
		return nil, fmt.Errorf("target %s: %w", c.Name, err)
	}
	t.from = addressOf(t.key.PubKey())
	if t.to, err = t.config.to(); err != nil {
		return nil, err
	}
	if t.to == (address{}) {
		t.to = t.from
	}
	return t, nil
}

// Close gives connections back.
func (t *Target) Close() { t.node.http.CloseIdleConnections() }

// Check implements [anchor.Target].
func (t *Target) Check(ctx context.Context, now time.Time) error {
	if err := t.look(ctx, now); err != nil {
		t.pinned = false // what answers next may be another node
		return err
	}
	if err := t.follow(ctx, now); err != nil {
		return err
	}
	if t.seen.syncing {
		return anchor.Faultf(anchor.NodeSyncing, nil, "The node at %s is downloading the chain, and is at block %d; waiting.", t.node.shown, t.seen.latest.Number)
	}
	return t.resend(ctx, now)
}

// look asks the node how things are, and refuses one of another chain.
func (t *Target) look(ctx context.Context, now time.Time) error {
	v, err := t.node.look(ctx, t.from, t.config.Finalized)
	if err != nil {
		return err
	}
	if v.chain != t.config.ChainID {
		return anchor.Faultf(anchor.WrongNetwork, nil, "The node at %s is on chain %d, and chain_id is %d: correct rpc_url or chain_id. Nothing is sent.", t.node.shown, v.chain, t.config.ChainID)
	}
	if !t.pinned {
		if v.genesis == nil {
			return anchor.Faultf(anchor.NodePruned, nil, "The node at %s does not have the chain's first block, by which the chain is known; use one that has it.", t.node.shown)
		}
		chain := fmt.Sprintf("eip155:%d:%v", v.chain, v.genesis.Hash)
		pinned, err := t.store.PinTarget(ctx, now, t.name, chain)
		if err != nil {
			return err
		}
		if pinned != chain {
			return anchor.Faultf(anchor.WrongNetwork, nil, "The database has attestations of another chain under the name %s (%s, and the node is on %s): correct rpc_url, or give this chain another name. Nothing is sent.", t.name, pinned, chain)
		}
		t.pinned = true
	}
	if v.latest.Hash != t.seen.latest.Hash {
		// What the node refused or thought too cheap may be different now.
		t.nextSend = time.Time{}
		clear(t.cheap)
	}
	t.seen, t.looked = v, true
	t.offer = t.want()
	return nil
}

// final is the height up to which attestations count, or less than 0.
func (t *Target) final() int64 {
	if t.config.Finalized {
		return t.seen.final
	}
	return int64(t.seen.latest.Number) - int64(t.config.Confirmations) + 1
}

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// Status implements [anchor.Target]. It asks the node nothing.
func (t *Target) Status(ctx context.Context, now time.Time) (anchor.Status, error) {
	s := anchor.Status{
		Network: fmt.Sprintf("chain %d", t.config.ChainID), TestNetwork: t.config.IsTest(), Height: -1,
		Address: t.from.String(), Balance: t.seen.balance, FeeRate: float64(t.offer.price) / weiPerGwei, Currency: t.config.Currency, Kind: logtree.Ethereum, Unit: "gwei",
	}
	if t.config.ChainID == 1 {
		s.Network = "mainnet"
	}
	if !t.config.Finalized {
		s.Confirmations = t.config.Confirmations
	}
	if t.looked {
		s.Height, s.NodeHeight, s.Block = int64(t.seen.latest.Number), int64(t.seen.latest.Number), t.seen.latest.Hash.String()
	}
	attempts, err := t.store.Unsettled(ctx, t.name)
	if err != nil {
		return s, err
	}
	sets := group(attempts)
	if s.FeesDay, s.FeesWeek, err = t.fees(ctx, now, sets, ""); err != nil {
		return s, err
	}
	if last, found, err := t.store.LastAttempt(ctx, t.name, anchor.PurposeLog); err != nil {
		return s, err
	} else if found {
		s.Ref = last.Ref
	}
	s.Waiting, s.Tip = waiting(of(anchor.PurposeLog, sets), s.Height)
	if t.carriesSeeds() {
		s.Seeds = &anchor.Seeded{}
		sets = of(anchor.PurposeSeed, sets)
		s.Seeds.Waiting, _ = waiting(sets, s.Height)
		if s.Seeds.FeesDay, s.Seeds.FeesWeek, err = t.fees(ctx, now, sets, anchor.PurposeSeed); err != nil {
			return s, err
		}
	}
	if n := len(s.Waiting); n == 1 {
		s.Message = "Waiting for a transaction to be mined and final."
	} else if n > 1 {
		s.Message = fmt.Sprintf("Waiting for %d transactions to be mined and final.", n)
	}
	return s, nil
}

// waiting are the transactions of sets that do not count yet, and the root in the one that no block has.
func waiting(sets []set, height int64) (all []anchor.Waiting, tip string) {
	for _, set := range sets {
		a, mined := set.mined()
		if !mined {
			if a, mined = set.newest(); !mined {
				continue
			}
		}
		w := anchor.Waiting{Ref: a.Ref}
		if a.State == anchor.Mined {
			w.Height, w.Confirmations = a.Height, max(0, height-a.Height+1)
		} else if a.State == anchor.Live {
			tip = fmt.Sprintf("%x", a.Head.Root)
		} else {
			continue
		}
		all = append(all, w)
	}
	return all, tip
}
