package rest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/ots"
)

const (
	// maxProofBody bounds the work that a proof can make: each operation is at most 4096 bytes hashed.
	maxProofBody = 64 << 10
	// maxAttestations is how many attestations of a proof are listed, maxEntries how many of its messages are
	// looked for in the log. Honest proofs have a few.
	maxAttestations = 100
	maxEntries      = 8
)

// verify says what this service knows of a proof. It asks no node: it compares the proof with the blocks that
// attest to its own log, which its node had at the required depth. What else there is, it says it did not check.
func (s *Server) verify(w http.ResponseWriter, r *http.Request, _ *caller) error {
	wanted, has, ok := parameter(r.URL.RawQuery, "sha256_hash")
	digest, isDigest := parseDigest(wanted)
	if has && (!ok || !isDigest) {
		return errDigest()
	}
	body, err := httpkit.ReadAll(r, maxProofBody)
	if errors.Is(err, httpkit.ErrTooLarge) {
		return errTooLarge(maxProofBody)
	} else if err != nil {
		return because(err, api.ErrInvalidProof, "The upload ended early.")
	}
	file, err := ots.ParseFile(body)
	if err != nil {
		return failure(api.ErrInvalidProof, fmt.Sprintf("The upload is not an OpenTimestamps proof: %v.", err))
	}
	targets, err := s.config.Store.Targets(r.Context())
	if err != nil {
		return refused(err)
	}
	v := api.Verification{
		Hash: file.HashOp.String(), Digest: hex.EncodeToString(file.Digest), TestNetwork: testNetwork(targets),
		Attestations: []api.VerifiedAttestation{}, NotChecked: []string{},
	}
	if len(targets) > 0 {
		v.Network = targets[0].Network
	}
	found, err := search(file)
	if err != nil {
		return failure(api.ErrInvalidProof, fmt.Sprintf("The proof cannot be looked at: %v.", err))
	}
	blocks, err := s.blocks(r.Context(), found.entries)
	if err != nil {
		return refused(err)
	}
	judge(&v, found, blocks)
	if has && (file.HashOp != ots.OpSHA256 || !slices.Equal(digest[:], file.Digest)) {
		v.Status, v.Time = api.ProofMismatch, nil
	}
	if has {
		v.NotChecked = append(v.NotChecked, "whether your file has this hash: compute it where the file is")
	} else {
		v.NotChecked = append(v.NotChecked, "whether the digest is your file's: compute its hash where the file is, and send it as sha256_hash")
	}
	return answerJSON(w, r, http.StatusOK, v)
}

// standing is an attestation with the message on which it stands.
type standing struct {
	attestation ots.Attestation
	message     []byte
}

// findings are what a proof has.
type findings struct {
	standings []standing
	entries   []logtree.Entry // messages that could be entries of the log
}

// search goes through a proof operation by operation.
func search(file *ots.File) (findings, error) {
	var f findings
	var walk func(t *ots.Timestamp, message []byte) error
	walk = func(t *ots.Timestamp, message []byte) error {
		for _, a := range t.Attestations() {
			if len(f.standings) == maxAttestations {
				return fmt.Errorf("it has more than %d attestations", maxAttestations)
			}
			f.standings = append(f.standings, standing{a, slices.Clone(message)})
		}
		for _, b := range t.Branches() {
			m := message
			for op := range b.Path.Ops() {
				var err error
				if m, err = op.Apply(m); err != nil {
					return err
				}
				if len(m) != logtree.EntrySize || op.Tag != ots.OpPrepend || len(f.entries) == maxEntries {
					continue
				}
				if e := logtree.Entry(m); e.Position() >= 0 && !slices.Contains(f.entries, e) {
					f.entries = append(f.entries, e)
				}
			}
			if err := walk(b.Timestamp, m); err != nil {
				return err
			}
		}
		return nil
	}
	return f, walk(file.Timestamp, file.Digest)
}

// block is one that attests to the log of this service.
type block struct {
	root string
	time time.Time
}

// blocks are the blocks, by height, that attest to entries.
func (s *Server) blocks(ctx context.Context, entries []logtree.Entry) (map[uint64]block, error) {
	all := make(map[uint64]block)
	for _, e := range entries {
		proof, err := s.config.Proofs.Proof(ctx, e[:], false)
		if errors.Is(err, calendar.ErrUnknown) || err == nil && proof.State != calendar.Confirmed {
			continue
		} else if err != nil {
			return nil, err
		}
		attestations, err := s.config.Store.Attestations(ctx, e.Position())
		if err != nil {
			return nil, err
		}
		times := make(map[uint64]time.Time)
		for _, a := range attestations {
			if a.State == logtree.Counted && a.Kind == logtree.Bitcoin {
				times[uint64(a.Height)] = a.BlockTime
			}
		}
		t, err := ots.ParseTimestamp(proof.Timestamp, len(e))
		if err != nil {
			return nil, fmt.Errorf("the proof of %v: %w", e.Position(), err)
		}
		err = t.Walk(e[:], func(n *ots.Timestamp, message []byte) error {
			for _, a := range n.Attestations() {
				height, ok := a.Height()
				if at, counted := times[height]; ok && counted && a.Kind() == ots.KindBitcoin {
					all[height] = block{string(message), at}
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("the proof of %v: %w", e.Position(), err)
		}
	}
	return all, nil
}

// judge compares what a proof says with the blocks that are known.
func judge(v *api.Verification, f findings, blocks map[uint64]block) {
	var pending, complete, wrong bool
	for _, st := range f.standings {
		a := api.VerifiedAttestation{Kind: st.attestation.Kind().String(), Result: api.AttestationNotChecked}
		height, hasHeight := st.attestation.Height()
		if hasHeight {
			a.Height = &height
		}
		switch st.attestation.Kind() {
		case ots.KindPending:
			pending = true
			a.URI = st.attestation.URI()
			a.Reason = "a calendar's promise, which proves nothing yet"
		case ots.KindBitcoin:
			complete = true
			a.MerkleRoot = reversedHex(st.message)
			known, is := blocks[height]
			switch {
			case !is:
				a.Reason = "this service's log has no part in that block: check it with a Bitcoin node of your own"
			case known.root == string(st.message):
				a.Result, a.Time = api.AttestationVerified, &api.Time{Time: known.time}
				if v.Time == nil || known.time.Before(v.Time.Time) {
					v.Time = a.Time
				}
			default:
				wrong = true
				a.Result, a.Reason = api.AttestationFalse, "the block at that height has another Merkle root"
			}
		default:
			complete = true
			a.Reason = "this service does not check attestations of this kind"
		}
		v.Attestations = append(v.Attestations, a)
		if line := st.attestation.String() + ": " + a.Reason; a.Result == api.AttestationNotChecked && !slices.Contains(v.NotChecked, line) {
			v.NotChecked = append(v.NotChecked, line)
		}
	}
	switch {
	case v.Time != nil:
		v.Status = api.ProofVerified
		v.NotChecked = append(v.NotChecked, "the block itself: this service's node had it at the required depth, and a verifier of your own need not believe that",
			"how exact the block's time is: a miner sets it, and it may be two hours off")
	case wrong:
		v.Status = api.ProofFalse
	case pending && !complete:
		v.Status = api.ProofPending
	default:
		v.Status = api.ProofUnchecked
	}
}

// reversedHex writes a Merkle root as people do, last byte first.
func reversedHex(b []byte) string {
	b = slices.Clone(b)
	slices.Reverse(b)
	return hex.EncodeToString(b)
}
