package calendar

import (
	"context"
	"fmt"

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
	Proof(ctx context.Context, commitment []byte, dubious bool) (Proof, error)
}

// File is the .ots file of a kept stamp and how far its entry has come. Until the entry is confirmed the file has the
// pending attestation, beside what others attest, or in place of it those of the calendars that its head was given to: clients
// ask the first on their way alone. dubious is Proofs'.
func File(ctx context.Context, batches Batches, proofs Proofs, pending ots.Attestation, st account.Stamp, dubious bool) ([]byte, State, error) {
	leaves, err := batches.BatchLeaves(ctx, st.Position)
	if err != nil {
		return nil, Pending, err
	}
	path, entry, err := st.Path(leaves)
	if err != nil {
		return nil, Pending, err
	}
	proof, err := proofs.Proof(ctx, entry[:], dubious)
	if err != nil {
		return nil, Pending, err
	}
	timestamp := ots.New(path, pending)
	if proof.Timestamp != nil {
		// In wire form a path is followed by the timestamp of what it leads to.
		attested, err := ots.ParseTimestamp(append(path.Bytes(), proof.Timestamp...), len(st.SHA256))
		if err != nil {
			return nil, Pending, fmt.Errorf("the proof of stamp %v: %w", st.ID, err)
		}
		if proof.State != Confirmed && !proof.Promised {
			attested.Merge(timestamp)
		}
		timestamp = attested
	}
	file, err := (&ots.File{HashOp: ots.OpSHA256, Digest: st.SHA256[:], Timestamp: timestamp}).AppendBinary(nil)
	return file, proof.State, err
}
