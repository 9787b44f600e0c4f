package ots

import "slices"

// Timestamp is a node of the tree of messages: the attestations that stand on
// its message, and the paths that lead on from there. It holds no message; that
// is computed on a [Timestamp.Walk].
//
// The tree is path-compressed. Only where attestations stand, or where paths
// part, is there a node; all operations between two nodes are one [Path]. The
// root is a node always. Attestations and branches are kept in canonical order,
// and no two branches of a node begin with the same operation.
//
// The zero value is an empty timestamp, to be filled by Merge. A Timestamp may
// be read by several goroutines at once, and changed only by one alone.
type Timestamp struct {
	atts     []Attestation
	branches []Branch
}

// Branch is a path of at least one operation from a node to the next.
type Branch struct {
	Path      Path
	Timestamp *Timestamp
}

// New makes a timestamp with the attestations at the end of p.
func New(p Path, atts ...Attestation) *Timestamp {
	t := &Timestamp{atts: sortAttestations(slices.Clone(atts))}
	if p.ops == 0 {
		return t
	}
	return &Timestamp{branches: []Branch{{p, t}}}
}

// Attestations are those that stand on this node's own message, in canonical
// order. The caller must not change the slice, and may merge while reading it.
func (t *Timestamp) Attestations() []Attestation { return t.atts }

// Branches are the ways on from this node, in canonical order. The slice is valid
// until the next Merge into t, and the caller must not change it.
func (t *Timestamp) Branches() []Branch { return t.branches }

// Clone returns a copy that shares nothing changeable with t.
func (t *Timestamp) Clone() *Timestamp {
	c := &Timestamp{atts: slices.Clone(t.atts), branches: slices.Clone(t.branches)}
	for i := range c.branches {
		c.branches[i].Timestamp = c.branches[i].Timestamp.Clone()
	}
	return c
}

// passes tells whether the node is only a step on the way: a path-compressed
// tree has none below its root.
func (t *Timestamp) passes() bool { return len(t.atts) == 0 && len(t.branches) == 1 }

// compress joins the paths on either side of every node below t that is only a
// step on the way. Each joined path is built once, from the top.
func (t *Timestamp) compress() {
	for i := range t.branches {
		b := &t.branches[i]
		if end := b.Timestamp; end.passes() {
			p, size := b.Path, len(b.Path.wire)
			for ; end.passes(); end = end.branches[0].Timestamp {
				size += len(end.branches[0].Path.wire)
			}
			wire := append(make([]byte, 0, size), p.wire...)
			for n := b.Timestamp; n != end; n = n.branches[0].Timestamp {
				q := n.branches[0].Path
				wire = append(wire, q.wire...)
				p.ops += q.ops
				p.bad = p.bad || q.bad
			}
			p.wire = string(wire)
			b.Path, b.Timestamp = p, end
		}
		b.Timestamp.compress()
	}
}
