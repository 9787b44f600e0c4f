package upstream

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/upstream/submission"
	"github.com/datestone/datestone/ots"
)

const (
	nonceSize = 16
	// clientOps is what clients may put before our part of a proof, and parserOps what they read in a row.
	clientOps = 48
	parserOps = 255
	// maxPath bounds the bytes from a head's root to a commitment: several go into one proof.
	maxPath = 2000
	// maxProof bounds the bytes from a head's root to a block header: with the path below it calendar.MaxProof holds it.
	maxProof = calendar.MaxProof - 2000
	// maxPromises bounds the pending attestations of one answer that are kept.
	maxPromises = 2
)

// Errors of answers that cannot be used. The calendar's state has a word for each.
var (
	errNoPromise = errors.New("its answer has no pending attestation that can be used")
	errForeign   = errors.New("its answer names a calendar that may not be asked")
	errTooLong   = errors.New("its answer makes proofs longer than clients read")
)

// maxOps is the number of operations that may follow the root of a head.
func maxOps(h logtree.Head) int {
	return parserOps - clientOps - logtree.MaxPathOps(calendar.MaxBatch, max(1, h.Size))
}

// hide is the path from a root to the digest that a calendar is given, so that calendars cannot be compared.
func hide(nonce [nonceSize]byte) ots.Path { return ots.Path{}.Append(nonce[:]).SHA256() }

// end is an attestation in a timestamp, with the path to it.
type end struct {
	path        ots.Path
	attestation ots.Attestation
}

// ends lists the attestations of a kind. The parser bounds how deep a timestamp is.
func ends(t *ots.Timestamp, by ots.Path, kind ots.Kind) []end {
	var list []end
	for _, a := range t.Attestations() {
		if a.Kind() == kind {
			list = append(list, end{by, a})
		}
	}
	for _, b := range t.Branches() {
		list = append(list, ends(b.Timestamp, by.Concat(b.Path), kind)...)
	}
	return list
}

// promises reads a calendar's answer to a head: the pending attestations that may be asked for, shortest path first.
func promises(h logtree.Head, by ots.Path, t *ots.Timestamp, allowed func(uri string) bool) ([]submission.Submission, error) {
	pending := ends(t, by, ots.KindPending)
	slices.SortStableFunc(pending, func(a, b end) int { return cmp.Compare(a.path.Len(), b.path.Len()) })
	var list []submission.Submission
	reason := errNoPromise
	for _, e := range pending {
		uri := e.attestation.URI()
		switch {
		case len(list) == maxPromises:
			return list, nil
		case !allowed(uri):
			reason = fmt.Errorf("%w (%.100q): add it to allowed in [upstream] if you trust it", errForeign, uri)
			continue
		case e.path.Len() > maxOps(h) || len(e.path.Bytes()) > maxPath:
			reason = errTooLong
			continue
		}
		commitment, err := e.path.Apply(h.Root[:])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoPromise, err)
		}
		list = append(list, submission.Submission{Head: h, URI: uri, Path: e.path.Bytes(), Commitment: commitment})
	}
	if len(list) == 0 {
		return nil, reason
	}
	return list, nil
}

// errPending says that an answer has no Bitcoin attestation yet.
var errPending = errors.New("it has no Bitcoin attestation yet")

// answer reads what a calendar says of a commitment: the path from the head's root to the attestation of the lowest
// block. Whether it is true is another question.
func answer(s submission.Submission, t *ots.Timestamp) (proof []byte, height int64, err error) {
	path, err := ots.ParsePath(s.Path)
	if err != nil {
		return nil, 0, err
	}
	lowest, ok := t.Shrink()
	if !ok {
		return nil, 0, errPending
	}
	e := ends(lowest, path, ots.KindBitcoin)[0]
	h, ok := e.attestation.Height()
	if !ok || h > 1<<31 {
		return nil, 0, fmt.Errorf("%w: %v has no height of a block", ots.ErrLimit, e.attestation)
	}
	if e.path.Len() > maxOps(s.Head) {
		return nil, 0, errTooLong
	}
	if proof, err = ots.New(e.path, e.attestation).AppendBinary(nil); err != nil {
		return nil, 0, err
	}
	if len(proof) > maxProof {
		return nil, 0, errTooLong
	}
	return proof, int64(h), nil
}

// claim is what the proof of an answered submission says: that a message is the Merkle root of a block.
type claim struct {
	message     []byte
	attestation ots.Attestation
	ref         string
}

// evaluate follows the proof of an answered submission.
func evaluate(s submission.Submission) (claim, error) {
	t, err := ots.ParseTimestamp(s.Proof, len(s.Head.Root))
	if err != nil {
		return claim{}, err
	}
	list := ends(t, ots.Path{}, ots.KindBitcoin)
	if len(list) != 1 {
		return claim{}, fmt.Errorf("its proof has %d Bitcoin attestations", len(list))
	}
	c := claim{attestation: list[0].attestation, ref: hex.EncodeToString(s.Commitment)}
	if c.message, err = list[0].path.Apply(s.Head.Root[:]); err != nil {
		return claim{}, err
	}
	if id, ok := transaction(s.Head.Root[:], list[0].path); ok {
		c.ref = id
	}
	return c, nil
}

// transaction finds the transaction that a path leads through, and gives its id as explorers write it.
func transaction(msg []byte, path ots.Path) (string, bool) {
	for op := range path.Ops() {
		if op.Tag == ots.OpSHA256 {
			var tx wire.MsgTx
			r := bytes.NewReader(msg)
			if err := tx.DeserializeNoWitness(r); err == nil && r.Len() == 0 && len(tx.TxIn) > 0 && len(tx.TxOut) > 0 {
				once := sha256.Sum256(msg)
				id := sha256.Sum256(once[:])
				slices.Reverse(id[:])
				return hex.EncodeToString(id[:]), true
			}
		}
		next, err := ots.Path{}.Then(op).Apply(msg)
		if err != nil {
			return "", false
		}
		msg = next
	}
	return "", false
}

// withUser puts a user and a password into a URL.
func withUser(text, user, password string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", errors.New("rpc_url does not parse: write it like http://127.0.0.1:8332")
	}
	u.User = url.UserPassword(user, password)
	return u.String(), nil
}
