package anchor

import (
	"errors"
	"fmt"
	"time"

	"github.com/datestone/datestone/internal/logtree"
)

// Code names the state of a target for programs; Status.Message says the same to people.
type Code string

const (
	// OK: the target follows its chain and has nothing to complain about.
	OK Code = "ok"
	// Starting: the target has not been asked anything yet.
	Starting Code = "starting"
	// NodeDown: the node does not answer.
	NodeDown Code = "node_down"
	// NodeAuth: the node refuses our user, password or cookie.
	NodeAuth Code = "node_auth"
	// NodeWarmup: the node has just been started and is loading.
	NodeWarmup Code = "node_warmup"
	// NodeSyncing: the node is still downloading the chain.
	NodeSyncing Code = "node_syncing"
	// NodeBehind: the node's best block is an ancestor of one that was seen already.
	NodeBehind Code = "node_behind"
	// NodeStaleFork: the node follows a chain with less work than one that was seen already.
	NodeStaleFork Code = "node_stale_fork"
	// NodePruned: the node has deleted a block that is still needed.
	NodePruned Code = "node_pruned"
	// NodeError: the node answered what nobody expects of it.
	NodeError Code = "node_error"
	// WrongNetwork: the node is on another network than configured, or than the database is pinned to.
	WrongNetwork Code = "wrong_network"
	// Scanning: the follower is catching up with the node.
	Scanning Code = "scanning"
	// NoFunds: the wallet cannot pay for the next transaction.
	NoFunds Code = "no_funds"
	// FeeCap: the next transaction would cost more than one may.
	FeeCap Code = "fee_cap"
	// DayCap: the next transaction would exceed what may be spent in 24 hours.
	DayCap Code = "day_cap"
	// WalletLocked: the node's wallet is encrypted and locked.
	WalletLocked Code = "wallet_locked"
	// WalletMissing: the node has no such wallet, or none at all.
	WalletMissing Code = "wallet_missing"
	// Refused: the node refuses our transaction.
	Refused Code = "tx_refused"
	// Underpriced: the node finds our transaction too cheap, and another would cost more than one may.
	Underpriced Code = "tx_underpriced"
	// NonceTaken: something else uses the account that pays, or what comes before our transaction is missing.
	NonceTaken Code = "nonce_taken"
	// CalendarsFew: fewer calendars than configured accept heads.
	CalendarsFew Code = "calendars_few"
	// HeadersDown: too few sources of block headers answer, so no attestation can be checked.
	HeadersDown Code = "headers_down"
	// HeadersDisagree: sources of block headers name different blocks.
	HeadersDisagree Code = "headers_disagree"
	// StoreFailed: the database cannot be read or written.
	StoreFailed Code = "store_failed"
	// Removed: the target is not configured any more.
	Removed Code = "removed"
)

// NeedsPerson says whether the state ends only when somebody does something.
func (c Code) NeedsPerson() bool {
	switch c {
	case NodeAuth, NodePruned, WrongNetwork, NoFunds, FeeCap, WalletLocked, WalletMissing, Refused, Underpriced, NonceTaken:
		return true
	}
	return c.printedNeedsPerson()
}

// Status is what a target says of itself, for status pages and metrics. Amounts are in the target's
// smallest unit (satoshi), hashes of blocks and transactions in the usual, reversed hexadecimal.
type Status struct {
	Target        string       `json:"target"`  // its name in the configuration
	Network       string       `json:"network"` // mainnet, testnet4, signet or regtest
	TestNetwork   bool         `json:"test_network"`
	Code          Code         `json:"code"`
	Message       string       `json:"message"`               // a sentence; what to do, if anything
	Height        int64        `json:"height"`                // of the best block that was followed; -1 before the first
	Block         string       `json:"block,omitempty"`       // its hash
	NodeHeight    int64        `json:"node_height"`           // of the node's best block
	Confirmations int          `json:"confirmations"`         // that an attestation needs to count
	Balance       int64        `json:"balance"`               // confirmed coins
	Address       string       `json:"address,omitempty"`     // where to send coins to
	Unit          string       `json:"unit,omitempty"`        // of amounts, if not satoshi
	FeeRate       float64      `json:"fee_rate"`              // satoshi per virtual byte that the next transaction would pay
	FeesDay       int64        `json:"fees_day"`              // spent and reserved in the last 24 hours, for seeds as well
	FeesWeek      int64        `json:"fees_week"`             // the same of seven days
	Ref           string       `json:"transaction,omitempty"` // most recent transaction
	Tip           string       `json:"tip,omitempty"`         // the 32-byte root, in hexadecimal, in the transaction that no block has yet
	Waiting       []Waiting    `json:"waiting,omitempty"`     // transactions of the log without the required confirmations, oldest first
	Attested      []Attested   `json:"attested,omitempty"`    // by epoch
	Kind          logtree.Kind `json:"kind,omitempty"`        // of its attestations, where that is not Bitcoin
	Currency      int          `json:"currency,omitempty"`    // OriginStamp's number for the chain
	Seeds         *Seeded      `json:"seeds,omitempty"`       // of a target that carries seeds
	Printed       *Printed     `json:"printed,omitempty"`     // of a target that is printed; it has no chain
	Calendars     []Calendar   `json:"calendars,omitempty"`   // that heads are given to, and those that are asked for them
	LastError     string       `json:"last_error,omitempty"`
	LastErrorAt   time.Time    `json:"last_error_at,omitzero"`
	Updated       time.Time    `json:"updated"`
}

// Waiting is a transaction that waits for confirmations.
type Waiting struct {
	Ref           string `json:"transaction"`
	Height        int64  `json:"height,omitempty"` // of its block; 0 while it has none
	Confirmations int64  `json:"confirmations"`
}

// CalendarCode names the state of another calendar.
type CalendarCode string

const (
	// CalendarOK: its last answer was of use, or it was not asked yet.
	CalendarOK CalendarCode = "ok"
	// CalendarDown: it cannot be reached.
	CalendarDown CalendarCode = "down"
	// CalendarSlow: it did not answer in time.
	CalendarSlow CalendarCode = "slow"
	// CalendarRefuses: it answered with an error.
	CalendarRefuses CalendarCode = "refuses"
	// CalendarGarbage: its answer cannot be read, or makes proofs that clients cannot read.
	CalendarGarbage CalendarCode = "garbage"
	// CalendarForeign: it names a calendar that may not be asked.
	CalendarForeign CalendarCode = "foreign"
	// CalendarForgot: it does not know what it promised.
	CalendarForgot CalendarCode = "forgot"
	// CalendarWrong: it gave an attestation that contradicts the block.
	CalendarWrong CalendarCode = "wrong"
)

// Calendar is another calendar that attests heads.
type Calendar struct {
	URL      string       `json:"url"`
	Accepts  bool         `json:"accepts"` // heads are given to it; else it is only asked
	Code     CalendarCode `json:"code"`
	Message  string       `json:"message,omitempty"` // a sentence; what to do
	Since    time.Time    `json:"since,omitzero"`    // when it came into this state, if not at start
	Accepted time.Time    `json:"accepted,omitzero"` // when it accepted a head last
	Size     int64        `json:"size,omitempty"`    // of that head
}

// Attested says how far an epoch of the log is attested.
type Attested struct {
	Epoch   int   `json:"epoch"`
	Size    int64 `json:"size"`    // of the epoch's tree
	Counted int64 `json:"counted"` // entries below this have an attestation that counts
	Mined   int64 `json:"mined"`   // entries below this have one in the best chain at any depth
	Sent    int64 `json:"sent"`    // entries below this are in a transaction that may be mined
}

// Fault is an error that is a named state of a target. Its message is a sentence for the operator.
type Fault struct {
	Code    Code
	Message string
	Err     error  // the cause; may be nil
	Purpose string // of what it keeps from going out; empty for everything
}

func (f *Fault) Error() string {
	if f.Err == nil {
		return f.Message
	}
	return fmt.Sprintf("%s: %v", f.Message, f.Err)
}

func (f *Fault) Unwrap() error { return f.Err }

// Faultf makes a fault; the cause may be nil.
func Faultf(code Code, cause error, format string, args ...any) *Fault {
	return &Fault{Code: code, Message: fmt.Sprintf(format, args...), Err: cause}
}

// CodeOf is the state that an error stands for: OK for nil, StoreFailed for an error that is no
// fault, which only the store returns.
func CodeOf(err error) Code {
	var f *Fault
	switch {
	case err == nil:
		return OK
	case errors.As(err, &f):
		return f.Code
	}
	return StoreFailed
}
