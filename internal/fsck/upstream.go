package fsck

import (
	"bytes"
	"context"
	"fmt"

	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/upstream/submission"
	"github.com/datestone/datestone/ots"
)

// checkSubmissions checks what other calendars promised and answered.
func (c *checker) checkSubmissions(ctx context.Context) error {
	attested := make(map[string]bool)
	for _, a := range c.attestations {
		attested[a.Target+" "+a.Ref] = true
	}
	var after int64
	for {
		part, err := c.db.AllSubmissions(ctx, after, rowsAtOnce)
		if err != nil || len(part) == 0 {
			return err
		}
		for _, s := range part {
			at := fmt.Sprintf("submission %d to %s", s.ID, s.Calendar)
			c.claims(at, s.Head)
			c.report.Submissions++
			if err := recompute(s); err != nil {
				c.report.problem(at, "%v", err)
			}
			if s.State == submission.Attested && !attested[s.Target+" "+s.Ref] {
				c.report.problem(at, "it is attested by %s, which is no attestation of %s", s.Ref, s.Target)
			}
		}
		after = part[len(part)-1].ID
	}
}

// recompute follows the path of a submission to its commitment, and its answer to a Bitcoin attestation.
func recompute(s submission.Submission) error {
	path, err := ots.ParsePath(s.Path)
	if err != nil {
		return fmt.Errorf("its path cannot be read: %w", err)
	}
	commitment, err := path.Apply(s.Head.Root[:])
	if err != nil {
		return fmt.Errorf("its path does not evaluate: %w", err)
	}
	if !bytes.Equal(commitment, s.Commitment) {
		return fmt.Errorf("its path ends at %x, and its commitment is %x", commitment, s.Commitment)
	}
	if _, err := ots.PendingAttestation(s.URI); err != nil {
		return fmt.Errorf("its calendar cannot be named in a proof: %w", err)
	}
	if s.State != submission.Answered && s.State != submission.Attested {
		return nil
	}
	// The same as of an attestation: one block at the end of a path from the root.
	_, height, err := evaluate(logtree.Attestation{Kind: logtree.Bitcoin, Head: s.Head, Proof: s.Proof})
	if err == nil && height != s.Height {
		err = fmt.Errorf("its answer is for block %d and its row for block %d", height, s.Height)
	}
	return err
}
