// Package fsck recomputes every promise of the service from what is stored, and says exactly what is
// wrong. It never repairs.
package fsck

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/store"
)

// Problem is one thing that is wrong.
type Problem struct {
	Where string `json:"where"` // for example "entry 0/17" or "attestation 3 of bitcoin"
	What  string `json:"what"`  // what is stored and what should be
}

func (p Problem) String() string { return p.Where + ": " + p.What }

// Report is what a check found.
type Report struct {
	Entries      int64     `json:"entries"`
	Epochs       int       `json:"epochs"`
	Attestations int       `json:"attestations"`
	Attempts     int       `json:"attempts"`
	Submissions  int       `json:"submissions"`
	Signed       int64     `json:"signed_digests"`
	Publications int       `json:"publications"`
	Seeds        int       `json:"seeds"`
	Problems     []Problem `json:"problems"`
	// More counts the problems beyond the first MaxProblems.
	More int `json:"more_problems"`
	// Unchecked says what was not looked at, and why.
	Unchecked []string `json:"unchecked"`
}

// MaxProblems bounds Report.Problems.
const MaxProblems = 1000

// Clean says whether everything that was checked is as it should be.
func (r *Report) Clean() bool { return len(r.Problems) == 0 }

func (r *Report) problem(where, what string, args ...any) {
	if len(r.Problems) == MaxProblems {
		r.More++
		return
	}
	r.Problems = append(r.Problems, Problem{where, fmt.Sprintf(what, args...)})
}

// Options say what to check against.
type Options struct {
	// Mark is the head that was acknowledged; the zero Head when there is no mark.
	Mark logtree.Head
	// Chains are the chains of the targets by name; attestations of others are recomputed, and are
	// named in Report.Unchecked.
	Chains map[string]Chain
	// Progress, when set, is called after every few thousand entries.
	Progress func(done, all int64)
}

// rowsAtOnce bounds what is read at a time.
const rowsAtOnce = 5000

// Check recomputes the log, its heads, what targets were given and said, and what accounts keep in batches. The error is one of
// reading; what is wrong with what was read is in the report.
func Check(ctx context.Context, db *store.DB, o Options) (*Report, error) {
	r := &Report{Problems: []Problem{}, Unchecked: []string{}}
	c := checker{db: db, options: o, report: r, claimed: map[headKey][]claim{}}
	for _, step := range []func(context.Context) error{c.readAttestations, c.checkAttempts, c.checkSubmissions, c.readPublications, c.checkLog, c.checkSeeds, c.checkSeedClaims, c.checkClaims, c.checkBatches, c.checkSigned, c.checkNotices, c.checkPublications} {
		if err := step(ctx); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (c *checker) checkNotices(ctx context.Context) error {
	wrong, err := c.db.CheckNotices(ctx, MaxProblems)
	for _, text := range wrong {
		c.report.problem("notices", "%s", text)
	}
	return err
}

func short(h [32]byte) string { return hex.EncodeToString(h[:8]) + ".." }
