package account

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/signedmsg"
)

var (
	// ErrSigner says that a public key is nobody's.
	ErrSigner = errors.New("not an active public key")
	// ErrUnsigned says that nobody signed a digest.
	ErrUnsigned = errors.New("no signed digest")
	// ErrSignerExists says that a public key belongs to an account already, or did.
	ErrSignerExists = errors.New("the public key belongs to another account")
)

// Signer is a Bitcoin key whose signatures an account pays for.
type Signer struct {
	ID      int64
	Account int64
	Key     signedmsg.PublicKey
	// Version is the version of the API that answers where a request names none.
	Version string
	// Callback is the address that is told of new attestations, or empty.
	Callback string
	Created  time.Time
	Removed  time.Time // zero while it is active
}

// MaxSigned is the longest digest that may be signed, in bytes.
const MaxSigned = 64

// Signed is a digest with its customer's signature: nobody can be billed for what they did not sign.
type Signed struct {
	Signer    int64
	Account   int64
	Digest    []byte // 1 to MaxSigned bytes
	Signature signedmsg.Signature
	HashOp    ots.Tag // the hash that made the digest, or 0 when the customer did not say
	Email     string  // who gets the complete proof, or empty
	// Created has microseconds, and grows strictly with what the account keeps.
	Created time.Time

	// Where the digest is: Nonce and Leaf, the index in the batch, lead to the entry at Position.
	Nonce    [16]byte
	Leaf     int
	Position logtree.Position
}

// LeafHash is the leaf of the batch: sha256(digest || nonce).
func (s Signed) LeafHash() [32]byte {
	message := make([]byte, 0, MaxSigned+len(s.Nonce))
	return sha256.Sum256(append(append(message, s.Digest...), s.Nonce[:]...))
}

// Path is the operations from the digest to the entry, given the tree of its batch.
func (s Signed) Path(tree *ots.Tree) (ots.Path, logtree.Entry, error) {
	if s.Leaf < 0 || s.Leaf >= tree.Len() {
		return ots.Path{}, logtree.Entry{}, fmt.Errorf("a signed digest is leaf %d of %d: %w", s.Leaf, tree.Len(), logtree.ErrInconsistent)
	}
	path := ots.Path{}.Append(s.Nonce[:]).SHA256().Concat(tree.Path(s.Leaf))
	root := tree.Root()
	if got, err := path.Apply(s.Digest); err != nil || [32]byte(got) != root {
		return ots.Path{}, logtree.Entry{}, fmt.Errorf("a signed digest is not in its batch: %w", errors.Join(err, logtree.ErrInconsistent))
	}
	entry := logtree.NewEntry(s.Position, root)
	return path.Prepend(entry[:8]), entry, nil
}

// Check refuses what no database could keep.
func (s Signed) Check() error {
	if n := len(s.Digest); n == 0 || n > MaxSigned {
		return fmt.Errorf("%w: a signed digest has 1 to %d bytes, not %d", ErrItem, MaxSigned, n)
	}
	return nil
}
