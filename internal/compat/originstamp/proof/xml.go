// Package proof makes the two documents that OriginStamp's clients take for a hash whose seed is final: the tree as XML,
// and the certificate as a PDF. They hold without this service: third-party verifiers read them by their form alone,
// so the order of attributes, what is expanded and where text stands are the contract.
package proof

import (
	"fmt"
	"strings"

	"github.com/datestone/datestone/internal/seed"
)

// node is one of the tree on the way from the root to the proven hash, or beside it. Only on the way are there children.
type node struct {
	name, kind  string
	value       [32]byte
	left, right *node
}

// The types of nodes.
const (
	kindKey  = "key"
	kindMesh = "mesh"
	kindHash = "hash"
)

// tree is the branch from the root down.
//
// A node that is joined with itself is expanded on the right: a verifier that finds nodes by their value takes the last
// one of a value, and needs its children. For the same reason both are hashes if they are leaves.
func tree(b seed.Branch) *node {
	at := &node{value: b.Hash, kind: kindHash}
	for _, step := range b.Steps {
		beside := &node{value: step.Sibling, kind: kindMesh}
		twice := beside.value == at.value
		if twice && at.kind == kindHash {
			beside.kind = kindHash
		}
		parent := &node{left: at, right: beside, kind: kindMesh}
		if step.Left || twice {
			parent.left, parent.right = beside, at
		}
		parent.left.name, parent.right.name = "left", "right"
		parent.value = seed.Parent(parent.left.value, parent.right.value)
		at = parent
	}
	at.name, at.kind = "node", kindKey
	return at
}

// XML is the branch as third-party verifiers read it, in one line.
func XML(b seed.Branch) []byte {
	var out strings.Builder
	out.WriteString(`<?xml version="1.0" encoding="UTF-8" standalone="yes"?>`)
	var write func(n *node)
	write = func(n *node) {
		fmt.Fprintf(&out, `<%s value="%x" type="%s"`, n.name, n.value, n.kind)
		if n.left == nil {
			out.WriteString("/>")
			return
		}
		out.WriteString(">")
		write(n.left)
		write(n.right)
		fmt.Fprintf(&out, "</%s>", n.name)
	}
	write(tree(b))
	return []byte(out.String())
}

// printed is the same in lines, as certificates show it: the declaration shorter, the attributes the other way round,
// and no line broken.
func printed(b seed.Branch) []string {
	lines := []string{`<?xml version="1.0" encoding="UTF-8"?>`}
	var write func(n *node, indent string)
	write = func(n *node, indent string) {
		line := fmt.Sprintf(`%s<%s type="%s" value="%x"`, indent, n.name, n.kind, n.value)
		if n.left == nil {
			lines = append(lines, line+"/>")
			return
		}
		lines = append(lines, line+">")
		write(n.left, indent+" ")
		write(n.right, indent+" ")
		lines = append(lines, fmt.Sprintf("%s</%s>", indent, n.name))
	}
	write(tree(b), "")
	return lines
}
