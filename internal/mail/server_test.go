package mail

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

const (
	testUser     = "stamps"
	testPassword = "correct horse battery"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return authority{cert, key}.signed(t, cert, cert, key)
}

func (a authority) signed(t *testing.T, cert, parent *x509.Certificate, key *ecdsa.PrivateKey) authority {
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{parsed, key}
}

// server is the TLS configuration of a server at an address, or of one by another name.
func (a authority) server(t *testing.T, ip string, until time.Time, names ...string) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := a.signed(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until, IPAddresses: []net.IP{net.ParseIP(ip)}, DNSNames: names,
	}, a.cert, key)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.cert.Raw}, PrivateKey: key}}}
}

func (a authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// mail is what the server took.
type taken struct {
	from, to, user string
	secure         bool
	content        []byte
}

// postOffice is a real mail server. Its functions decide; nil takes everything.
type postOffice struct {
	rcpt, sender func(address string) error
	data         func() error
	mechanisms   []string // of AUTH; none means that nobody need say who he is

	mu    sync.Mutex
	mails []taken
}

func (p *postOffice) take(m taken) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mails = append(p.mails, m)
}

func (p *postOffice) all() []taken {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mails
}

// start gives the address of the server. secure says whether connections begin with TLS; config may be nil.
func (p *postOffice) start(t *testing.T, config *tls.Config, secure bool) string {
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &session{office: p, conn: c}, nil }))
	s.Domain = "mail.example.org"
	s.ErrorLog = log.New(io.Discard, "", 0)
	s.TLSConfig = config
	s.MaxLineLength = 998 // of RFC 5322
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if secure {
		l = tls.NewListener(l, config)
	}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
	return address
}

type session struct {
	office *postOffice
	conn   *smtp.Conn
	mail   taken
}

func (s *session) Reset()        { s.mail = taken{user: s.mail.user} }
func (s *session) Logout() error { return nil }

func (s *session) AuthMechanisms() []string { return s.office.mechanisms }

func (s *session) Auth(mechanism string) (sasl.Server, error) {
	check := func(user, password string) error {
		if user != testUser || password != testPassword {
			// Some servers say what they were told.
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "no such login: " + user + " " + password}
		}
		s.mail.user = user
		return nil
	}
	switch mechanism {
	case sasl.Plain:
		return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
	case "LOGIN":
		return &login{check: check}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

type login struct {
	check func(user, password string) error
	step  int
	user  string
}

func (l *login) Next(response []byte) ([]byte, bool, error) {
	l.step++
	switch l.step {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.user = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.user, string(response))
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if len(s.office.mechanisms) > 0 && s.mail.user == "" {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	s.mail.from = from
	if s.office.sender != nil {
		return s.office.sender(from)
	}
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mail.to = to
	if s.office.rcpt != nil {
		return s.office.rcpt(to)
	}
	return nil
}

func (s *session) Data(r io.Reader) error {
	var b bytes.Buffer
	if _, err := b.ReadFrom(r); err != nil {
		return err
	}
	if s.office.data != nil {
		if err := s.office.data(); err != nil {
			return err
		}
	}
	s.mail.content = b.Bytes()
	_, s.mail.secure = s.conn.TLSConnectionState()
	s.office.take(s.mail)
	return nil
}

func answer(code int, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: text}
}

func faulty(t *testing.T, err error) *Error {
	t.Helper()
	e, is := errors.AsType[*Error](err)
	if !is {
		t.Fatalf("%v is no *Error", err)
	}
	return e
}
