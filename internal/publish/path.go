package publish

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/ots"
)

// Log reads what leads from a stamp to a printed root. store.DB is one.
type Log interface {
	BatchLeaves(ctx context.Context, p logtree.Position) ([][32]byte, error)
	Nodes(ctx context.Context, epoch int) logtree.Reader
	Entry(ctx context.Context, p logtree.Position) (logtree.Entry, error)
	EndedEpochs(ctx context.Context) ([]logtree.Head, error)
	// Printed are up to limit confirmed publications whose heads cover a position, the smallest head first.
	Printed(ctx context.Context, p logtree.Position, limit int) ([]Publication, error)
}

// Shown is a confirmed publication with the steps from a digest to its root.
type Shown struct {
	Publication
	Digest [32]byte
	Path   ots.Path
}

// Of are up to limit confirmed publications that a stamp is in, the first one first.
func Of(ctx context.Context, log Log, st account.Stamp, limit int) ([]Shown, error) {
	found, err := log.Printed(ctx, st.Position, limit)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	leaves, err := log.BatchLeaves(ctx, st.Position)
	if err != nil {
		return nil, err
	}
	path, entry, err := st.Path(leaves)
	if err != nil {
		return nil, err
	}
	var all []Shown
	for _, p := range found {
		rest, err := pathTo(ctx, log, entry, p.Head)
		if err != nil {
			return nil, fmt.Errorf("the path to publication %d: %w", p.ID, err)
		}
		s := Shown{p, st.SHA256, path.Concat(rest)}
		if got, err := s.Path.Apply(s.Digest[:]); err != nil || !bytes.Equal(got, p.Notice.Root.Hash[:]) {
			return nil, fmt.Errorf("the path to publication %d: %w", p.ID, logtree.ErrInconsistent)
		}
		all = append(all, s)
	}
	return all, nil
}

// pathTo leads from an entry to a head of its epoch, or of a later one: the first entry of an epoch has the last root of
// the epoch before it as its tip.
func pathTo(ctx context.Context, log Log, e logtree.Entry, h logtree.Head) (path ots.Path, err error) {
	var ended []logtree.Head
	if e.Position().Epoch() != h.Epoch {
		if ended, err = log.EndedEpochs(ctx); err != nil {
			return path, err
		}
	}
	for i, last := range ended {
		if last.Epoch < e.Position().Epoch() || last.Epoch >= h.Epoch {
			continue
		}
		next := h.Epoch
		if i+1 < len(ended) {
			next = min(next, ended[i+1].Epoch)
		}
		inside, err := log.Nodes(ctx, last.Epoch).Inclusion(last, e)
		if err != nil {
			return path, err
		}
		first, err := logtree.At(next, 0)
		if err != nil {
			return path, err
		}
		if e, err = log.Entry(ctx, first); err != nil {
			return path, err
		}
		path = path.Concat(inside).Prepend(e[:len(e)-32])
	}
	inside, err := log.Nodes(ctx, h.Epoch).Inclusion(h, e)
	return path.Concat(inside), err
}

// Step is one operation on the way from a digest to a printed root.
type Step struct {
	Op  string `json:"op"`            // append, prepend or sha256
	Hex string `json:"hex,omitempty"` // what is put after or before
}

// Steps are the operations, in order.
func (s Shown) Steps() (all []Step) {
	names := map[ots.Tag]string{ots.OpAppend: "append", ots.OpPrepend: "prepend", ots.OpSHA256: "sha256"}
	for op := range s.Path.Ops() {
		all = append(all, Step{names[op.Tag], hex.EncodeToString(op.Arg)})
	}
	return all
}

// Explanation is a publication for a program that checks it.
type Explanation struct {
	Digest string   `json:"digest"` // where the steps begin: the SHA-256 of the file
	Steps  []Step   `json:"steps"`
	Root   string   `json:"root"`    // where they end
	Notice []string `json:"printed"` // the six lines on the paper
	Text   string   `json:"notice"`  // all of it
	Paper  string   `json:"paper"`   // what it is called
	Issue  string   `json:"issue"`   // the date of the paper
	Page   string   `json:"page,omitempty"`
	URL    string   `json:"url,omitempty"`
}

// Explain describes the publication.
func (s Shown) Explain() Explanation {
	root := s.Notice.Root
	return Explanation{
		Digest: hex.EncodeToString(s.Digest[:]), Steps: s.Steps(), Root: hex.EncodeToString(root.Hash[:]),
		Notice: root.Lines(), Text: s.Text, Paper: s.Paper, Issue: s.Place.Issue, Page: s.Place.Page, URL: s.Place.URL,
	}
}

// JSON is the explanation as a file.
func (s Shown) JSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(s.Explain())
	return b.Bytes(), err
}

// Where says in a line where a confirmed publication appeared.
func (s Shown) Where() string {
	text := fmt.Sprintf("%s, issue of %s", s.Paper, s.Place.Issue)
	if s.Place.Page != "" {
		text += ", page " + s.Place.Page
	}
	if s.Place.URL != "" {
		text += ", " + s.Place.URL
	}
	return text
}

// Words say how to check the publication against the paper, with lines that every editor shows. jsonFile is the name of
// the file with the same steps.
func (s Shown) Words(jsonFile string) (string, error) {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("How to check the printed root")
	line("=============================\r\n")
	line("It appeared: %s\r\n", s.Where())
	line("The notice:\r\n")
	for l := range strings.Lines(s.Text) {
		line("    %s", strings.TrimRight(l, "\n"))
	}
	line("\r\nWhat it shows: whoever finds this root in the paper, and follows the steps below from the file to it,")
	line("knows that the file existed before the paper was printed. Neither this service nor a blockchain is needed.\r\n")
	line("1. Find the notice in the paper itself, in a library for example, and compare the lines. If you type them into")
	line("   a text file, datestoned publish check FILE says which line has a mistake.")
	line("2. Compute the SHA-256 of your file (sha256sum FILE). It must be\r\n   %x", s.Digest)
	line("3. Follow the steps. All numbers are bytes in hexadecimal; append and prepend put bytes after and before what")
	line("   is there, and SHA-256 hashes the bytes. This does all of it:\r\n")
	for _, l := range program(jsonFile) {
		line("    %s", l)
	}
	line("\r\n   It must print the 64 digits of the lines 1 to 4 on the paper:\r\n   %x\r\n", s.Notice.Root.Hash)
	line("   Any step that hashes can be done alone as well: echo -n BYTES | xxd -r -p | sha256sum\r\n")
	line("The steps, with what each gives:\r\n")
	line("     start with the SHA-256 of the file\r\n       %x", s.Digest)
	current := s.Digest[:]
	n := 0
	for op := range s.Path.Ops() {
		n++
		var err error
		if current, err = (ots.Path{}).Then(op).Apply(current); err != nil {
			return "", err
		}
		switch op.Tag {
		case ots.OpAppend:
			line("%4d append %x", n, op.Arg)
		case ots.OpPrepend:
			line("%4d prepend %x", n, op.Arg)
		case ots.OpSHA256:
			line("%4d SHA-256 gives\r\n       %x", n, current)
		default:
			return "", errors.New("the path to a printed root has an operation that has no words")
		}
	}
	if !bytes.Equal(current, s.Notice.Root.Hash[:]) {
		return "", logtree.ErrInconsistent
	}
	line("\r\nThat is the printed root.")
	return b.String(), nil
}

// program is Python that follows the steps.
func program(file string) []string {
	return []string{
		"import hashlib, json",
		fmt.Sprintf("p = json.load(open(%q))", file),
		`v = bytes.fromhex(p["digest"])`,
		`for s in p["steps"]:`,
		`    if s["op"] == "append": v = v + bytes.fromhex(s["hex"])`,
		`    if s["op"] == "prepend": v = bytes.fromhex(s["hex"]) + v`,
		`    if s["op"] == "sha256": v = hashlib.sha256(v).digest()`,
		`print(v.hex())`,
	}
}
