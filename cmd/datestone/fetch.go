package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/ots"
)

type fetchCmd struct {
	Stamps []string `arg:"" name:"stamp" help:"Stamps, each by its id or by the SHA-256 of its file. Proofs are written to FILE.ots; the old version of one is kept as FILE.ots.bak."`
	Output string   `short:"o" placeholder:"FILE" help:"Where the proof goes, when there is only one; - is standard output." group:"cmd"`
}

type fetchDoc struct {
	Command string       `json:"command"`
	Exit    int          `json:"exit"`
	Proofs  []fetchProof `json:"proofs"`
}

type fetchProof struct {
	Stamp   string     `json:"stamp"` // as it was asked for
	ID      string     `json:"id,omitempty"`
	File    string     `json:"file,omitempty"` // the name that the account keeps
	Proof   string     `json:"proof,omitempty"`
	Digest  string     `json:"digest,omitempty"`
	Status  string     `json:"status"` // complete, pending, failed
	Changed bool       `json:"changed"`
	Backup  string     `json:"backup,omitempty"`
	Blocks  []string   `json:"blocks"`
	Error   *jsonError `json:"error,omitempty"`

	err error
}

func (c *fetchCmd) run(ctx context.Context, a *app) (int, error) {
	switch {
	case c.Output != "" && len(c.Stamps) != 1:
		return 0, usagef("leave -o away, and proofs are named after the files", "-o goes with one stamp, not %d", len(c.Stamps))
	case c.Output == "-" && a.JSON:
		return 0, usagef("name a file with -o", "the proof and --json cannot both go to standard output")
	case c.Output == "-" && a.stdoutTTY:
		return 0, usagef("redirect it, or name a file with -o", "a proof is binary and standard output is a terminal")
	}
	client, err := a.account()
	if err != nil {
		return 0, err
	}
	doc := fetchDoc{Command: "fetch", Proofs: make([]fetchProof, len(c.Stamps))}
	bar := a.progress(int64(len(c.Stamps)), "fetching proofs", false)
	var g errgroup.Group
	g.SetLimit(maxProofs)
	for i, name := range c.Stamps {
		g.Go(func() error {
			p := fetchProof{Stamp: name, Blocks: []string{}}
			if p.err = c.one(ctx, a, client, &p); p.err != nil {
				p.Status, p.err = "failed", accountError(p.err)
			}
			doc.Proofs[i] = p
			bar.add(1)
			return nil
		})
	}
	g.Wait()
	bar.done()
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	for i := range doc.Proofs {
		p := &doc.Proofs[i]
		if p.err != nil {
			code, hint := codeOf(p.err)
			doc.Exit = worse(doc.Exit, code)
			p.Error = errJSON(p.err)
			a.complain(p.Stamp+": "+p.err.Error(), hint)
			continue
		}
		c.report(a, p)
	}
	if a.JSON {
		a.writeJSON(doc)
	}
	return doc.Exit, nil
}

// one fetches one proof into a file.
func (c *fetchCmd) one(ctx context.Context, a *app, client *api.Client, p *fetchProof) error {
	find := client.Get
	if len(p.Stamp) == 64 {
		find = client.ByHash
	}
	ts, err := find(ctx, p.Stamp)
	if err != nil {
		return err
	}
	p.ID, p.File, p.Digest = ts.ID, ts.Filename, ts.SHA256Hash
	if a.Wait && ts.Status == api.StatusPending {
		a.notef("waiting for Bitcoin to confirm; this can take hours")
		if _, err := client.Wait(ctx, ts.ID); err != nil {
			return err
		}
	}
	raw, err := client.OTS(ctx, ts.ID)
	if err != nil {
		return err
	}
	f, err := keptProof(raw, ts.SHA256Hash)
	if err != nil {
		return err
	}
	if p.Proof = c.Output; p.Proof == "" {
		p.Proof = safeName(ts.Filename, ts.SHA256Hash) + ".ots"
	}
	if p.Proof == "-" {
		_, err = a.stdout.Write(raw)
	} else if err = writeNew(p.Proof, raw); errors.Is(err, fs.ErrExist) {
		return c.join(a, p, f)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", p.Proof, err)
	}
	p.Changed, p.Status, p.Blocks = true, proofStatus(f), blocks(f.Timestamp)
	return nil
}

// join completes the proof that has the name already, if it is of the same data.
func (c *fetchCmd) join(a *app, p *fetchProof, f *ots.File) error {
	old, raw, err := a.readProof(p.Proof)
	if err != nil || old.HashOp != f.HashOp || !bytes.Equal(old.Digest, f.Digest) {
		return usagef("name another file with -o", "%s exists already, and is not a proof of the same data", p.Proof)
	}
	old.Timestamp.Merge(f.Timestamp)
	data, err := old.AppendBinary(nil)
	if err != nil {
		return fmt.Errorf("completing %s: %w", p.Proof, err)
	}
	if !bytes.Equal(data, raw) {
		backup := p.Proof + ".bak"
		if err := replace(p.Proof, backup, data); errors.Is(err, fs.ErrExist) {
			return backupTaken(backup)
		} else if err != nil {
			return fmt.Errorf("writing %s: %w", p.Proof, err)
		}
		p.Changed, p.Backup = true, backup
	}
	p.Status, p.Blocks = proofStatus(old), blocks(old.Timestamp)
	return nil
}

func (c *fetchCmd) report(a *app, p *fetchProof) {
	what := "pending: not in a Bitcoin block yet"
	if p.Status == "complete" {
		what = "complete: " + joinBlocks(p.Blocks) + ", not verified yet"
	}
	switch {
	case p.Proof == "-":
		a.notef("%s", what)
		return
	case !p.Changed:
		what += "; nothing new"
	case p.Backup != "":
		what += "; the old proof is " + p.Backup
	}
	a.printf("%s\n", show(p.Proof+": "+what))
}

// safeName makes of what a service says is a file's name one that stays in the folder and is not hidden.
func safeName(name, fallback string) string {
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|`, r) || r == utf8.RuneError || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, name)
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") {
		name = "_" + name[1:]
	}
	const most = 240
	for len(name) > most {
		_, n := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-n]
	}
	if name == "" || filepath.Base(name) != name {
		return fallback
	}
	return name
}
