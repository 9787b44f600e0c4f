package account

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/ots"
)

// ID is the id of a stamp: a random UUID, version 4.
type ID [16]byte

// NewID makes an id.
func NewID() (id ID) {
	rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

func (id ID) String() string {
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// ParseID reads a UUID in its usual form, in either case.
func ParseID(text string) (ID, error) {
	var id ID
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return id, fmt.Errorf("%q is not a UUID", text)
	}
	b, err := hex.DecodeString(text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:])
	if err != nil {
		return id, fmt.Errorf("%q is not a UUID", text)
	}
	return ID(b), nil
}

// File is what an owner says of the file whose hash is stamped. Nobody checks it.
type File struct {
	Name string
	Size int64
	Type string // a media type, or empty
}

// Stamp is a digest that was kept for its owner.
type Stamp struct {
	ID          ID
	Account     int64
	Certificate string // TS- and capital letters and digits
	SHA256      [32]byte
	File        File
	// Created has microseconds, and grows strictly with each stamp of an account.
	Created time.Time
	// Branding is the account's when the stamp was made, or nil.
	Branding *Branding
	// Thumbnail is a small picture, or nil.
	Thumbnail []byte
	// Public says that the certificate may show the file's name and the branding to everybody.
	Public bool

	// Where the digest is: Nonce and Leaf, the index in the batch, lead to the entry at Position.
	Nonce    [16]byte
	Leaf     int
	Position logtree.Position
}

// LeafHash is the leaf of the batch: sha256(digest || nonce).
func (s Stamp) LeafHash() [32]byte { return Leaf(s.SHA256, s.Nonce) }

// Path is the operations from the digest to the entry, given the leaves of its batch.
func (s Stamp) Path(leaves [][32]byte) (ots.Path, logtree.Entry, error) {
	if s.Leaf < 0 || s.Leaf >= len(leaves) || leaves[s.Leaf] != s.LeafHash() {
		return ots.Path{}, logtree.Entry{}, fmt.Errorf("stamp %v is not in its batch: %w", s.ID, logtree.ErrInconsistent)
	}
	tree := ots.MerkleTree(leaves)
	entry := logtree.NewEntry(s.Position, tree.Root())
	return ots.Path{}.Append(s.Nonce[:]).SHA256().Concat(tree.Path(s.Leaf)).Prepend(entry[:8]), entry, nil
}

// Create asks for stamps of one account. Either all of its items become stamps, or are duplicates, or none.
type Create struct {
	Account int64
	Items   []Item
	// Signed asks for a signed digest, and stands alone with Account and Quota.
	Signed *Signed
	// Whole refuses everything when an item is a duplicate: the answer is then ErrDuplicate. Otherwise a
	// duplicate's result is the stamp that was there.
	Whole bool
	// Quota is how many stamps the account may make in the month of the creation.
	Quota int64
	// Branding freezes the account's branding into the stamps.
	Branding bool
	// Key makes the request idempotent, unless it is empty: Payload is the SHA-256 of the request's body. One with a
	// Submission has none: a hash is submitted once anyway.
	Key     string
	Payload [32]byte
	// Currencies are those that the hashes of items with a Submission are submitted to.
	Currencies []seed.Currency
}

// Submits says whether some item is a submission.
func (c Create) Submits() bool {
	return slices.ContainsFunc(c.Items, func(i Item) bool { return i.Submission != nil })
}

// Check refuses what is no request.
func (c Create) Check() error {
	if !c.Submits() {
		return nil
	}
	if c.Key != "" {
		return fmt.Errorf("%w: a submission has no idempotency key", ErrItem)
	}
	for _, item := range c.Items {
		if item.Submission == nil {
			continue
		}
		for _, a := range item.Submission.Awaits {
			if !slices.ContainsFunc(c.Currencies, func(currency seed.Currency) bool { return currency.Target == a.Target }) {
				return fmt.Errorf("%w: %q is not the target of a currency", ErrItem, a.Target)
			}
		}
	}
	return nil
}

// Count is how many leaves of a batch the request may need.
func (c Create) Count() int {
	if c.Signed != nil {
		return 1
	}
	return len(c.Items)
}

// Item is one stamp to make. Nonce is random; neighbours in the batch do not learn each other's digests.
type Item struct {
	SHA256    [32]byte
	Nonce     [16]byte
	File      File
	Thumbnail []byte
	// Submission has the hash submitted to the currencies as well, unless it is nil. There is nothing to make then, and
	// nothing to pay, when anybody submitted the hash before. File may be zero.
	Submission *seed.Submission
}

// Leaf is the leaf of a batch for a digest: sha256(digest || nonce).
func Leaf(digest [32]byte, nonce [16]byte) [32]byte {
	var message [48]byte
	copy(message[:], digest[:])
	copy(message[32:], nonce[:])
	return sha256.Sum256(message[:])
}

// Created is the answer to a Create.
type Created struct {
	// Stamps has one for each item. Those with Existing set were there before. It is zero for a hash that another account
	// submitted before.
	Stamps   []Stamp
	Existing []bool
	// Submitted has one for each item with a Submission. Those with Fresh set were not submitted before, and are in Seeds,
	// by target.
	Submitted []seed.Submitted
	Fresh     []bool
	Seeds     []seed.Seed
	// Replayed says that this is the answer to an earlier request with the same idempotency key. The
	// stamps are as they were made.
	Replayed bool
	// Signed is what was asked for with Create.Signed, and Replayed then says that it was kept before. It
	// is shared between answers and never written to. Tree is its batch's, if it was made now.
	Signed *Signed
	Tree   *ots.Tree
}

// Result is what became of a Create. Err is one of this package's.
type Result struct {
	Created
	Err error
}

const (
	// MaxName and MaxType bound what is said of a file, in bytes.
	MaxName = 255
	MaxType = 127
	// MaxThumbnail bounds a thumbnail, in bytes.
	MaxThumbnail = 32 << 10
)

// Check refuses what no database could keep or nobody would read.
func (i Item) Check() error {
	unnamed := i.Submission != nil && i.File == File{}
	if i.Submission != nil {
		if err := i.Submission.Check(); err != nil {
			return fmt.Errorf("%w: %w", ErrItem, err)
		}
	}
	switch f := i.File; {
	case unnamed:
	case f.Name == "" || len(f.Name) > MaxName || !printable(f.Name):
		return fmt.Errorf("%w: the file's name must have 1 to %d bytes of text", ErrItem, MaxName)
	case f.Size <= 0:
		return fmt.Errorf("%w: the file's size must be above 0", ErrItem)
	case len(f.Type) > MaxType || !printable(f.Type):
		return fmt.Errorf("%w: the file's type must have at most %d bytes of text", ErrItem, MaxType)
	}
	if len(i.Thumbnail) > MaxThumbnail {
		return fmt.Errorf("%w: the thumbnail has more than %d bytes", ErrItem, MaxThumbnail)
	}
	return nil
}

// printable accepts UTF-8 without control characters.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// Change is what an owner changes of a stamp. What is nil stays as it is.
type Change struct {
	Public    *bool
	Thumbnail *[]byte // of a nil slice: there is none any more
}

// What refuses a Create. Nothing was written then.
var (
	// ErrItem says that an item cannot be kept.
	ErrItem = errors.New("not a valid item")
	// ErrSuspended says that the account was suspended or removed meanwhile.
	ErrSuspended = errors.New("the account is suspended")
	// ErrMismatch says that the idempotency key was used with another payload.
	ErrMismatch = errors.New("the idempotency key was used with another request")
	// ErrInProgress says that a request with the idempotency key is still running elsewhere.
	ErrInProgress = errors.New("a request with the idempotency key is still running")
	// ErrDuplicate says that the account has a stamp of the digest already.
	ErrDuplicate = errors.New("the account has a stamp of this digest")
	// ErrQuota says that the month's quota does not suffice.
	ErrQuota = errors.New("the monthly quota is used up")
)

// IdempotencyKept is how long an idempotency key is remembered.
const IdempotencyKept = 24 * time.Hour
