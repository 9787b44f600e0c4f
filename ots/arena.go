package ots

import "slices"

// arena hands out the memory of a parsed tree from a few larger pieces: a proof
// of ordinary size takes one. A piece has room for no more than what is in use
// already, or for arenaPiece items, so little is wasted on any input.
type arena struct {
	nodes    []Timestamp
	atts     []Attestation
	branches []Branch
}

const arenaPiece = 128

// firstPiece holds a file and the nodes of an ordinary proof.
type firstPiece struct {
	file     File
	digest   [32]byte
	nodes    [4]Timestamp
	atts     [4]Attestation
	branches [5]Branch
}

func (a *arena) use(f *firstPiece) {
	a.nodes, a.atts, a.branches = f.nodes[:0], f.atts[:0], f.branches[:0]
}

func (a *arena) node() *Timestamp {
	a.nodes = room(a.nodes, 1)
	a.nodes = a.nodes[:len(a.nodes)+1]
	return &a.nodes[len(a.nodes)-1]
}

func (a *arena) keepAttestations(s []Attestation) (kept []Attestation) {
	kept, a.atts = keep(a.atts, s)
	return kept
}

func (a *arena) keepBranches(s []Branch) (kept []Branch) {
	kept, a.branches = keep(a.branches, s)
	return kept
}

// keep copies s into the piece, or on its own where it is long.
func keep[T any](piece, s []T) (kept, rest []T) {
	if len(s) == 0 {
		return nil, piece
	}
	if len(s) > arenaPiece {
		return slices.Clone(s), piece
	}
	piece = room(piece, len(s))
	from := len(piece)
	piece = append(piece, s...)
	return piece[from:len(piece):len(piece)], piece
}

// room returns piece, or a new one, with room for n more.
func room[T any](piece []T, n int) []T {
	if cap(piece)-len(piece) >= n {
		return piece
	}
	return make([]T, 0, max(n, min(2*cap(piece), arenaPiece)))
}
