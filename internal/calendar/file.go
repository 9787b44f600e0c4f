package calendar

import (
	"context"
	"fmt"
	"slices"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/ots"
)

// Batches knows the leaves of batches of stamps. store.DB is one.
type Batches interface {
	BatchLeaves(ctx context.Context, p logtree.Position) ([][32]byte, error)
}

// Proofs knows the proof of an entry. Calendar is one.
type Proofs interface {
	Proof(ctx context.Context, commitment []byte) (Proof, error)
}

// File is the .ots file of a kept stamp and how far its entry has come. Until the entry is confirmed the file ends in
// the pending attestations of the calendars that its head was given to, or else in ours: clients ask the first on their way
// alone.
func File(ctx context.Context, batches Batches, proofs Proofs, pending ots.Attestation, st account.Stamp) ([]byte, State, error) {
	leaves, err := batches.BatchLeaves(ctx, st.Position)
	if err != nil {
		return nil, Pending, err
	}
	path, entry, err := st.Path(leaves)
	if err != nil {
		return nil, Pending, err
	}
	proof, err := proofs.Proof(ctx, entry[:])
	if err != nil {
		return nil, Pending, err
	}
	timestamp := ots.New(path, pending)
	if len(proof.Timestamp)+len(proof.Promises) > 0 { // of which one is there at most
		// In wire form a path is followed by the timestamp of what it leads to.
		if timestamp, err = ots.ParseTimestamp(slices.Concat(path.Bytes(), proof.Timestamp, proof.Promises), len(st.SHA256)); err != nil {
			return nil, Pending, fmt.Errorf("the proof of stamp %v: %w", st.ID, err)
		}
	}
	file, err := (&ots.File{HashOp: ots.OpSHA256, Digest: st.SHA256[:], Timestamp: timestamp}).AppendBinary(nil)
	return file, proof.State, err
}
