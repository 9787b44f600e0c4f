package ots

// Prune returns a timestamp with only those attestations that keep accepts, and
// the paths to them; nil when there is none. It does not change t.
func (t *Timestamp) Prune(keep func(Attestation) bool) *Timestamp {
	p := t.prune(keep)
	if p != nil {
		p.compress()
	}
	return p
}

func (t *Timestamp) prune(keep func(Attestation) bool) *Timestamp {
	var p Timestamp
	for _, a := range t.atts {
		if keep(a) {
			p.atts = append(p.atts, a)
		}
	}
	for _, b := range t.branches {
		if b.Timestamp = b.Timestamp.prune(keep); b.Timestamp != nil {
			p.branches = append(p.branches, b)
		}
	}
	if len(p.atts) == 0 && len(p.branches) == 0 {
		return nil
	}
	return &p
}

// Shrink returns a timestamp with only the Bitcoin attestation of the lowest
// height and the path to it: the oldest proof that stands by itself. Of several
// at that height it takes the one with the fewest operations, then the first in
// canonical order. It is false when t has no Bitcoin attestation. It does not
// change t.
func (t *Timestamp) Shrink() (*Timestamp, bool) {
	var s shrinker
	s.find(t, Path{})
	if s.best.IsZero() {
		return nil, false
	}
	return New(joinPaths(s.path), s.best), true
}

type shrinker struct {
	best  Attestation
	depth int
	path  []Path // to best
	here  []Path // to the node at hand
	at    int    // operations in here
}

func (s *shrinker) find(t *Timestamp, by Path) {
	s.here = append(s.here, by)
	s.at += by.Len()
	for _, a := range t.atts {
		if a.Kind() != KindBitcoin {
			continue
		}
		if c := a.Compare(s.best); s.best.IsZero() || c < 0 || c == 0 && s.at < s.depth {
			s.best, s.depth = a, s.at
			s.path = append(s.path[:0], s.here...)
		}
	}
	for _, b := range t.branches {
		s.find(b.Timestamp, b.Path)
	}
	s.here = s.here[:len(s.here)-1]
	s.at -= by.Len()
}

// joinPaths is Concat over many, with the bytes copied once.
func joinPaths(paths []Path) Path {
	var joined Path
	size := 0
	for _, p := range paths {
		size += len(p.wire)
	}
	wire := make([]byte, 0, size)
	for _, p := range paths {
		wire = append(wire, p.wire...)
		joined.ops += p.ops
		joined.bad = joined.bad || p.bad
	}
	joined.wire = string(wire)
	return joined
}
