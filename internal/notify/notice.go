// Package notify brings notices that are due to who awaits them: at least once, in order for each endpoint. It
// never decides that something happened: the store does, by walking over what targets attest.
package notify

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
)

var (
	// ErrUnknown says that there is no such endpoint.
	ErrUnknown = errors.New("no such endpoint")
	// ErrLimit says that an account has as many endpoints as it may.
	ErrLimit = errors.New("there are as many endpoints as there may be")
	// ErrGone says that the endpoint answered that it wants no more notices.
	ErrGone = errors.New("the endpoint wants no more notices")
)

// Kind is what a notice is about.
type Kind string

const (
	// Anchored: a block has an attestation above the stamp.
	Anchored Kind = "anchored"
	// Confirmed: an attestation above the stamp counts.
	Confirmed Kind = "confirmed"
	// Upgraded: the proof has an attestation that it had not.
	Upgraded Kind = "upgraded"
	// Withdrawn: what confirmed the stamp left the chain, and nothing else of the target confirms it.
	Withdrawn Kind = "withdrawn"
	// Trouble: a target changed its state. For the operator.
	Trouble Kind = "trouble"
	// Attested: an attestation above a signed digest counts. Complete: the first one of all does.
	Attested Kind = "attested"
	Complete Kind = "complete"
	// Seeded: the seed of an OriginStamp submission is final.
	Seeded Kind = "seeded"
	// Test: somebody asked for it.
	Test Kind = "test"
)

// Kinds is a set of kinds, as the database has it.
type Kinds int64

var kindBits = []Kind{Anchored, Confirmed, Upgraded, Withdrawn, Trouble}

// Set makes a set. A test is for everybody and in no set.
func Set(kinds ...Kind) (set Kinds) {
	for _, k := range kinds {
		if i := slices.Index(kindBits, k); i >= 0 {
			set |= 1 << i
		}
	}
	return set
}

// Has says whether a kind is in the set.
func (s Kinds) Has(k Kind) bool { return s&Set(k) != 0 }

// List is the kinds of the set, in a fixed order.
func (s Kinds) List() (all []Kind) {
	for _, k := range kindBits {
		if s.Has(k) {
			all = append(all, k)
		}
	}
	return all
}

// What an endpoint is reached by.
const (
	Webhook = "webhook"
	Mail    = "mail"
	// Of the authenticated calendar: what a customer's key has signed, and a single digest.
	Callback = "callback"
	Receipt  = "receipt"
	// Of OriginStamp's interface: who awaits the seed of a hash.
	SeedHook = "seed_hook"
	SeedMail = "seed_mail"
)

// MailSecretBytes is how many random bytes the address that ends an account's e-mail has beside the endpoint's id, which
// others may see. They are the endpoint's Secret, and not encrypted.
const MailSecretBytes = 16

// EndpointState is whether an endpoint gets notices.
type EndpointState int

const (
	Active  EndpointState = 0
	Gone    EndpointState = 1 // it answered 410
	Deleted EndpointState = 2
)

// Endpoint is who gets notices.
type Endpoint struct {
	ID      int64
	UID     account.ID // what others know it by
	Account int64      // 0 is the operator
	Channel string
	Address string
	Kinds   Kinds
	// Stamp is the one stamp that it is about, at Position; nil for every stamp of the account.
	Stamp    *account.ID
	Position logtree.Position
	// Secret and OldSecret are encrypted. OldSecret, unless it is empty, signs as well until OldUntil.
	Secret, OldSecret []byte
	OldUntil          time.Time
	State             EndpointState
	Created           time.Time
	// Next is when it is tried next; zero while nothing is due.
	Next time.Time
	// Failures count since the last success; Failing is when they began.
	Failures int
	Failing  time.Time
	Slow     bool
	// Gather is how long what becomes due waits for more that does.
	Gather time.Duration
}

// Notice is something that happened.
type Notice struct {
	ID       int64
	UID      account.ID // constant for all tries
	Account  int64
	Stamp    account.ID // random for those about no stamp
	Target   string
	Kind     Kind
	Ref      string // of the attestation; for trouble the code
	Position logtree.Position
	Message  string
	Created  time.Time
}

// DeliveryState is how far a delivery is.
type DeliveryState int

const (
	Due     DeliveryState = 0
	Done    DeliveryState = 1
	Parked  DeliveryState = 2 // given up, until somebody asks for another try
	Dropped DeliveryState = 3
)

var stateNames = []string{"due", "delivered", "parked", "dropped"}

func (s DeliveryState) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("state %d", int(s))
	}
	return stateNames[s]
}

// ParseState reads the name of a delivery's state.
func ParseState(text string) (DeliveryState, error) {
	if i := slices.Index(stateNames, text); i >= 0 {
		return DeliveryState(i), nil
	}
	return 0, fmt.Errorf("%q is no state of a notice: write due, delivered, parked or dropped", text)
}

// Delivery is a notice on its way to an endpoint.
type Delivery struct {
	ID       int64
	Endpoint int64
	Notice   Notice
	State    DeliveryState
	Due      time.Time // since when
	Tries    int
	Tried    time.Time // the last time; zero before
	Status   int       // of the last answer, or 0
	Error    string    // what was wrong the last time
}

// Result is what became of one try, and the endpoint's schedule after it.
type Result struct {
	Delivery, Endpoint int64
	At                 time.Time
	Done               bool
	Status             int
	Error              string
	// Gone: the endpoint wants no more.
	Gone bool
	Slow bool
	// After a failure: when the endpoint is tried again, the failures since the last success, when they began,
	// and the time before which what became due is given up.
	Next     time.Time
	Failures int
	Failing  time.Time
	GiveUp   time.Time
}

// Filter chooses deliveries. Zero fields choose all.
type Filter struct {
	Account  *int64
	Endpoint *account.ID
	State    *DeliveryState
	Notice   *account.ID
	Before   int64 // ids below
}
