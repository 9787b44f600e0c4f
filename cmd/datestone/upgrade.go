package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/otshttp"
)

// maxProofs is how many proofs are worked on at a time.
const maxProofs = 8

type upgradeCmd struct {
	Proofs   []string `arg:"" name:"proof" help:"Proofs to complete, FILE.ots. The old version is kept as FILE.ots.bak."`
	Calendar []string `short:"c" sep:"none" placeholder:"URL" help:"Ask this calendar instead of those that the proofs name. May be repeated." group:"cmd"`
	DryRun   bool     `short:"n" help:"Ask, but leave the proofs as they are." group:"cmd"`
	Timeout  seconds  `default:"10" placeholder:"SECONDS" help:"How long a calendar may take. Default: 10." group:"cmd"`
}

type upgradeDoc struct {
	Command string         `json:"command"`
	Exit    int            `json:"exit"`
	DryRun  bool           `json:"dry_run"`
	Proofs  []upgradeProof `json:"proofs"`
}

type upgradeProof struct {
	Proof     string       `json:"proof"`
	Status    string       `json:"status"` // complete, incomplete, failed
	Changed   bool         `json:"changed"`
	Backup    string       `json:"backup,omitempty"`
	Blocks    []string     `json:"blocks"` // such as "bitcoin 428648"; not verified here
	Calendars []answerJSON `json:"calendars"`
	Error     *jsonError   `json:"error,omitempty"`

	err  error
	code int
}

// answerJSON is one calendar's answer about one pending attestation.
type answerJSON struct {
	URI        string `json:"uri"`
	Calendar   string `json:"calendar"`
	Commitment string `json:"commitment"`
	Result     string `json:"result"` // added, nothing-new, waiting, not-allowed, failed
	Message    string `json:"message,omitempty"`
}

func newAnswerJSON(ans otshttp.Answer) answerJSON {
	j := answerJSON{URI: ans.URI, Calendar: ans.Calendar, Commitment: hex.EncodeToString(ans.Commitment)}
	switch {
	case ans.Err == nil && ans.Changed:
		j.Result = "added"
	case ans.Err == nil:
		j.Result = "nothing-new"
	case errors.Is(ans.Err, otshttp.ErrNotFound):
		j.Result, j.Message = "waiting", ans.Err.Error()
	case errors.Is(ans.Err, otshttp.ErrNotAllowed):
		j.Result, j.Message = "not-allowed", ans.Err.Error()
	default:
		j.Result, j.Message = "failed", ans.Err.Error()
	}
	return j
}

// answerText says an answer in words.
func answerText(ans otshttp.Answer) string {
	switch {
	case ans.Err != nil:
		return ans.Err.Error()
	case ans.Changed:
		return "added to the proof"
	}
	return "nothing new"
}

func (c *upgradeCmd) run(ctx context.Context, a *app) (int, error) {
	allowed, err := a.allowlist()
	if err != nil {
		return 0, err
	}
	for _, cal := range c.Calendar {
		if _, err := otshttp.CheckURL(cal); err != nil {
			return 0, usage(err, "a calendar is an address such as https://alice.btc.calendar.opentimestamps.org")
		}
	}
	up := a.upgrade(c.Timeout, allowed)
	up.Calendars = c.Calendar

	doc := upgradeDoc{Command: "upgrade", DryRun: c.DryRun, Proofs: make([]upgradeProof, len(c.Proofs))}
	bar := a.progress(int64(len(c.Proofs)), "asking calendars", false)
	var g errgroup.Group
	g.SetLimit(maxProofs)
	for i, name := range c.Proofs {
		g.Go(func() error {
			doc.Proofs[i] = c.one(ctx, a, up, name)
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
		p.Error = errJSON(p.err)
		doc.Exit = worse(doc.Exit, p.code)
		c.report(a, p)
	}
	if a.JSON {
		a.writeJSON(doc)
	}
	return doc.Exit, nil
}

// upgrade makes what asks the calendars, each the same thing once in a run, or once in a
// round of waiting.
func (a *app) upgrade(timeout seconds, allowed *otshttp.Allowlist) *otshttp.Upgrade {
	up := &otshttp.Upgrade{Client: a.calendarClient(timeout), Allowed: allowed, Remember: time.Hour}
	if a.Wait {
		up.Remember = a.WaitInterval.duration() / 2
	}
	return up
}

// one upgrades one proof, again and again if asked to wait.
func (c *upgradeCmd) one(ctx context.Context, a *app, up *otshttp.Upgrade, name string) (p upgradeProof) {
	p = upgradeProof{Proof: name, Status: "failed", Blocks: []string{}, Calendars: []answerJSON{}}
	failed := func(err error) upgradeProof {
		p.err = err
		p.code, _ = codeOf(err)
		return p
	}
	if name == "-" {
		return failed(usagef("", "a proof from standard input cannot be upgraded in place"))
	}
	f, raw, err := a.readProof(name)
	if err != nil {
		return failed(err)
	}
	step := func() (bool, error) {
		p.Calendars = p.Calendars[:0]
		answers, err := up.File(ctx, f)
		for _, ans := range answers {
			p.Calendars = append(p.Calendars, newAnswerJSON(ans))
			p.Changed = p.Changed || ans.Changed
		}
		return otshttp.Complete(f.Timestamp), err
	}
	if a.Wait {
		err = a.untilComplete(ctx, step)
	} else {
		_, err = step()
	}
	if err != nil && !p.Changed {
		return failed(err)
	}
	p.Blocks = blocks(f.Timestamp)
	if p.Changed && !c.DryRun {
		data, err := f.AppendBinary(nil)
		if err != nil {
			return failed(err)
		}
		if string(data) != string(raw) {
			// What only got nearer holds all that it held before; the one backup is for the step that completes it.
			if otshttp.Complete(f.Timestamp) {
				p.Backup = name + ".bak"
			}
			if err := replace(name, p.Backup, data); err != nil {
				taken := errors.Is(err, fs.ErrExist)
				backup := p.Backup
				p.Backup = ""
				if taken {
					return failed(backupTaken(backup))
				}
				return failed(fmt.Errorf("writing %s: %w", name, err))
			}
		}
	}
	if otshttp.Complete(f.Timestamp) {
		p.Status = "complete"
		return p
	}
	p.Status, p.code = "incomplete", exitIncomplete
	return p
}

// blocks lists the block attestations of a timestamp, each once, in the order of the
// tree, and not more than anybody reads.
func blocks(t *ots.Timestamp) []string {
	const most = 1000
	out := []string{}
	seen := map[string]bool{}
	var walk func(*ots.Timestamp)
	walk = func(t *ots.Timestamp) {
		for _, att := range t.Attestations() {
			switch att.Kind() {
			case ots.KindBitcoin, ots.KindLitecoin, ots.KindEthereum:
				h, ok := att.Height()
				s := fmt.Sprintf("%s %d", att.Kind(), h)
				if ok && !seen[s] && len(out) < most {
					seen[s] = true
					out = append(out, s)
				}
			}
		}
		for _, b := range t.Branches() {
			walk(b.Timestamp)
		}
	}
	walk(t)
	return out
}

func (c *upgradeCmd) report(a *app, p *upgradeProof) {
	if p.err != nil {
		_, hint := codeOf(p.err)
		a.complain(p.err.Error(), hint)
		return
	}
	name := show(p.Proof)
	switch {
	case p.Status == "complete" && p.Changed && c.DryRun:
		a.printf("%s: could be completed: %s (nothing written)\n", name, joinBlocks(p.Blocks))
	case p.Status == "complete" && p.Changed:
		a.printf("%s: complete: %s, not verified yet; the old proof is %s\n", name, joinBlocks(p.Blocks), show(p.Backup))
	case p.Status == "complete":
		a.printf("%s: complete already: %s\n", name, joinBlocks(p.Blocks))
	default:
		a.printf("%s: not complete yet\n", name)
	}
	extra := ""
	for _, ans := range p.Calendars {
		switch {
		case ans.Result == "not-allowed":
			a.printf("  %s: not asked: it is not on the allow-list\n", show(ans.URI))
			extra += " -l " + ans.URI
		case ans.Result == "added":
			a.detailf("  %s: added to the proof", ans.Calendar)
		case ans.Result == "nothing-new":
			a.printf("  %s: nothing new\n", show(ans.Calendar))
		case p.Status != "complete" || a.level() > 0:
			a.printf("  %s: %s\n", show(ans.Calendar), show(ans.Message))
		}
	}
	if extra != "" && p.Status != "complete" {
		a.notef("datestone: hint: if you trust them: datestone upgrade%s %s", extra, p.Proof)
	}
}

func joinBlocks(blocks []string) string {
	const most = 5
	s := ""
	for i, b := range blocks {
		if i == most {
			return s + fmt.Sprintf(" and %d more", len(blocks)-most)
		}
		if i > 0 {
			s += ", "
		}
		s += b
	}
	return s
}
