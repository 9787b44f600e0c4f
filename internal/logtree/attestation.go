package logtree

import "time"

// AttestationState is what an attestation is worth now.
type AttestationState int

const (
	// Mined: in a block of the best chain, not yet at the required depth.
	Mined AttestationState = 0
	// Counted: at the required depth in the best chain; proofs carry it.
	Counted AttestationState = 1
	// Superseded: as deep as Counted, but its target had already counted one for a larger head
	// when it came; kept, and used by no proof.
	Superseded AttestationState = 2
	// Withdrawn: its block left the best chain. The row stays; the same transaction in a block
	// again makes it Mined, then Counted.
	Withdrawn AttestationState = 3
)

// Kind is the chain that an attestation is of.
type Kind string

// The kinds of attestations. Only Bitcoin's make a stamp confirmed; Ethereum's are given out only where they are
// asked for, because some clients cannot read a proof that has one.
const (
	Bitcoin  Kind = "bitcoin"
	Litecoin Kind = "litecoin"
	Ethereum Kind = "ethereum"
)

// Attestation is what a target says of a head, with the path from the head's root to it.
type Attestation struct {
	ID        int64
	Target    string // the target's name in the configuration, for example "bitcoin"
	Kind      Kind
	Purpose   string // what the head is of: "log", or "seed", whose epoch is then the seed's number
	Head      Head
	Proof     []byte    // bare OpenTimestamps timestamp on Head.Root: operations and one attestation
	Height    int64     // of the block
	BlockHash [32]byte  // internal byte order
	BlockTime time.Time // of the block's header
	Ref       string    // the target's name for what carried the root: a transaction id in hex
	State     AttestationState
	Changed   time.Time // when State was set last
	Tip       int64     // height of the target's best block as last seen; read only
}

// Depth is the number of blocks from the attestation's block to the target's best block, both
// counted: 1 when it is the best block itself.
func (a Attestation) Depth() int64 { return max(0, a.Tip-a.Height+1) }

// Promise is what another calendar promised of a head.
type Promise struct {
	Head  Head
	Proof []byte // bare OpenTimestamps timestamp on Head.Root that ends in a pending attestation
}
