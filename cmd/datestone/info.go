package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/otshttp"
)

type infoCmd struct {
	Proofs []string `arg:"" name:"proof" help:"Proofs, FILE.ots; - is standard input."`
}

type infoDoc struct {
	Command string      `json:"command"`
	Exit    int         `json:"exit"`
	Proofs  []infoProof `json:"proofs"`
}

type infoProof struct {
	Proof        string     `json:"proof"`
	Hash         string     `json:"hash,omitempty"`
	Digest       string     `json:"digest,omitempty"`
	Complete     bool       `json:"complete"` // holds a Bitcoin attestation; not verified
	Attestations []attJSON  `json:"attestations"`
	Tree         *treeJSON  `json:"tree,omitempty"`
	Error        *jsonError `json:"error,omitempty"`
}

// treeJSON is one node: what stands on it, and the ways on from it.
type treeJSON struct {
	Attestations []string     `json:"attestations,omitempty"`
	Branches     []branchJSON `json:"branches,omitempty"`
}

type branchJSON struct {
	Operations []string  `json:"operations"`
	Then       *treeJSON `json:"then"`
}

func (c *infoCmd) run(ctx context.Context, a *app) (int, error) {
	doc := infoDoc{Command: "info", Proofs: []infoProof{}}
	w := bufio.NewWriter(a.stdout)
	for i, name := range c.Proofs {
		p := infoProof{Proof: name, Attestations: []attJSON{}}
		f, _, err := a.readProof(name)
		var all []found
		if err == nil && a.JSON {
			if all, err = attestations(f); err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
		}
		if err != nil {
			code, hint := codeOf(err)
			doc.Exit = worse(doc.Exit, code)
			p.Error = errJSON(err)
			doc.Proofs = append(doc.Proofs, p)
			w.Flush()
			a.complain(err.Error(), hint)
			continue
		}
		if a.JSON {
			p.Hash, p.Digest = hashName(f.HashOp), hex.EncodeToString(f.Digest)
			p.Complete = otshttp.Complete(f.Timestamp)
			for _, x := range all {
				p.Attestations = append(p.Attestations, newAttJSON(x.att, x.msg))
			}
			p.Tree = newTreeJSON(f.Timestamp)
			doc.Proofs = append(doc.Proofs, p)
			continue
		}
		if len(c.Proofs) > 1 {
			if i > 0 {
				fmt.Fprintln(w)
			}
			fmt.Fprintf(w, "%s\n", show(name))
		}
		fmt.Fprintf(w, "File %s hash: %x\nTimestamp:\n", hashName(f.HashOp), f.Digest)
		t := treePrinter{w: w, ctx: ctx, results: a.level() > 0}
		if err := t.node(f.Timestamp, f.Digest, 0); err != nil {
			return 0, err
		}
	}
	if err := w.Flush(); err != nil {
		return 0, fmt.Errorf("writing: %w", err)
	}
	if a.JSON {
		a.writeJSON(doc)
	}
	return doc.Exit, nil
}

// treePrinter prints a timestamp in the form of the reference client, with the comments
// of the documents of its authors: one operation a line, and where the tree forks each
// way on behind an arrow and four columns further in.
type treePrinter struct {
	w       io.Writer
	ctx     context.Context
	results bool // also print what each operation gives
}

func (p *treePrinter) line(indent int, text string) {
	fmt.Fprintf(p.w, "%s%s\n", strings.Repeat(" ", indent), text)
}

func (p *treePrinter) node(t *ots.Timestamp, msg []byte, indent int) error {
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	for _, a := range t.Attestations() {
		p.line(indent, "verify "+show(a.String()))
		switch a.Kind() {
		case ots.KindBitcoin:
			p.line(indent, "# Bitcoin block merkle root "+reversedHex(msg))
		case ots.KindLitecoin:
			p.line(indent, "# Litecoin block merkle root "+reversedHex(msg))
		}
	}
	forks := len(t.Branches()) > 1
	for i, b := range t.Branches() {
		at, in, first := msg, indent, true
		for op := range b.Path.Ops() {
			if i == 0 || !first {
				if id, ok := transactionID(at); ok {
					p.line(in, "# Bitcoin transaction id "+id)
				}
			}
			next, err := op.Apply(at)
			if err != nil {
				return err
			}
			text := op.String()
			if p.results {
				text += fmt.Sprintf(" == %x", next)
			}
			if forks && first {
				p.line(in, " -> "+text)
				in += 4
			} else {
				p.line(in, text)
			}
			at, first = next, false
		}
		if err := p.node(b.Timestamp, at, in); err != nil {
			return err
		}
	}
	return nil
}

func newTreeJSON(t *ots.Timestamp) *treeJSON {
	j := &treeJSON{}
	for _, a := range t.Attestations() {
		j.Attestations = append(j.Attestations, a.String())
	}
	for _, b := range t.Branches() {
		ops := make([]string, 0, b.Path.Len())
		for op := range b.Path.Ops() {
			ops = append(ops, op.String())
		}
		j.Branches = append(j.Branches, branchJSON{ops, newTreeJSON(b.Timestamp)})
	}
	return j
}
