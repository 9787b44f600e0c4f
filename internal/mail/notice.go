package mail

import (
	"bytes"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"io"
	"strings"
	texttemplate "text/template"
	"time"
)

// Service is who writes.
type Service struct {
	URI string // where it is, as https://stamps.example.org
	// Off is the address of a page that ends such e-mail; empty where nothing can be ended.
	Off string
}

// Stamp is what a notice says of a stamp.
type Stamp struct {
	File        string // its name; may be empty
	Hash        string // what made the digest; empty means sha256
	Digest      string // hexadecimal
	Created     time.Time
	Certificate string // addresses of pages; may be empty
	Verify      string
}

// Attestation is where a target holds a stamp.
type Attestation struct {
	Target      string // its name, as bitcoin
	Network     string // mainnet, or another that has no value
	TestNetwork bool
	Height      int64
	BlockHash   string
	BlockTime   time.Time
	Transaction string
}

// Chain is the target's name for people.
func (a Attestation) Chain() string {
	name := a.Target
	if name != "" {
		name = strings.ToUpper(name[:1]) + name[1:]
	}
	if a.TestNetwork {
		name += " " + a.Network
	}
	return name
}

// Confirmed says that a stamp is confirmed. proof is its .ots file when that is complete, else nil.
func (s Service) Confirmed(stamp Stamp, a Attestation, proof []byte) Message {
	return s.write("confirmed", page{
		Subject: about("Timestamp confirmed", stamp), TestNetwork: a.TestNetwork, Stamp: &stamp, Attestation: &a, Proof: proof,
	})
}

// Withdrawn says that an attestation does not count any more.
func (s Service) Withdrawn(stamp Stamp, a Attestation) Message {
	return s.write("withdrawn", page{
		Subject: about("Timestamp no longer confirmed", stamp), TestNetwork: a.TestNetwork, Stamp: &stamp, Attestation: &a,
	})
}

// News is what became of a stamp.
type News struct {
	Stamp       Stamp
	Attestation Attestation
	Proof       []byte // its .ots file when that is complete, else nil
}

// ConfirmedMany says that so many stamps are confirmed. It names those that are given, two at least, and attaches their
// proofs.
func (s Service) ConfirmedMany(some []News, all int) Message {
	return s.many("timestamps confirmed", some, all, false)
}

// WithdrawnMany says that what confirmed so many stamps does not count any more. It names those that are given.
func (s Service) WithdrawnMany(some []News, all int) Message {
	return s.many("timestamps no longer confirmed", some, all, true)
}

func (s Service) many(what string, some []News, all int, withdrawn bool) Message {
	p := page{Subject: fmt.Sprintf("%d %s", all, what), All: all, More: all - len(some), Withdrawn: withdrawn}
	var files []Attachment
	names := make(map[string]bool)
	for _, n := range some {
		p.TestNetwork = p.TestNetwork || n.Attestation.TestNetwork
		l := line{News: n}
		if n.Proof != nil {
			l.ProofFile = proofFile(n.Stamp, n.Attestation.TestNetwork, names)
			names[l.ProofFile] = true
			files = append(files, Attachment{Name: l.ProofFile, Type: proofType, Content: n.Proof})
		}
		p.Lines = append(p.Lines, l)
	}
	m := s.write("many", p)
	m.Attachments = files
	return m
}

// proofFile is the name of a stamp's .ots file, another one than those that are taken.
func proofFile(s Stamp, testNetwork bool, taken map[string]bool) string {
	base := fileName(s.File, maxFileName-len("-99"))
	if s.File == "" {
		base = s.Digest
	}
	if testNetwork {
		base = "TEST-NETWORK-" + base
	}
	name := base + ".ots"
	for n := 2; taken[name]; n++ {
		name = fmt.Sprintf("%s-%d.ots", base, n)
	}
	return name
}

const proofType = "application/octet-stream"

// Trouble is what keeps a target from anchoring.
type Trouble struct {
	Target      string
	Network     string
	TestNetwork bool
	Code        string // ok when it is over
	Message     string // a sentence
	Since       time.Time
}

// Trouble tells the operator that a target's state changed.
func (s Service) Trouble(t Trouble) Message {
	subject := fmt.Sprintf("%s cannot anchor: %s", t.Target, t.Code)
	if t.Code == "ok" {
		subject = t.Target + " anchors again"
	}
	return s.write("trouble", page{Subject: subject, TestNetwork: t.TestNetwork, Trouble: &t})
}

// about is a subject with what the stamp is called.
func about(what string, s Stamp) string {
	name := clean(s.File, maxFile)
	if name == "" {
		name = s.Digest[:min(len(s.Digest), 16)] + "…"
	}
	return what + ": " + name
}

const maxFile = 120 // characters of a file's name that are shown

// page is what the templates are given.
type page struct {
	Service     Service
	Subject     string
	TestNetwork bool
	Stamp       *Stamp
	Attestation *Attestation
	Trouble     *Trouble
	Proof       []byte
	ProofFile   string
	// Of a message about many stamps.
	Lines     []line
	All, More int
	Withdrawn bool
}

// line is a stamp among others.
type line struct {
	News
	ProofFile string
}

//go:embed templates
var files embed.FS

var functions = map[string]any{
	"time":  func(t time.Time) string { return t.UTC().Format("2 January 2006 15:04 UTC") },
	"plain": func(text string) string { return clean(text, 1000) },
	"name":  func(text string) string { return clean(text, maxFile) },
	"hash": func(s Stamp) string {
		if s.Hash == "" || s.Hash == "sha256" {
			return "SHA-256"
		}
		return strings.ToUpper(s.Hash)
	},
}

var (
	texts = texttemplate.Must(texttemplate.New("").Funcs(functions).ParseFS(files, "templates/*.txt"))
	pages = htmltemplate.Must(htmltemplate.New("").Funcs(functions).ParseFS(files, "templates/*.html"))
)

// write makes a message of a template. Its recipient, id and date are the caller's to set.
func (s Service) write(name string, p page) Message {
	p.Service = s
	var m Message
	if strings.HasPrefix(s.Off, "https://") { // no other address can be asked for by one click (RFC 8058)
		m.Unsubscribe = s.Off
	}
	if p.TestNetwork {
		p.Subject = "[TEST NETWORK] " + p.Subject
	}
	if p.Proof != nil {
		p.ProofFile = proofFile(*p.Stamp, p.TestNetwork, nil)
		m.Attachments = []Attachment{{Name: p.ProofFile, Type: proofType, Content: p.Proof}}
	}
	m.Subject = p.Subject
	m.Text = strings.TrimSpace(execute(texts.ExecuteTemplate, name+".txt", p)) + "\n"
	m.HTML = execute(pages.ExecuteTemplate, name+".html", p)
	return m
}

func execute(template func(io.Writer, string, any) error, name string, p page) string {
	var b bytes.Buffer
	if err := template(&b, name, p); err != nil {
		panic(err) // the templates are part of the program, and each is tested
	}
	return b.String()
}
