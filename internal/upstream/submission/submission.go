// Package submission holds what another calendar promised of a head of the log, as a value.
package submission

import (
	"time"

	"github.com/datestone/datestone/internal/logtree"
)

// State is what became of a submission.
type State int

const (
	// Pending: the calendar has promised.
	Pending State = 0
	// Answered: the calendar gave a Bitcoin attestation, which was not checked against a block header yet.
	Answered State = 1
	// Attested: an attestation was made of the answer.
	Attested State = 2
	// SetAside: its calendar is not configured any more. It is not asked for and not given out.
	SetAside State = 3
)

// Submission is a head that a calendar accepted, with one of the pending attestations that it answered.
type Submission struct {
	ID         int64
	Target     string
	Head       logtree.Head
	Calendar   string // whom the head was given to
	URI        string // where the pending attestation says to ask
	Path       []byte // operations from Head.Root to Commitment, in wire form
	Commitment []byte
	Proof      []byte // bare timestamp on Head.Root that ends in one Bitcoin attestation; empty while there is none
	Height     int64  // of that attestation
	Ref        string // of the attestation that was made of it
	State      State
	Created    time.Time
	Changed    time.Time
	Next       time.Time // when it may be asked for or checked again
	Tries      int       // how often that was in vain
}

// Sent is the largest head of an epoch that a calendar accepted.
type Sent struct {
	Calendar string
	Epoch    int
	Size     int64
	At       time.Time
}
