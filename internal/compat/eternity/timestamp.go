package eternity

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/ots"
)

// readWithin bounds what a request reads of the store.
const readWithin = 5 * time.Second

// Parameters that mean yes by being there, whatever their value.
const (
	flagDetached = "detached"
	flagShrink   = "shrink"
	flagDubious  = "allow-dubious"
)

// getTimestamp answers what there is of a digest's timestamp, or of a commitment's: complete or pending.
func (s *Server) getTimestamp(w http.ResponseWriter, r *http.Request) error {
	digest, err := hex.DecodeString(r.URL.Path[len(timestampPrefix):])
	if err != nil || len(digest) == 0 {
		return errNotHex
	}
	return s.answerTimestamp(w, r, digest)
}

// AnswerUnknown answers for a digest that is no commitment of an open calendar at the same host. It says false, and
// has not answered, when nobody signed it either.
func (s *Server) AnswerUnknown(w http.ResponseWriter, r *http.Request, digest []byte) (bool, error) {
	if len(digest) == 0 || len(digest) > account.MaxSigned {
		return false, nil
	}
	err := s.answerTimestamp(w, r, digest)
	if errors.Is(err, errUnknown) {
		return false, nil
	}
	return true, err
}

func (s *Server) answerTimestamp(w http.ResponseWriter, r *http.Request, digest []byte) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return errQuery
	}
	ctx, cancel := context.WithTimeout(r.Context(), readWithin)
	defer cancel()
	at, err := s.find(ctx, digest)
	if err != nil {
		return refused(err)
	}
	v := versionOf(r, at.version)
	t, err := s.assemble(ctx, at, v, query.Has(flagShrink), query.Has(flagDubious))
	if err != nil {
		return refused(err)
	}
	var wire []byte
	if query.Has(flagDetached) && v.hasDetached() {
		hash := at.hash
		if !v.hashAtDigest() {
			if hash, err = hashOf(query, len(digest)); err != nil {
				return err
			}
		}
		if hash == 0 {
			hash = ots.OpSHA256
		}
		if want := hash.DigestSize(); want != len(digest) {
			return badRequest(fmt.Sprintf("a detached proof of %d bytes cannot be made: digests of %v have %d; leave detached out, or name the hash as op", len(digest), ots.Op{Tag: hash}, want))
		}
		wire, err = (&ots.File{HashOp: hash, Digest: digest, Timestamp: t}).AppendBinary(nil)
	} else {
		wire, err = t.AppendBinary(nil)
	}
	if err != nil {
		return refused(err)
	}
	header := w.Header()
	header["Content-Type"] = octetStream
	header["Cache-Control"] = noStore
	return httpkit.WriteBody(w, r, http.StatusOK, wire)
}

// place is where a digest is: path leads from it to the entry. Of a commitment the path is empty.
type place struct {
	path    ots.Path
	entry   logtree.Entry
	length  int     // of the digest
	hash    ots.Tag // that the customer named, or 0
	version string  // of the API for the key that signed, or empty
}

// find looks for a commitment, and then for a digest that somebody signed.
func (s *Server) find(ctx context.Context, digest []byte) (place, error) {
	if len(digest) == logtree.EntrySize {
		_, err := s.config.Proofs.Proof(ctx, digest, false)
		if err == nil {
			return place{entry: logtree.Entry(digest), length: len(digest)}, nil
		}
		if !errors.Is(err, calendar.ErrUnknown) {
			return place{}, err
		}
	}
	signed, signer, err := s.config.Store.SignedDigest(ctx, digest)
	if err != nil {
		return place{}, err
	}
	at, err := s.place(ctx, signed, nil)
	at.version = signer.Version
	return at, err
}

// place is where a signed digest is, given the tree of its batch, which is read if it is nil.
func (s *Server) place(ctx context.Context, signed account.Signed, tree *ots.Tree) (place, error) {
	if tree == nil {
		leaves, err := s.config.Store.BatchLeaves(ctx, signed.Position)
		if err != nil {
			return place{}, err
		}
		tree = ots.MerkleTree(leaves)
	}
	path, entry, err := signed.Path(tree)
	return place{path: path, entry: entry, length: len(signed.Digest), hash: signed.HashOp}, err
}

// assemble is the timestamp of what is at a place.
func (s *Server) assemble(ctx context.Context, at place, v Version, shrink, dubious bool) (*ots.Timestamp, error) {
	promise := ots.New(at.path, s.pending.Attestations()...)
	proof, err := s.config.Proofs.Proof(ctx, at.entry[:], dubious)
	if err != nil || proof.Timestamp == nil {
		return promise, err
	}
	// In wire form a path is followed by the timestamp of what it leads to.
	t, err := ots.ParseTimestamp(append(at.path.Bytes(), proof.Timestamp...), at.length)
	if err != nil {
		return nil, fmt.Errorf("the proof of %v: %w", at.entry.Position(), err)
	}
	if !dubious {
		// Some clients cannot read a proof at all that has such a branch.
		if t = t.Prune(isSound); t == nil {
			return promise, nil
		}
	}
	lowest, bitcoin := t.Shrink()
	if shrink && bitcoin {
		return lowest, nil
	}
	if v.keepsPending() || proof.Promised {
		t.Merge(promise)
	}
	if wire, err := t.AppendBinary(nil); (err != nil || len(wire) > calendar.MaxProof) && bitcoin {
		// Clients would not read it. What comes later makes no proof worse.
		if v.keepsPending() {
			lowest.Merge(promise)
		}
		return lowest, nil
	}
	return t, nil
}

// isSound accepts attestations of chains that OpenTimestamps counts.
func isSound(a ots.Attestation) bool {
	k := a.Kind()
	return k == ots.KindPending || k == ots.KindBitcoin || k == ots.KindLitecoin
}
