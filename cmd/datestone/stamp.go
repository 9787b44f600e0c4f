package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/otshttp"
)

type stampCmd struct {
	Paths     []string `arg:"" optional:"" name:"path" help:"Files and folders; - or nothing is standard input. Proofs are written beside the files, as FILE.ots."`
	Digest    []string `short:"d" aliases:"hash" sep:"none" placeholder:"HEX" help:"Stamp a digest; writes HEX.ots. May be repeated." group:"cmd"`
	Algorithm string   `short:"a" placeholder:"NAME" help:"What made the digests: sha256, sha1 or ripemd160. Told from their length otherwise." group:"cmd"`
	Output    string   `short:"o" placeholder:"FILE" help:"Where the proof goes, when there is only one; - is standard output." group:"cmd"`
	Calendar  []string `short:"c" sep:"none" placeholder:"URL" help:"Send to this calendar instead of the public ones. May be repeated." group:"cmd"`
	M         *int     `short:"m" name:"quorum" placeholder:"N" help:"How many calendars must answer: 2, or 1 if there is only one." group:"cmd"`
	Timeout   seconds  `default:"5" placeholder:"SECONDS" help:"How long a calendar may take. Default: 5." group:"cmd"`
	BtcWallet bool     `short:"b" hidden:""`

	privateFlags
}

type stampDoc struct {
	Command   string          `json:"command"`
	Exit      int             `json:"exit"`
	Root      string          `json:"root"` // what the calendars were sent
	Calendars []stampCalendar `json:"calendars"`
	Proofs    []stampProof    `json:"proofs"`
	Skipped   []skipped       `json:"skipped"`
}

type stampCalendar struct {
	URL    string   `json:"url"`
	Result string   `json:"result"` // stamped, failed, not-awaited
	Error  string   `json:"error,omitempty"`
	URIs   []string `json:"uris,omitempty"` // whom to ask later
}

type stampProof struct {
	File   string `json:"file,omitempty"`
	Proof  string `json:"proof"`
	Hash   string `json:"hash"`
	Digest string `json:"digest"`
	Status string `json:"status"` // pending, complete, failed
	Error  string `json:"error,omitempty"`
}

// batch is a tree over what one run stamps.
type batch struct {
	in     []input
	nonces [][16]byte
	tree   *ots.Tree
	root   [32]byte
}

func (c *stampCmd) run(ctx context.Context, a *app) (int, error) {
	if c.BtcWallet {
		return 0, usagef("stamp through a calendar; to anchor with your own node run datestoned", "stamping with a Bitcoin wallet is not part of this tool")
	}
	if into, err := c.intoAccount(a); err != nil {
		return 0, err
	} else if into {
		return c.runAccount(ctx, a)
	}
	var authorize func(*http.Request, []byte) error
	if c.privateFlags.given() {
		var err error
		if c.Calendar, authorize, err = c.signers(); err != nil {
			return 0, err
		}
	}
	calendars := c.Calendar
	if len(calendars) == 0 {
		calendars = otshttp.DefaultCalendars
	}
	need, err := c.quorum(calendars)
	if err != nil {
		return 0, err
	}
	in, left, err := c.inputs(ctx, a)
	if err != nil {
		return 0, err
	}
	doc := stampDoc{Command: "stamp", Proofs: []stampProof{}, Skipped: append([]skipped{}, left...), Calendars: []stampCalendar{}}
	for _, s := range left {
		a.detailf("skipping %s: %s", s.File, s.Reason)
	}
	if len(in) == 0 {
		a.notef("nothing to stamp: %s left out, see -v", plural(len(left), "file"))
		if a.JSON {
			a.writeJSON(doc)
		}
		return exitOK, nil
	}
	if err := a.hashAll(ctx, in); err != nil {
		return 0, err
	}
	b, err := newBatch(in)
	if err != nil {
		return 0, err
	}
	doc.Root = hex.EncodeToString(b.root[:])

	client := a.calendarClient(c.Timeout)
	client.Authorize = authorize
	submitCtx, cancel := context.WithTimeout(ctx, c.Timeout.duration())
	defer cancel()
	for _, cal := range calendars {
		a.detailf("submitting to %s", cal)
	}
	replies, err := client.SubmitAll(submitCtx, calendars, b.root[:], otshttp.Quorum{
		Need: need,
		// What cannot be put behind the longest path of the tree is of no use.
		Accept: func(_ string, t *ots.Timestamp) error { _, err := b.proof(0, t); return err },
	})
	if err != nil && !errors.Is(err, otshttp.ErrTooFew) {
		return 0, err
	}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	tip := ots.New(ots.Path{})
	for _, r := range replies {
		sc := stampCalendar{URL: r.Calendar, Result: "stamped"}
		switch {
		case errors.Is(r.Err, otshttp.ErrNotAwaited):
			sc.Result, sc.Error = "not-awaited", r.Err.Error()
			a.detailf("calendar %s: %s", r.Calendar, r.Err)
		case r.Err != nil:
			sc.Result, sc.Error = "failed", r.Err.Error()
			a.warnf("calendar %s: %s", r.Calendar, r.Err)
		default:
			tip.Merge(r.Timestamp)
			sc.URIs = pendingURIs(r.Timestamp)
			a.detailf("calendar %s answered in %d ms", r.Calendar, r.Elapsed.Milliseconds())
		}
		doc.Calendars = append(doc.Calendars, sc)
	}
	if err != nil {
		err = &toolError{err, "try again, allow more time with --timeout, or name other calendars with -c", exitUnreached}
		if !a.JSON {
			return 0, err
		}
		doc.Exit = exitUnreached
		a.writeJSON(struct {
			stampDoc
			Error *jsonError `json:"error"`
		}{doc, errJSON(err)})
		a.complain(err.Error(), "")
		return doc.Exit, nil
	}

	// A proof that goes to standard output can be written only once, when it is final.
	toStdout := in[0].proof == "-"
	status := "pending"
	if otshttp.Complete(tip) {
		status = "complete"
	}
	if !toStdout {
		doc.Proofs, doc.Exit = b.write(a, tip, status, false)
	}
	if a.Wait && status != "complete" && doc.Exit == exitOK {
		if err := c.wait(ctx, a, client, b, tip); err != nil {
			return 0, err
		}
		status = "complete"
		if !toStdout {
			doc.Proofs, doc.Exit = b.write(a, tip, status, true)
		}
	}
	if toStdout {
		doc.Proofs, doc.Exit = b.write(a, tip, status, false)
	}
	c.report(a, doc, tip, status, toStdout)
	return doc.Exit, nil
}

// quorum checks the calendars and how many of them must answer.
func (c *stampCmd) quorum(calendars []string) (int, error) {
	for i, cal := range calendars {
		if _, err := otshttp.CheckURL(cal); err != nil {
			return 0, usage(err, "a calendar is an address such as https://a.pool.opentimestamps.org")
		}
		if slices.Contains(calendars[:i], cal) {
			return 0, usagef("name each calendar once", "-c %s is given twice", cal)
		}
	}
	if len(calendars) > otshttp.MaxCalendars {
		return 0, usagef("a handful is enough", "more than %d calendars", otshttp.MaxCalendars)
	}
	if c.M == nil {
		return min(2, len(calendars)), nil
	}
	if *c.M < 1 || *c.M > len(calendars) {
		return 0, usagef("name more with -c, or ask for fewer", "-m %d does not fit %s", *c.M, plural(len(calendars), "calendar"))
	}
	return *c.M, nil
}

func (c *stampCmd) inputs(ctx context.Context, a *app) ([]input, []skipped, error) {
	paths := c.Paths
	if len(paths) == 0 && len(c.Digest) == 0 {
		if a.stdinTTY {
			return nil, nil, usagef("name files or folders, pipe data in, or give a digest with -d", "nothing to stamp")
		}
		paths = []string{"-"}
	}
	if c.Algorithm != "" && len(c.Digest) == 0 {
		return nil, nil, usagef("files are always hashed with SHA-256", "-a goes with -d only")
	}
	if c.Output != "" && len(c.Digest) == 0 && len(paths) == 1 && paths[0] != "-" {
		// The usual place of the proof does not matter then.
		st, err := os.Stat(paths[0])
		if err != nil {
			return nil, nil, openError(paths[0], err)
		}
		if !st.IsDir() {
			in := input{name: paths[0], proof: c.Output, size: st.Size()}
			return []input{in}, nil, c.outputFree(a, in)
		}
	}
	in, left, err := collect(ctx, paths)
	if err != nil {
		return nil, nil, err
	}
	for _, text := range c.Digest {
		d, err := parseDigest(strings.ToLower(text), strings.ToLower(c.Algorithm))
		if err != nil {
			return nil, nil, err
		}
		if !slices.ContainsFunc(in, func(i input) bool { return i.proof == d.proof }) {
			in = append(in, d)
		}
	}
	if c.Output != "" {
		if len(in) != 1 {
			return nil, nil, usagef("leave -o away, and proofs are written beside the files", "-o goes with one thing to stamp, not %d", len(in))
		}
		in[0].proof = c.Output
	}
	if len(in) > 1 && slices.ContainsFunc(in, func(i input) bool { return i.proof == "-" }) {
		return nil, nil, usagef("stamp it in a run of its own", "standard input cannot be stamped together with files")
	}
	for _, i := range in {
		// Files were looked at when they were collected.
		if i.name != "" && i.name != "-" && c.Output == "" {
			continue
		}
		if err := c.outputFree(a, i); err != nil {
			return nil, nil, err
		}
	}
	return in, left, nil
}

// outputFree refuses early what would fail after the calendars were asked.
func (c *stampCmd) outputFree(a *app, i input) error {
	switch {
	case i.proof != "-" && exists(i.proof):
		return usagef("move it away first", "%s exists already", i.proof)
	case i.proof != "-" && !isDir(filepath.Dir(i.proof)):
		return usagef("make the folder first", "%s: there is no folder %s", i.proof, filepath.Dir(i.proof))
	case i.proof == "-" && a.JSON:
		return usagef("name a file with -o", "the proof and --json cannot both go to standard output")
	case i.proof == "-" && a.stdoutTTY:
		return usagef("redirect it, or name a file with -o", "a proof is binary and standard output is a terminal")
	}
	return nil
}

func newBatch(in []input) (*batch, error) {
	b := &batch{in: in, nonces: make([][16]byte, len(in))}
	leaves := make([][32]byte, len(in))
	for i := range in {
		if _, err := rand.Read(b.nonces[i][:]); err != nil {
			return nil, fmt.Errorf("making a nonce: %w", err)
		}
		// The nonce keeps who sees one proof from testing guesses about its neighbours.
		leaves[i] = sha256.Sum256(append(slices.Clone(in[i].digest), b.nonces[i][:]...))
	}
	b.tree = ots.MerkleTree(leaves)
	b.root = b.tree.Root()
	return b, nil
}

// proof puts what continues from the root behind the path of one input.
func (b *batch) proof(i int, tip *ots.Timestamp) ([]byte, error) {
	path := ots.Path{}.Append(b.nonces[i][:]).SHA256().Concat(b.tree.Path(i))
	wire, err := tip.AppendBinary(path.Bytes())
	if err != nil {
		return nil, err
	}
	t, err := ots.ParseTimestamp(wire, len(b.in[i].digest))
	if err != nil {
		return nil, err
	}
	return (&ots.File{HashOp: b.in[i].hashOp, Digest: b.in[i].digest, Timestamp: t}).AppendBinary(nil)
}

// write writes all proofs; again says that this run has written them before.
func (b *batch) write(a *app, tip *ots.Timestamp, status string, again bool) ([]stampProof, int) {
	out := make([]stampProof, len(b.in))
	bar := a.progress(int64(len(b.in)), "writing proofs", false)
	defer bar.done()
	var g errgroup.Group
	g.SetLimit(maxProofs)
	for i, in := range b.in {
		g.Go(func() error {
			out[i] = stampProof{File: in.name, Proof: in.proof, Hash: hashName(in.hashOp), Digest: hex.EncodeToString(in.digest), Status: status}
			data, err := b.proof(i, tip)
			if err == nil {
				switch {
				case in.proof == "-":
					_, err = a.stdout.Write(data)
				case again:
					err = replace(in.proof, "", data)
				default:
					err = writeNew(in.proof, data)
				}
			}
			if errors.Is(err, fs.ErrExist) {
				err = fmt.Errorf("%s exists already", in.proof)
			}
			if err != nil {
				out[i].Status, out[i].Error = "failed", err.Error()
			}
			bar.add(1)
			return nil
		})
	}
	g.Wait()
	code := exitOK
	for _, p := range out {
		if p.Error != "" {
			code = exitUnreached
			a.complain("writing a proof: "+p.Error, "")
		}
	}
	return out, code
}

// wait asks the calendars until the tip has a Bitcoin attestation.
func (c *stampCmd) wait(ctx context.Context, a *app, client *otshttp.Client, b *batch, tip *ots.Timestamp) error {
	allowed, err := a.allowlist(c.Calendar...)
	if err != nil {
		return err
	}
	up := otshttp.Upgrade{Client: client, Allowed: allowed}
	return a.untilComplete(ctx, func() (bool, error) {
		answers, err := up.Timestamp(ctx, b.root[:], tip, func(t *ots.Timestamp) error { _, err := b.proof(0, t); return err })
		if err != nil {
			return false, err
		}
		asked := false
		for _, ans := range answers {
			asked = asked || !errors.Is(ans.Err, otshttp.ErrNotAllowed)
			a.detailf("calendar %s: %s", ans.Calendar, answerText(ans))
		}
		if !asked {
			return false, usagef("add them with -l URL", "none of the calendars that the proof names may be asked: %s", strings.Join(pendingURIs(tip), ", "))
		}
		return otshttp.Complete(tip), nil
	})
}

// untilComplete repeats a step until it says that it is done.
func (a *app) untilComplete(ctx context.Context, step func() (bool, error)) error {
	start := time.Now()
	for first := true; ; first = false {
		ok, err := step()
		if err != nil || ok {
			return err
		}
		if first {
			a.notef("waiting for Bitcoin to confirm; this can take hours, and what is written stays if you stop")
		}
		a.detailf("not complete after %s; asking again in %s", time.Since(start).Round(time.Second), a.WaitInterval.duration())
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(a.WaitInterval.duration()):
		}
	}
}

func (c *stampCmd) report(a *app, doc stampDoc, tip *ots.Timestamp, status string, toStdout bool) {
	if a.JSON {
		a.writeJSON(doc)
		return
	}
	say := func(format string, args ...any) {
		if toStdout {
			a.notef(format, args...)
		} else {
			a.printf("%s\n", show(fmt.Sprintf(format, args...)))
		}
	}
	const listed = 20
	for i, p := range doc.Proofs {
		if p.Error != "" || p.Proof == "-" {
			continue
		}
		if i >= listed && a.level() < 1 {
			say("... and %s more", thousands(uint64(len(doc.Proofs)-i)))
			break
		}
		say("wrote %s", p.Proof)
	}
	if doc.Exit != exitOK {
		return
	}
	if status == "complete" {
		say("complete: committed to Bitcoin")
		return
	}
	answered := 0
	for _, cal := range doc.Calendars {
		if cal.Result == "stamped" {
			answered++
		}
	}
	say("pending: %s of %d took it and will commit it to Bitcoin in some hours; then run", plural(answered, "calendar"), len(doc.Calendars))
	allowed, err := a.allowlist()
	if err != nil {
		return
	}
	var extra string
	for _, uri := range pendingURIs(tip) {
		if !allowed.Allows(uri) {
			extra += "-l " + uri + " "
		}
	}
	name := "PROOF.ots"
	if len(doc.Proofs) == 1 && doc.Proofs[0].Proof != "-" {
		name = doc.Proofs[0].Proof
	}
	say("  datestone upgrade %s%s", extra, name)
}

// pendingURIs lists the calendars that a timestamp names, each once.
func pendingURIs(t *ots.Timestamp) []string {
	var uris []string
	for _, a := range t.Attestations() {
		if a.Kind() == ots.KindPending {
			uris = append(uris, a.URI())
		}
	}
	for _, b := range t.Branches() {
		uris = append(uris, pendingURIs(b.Timestamp)...)
	}
	slices.Sort(uris)
	return slices.Compact(uris)
}

func hashName(op ots.Tag) string { return ots.Op{Tag: op}.String() }
