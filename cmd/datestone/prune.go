package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers"
)

type pruneCmd struct {
	Proofs   []string `arg:"" name:"proof" help:"Proofs to make smaller, FILE.ots. The old version is kept as FILE.ots.bak."`
	Verify   []string `sep:"none" xor:"verify" placeholder:"KIND" help:"Verify attestations of this kind first: btc, the default and the only kind there is." group:"cmd"`
	NoVerify bool     `xor:"verify" help:"Verify nothing first." group:"cmd"`
	Discard  []string `sep:"none" placeholder:"KIND" help:"Drop attestations of this kind: btc, ltc, eth, unknown, pending:* or pending:URI. May be repeated. Default: pending:*." group:"cmd"`
	DryRun   bool     `short:"n" help:"Say what would be dropped, but leave the proofs as they are." group:"cmd"`
}

type pruneDoc struct {
	Command string       `json:"command"`
	Exit    int          `json:"exit"`
	DryRun  bool         `json:"dry_run"`
	Proofs  []pruneProof `json:"proofs"`
}

type pruneProof struct {
	Proof     string     `json:"proof"`
	Status    string     `json:"status"` // pruned, unchanged, failed
	Kept      []attJSON  `json:"kept"`
	Discarded []attJSON  `json:"discarded"`
	Verified  bool       `json:"verified"`
	Before    int        `json:"bytes_before,omitempty"`
	After     int        `json:"bytes_after,omitempty"`
	Backup    string     `json:"backup,omitempty"`
	Error     *jsonError `json:"error,omitempty"`

	err  error
	code int
}

func (c *pruneCmd) run(ctx context.Context, a *app) (int, error) {
	discard, err := c.discards()
	if err != nil {
		return 0, err
	}
	for _, k := range c.Verify {
		if k != "btc" {
			return 0, usagef("leave --verify away, or use --no-verify", "--verify %q: only btc can be verified", k)
		}
	}
	var source headers.Source
	if !c.NoVerify {
		if source, err = a.source(); err != nil {
			if errors.Is(err, errNoBitcoin) {
				err = usagef("add --no-verify", "Bitcoin attestations cannot be verified with --no-bitcoin")
			}
			return 0, err
		}
	}
	doc := pruneDoc{Command: "prune", DryRun: c.DryRun, Proofs: []pruneProof{}}
	for _, name := range c.Proofs {
		p := c.one(ctx, a, source, discard, name)
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		p.Error = errJSON(p.err)
		doc.Exit = worse(doc.Exit, p.code)
		doc.Proofs = append(doc.Proofs, p)
		c.report(a, &p)
	}
	if a.JSON {
		a.writeJSON(doc)
	}
	return doc.Exit, nil
}

// discards makes a test out of the --discard options.
func (c *pruneCmd) discards() (func(ots.Attestation) bool, error) {
	kinds := map[string]ots.Kind{"btc": ots.KindBitcoin, "ltc": ots.KindLitecoin, "eth": ots.KindEthereum, "unknown": ots.KindUnknown, "pending:*": ots.KindPending}
	specs := c.Discard
	if len(specs) == 0 {
		specs = []string{"pending:*"}
	}
	byKind := map[ots.Kind]bool{}
	byURI := map[string]bool{}
	for _, s := range specs {
		if k, ok := kinds[s]; ok {
			byKind[k] = true
		} else if uri, ok := strings.CutPrefix(s, "pending:"); ok && uri != "" {
			byURI[uri] = true
		} else {
			return nil, usagef("use btc, ltc, eth, unknown, pending:* or pending:URI", "--discard %q is not a kind of attestation", s)
		}
	}
	return func(att ots.Attestation) bool {
		return byKind[att.Kind()] || att.Kind() == ots.KindPending && byURI[att.URI()]
	}, nil
}

func (c *pruneCmd) one(ctx context.Context, a *app, source headers.Source, discard func(ots.Attestation) bool, name string) pruneProof {
	p := pruneProof{Proof: name, Status: "failed", Kept: []attJSON{}, Discarded: []attJSON{}}
	failed := func(err error) pruneProof {
		p.err = err
		p.code, _ = codeOf(err)
		return p
	}
	if name == "-" {
		return failed(usagef("", "a proof from standard input cannot be pruned in place"))
	}
	f, raw, err := a.readProof(name)
	if err != nil {
		return failed(err)
	}
	all, err := attestations(f)
	if err != nil {
		return failed(fmt.Errorf("%s: %w", name, err))
	}
	if source != nil {
		if err := verifyAll(ctx, a, source, name, all); err != nil {
			return failed(err)
		}
		p.Verified = true
	}

	best := selectBest(f.Timestamp, discard)
	err = f.Timestamp.Walk(f.Digest, func(n *ots.Timestamp, msg []byte) error {
		for _, att := range n.Attestations() {
			if best.keeps(n, att) {
				p.Kept = append(p.Kept, newAttJSON(att, msg))
			} else {
				p.Discarded = append(p.Discarded, newAttJSON(att, msg))
			}
		}
		return nil
	})
	if err != nil {
		return failed(err)
	}
	switch {
	case len(p.Kept) == 0:
		return failed(&toolError{fmt.Errorf("%s: nothing would be left", name), "complete the proof first: datestone upgrade " + name, exitIncomplete})
	case len(p.Discarded) == 0:
		p.Status, p.code = "unchanged", exitIncomplete
		return p
	}
	t, err := ots.ParseTimestamp(best.wire(f.Timestamp), len(f.Digest))
	if err != nil {
		return failed(fmt.Errorf("pruning %s: %w", name, err))
	}
	data, err := (&ots.File{HashOp: f.HashOp, Digest: f.Digest, Timestamp: t}).AppendBinary(nil)
	if err != nil {
		return failed(fmt.Errorf("pruning %s: %w", name, err))
	}
	p.Before, p.After = len(raw), len(data)
	if !c.DryRun {
		backup := name + ".bak"
		if err := replace(name, backup, data); errors.Is(err, fs.ErrExist) {
			return failed(backupTaken(backup))
		} else if err != nil {
			return failed(fmt.Errorf("writing %s: %w", name, err))
		}
		p.Backup = backup
	}
	p.Status = "pruned"
	return p
}

// verifyAll refuses to prune a proof of which a Bitcoin attestation does not hold: the
// one kept could be the false one.
func verifyAll(ctx context.Context, a *app, source headers.Source, name string, all []found) error {
	const most = 256
	checked := 0
	for _, x := range all {
		if x.att.Kind() != ots.KindBitcoin {
			continue
		}
		if checked++; checked > most {
			return usagef("add --no-verify", "%s: more than %d Bitcoin attestations", name, most)
		}
		h, err := source.Header(ctx, x.height)
		if err == nil {
			_, err = x.att.VerifyHeader(x.msg, h)
		}
		switch {
		case err == nil:
		case errors.Is(err, ots.ErrMismatch):
			return &toolError{fmt.Errorf("%s: %s does not hold: the block's header has another Merkle root", name, x.att), "the proof is left as it is", exitFalse}
		case errors.Is(err, headers.ErrNoBlock):
			return &toolError{fmt.Errorf("%s: %w", name, err), "wait for the node to catch up, or add --no-verify", exitIncomplete}
		default:
			hint := a.sourceHint(err)
			if hint == "" {
				hint = "to prune without looking add --no-verify"
			} else {
				hint += "; to prune without looking add --no-verify"
			}
			return &toolError{err, hint, a.sourceCode(err)}
		}
	}
	return nil
}

// kept says which attestations stay: those that are not discarded, and of Bitcoin and of
// Litecoin only the oldest, at the end of the shortest way if there are several.
type kept struct {
	discard func(ots.Attestation) bool
	best    map[ots.Kind]candidate
}

type candidate struct {
	node   *ots.Timestamp
	att    ots.Attestation
	height uint64
	cost   int
}

func selectBest(t *ots.Timestamp, discard func(ots.Attestation) bool) *kept {
	k := &kept{discard: discard, best: map[ots.Kind]candidate{}}
	var walk func(t *ots.Timestamp, cost int)
	walk = func(t *ots.Timestamp, cost int) {
		for _, att := range t.Attestations() {
			if kind := att.Kind(); single(kind) && !discard(att) {
				h, ok := att.Height()
				if !ok {
					h = 1<<64 - 1
				}
				old, have := k.best[kind]
				if !have || h < old.height || h == old.height && cost < old.cost {
					k.best[kind] = candidate{t, att, h, cost}
				}
			}
		}
		for _, b := range t.Branches() {
			walk(b.Timestamp, cost+len(b.Path.Bytes()))
		}
	}
	walk(t, 0)
	return k
}

func single(kind ots.Kind) bool { return kind == ots.KindBitcoin || kind == ots.KindLitecoin }

func (k *kept) keeps(n *ots.Timestamp, att ots.Attestation) bool {
	if single(att.Kind()) {
		c := k.best[att.Kind()]
		return c.node == n && c.att.Equal(att)
	}
	return !k.discard(att)
}

// wire serializes what stays of a timestamp; nil when nothing does.
func (k *kept) wire(t *ots.Timestamp) []byte {
	var items [][]byte
	for _, att := range t.Attestations() {
		if k.keeps(t, att) {
			tag, payload := att.Tag(), att.Payload()
			b := append([]byte{0x00}, tag[:]...)
			b = binary.AppendUvarint(b, uint64(len(payload)))
			items = append(items, append(b, payload...))
		}
	}
	for _, b := range t.Branches() {
		if below := k.wire(b.Timestamp); below != nil {
			items = append(items, append(b.Path.Bytes(), below...))
		}
	}
	var out []byte
	for i, item := range items {
		if i < len(items)-1 {
			out = append(out, 0xff)
		}
		out = append(out, item...)
	}
	return out
}

func (c *pruneCmd) report(a *app, p *pruneProof) {
	if p.err != nil {
		_, hint := codeOf(p.err)
		a.complain(p.err.Error(), hint)
		return
	}
	name := show(p.Proof)
	switch {
	case p.Status == "unchanged":
		a.printf("%s: nothing to drop\n", name)
		return
	case c.DryRun:
		a.printf("%s: would shrink from %d to %d bytes (nothing written)\n", name, p.Before, p.After)
	default:
		a.printf("%s: %d bytes, was %d; the old proof is %s\n", name, p.After, p.Before, show(p.Backup))
	}
	if !p.Verified {
		a.printf("  not verified\n")
	}
	for _, att := range p.Kept {
		a.printf("  kept     %s\n", show(att.text()))
	}
	for i, att := range p.Discarded {
		if i == 20 && a.level() < 1 {
			a.printf("  dropped  and %d more, see -v\n", len(p.Discarded)-i)
			break
		}
		a.printf("  dropped  %s\n", show(att.text()))
	}
}

// text names an attestation in few words.
func (j attJSON) text() string {
	switch {
	case j.Kind == "pending":
		return "pending " + j.URI
	case j.Height != nil:
		return fmt.Sprintf("%s %d", j.Kind, *j.Height)
	case j.Kind == "unknown":
		return "unknown " + j.Tag
	}
	return j.Kind
}
