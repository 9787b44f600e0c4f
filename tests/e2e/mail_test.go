package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// letter is a message that the mail server took.
type letter struct {
	to      string
	content []byte
}

// postOffice is a mail server that speaks TLS from the beginning.
type postOffice struct {
	address, ca string // ca is the file with its certificate
	letters     chan letter
}

func newPostOffice(t *testing.T) *postOffice {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	p := &postOffice{address: l.Addr().String(), ca: filepath.Join(t.TempDir(), "ca.pem"), letters: make(chan letter, 100)}
	write(t, p.ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{office: p}, nil }))
	s.ErrorLog = log.New(io.Discard, "", 0)
	s.MaxLineLength = 998 // of RFC 5322
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
	return p
}

type session struct {
	office *postOffice
	to     string
}

func (s *session) Reset()                                    { s.to = "" }
func (s *session) Logout() error                             { return nil }
func (s *session) Mail(string, *smtp.MailOptions) error      { return nil }
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error { s.to = to; return nil }

func (s *session) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.office.letters <- letter{s.to, content}
	return nil
}

// next waits for a message, and gives its text and the file that is attached.
func (p *postOffice) next(t *testing.T) (to, subject, text, name string, file []byte) {
	t.Helper()
	select {
	case l := <-p.letters:
		m, err := netmail.ReadMessage(bytes.NewReader(l.content))
		if err != nil {
			t.Fatal(err)
		}
		err = parts(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), "", m.Body, func(kind, attached string, content []byte) {
			switch {
			case attached != "" && file == nil:
				name, file = attached, content
			case attached != "":
				t.Errorf("%s is attached as well", attached)
			case kind == "text/plain":
				text = string(content)
			}
		})
		if err != nil {
			t.Fatalf("%v in %s", err, l.content)
		}
		return l.to, m.Header.Get("Subject"), text, name, file
	case <-time.After(2 * time.Minute):
		t.Fatal("no e-mail came")
		return
	}
}

// parts gives each part of a message that is not made of parts.
func parts(contentType, coding, disposition string, body io.Reader, each func(kind, attached string, content []byte)) error {
	kind, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		return err
	}
	if strings.HasPrefix(kind, "multipart/") {
		for r := multipart.NewReader(body, parameters["boundary"]); ; {
			p, err := r.NextRawPart()
			if errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if err := parts(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p.Header.Get("Content-Disposition"), p, each); err != nil {
				return err
			}
		}
	}
	switch coding {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	content, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	attached := ""
	if disposition != "" {
		_, parameters, err := mime.ParseMediaType(disposition)
		if err != nil {
			return err
		}
		attached = parameters["filename"]
	}
	each(kind, attached, content)
	return nil
}
