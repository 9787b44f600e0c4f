package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"github.com/datestone/datestone/api"
)

// accountBatch is how many files are stamped in one request: all of them or none.
const accountBatch = 1000

type accountDoc struct {
	Command string      `json:"command"`
	Exit    int         `json:"exit"`
	Proofs  []keptStamp `json:"proofs"`
	Skipped []skipped   `json:"skipped"`
	Error   *jsonError  `json:"error,omitempty"` // what kept the rest of the files from being stamped
}

type keptStamp struct {
	stampProof
	Result         string `json:"result"` // created, existing
	ID             string `json:"id"`
	CertificateID  string `json:"certificate_id"`
	CertificateURL string `json:"certificate_url"`
	VerifyURL      string `json:"verify_url"`
}

// intoAccount says whether an account is to keep the stamps.
func (c *stampCmd) intoAccount(a *app) (bool, error) {
	calendars := len(c.Calendar) > 0 || c.M != nil || c.privateFlags.given()
	if a.given() && calendars {
		return false, usagef("leave -c, -m and --private-calendar away", "stamps go to calendars or into an account, not both")
	}
	if c.privateFlags.given() && len(c.Calendar) > 0 {
		return false, usagef("leave -c away", "with a key file stamps go to private calendars alone")
	}
	return a.given() || os.Getenv(envAPI) != "" && !calendars, nil
}

// runAccount stamps into an account. Only digests, names and sizes are sent.
func (c *stampCmd) runAccount(ctx context.Context, a *app) (int, error) {
	if len(c.Digest) > 0 || len(c.Paths) == 0 || slices.Contains(c.Paths, "-") {
		return 0, usagef("name files or folders", "an account keeps the name and the size of a file with its digest")
	}
	client, err := a.account()
	if err != nil {
		return 0, err
	}
	in, left, err := c.inputs(ctx, a)
	if err != nil {
		return 0, err
	}
	if err := a.hashAll(ctx, in); err != nil {
		return 0, err
	}
	in, empty, err := c.withoutEmpty(in)
	if err != nil {
		return 0, err
	}
	doc := accountDoc{Command: "stamp", Proofs: []keptStamp{}, Skipped: append(append([]skipped{}, left...), empty...)}
	for _, s := range doc.Skipped {
		a.detailf("skipping %s: %s", s.File, s.Reason)
	}
	if len(in) == 0 {
		a.notef("nothing to stamp: %s left out, see -v", plural(len(doc.Skipped), "file"))
	}
	bar := a.progress(int64(len(in)), "stamping", false)
	for some := range slices.Chunk(in, accountBatch) {
		kept, err := c.keep(ctx, a, client, some, bar)
		doc.Proofs = append(doc.Proofs, kept...)
		if err != nil {
			bar.done()
			if ctx.Err() != nil {
				return 0, err
			}
			err = accountError(err)
			doc.Error = errJSON(err)
			code, hint := codeOf(err)
			doc.Exit = worse(doc.Exit, code)
			a.complain(err.Error(), hint)
			break
		}
	}
	bar.done()
	for _, p := range doc.Proofs {
		if p.Error != "" {
			doc.Exit = worse(doc.Exit, exitUnreached)
			a.complain("the proof of "+p.File+": "+p.Error, "it is stamped; get the proof with 'datestone fetch "+p.ID+"'")
		}
	}
	if a.Wait && doc.Exit == exitOK {
		if err := c.untilConfirmed(ctx, a, client, doc.Proofs); err != nil {
			return 0, err
		}
	}
	if a.JSON {
		a.writeJSON(doc)
		return doc.Exit, nil
	}
	c.reportAccount(a, doc)
	return doc.Exit, nil
}

// withoutEmpty leaves out empty files, which an account does not take.
func (c *stampCmd) withoutEmpty(in []input) (full []input, empty []skipped, err error) {
	for _, i := range in {
		if i.size > 0 {
			full = append(full, i)
			continue
		}
		if slices.Contains(c.Paths, i.name) {
			return nil, nil, usagef("leave it away", "%s is empty, and an account takes no empty files", i.name)
		}
		empty = append(empty, skipped{i.name, "empty"})
	}
	return full, empty, nil
}

// keep stamps a batch of files and writes their proofs.
func (c *stampCmd) keep(ctx context.Context, a *app, client *api.Client, in []input, bar *progress) ([]keptStamp, error) {
	var r api.BatchRequest
	for _, i := range in {
		r.Items = append(r.Items, api.CreateRequest{
			SHA256Hash: hex.EncodeToString(i.digest), Filename: displayName(i.name), FileSizeBytes: i.size,
		})
	}
	answer, err := client.CreateBatch(ctx, r)
	if err != nil {
		return nil, err
	}
	kept := make([]keptStamp, len(in))
	var g errgroup.Group
	g.SetLimit(maxProofs)
	for k, i := range in {
		ts := answer.Data[k].Timestamp
		kept[k] = keptStamp{
			stampProof: stampProof{File: i.name, Proof: i.proof, Hash: hashName(i.hashOp), Digest: hex.EncodeToString(i.digest)},
			Result:     answer.Data[k].Result, ID: ts.ID, CertificateID: ts.CertificateID, CertificateURL: ts.CertificateURL, VerifyURL: ts.VerifyURL,
		}
		g.Go(func() error {
			p := &kept[k]
			if err := c.writeKept(ctx, a, client, p, false); err != nil {
				p.Status, p.Error = "failed", err.Error()
			}
			bar.add(1)
			return nil
		})
	}
	g.Wait()
	if ctx.Err() != nil {
		return kept, context.Cause(ctx)
	}
	return kept, nil
}

// writeKept writes the proof as it is now; again says that this run has written it before.
func (c *stampCmd) writeKept(ctx context.Context, a *app, client *api.Client, p *keptStamp, again bool) error {
	raw, err := client.OTS(ctx, p.ID)
	if err != nil {
		return err
	}
	f, err := keptProof(raw, p.Digest)
	if err != nil {
		return err
	}
	status := proofStatus(f)
	switch {
	case p.Proof == "-" && a.Wait && status != "complete" && !again:
		// What goes to standard output is written once, when it is final.
	case p.Proof == "-":
		_, err = a.stdout.Write(raw)
	case again:
		err = replace(p.Proof, "", raw)
	default:
		err = writeNew(p.Proof, raw)
	}
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%s exists already", p.Proof)
	}
	if err == nil {
		p.Status = status
	}
	return err
}

// untilConfirmed waits for each stamp and writes its complete proof.
func (c *stampCmd) untilConfirmed(ctx context.Context, a *app, client *api.Client, kept []keptStamp) error {
	told := false
	for k := range kept {
		p := &kept[k]
		if p.Status == "complete" {
			continue
		}
		if !told {
			a.notef("waiting for Bitcoin to confirm; this can take hours, and what is written stays if you stop")
			told = true
		}
		if _, err := client.Wait(ctx, p.ID); err != nil {
			return accountError(err)
		}
		if err := c.writeKept(ctx, a, client, p, true); err != nil {
			return accountError(err)
		}
	}
	return nil
}

func (c *stampCmd) reportAccount(a *app, doc accountDoc) {
	say := func(format string, args ...any) { a.printf("%s\n", show(fmt.Sprintf(format, args...))) }
	if len(doc.Proofs) == 1 && doc.Proofs[0].Proof == "-" {
		say = a.notef
	}
	const listed = 20
	pending, existing := 0, 0
	for i, p := range doc.Proofs {
		if p.Status == "pending" {
			pending++
		}
		if p.Result == api.ResultExisting {
			existing++
		}
		switch {
		case i == listed && a.level() < 1:
			say("... and %s more", thousands(uint64(len(doc.Proofs)-i)))
		case i > listed && a.level() < 1, p.Error != "", p.Proof == "-":
		default:
			say("wrote %s", p.Proof)
		}
	}
	if doc.Exit != exitOK || len(doc.Proofs) == 0 {
		return
	}
	if existing > 0 {
		say("the account had %d of %s already", existing, plural(len(doc.Proofs), "stamp"))
	}
	if len(doc.Proofs) == 1 {
		say("certificate: %s", doc.Proofs[0].CertificateURL)
	}
	if pending == 0 {
		say("complete: committed to Bitcoin")
		return
	}
	say("pending: the service will commit to Bitcoin in some hours; then run")
	if len(doc.Proofs) == 1 {
		out := ""
		if p := doc.Proofs[0]; p.Proof != "-" && p.Proof != displayName(p.File)+".ots" {
			out = "-o " + p.Proof + " "
		}
		say("  datestone fetch %s%s", out, doc.Proofs[0].ID)
	} else {
		say("  datestone fetch ID, with an id that 'datestone list' shows")
	}
}

// displayName is what an account keeps as a file's name: the last part of its path, as text.
func displayName(path string) string {
	name := strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return '_'
		}
		return r
	}, filepath.Base(path))
	const most = 255
	for len(name) > most {
		_, n := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-n]
	}
	return name
}
