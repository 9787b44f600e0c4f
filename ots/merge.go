package ots

import "slices"

// Merge adds all that u holds to t. Both are for the same message; u is not
// changed and shares nothing changeable with t afterwards.
func (t *Timestamp) Merge(u *Timestamp) {
	if u == nil || u == t {
		return
	}
	t.absorb(u.Clone())
}

// absorb merges u into t and takes u's nodes over.
func (t *Timestamp) absorb(u *Timestamp) {
	if len(t.atts) == 0 {
		t.atts = u.atts
	} else if len(u.atts) > 0 {
		t.atts = mergeAttestations(t.atts, u.atts)
	}
	switch {
	case len(t.branches) == 0:
		t.branches = u.branches
	case len(u.branches) < len(t.branches)/8:
		t.insertBranches(u.branches)
	default:
		t.zipBranches(u.branches)
	}
}

// mergeAttestations never changes what a and b hold, for callers may still be
// reading a.
func mergeAttestations(a, b []Attestation) []Attestation {
	if len(b) == 1 {
		i, found := slices.BinarySearchFunc(a, b[0], Attestation.Compare)
		switch {
		case found:
			return a
		case i == len(a):
			return append(a, b[0]) // beyond what a reader of a sees
		}
		return slices.Concat(a[:i], b, a[i:])
	}
	all := make([]Attestation, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch c := a[0].Compare(b[0]); {
		case c < 0:
			all, a = append(all, a[0]), a[1:]
		case c > 0:
			all, b = append(all, b[0]), b[1:]
		default:
			all, a, b = append(all, a[0]), a[1:], b[1:]
		}
	}
	return append(append(all, a...), b...)
}

// insertBranches merges a few branches into many.
func (t *Timestamp) insertBranches(branches []Branch) {
	for _, b := range branches {
		i, found := slices.BinarySearchFunc(t.branches, b, func(x, y Branch) int {
			return compareFirst(x.Path.wire, y.Path.wire)
		})
		if found {
			t.branches[i] = joinBranches(t.branches[i], b)
		} else {
			t.branches = slices.Insert(t.branches, i, b)
		}
	}
}

// zipBranches merges two lists of branches in one pass.
func (t *Timestamp) zipBranches(b []Branch) {
	a := t.branches
	all := make([]Branch, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch c := compareFirst(a[0].Path.wire, b[0].Path.wire); {
		case c < 0:
			all, a = append(all, a[0]), a[1:]
		case c > 0:
			all, b = append(all, b[0]), b[1:]
		default:
			all, a, b = append(all, joinBranches(a[0], b[0])), a[1:], b[1:]
		}
	}
	t.branches = append(append(all, a...), b...)
}

// joinBranches makes one branch of two that begin with the same operation. They
// part where their operations first differ, or where either has a node.
func joinBranches(a, b Branch) Branch {
	size, ops := commonPrefix(a.Path.wire, b.Path.wire)
	restA := Branch{a.Path.slice(size, len(a.Path.wire), a.Path.ops-ops), a.Timestamp}
	restB := Branch{b.Path.slice(size, len(b.Path.wire), b.Path.ops-ops), b.Timestamp}
	joined := Branch{Path: a.Path.slice(0, size, ops)}
	switch {
	case restA.Path.ops == 0 && restB.Path.ops == 0:
		joined.Timestamp = a.Timestamp
		joined.Timestamp.absorb(b.Timestamp)
	case restA.Path.ops == 0:
		joined.Timestamp = a.Timestamp
		joined.Timestamp.absorb(&Timestamp{branches: []Branch{restB}})
	case restB.Path.ops == 0:
		joined.Timestamp = b.Timestamp
		joined.Timestamp.absorb(&Timestamp{branches: []Branch{restA}})
	case compareFirst(restA.Path.wire, restB.Path.wire) < 0:
		joined.Timestamp = &Timestamp{branches: []Branch{restA, restB}}
	default:
		joined.Timestamp = &Timestamp{branches: []Branch{restB, restA}}
	}
	return joined
}
