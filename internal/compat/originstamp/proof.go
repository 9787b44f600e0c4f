package originstamp

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/compat/originstamp/proof"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/internal/store"
)

// kind is the type of a proof.
type kind int

const (
	treeKind        kind = 0 // XML
	certificateKind kind = 1 // PDF
)

// document says which proof is asked for.
type document struct {
	hash     [32]byte
	currency seed.Currency
	kind     kind
}

// words are what names of files begin and end with.
func (d document) words() (begin, end string) {
	if d.kind == certificateKind {
		return "certificate", "pdf"
	}
	return "proof", "xml"
}

// name is the file's in a link.
func (d document) name() string {
	begin, end := d.words()
	return proof.Name(begin, d.currency, d.hash, end)
}

// oldName is the file's at POST /v3/timestamp/proof.
func (d document) oldName() string {
	begin, end := d.words()
	return begin + "_" + hex.EncodeToString(d.hash[:]) + "." + end
}

// parseDocument reads the body of both requests for a proof.
func (s *Server) parseDocument(r *http.Request) (d document, err error) {
	fields, err := readObject(r, maxBody)
	if err != nil {
		return d, err
	}
	if d.currency, err = s.parseCurrency(fields["currency"]); err != nil {
		return d, err
	}
	if d.hash, err = parseHash(fields["hash_string"]); err != nil {
		return d, err
	}
	n, ok := wholeNumber(fields["proof_type"])
	d.kind = kind(n)
	if !ok || d.kind != treeKind && d.kind != certificateKind {
		return d, failure(CodeProofType, "proof_type must be 0 for the Merkle tree as XML, or 1 for the certificate as PDF.")
	}
	return d, nil
}

// file makes a document.
func (s *Server) file(ctx context.Context, d document) ([]byte, error) {
	sub, err := s.config.Store.Submitted(ctx, d.hash)
	if err != nil {
		return nil, errSubmitted(err)
	}
	document := s.documents.XML
	if d.kind == certificateKind {
		document = s.documents.PDF
	}
	file, err := document(ctx, sub, d.currency)
	if errors.Is(err, proof.ErrNotFinal) {
		return nil, failure(CodeNoProof, "The hash is not tamper-proof yet in this currency, so there is no proof: wait for submit_status 3.")
	} else if err != nil {
		return nil, refused(err)
	}
	return file, nil
}

// Newspaper is the currency whose transactions are the dates of issues.
const Newspaper = 100

// OTS is the ordinary proof of a hash, complete or not, nil when there is none to give.
func (s *Server) OTS(ctx context.Context, sub seed.Submitted) ([]byte, error) {
	// Where the account's stamp of the hash is, is nobody's to know.
	place := account.Stamp{SHA256: sub.Hash, Nonce: sub.Nonce, Leaf: sub.Leaf, Position: sub.Position}
	file, _, err := calendar.File(ctx, s.config.Store, s.config.Proofs, s.pending, place, false)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, calendar.ErrUnknown) {
		return nil, nil
	}
	return file, err
}

// proof answers with the file itself.
func (s *Server) proof(w http.ResponseWriter, r *http.Request, _ *caller) error {
	d, err := s.parseDocument(r)
	if err != nil {
		return err
	}
	file, err := s.file(r.Context(), d)
	if err != nil {
		return err
	}
	return give(w, r, d.oldName(), file)
}

type link struct {
	URL  string `json:"download_url"`
	Name string `json:"file_name"`
	Size int    `json:"file_size_bytes"`
}

// link answers with where the file is for five minutes, without a key.
func (s *Server) link(w http.ResponseWriter, r *http.Request, c *caller) error {
	d, err := s.parseDocument(r)
	if err != nil {
		return err
	}
	file, err := s.file(r.Context(), d)
	if err != nil {
		return err
	}
	token := s.seal(ticket{d.hash, d.currency.ID, d.kind, c.now.Add(linkLives)})
	return succeed(w, r, link{
		URL:  s.config.URI + "/v3/timestamp/proof/download?token=" + token + "&name=" + url.QueryEscape(d.name()),
		Name: d.name(), Size: len(file),
	})
}

// download answers whoever has a link. The name in it changes nothing.
func (s *Server) download(w http.ResponseWriter, r *http.Request, c *caller) error {
	if a := s.files.Take(c.site, filesPerSite, c.now); !a.OK {
		return limited(w, a)
	}
	t, err := s.unseal(r.URL.Query().Get("token"))
	if err != nil {
		return err
	}
	if !c.now.Before(t.expires) {
		return failure(CodeTokenOld, "The link has expired: it lives for five minutes. Ask for another at /v3/timestamp/proof/url.")
	}
	d := document{hash: t.hash, kind: t.kind}
	if d.currency, err = s.currency(t.currency); err != nil {
		return err
	}
	file, err := s.file(r.Context(), d)
	if err != nil {
		return err
	}
	return give(w, r, d.name(), file)
}

// give writes a file whose name is in ASCII.
func give(w http.ResponseWriter, r *http.Request, name string, file []byte) error {
	header := w.Header()
	header["Content-Disposition"] = []string{`attachment; filename="` + name + `"`}
	header["Content-Type"] = octetStream
	return httpkit.WriteBody(w, r, http.StatusOK, file)
}
