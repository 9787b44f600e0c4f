package ots

import "fmt"

// Walk calls visit for t and every node below it, each with its message, when
// the message of t is msg: it evaluates the proof. A node's branches come after
// it, in canonical order.
//
// visit may Merge into the node that it is given; what it adds is walked too. The
// message is valid only during the visit. Walk stops at the first error that
// visit returns and returns it as it is; an operation that cannot be applied,
// and more than MaxDepth operations in a row, are errors as well.
//
// Besides the current message only those at forks above it are held, so the
// memory in use stays below MaxDepth times MaxMessage whatever the proof.
func (t *Timestamp) Walk(msg []byte, visit func(n *Timestamp, msg []byte) error) error {
	var w walker
	if err := w.set(msg); err != nil {
		return fmt.Errorf("evaluating timestamp: %w", err)
	}
	return w.walk(t, 0, visit)
}

type walker struct {
	scratch
	forks []byte // messages of the forks above, one after the other
}

// walk visits t, whose message is in scratch. depth is in operations and bounds
// the recursion. (As a field of walker, visit would escape to the heap.)
func (w *walker) walk(t *Timestamp, depth int, visit func(*Timestamp, []byte) error) error {
	if err := visit(t, w.message()); err != nil {
		return err
	}
	branches := t.branches
	base := len(w.forks)
	if len(branches) > 1 {
		w.forks = append(w.forks, w.message()...)
	}
	end := len(w.forks)
	for i := range branches {
		b := &branches[i]
		if i > 0 {
			if err := w.set(w.forks[base:end]); err != nil {
				return fmt.Errorf("evaluating timestamp: %w", err)
			}
		}
		if depth+b.Path.Len() > MaxDepth {
			return fmt.Errorf("evaluating timestamp: %w", ErrTooDeep)
		}
		if b.Path.bad {
			return fmt.Errorf("evaluating timestamp: %w", errBadPath)
		}
		if err := w.apply(b.Path.wire); err != nil {
			return fmt.Errorf("evaluating timestamp: %w", err)
		}
		if err := w.walk(b.Timestamp, depth+b.Path.Len(), visit); err != nil {
			return err
		}
	}
	w.forks = w.forks[:base]
	return nil
}
