package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// Fault says whose an error is, and so what can end it.
type Fault int

const (
	// Temporary: the server does not answer, or asks to be tried again. Try again.
	Temporary Fault = iota
	// Refused: the message will not be taken for this recipient, however often it is tried.
	Refused
	// Misconfigured: the server refuses us, or its certificate is not good. No message will be taken until the
	// operator does something.
	Misconfigured
)

func (f Fault) String() string {
	return [...]string{"temporary", "refused", "misconfigured"}[f]
}

// Error is a message that was not taken.
type Error struct {
	Fault Fault
	Code  int // of the server's answer; 0 without one
	// Message is a sentence for the operator, perhaps with words of the server's, and for the customer too when the
	// fault is Refused. It has no password in it.
	Message string
}

func (e *Error) Error() string { return e.Message }

const (
	goodbye   = 2 * time.Second // what a server may take to say goodbye once it has the message
	maxServer = 256 << 10       // bytes that are read from a server for a message
	maxWords  = 300             // bytes of a server's words that are kept
)

// Send gives a message to the server, and returns nil once the server has taken it. Every error is an *Error, or
// that of ctx when it ended.
func (c *Client) Send(ctx context.Context, m Message) error {
	content, err := c.compose(m)
	if err != nil {
		return &Error{Refused, 0, err.Error()}
	}
	limited, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	stage, err := c.send(limited, m.To, content)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		return &Error{Temporary, 0, fmt.Sprintf("%s: the mail server did not answer within %v", stage, c.config.Timeout)}
	}
	return c.explain(stage, err)
}

// Where sending a message ended.
const (
	connecting = "connecting to the mail server"
	from       = "naming the sender"
	recipient  = "naming the recipient"
	sending    = "sending the message"
)

func (c *Client) send(ctx context.Context, to string, content []byte) (stage string, err error) {
	tlsConfig := &tls.Config{ServerName: c.host, RootCAs: c.config.RootCAs, MinVersion: tls.VersionTLS12}
	// The library leaves a connection open when its first commands fail, so it is ours.
	var conn net.Conn
	stop := func() bool { return true }
	defer func() {
		if stop(); conn != nil {
			conn.Close()
		}
	}()
	dial := func(dialing context.Context, network, address string) (net.Conn, error) {
		raw, err := (&net.Dialer{}).DialContext(dialing, network, address)
		if err != nil {
			return nil, err
		}
		conn = &bounded{Conn: raw, left: maxServer}
		stop = context.AfterFunc(ctx, func() { raw.Close() })
		if c.config.TLS == "starttls" {
			return conn, nil
		}
		secure := tls.Client(conn, tlsConfig)
		return secure, secure.HandshakeContext(dialing)
	}
	// The context bounds everything, and the library's deadlines come after it.
	options := []gomail.Option{
		gomail.WithPort(c.port), gomail.WithTimeout(c.config.Timeout + time.Minute), gomail.WithTLSConfig(tlsConfig), gomail.WithDialContextFunc(dial),
		gomail.WithoutSMTPUTF8(), // all addresses are ASCII
	}
	if c.config.TLS == "starttls" {
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	} else {
		options = append(options, gomail.WithSSL())
	}
	if c.config.User != "" {
		options = append(options, gomail.WithUsername(c.config.User), gomail.WithPassword(c.config.Password),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthSCRAMSHA1, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin, gomail.SMTPAuthCramMD5))
	}
	client, err := gomail.NewClient(c.host, options...)
	if err != nil {
		return connecting, err
	}
	server, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return connecting, err
	}
	if err := server.Mail("<" + c.from.Address + ">"); err != nil {
		return from, err
	}
	if err := server.Rcpt("<" + to + ">"); err != nil {
		return recipient, err
	}
	w, err := server.Data()
	if err != nil {
		return sending, err
	}
	if _, err := w.Write(content); err != nil {
		return sending, err
	}
	if err := w.Close(); err != nil {
		return sending, err
	}
	// It has the message, whatever comes now.
	if stop() {
		conn.SetDeadline(time.Now().Add(goodbye))
		_ = server.Quit()
	}
	return "", nil
}

// bounded ends a connection that says too much.
type bounded struct {
	net.Conn
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errors.New("the mail server says too much")
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// explain tells whose fault an error is.
func (c *Client) explain(stage string, err error) *Error {
	e := &Error{Fault: Temporary}
	words := err.Error()
	answer, isAnswer := errors.AsType[*textproto.Error](err)
	network, isNetwork := errors.AsType[net.Error](err)
	unknown, isUnknown := errors.AsType[*net.DNSError](err)
	certificate, isCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, isRecord := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case isAnswer:
		e.Code = answer.Code
		words = fmt.Sprintf("the mail server says: %d %s", answer.Code, answer.Msg)
		e.Fault = faultOf(stage, answer.Code)
	case isCertificate:
		e.Fault = Misconfigured
		words = "the mail server's certificate is not good: " + certificate.Err.Error()
		if _, ok := errors.AsType[x509.UnknownAuthorityError](certificate.Err); ok {
			words += "; name the file of the authority that signed it"
		}
	case isRecord:
		e.Fault = Misconfigured
		words = `the mail server does not begin with TLS at this port; "starttls" may be what it wants`
	case isUnknown && unknown.IsNotFound:
		e.Fault = Misconfigured
		words = "the mail server's name has no address: " + err.Error()
	case isNetwork && network.Timeout(), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isNetwork:
		words = "the connection broke: " + err.Error()
	case stage == connecting:
		e.Fault = Misconfigured // no TLS, no AUTH, or no mail server
	}
	if c.config.Password != "" {
		words = strings.ReplaceAll(words, c.config.Password, "[the password]")
	}
	e.Message = stage + ": " + clean(words, maxWords)
	return e
}

// faultOf judges an answer of the server (RFC 5321, RFC 4954).
func faultOf(stage string, code int) Fault {
	switch {
	case code < 500:
		return Temporary
	case code == 530, code == 534, code == 535, code == 538: // about authentication
		return Misconfigured
	case stage == connecting, stage == from:
		return Misconfigured
	}
	return Refused
}
