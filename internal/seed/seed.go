// Package seed is about the hashes that OriginStamp's clients submit: those of a period and a currency make a tree of
// their own, the seed, whose root a target carries by itself, beside the heads of the log.
//
// A hash is submitted once, whoever submits it again, and gets the next number in the transaction that makes its
// stamp. A seed is a range of numbers, so it is known at the submission which seed of each currency a hash is in.
package seed

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/datestone/datestone/internal/logtree"
)

// Purpose is that of attempts, attestations and publications that carry seeds. Their head is a seed's: Epoch is its
// number, Size how many hashes it has, Root the root of its tree.
const Purpose = "seed"

var (
	// ErrUnknown says that there is no such submission or seed.
	ErrUnknown = errors.New("not submitted")
	// ErrPreprint says that the UUID of a page to print belongs to another account, or another hash.
	ErrPreprint = errors.New("the UUID is in use")
)

// UUID is a random UUID, version 4.
type UUID = [16]byte

// Currency is what a target is called by OriginStamp's clients.
type Currency struct {
	ID     int    // 0 Bitcoin, 1 Ethereum, 2 AION, 100 Südkurier
	Name   string // BITCOIN
	Target string // the name of the target that carries its seeds
	Period time.Duration
	Offset time.Duration // of the beginning of a period from 00:00 UTC of 1970-01-01, below Period
}

// PeriodOf is the period that a time is in: it begins at opens and ends before closes.
func (c Currency) PeriodOf(t time.Time) (opens, closes time.Time) {
	since := t.Add(-c.Offset).Sub(time.Unix(0, 0))
	opens = time.Unix(0, 0).Add(since - since%c.Period).Add(c.Offset).UTC()
	return opens, opens.Add(c.Period)
}

// Submission asks that a hash be submitted.
type Submission struct {
	Comment  string // public; at most MaxComment characters
	Preprint *UUID  // of a page to print, or nil
	Awaits   []Await
}

const (
	// MaxComment is the longest comment, in characters.
	MaxComment = 256
	// MaxAwaits is how many awaits a submission has at most.
	MaxAwaits = 20
	// MaxAddress is the longest address of an await, in bytes.
	MaxAddress = 2048
)

// Check refuses what cannot be kept.
func (s Submission) Check() error {
	if len(s.Awaits) > MaxAwaits {
		return fmt.Errorf("a submission has at most %d notifications", MaxAwaits)
	}
	for _, a := range s.Awaits {
		if err := a.Check(); err != nil {
			return err
		}
	}
	return CheckComment(s.Comment)
}

// CheckComment refuses comments that cannot be kept.
func CheckComment(comment string) error {
	if !utf8.ValidString(comment) {
		return errors.New("the comment is not UTF-8")
	}
	if strings.ContainsRune(comment, 0) {
		return errors.New("the comment has a null character")
	}
	if utf8.RuneCountInString(comment) > MaxComment {
		return errors.New("the comment has more than 256 characters")
	}
	return nil
}

// Await asks to be told when the seed of a currency is final.
type Await struct {
	Target  string // of the currency
	Channel string // notify.SeedHook or notify.SeedMail
	Address string
}

// Check refuses what cannot be kept. Whether the address is good is not looked at.
func (a Await) Check() error {
	if a.Address == "" || len(a.Address) > MaxAddress || !utf8.ValidString(a.Address) || strings.ContainsFunc(a.Address, unicode.IsControl) {
		return fmt.Errorf("the address of a notification must have 1 to %d bytes of text", MaxAddress)
	}
	return nil
}

// AwaitState is what became of an await.
type AwaitState struct {
	Executed bool // it was tried
	Success  bool
	Tries    int
}

// Submitted is a hash that was submitted. It is the same for everybody; whose it is, is never shown.
type Submitted struct {
	Number  int64 // from 1, in the order of positions
	Hash    [32]byte
	Account int64 // who submitted it first
	Stamp   UUID  // the account's stamp of it
	Created time.Time
	Comment string

	// Where the hash is in the log: Nonce and Leaf, the index in the batch, lead to the entry at Position. Of a hash that the
	// account had stamped before it is another place than the stamp's, which would tell of that.
	Nonce    [16]byte
	Leaf     int
	Position logtree.Position
}

// Seed is the hashes of a period that a target carries as one.
type Seed struct {
	Number int64 // of the seed, from 1 over all targets
	UID    UUID
	Target string
	// Opened and Closes are the period.
	Opened, Closes time.Time
	// First is the number of its first hash, and Before the number after its last one, 0 while it is open.
	First, Before int64
	// Root is that of its tree, once Made is not zero.
	Root [32]byte
	Made time.Time
}

// Head is what the target is given of a seed that is made.
func (s Seed) Head() logtree.Head {
	return logtree.Head{Epoch: int(s.Number), Size: s.Before - s.First, Root: s.Root}
}

// Status is how far a seed has come, in OriginStamp's numbers.
type Status int

const (
	// Queued: it was not given to its target.
	Queued Status = 0
	// Sent: the target was given it.
	Sent Status = 1
	// Mined: it is in a block, or was printed, and may be withdrawn.
	Mined Status = 2
	// Final: its attestation counts.
	Final Status = 3
)

// State is a seed with what its target says of it.
type State struct {
	Seed
	Status Status
	// Ref is the transaction, from Mined on: an id as the target writes it, or the date of an issue.
	Ref string
	// Time is that of the block, from Mined on. It is proven once the status is Final.
	Time time.Time
	// Attestation leads from the root to the block, from Mined on; of a publication it is empty.
	Attestation logtree.Attestation
}

// Branch leads from a hash to the root of its seed.
type Branch struct {
	Hash, Root [32]byte
	// Steps are from the leaf on.
	Steps []Step
}

// Step is what a node is joined with.
type Step struct {
	Sibling [32]byte
	// Left: the sibling is the left one. A node that has none is joined with itself, as the right one.
	Left bool
}
