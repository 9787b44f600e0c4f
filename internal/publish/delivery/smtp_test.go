package delivery

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"log"
	"mime"
	"mime/multipart"
	"net"
	"net/http/httptest"
	netmail "net/mail"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/datestone/datestone/internal/mail"
	"github.com/datestone/datestone/internal/publish"
)

// office is a mail server with one mailbox.
type office struct {
	smtp.Session
	mu    sync.Mutex
	mails [][]byte
}

func (o *office) Reset()                               {}
func (o *office) Logout() error                        { return nil }
func (o *office) Mail(string, *smtp.MailOptions) error { return nil }
func (o *office) Rcpt(to string, _ *smtp.RcptOptions) error {
	if to != "notices@paper.example.org" {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such mailbox"}
	}
	return nil
}

func (o *office) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mails = append(o.mails, b)
	return err
}

// TestRealMailServer: the publisher gets the notice in the body and as two files, with a Message-ID that stays; an
// address that is not there is a state.
func TestRealMailServer(t *testing.T) {
	certified := httptest.NewTLSServer(nil)
	defer certified.Close()
	o := &office{}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return o, nil }))
	s.Domain, s.ErrorLog, s.MaxLineLength = "mail.example.org", log.New(io.Discard, "", 0), 998
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(tls.NewListener(l, &tls.Config{Certificates: certified.TLS.Certificates}))
	}()
	defer func() { s.Close(); <-done }()
	roots := x509.NewCertPool()
	roots.AddCert(certified.Certificate())
	client, err := mail.New(mail.Config{Address: l.Addr().String(), TLS: "implicit", From: "Datestone <stamps@example.org>", RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	notice := sample(publish.German)
	for range 2 {
		if err := (&Mail{Client: client, To: "notices@paper.example.org"}).Send(t.Context(), notice); err != nil {
			t.Fatal(err)
		}
	}
	if got := codeOf((&Mail{Client: client, To: "nobody@paper.example.org"}).Send(t.Context(), notice)); got != "mail_refused, ended" {
		t.Errorf("to nobody: %s", got)
	}
	if len(o.mails) != 2 {
		t.Fatalf("%d mails came", len(o.mails))
	}
	var ids []string
	for _, b := range o.mails {
		m, err := netmail.ReadMessage(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, m.Header.Get("Message-ID"))
		_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		files := map[string]string{}
		for r := multipart.NewReader(m.Body, params["boundary"]); ; {
			part, err := r.NextRawPart()
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if name := part.FileName(); name != "" {
				content, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, part))
				if err != nil {
					t.Fatal(err)
				}
				files[name] = string(content)
			}
		}
		if files[FileName(notice, ".txt")] != notice.Text || !strings.HasPrefix(files[FileName(notice, ".pdf")], "%PDF-") || len(files) != 2 {
			t.Errorf("the files are %q", files)
		}
	}
	if ids[0] != ids[1] || ids[0] != "<"+notice.UID.String()+"@example.org>" {
		t.Errorf("the Message-IDs are %q", ids)
	}
}
