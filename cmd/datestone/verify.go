package main

import (
	"cmp"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ripemd160" //lint:ignore SA1019 proofs of such digests exist

	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers"
	"github.com/datestone/datestone/ots/otshttp"
)

// maxChecked bounds how many attestations of one chain in one proof are looked up when
// none of them holds.
const maxChecked = 16

// safeDepth is how many confirmations make a block hard to replace.
const safeDepth = 6

type verifyCmd struct {
	Proofs  []string `arg:"" name:"proof" help:"Proofs, FILE.ots; the data is expected in FILE."`
	File    string   `short:"f" xor:"target" placeholder:"FILE" help:"The data, when it is elsewhere; - is standard input." group:"cmd"`
	Digest  string   `short:"d" xor:"target" placeholder:"HEX" help:"The digest of the data, instead of the data." group:"cmd"`
	Offline bool     `help:"Do not ask calendars to complete the proof in memory first." group:"cmd"`
	All     bool     `help:"Check every attestation. Otherwise the oldest that holds is enough, of each chain." group:"cmd"`
	Timeout seconds  `default:"10" placeholder:"SECONDS" help:"How long a calendar may take. Default: 10." group:"cmd"`
}

type verifyDoc struct {
	Command     string        `json:"command"`
	Exit        int           `json:"exit"`
	Network     string        `json:"network"`
	TestNetwork bool          `json:"test_network"` // then nothing here proves anything
	P2P         *p2pJSON      `json:"p2p,omitempty"`
	Proofs      []verifyProof `json:"proofs"`
}

type verifyProof struct {
	Proof  string `json:"proof"`
	File   string `json:"file,omitempty"`
	Hash   string `json:"hash,omitempty"`
	Digest string `json:"digest,omitempty"`
	// Status is verified; pending (calendars still wait); unchecked (nothing that
	// could be checked); false (an attestation does not hold); mismatch (the proof is
	// for other data); or failed (see error).
	Status       string         `json:"status"`
	Time         *time.Time     `json:"time,omitempty"` // the data existed then
	Block        *blockJSON     `json:"block,omitempty"`
	Source       string         `json:"source,omitempty"`
	Attestations []verifiedJSON `json:"attestations"`
	Calendars    []answerJSON   `json:"calendars"`
	NotChecked   []string       `json:"not_checked"`
	Error        *jsonError     `json:"error,omitempty"`

	blocks []*blockJSON // the oldest of each chain that holds
	err    error
	code   int
}

type blockJSON struct {
	Chain         string    `json:"chain"` // bitcoin or litecoin
	Height        uint64    `json:"height"`
	Hash          string    `json:"hash"`
	Time          time.Time `json:"time"`
	Confirmations *uint64   `json:"confirmations,omitempty"`

	source headers.Source
	net    *headers.Network
}

// chain is what the attestations of one kind in a proof are checked with.
type chain struct {
	source  headers.Source // nil: not at all
	net     *headers.Network
	instead string // why not

	block   *blockJSON // of the oldest that holds
	err     error      // of the source
	checked int
}

type verifiedJSON struct {
	attJSON
	Result string `json:"result"` // verified, false, not-checked
	Reason string `json:"reason,omitempty"`
}

func (c *verifyCmd) run(ctx context.Context, a *app) (int, error) {
	if (c.File != "" || c.Digest != "") && len(c.Proofs) > 1 {
		return 0, usagef("verify the proofs one by one", "-f and -d go with one proof, not %d", len(c.Proofs))
	}
	source, err := a.source()
	if err != nil && !errors.Is(err, errNoBitcoin) {
		return 0, err
	}
	allowed, err := a.allowlist()
	if err != nil {
		return 0, err
	}
	litecoin, err := a.litecoin()
	if err != nil {
		return 0, err
	}
	up := a.upgrade(c.Timeout, allowed)
	net := a.network()
	doc := verifyDoc{Command: "verify", Network: net.Name, TestNetwork: a.testNetwork(), Proofs: []verifyProof{}}
	for _, name := range c.Proofs {
		p := c.one(ctx, a, up, map[ots.Kind]*chain{
			ots.KindBitcoin:  {source: source, net: net, instead: errNoBitcoin.Error()},
			ots.KindLitecoin: {source: litecoin, net: a.litecoinNetwork(), instead: "no Litecoin node was named to check it with: --litecoin-node"},
		}, name)
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		p.Error = errJSON(p.err)
		doc.Exit = worse(doc.Exit, p.code)
		doc.Proofs = append(doc.Proofs, p)
		c.report(a, net, &p)
	}
	doc.P2P = newP2PJSON(source)
	if a.JSON {
		a.writeJSON(doc)
	}
	return doc.Exit, nil
}

func (c *verifyCmd) one(ctx context.Context, a *app, up *otshttp.Upgrade, chains map[ots.Kind]*chain, name string) verifyProof {
	p := verifyProof{Proof: name, Status: "failed", Attestations: []verifiedJSON{}, Calendars: []answerJSON{}, NotChecked: []string{}}
	failed := func(err error) verifyProof {
		p.err = err
		p.code, _ = codeOf(err)
		return p
	}
	f, _, err := a.readProof(name)
	if err != nil {
		return failed(err)
	}
	p.Hash, p.Digest = hashName(f.HashOp), hex.EncodeToString(f.Digest)
	if err := c.matchTarget(ctx, a, f, &p); err != nil {
		p.Status = "mismatch"
		var te *toolError
		if !errors.As(err, &te) || te.code != exitFalse {
			p.Status = "failed"
		}
		return failed(err)
	}

	if !c.Offline {
		step := func() (bool, error) {
			p.Calendars = p.Calendars[:0]
			answers, err := up.File(ctx, f)
			for _, ans := range answers {
				p.Calendars = append(p.Calendars, newAnswerJSON(ans))
				a.detailf("calendar %s: %s", ans.Calendar, answerText(ans))
			}
			return otshttp.Complete(f.Timestamp), err
		}
		if a.Wait {
			err = a.untilComplete(ctx, step)
		} else {
			_, err = step()
		}
		if err != nil {
			return failed(err)
		}
	}
	return c.judge(ctx, a, chains, f, p)
}

// matchTarget compares the proof's digest with the data, or with the digest given.
func (c *verifyCmd) matchTarget(ctx context.Context, a *app, f *ots.File, p *verifyProof) error {
	if c.Digest != "" {
		want, err := hex.DecodeString(c.Digest)
		if err != nil {
			return usagef("such as the output of sha256sum", "-d: %q is not hexadecimal", c.Digest)
		}
		if !slices.Equal(want, f.Digest) {
			return &toolError{fmt.Errorf("%s is a proof for another digest: %s %x", p.Proof, p.Hash, f.Digest), "", exitFalse}
		}
		return nil
	}
	target := c.File
	if target == "" {
		base, ok := strings.CutSuffix(p.Proof, ".ots")
		if !ok {
			return usagef("name the data with -f FILE, or its digest with -d HEX", "cannot tell what %s is a proof for: its name does not end in .ots", p.Proof)
		}
		target = base
	}
	p.File = target
	a.detailf("the data is in %s", target)
	digest, err := a.hashTarget(ctx, target, f.HashOp)
	if err != nil {
		var te *toolError
		if c.File == "" && errors.As(err, &te) && te.hint == "" {
			te.hint = "name the data with -f FILE, or its digest with -d HEX"
		}
		return err
	}
	if !slices.Equal(digest, f.Digest) {
		return &toolError{fmt.Errorf("%s is not what %s is a proof for: its %s is %x, the proof's %x", target, p.Proof, p.Hash, digest, f.Digest),
			"the file was changed, or the proof belongs to another", exitFalse}
	}
	return nil
}

func (a *app) hashTarget(ctx context.Context, name string, op ots.Tag) ([]byte, error) {
	var h hash.Hash
	switch op {
	case ots.OpSHA256:
		h = sha256.New()
	case ots.OpSHA1:
		h = sha1.New()
	case ots.OpRIPEMD160:
		h = ripemd160.New()
	default:
		return nil, usagef("", "files cannot be hashed with %s", hashName(op))
	}
	r, size := a.stdin, int64(0)
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, openError(name, err)
		}
		defer file.Close()
		if st, err := file.Stat(); err == nil {
			size = st.Size()
		}
		r = file
	}
	bar := a.progress(size, "hashing", true)
	defer bar.done()
	buf := make([]byte, 1<<17)
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		n, err := r.Read(buf)
		h.Write(buf[:n])
		bar.add(n)
		if errors.Is(err, io.EOF) {
			return h.Sum(nil), nil
		}
		if err != nil {
			return nil, usage(fmt.Errorf("reading %s: %w", name, err), "")
		}
	}
}

// found is an attestation with the message that it stands on.
type found struct {
	att    ots.Attestation
	height uint64
	known  bool
	msg    []byte
}

// maxListed bounds the memory that a listing takes, in bytes: a small file can hold very
// many attestations on long messages.
const maxListed = 16 << 20

func attestations(f *ots.File) ([]found, error) {
	var all []found
	size := 0
	err := f.Timestamp.Walk(f.Digest, func(n *ots.Timestamp, msg []byte) error {
		var own []byte
		for _, att := range n.Attestations() {
			if own == nil {
				own = slices.Clone(msg)
				size += len(own)
			}
			if size += 64; size > maxListed {
				return usagef("no honest proof is like that", "it holds more attestations than can be listed")
			}
			h, ok := att.Height()
			all = append(all, found{att, h, ok, own})
		}
		return nil
	})
	return all, err
}

// judge checks the attestations of each chain, the oldest first, and lists what it leaves.
func (c *verifyCmd) judge(ctx context.Context, a *app, chains map[ots.Kind]*chain, f *ots.File, p verifyProof) verifyProof {
	all, err := attestations(f)
	if err != nil {
		p.err, p.code = fmt.Errorf("%s: %w", p.Proof, err), exitUsage
		return p
	}
	// Bitcoin by height, Litecoin by height, then the rest in the order of the tree.
	slices.SortStableFunc(all, func(x, y found) int {
		order := []ots.Kind{ots.KindLitecoin, ots.KindBitcoin}
		kx, ky := slices.Index(order, x.att.Kind()), slices.Index(order, y.att.Kind())
		if kx != ky || kx < 0 {
			return ky - kx
		}
		return cmp.Compare(x.height, y.height)
	})
	var (
		isFalse, pending, complete bool
		seen                       = make(map[string]bool)
	)
	for _, x := range all {
		v := verifiedJSON{attJSON: newAttJSON(x.att, x.msg), Result: "not-checked"}
		switch x.att.Kind() {
		case ots.KindPending:
			pending = true
			v.Reason = "pending: a calendar's promise proves nothing"
			for _, ans := range p.Calendars {
				if ans.URI == x.att.URI() && ans.Commitment == v.Message && ans.Message != "" {
					v.Reason = "pending: " + ans.Message
				}
			}
		case ots.KindBitcoin, ots.KindLitecoin:
			of := chains[x.att.Kind()]
			complete = complete || x.att.Kind() == ots.KindBitcoin || of.source != nil
			switch {
			case of.source == nil:
				v.Reason = of.instead
			case !x.known:
				v.Reason = "no chain is that high"
			case of.block != nil && !c.All:
				v.Reason = "another " + of.net.Chain() + " attestation holds, which is enough; --all checks every one"
			case of.err != nil:
				v.Reason = of.err.Error()
			case of.checked == maxChecked && of.block == nil || of.checked > 256:
				v.Reason = "too many attestations"
			default:
				of.checked++
				block, err := lookUp(ctx, of, x)
				switch {
				case err == nil:
					v.Result = "verified"
					of.block = cmp.Or(of.block, block)
				case errors.Is(err, ots.ErrMismatch):
					isFalse = true
					v.Result, v.Reason = "false", "the block's header has another Merkle root"
				case errors.Is(err, headers.ErrNoBlock):
					v.Reason = err.Error()
				default:
					of.err, v.Reason = err, err.Error()
				}
			}
		case ots.KindEthereum:
			v.Reason = "this tool does not check " + x.att.Kind().String() + " attestations"
		default:
			v.Reason = "an attestation of an unknown kind"
		}
		if line := x.att.String() + ": " + v.Reason; v.Result == "not-checked" && !seen[line] {
			seen[line] = true
			p.NotChecked = append(p.NotChecked, line)
		}
		p.Attestations = append(p.Attestations, v)
	}
	var sourceErr error
	for _, kind := range []ots.Kind{ots.KindBitcoin, ots.KindLitecoin} {
		of := chains[kind]
		sourceErr = cmp.Or(sourceErr, of.err)
		if b := of.block; b != nil {
			p.blocks = append(p.blocks, b)
			if p.Block == nil || b.Time.Before(p.Block.Time) {
				p.Block, p.Time, p.Source = b, &b.Time, of.source.String()
			}
		}
	}
	switch {
	case p.Block != nil:
		p.Status, p.code = "verified", exitOK
		for _, b := range p.blocks {
			p.NotChecked = append(p.NotChecked, caveats(b)...)
		}
		p.NotChecked = append(p.NotChecked, "how exact the block's time is: a miner sets it, and it may be two hours off")
	case isFalse:
		p.Status, p.code = "false", exitFalse
	case sourceErr != nil:
		p.code = a.sourceCode(sourceErr)
		p.err = &toolError{sourceErr, a.sourceHint(sourceErr), p.code}
	case pending && !complete:
		p.Status, p.code = "pending", exitIncomplete
	default:
		p.Status, p.code = "unchecked", exitIncomplete
	}
	return p
}

// lookUp fetches the header of an attestation's block and compares.
func lookUp(ctx context.Context, of *chain, x found) (*blockJSON, error) {
	h, err := of.source.Header(ctx, x.height)
	if err != nil {
		return nil, err
	}
	t, err := x.att.VerifyHeader(x.msg, h)
	if err != nil {
		return nil, err
	}
	b := &blockJSON{Chain: x.att.Kind().String(), source: of.source, net: of.net, Height: x.height, Hash: headers.HashString(h.Hash()), Time: t.UTC()}
	if tip, err := of.source.Tip(ctx); err == nil && tip >= x.height {
		n := tip - x.height + 1
		b.Confirmations = &n
	}
	return b, nil
}

// caveats lists what even a verified proof leaves to trust.
func caveats(b *blockJSON) []string {
	out := b.source.Unchecked()
	safe := uint64(safeDepth)
	if b.net.Chain() == "Litecoin" {
		safe *= 4 // its blocks come that much faster
	}
	switch {
	case b.Confirmations == nil:
		out = append(out, "how deep the block is buried")
	case *b.Confirmations < safe:
		out = append(out, fmt.Sprintf("that the block stays: it has %s, and %d are safe", plural(int(*b.Confirmations), "confirmation"), safe))
	}
	return out
}

func (c *verifyCmd) report(a *app, net *headers.Network, p *verifyProof) {
	if p.err != nil {
		_, hint := codeOf(p.err)
		a.complain(p.err.Error(), hint)
		if p.Status == "failed" && len(p.NotChecked) == 0 || p.Status == "mismatch" {
			return
		}
	}
	what := show(p.File)
	if p.File == "" || p.File == "-" {
		what = "the data"
	}
	switch p.Status {
	case "verified":
		a.printf("%s existed at %s\n", what, utc(*p.Time))
		if shown := p.Block.net; shown.Test() {
			a.printf("  TEST NETWORK: %s has no value, and this proves nothing\n", shown)
		}
		a.printf("  digest:  %s %s\n", p.Hash, p.Digest)
		for _, b := range p.blocks {
			name := b.net.Chain()
			if b.net.Test() {
				name = "TEST NETWORK " + b.net.String()
			}
			a.printf("  block:   %s %d, %s\n", name, b.Height, b.Hash)
			if len(p.blocks) > 1 {
				a.printf("  time:    %s\n", utc(b.Time))
			}
			if n := b.Confirmations; n != nil {
				a.printf("  depth:   %s\n", plural(int(*n), "confirmation"))
			}
			a.printf("  source:  %s\n", show(b.source.String()))
		}
	case "pending":
		a.printf("%s: not proven yet: no Bitcoin attestation, calendars still wait\n", show(p.Proof))
	case "false":
		a.printf("%s: FALSE: the proof does not hold\n", show(p.Proof))
		if !net.Test() {
			a.notef("datestone: hint: a proof from a test network needs its option, such as --btc-regtest")
		}
	case "failed":
		a.printf("%s: not verified\n", show(p.Proof))
	case "unchecked":
		a.printf("%s: not proven: nothing in it could be checked\n", show(p.Proof))
	}
	for _, v := range p.Attestations {
		if v.Result == "false" {
			a.printf("  false:   %s block %d: %s\n", v.Kind, *v.Height, v.Reason)
		}
	}
	if len(p.NotChecked) > 0 {
		a.printf("not checked:\n")
		const most = 20
		for i, s := range p.NotChecked {
			if i == most && a.level() < 1 {
				a.printf("  - and %d more, see -v\n", len(p.NotChecked)-most)
				break
			}
			a.printf("  - %s\n", show(s))
		}
	}
	if p.Status == "pending" && !c.Offline {
		extra := ""
		for _, ans := range p.Calendars {
			if ans.Result == "not-allowed" {
				extra += " -l " + ans.URI
			}
		}
		if extra != "" {
			a.notef("datestone: hint: to ask the calendars that are not on the allow-list add%s", extra)
		}
	}
}
