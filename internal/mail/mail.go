// Package mail writes e-mail and gives it to a mail server.
//
// A message may be given to the server more than once: when its last answer was lost, or after a
// crash. Each time it has the same Message-ID, made of the notice that it is for.
package mail

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// Config is the mail server and how we are known to it.
type Config struct {
	// Address of the mail server, host:port.
	Address string
	// TLS is "starttls" (usual at port 587) or "implicit" (usual at port 465). There is none without.
	TLS string
	// User and Password, or neither.
	User, Password string
	// RootCAs verify the server's certificate. Default the system's.
	RootCAs *x509.CertPool
	// From is who mail comes from: an address, or a name and an address as in Datestone <stamps@example.org>.
	From string
	// Timeout bounds the sending of one message. Default 60s.
	Timeout time.Duration
}

const (
	defaultTimeout = time.Minute
	maxAddress     = 254
	maxLocalPart   = 64
	maxID          = 128
	maxSubject     = 200 // characters
	maxMessage     = 1 << 20
)

// Message is an e-mail to one recipient.
type Message struct {
	To      string
	ID      string // of the notice, in letters, digits, - _ and full stops
	Date    time.Time
	Subject string
	Text    string
	HTML    string // the same as a page
	// Unsubscribe is an https address; a POST to it ends such mail (RFC 8058). Empty where nothing can be ended.
	Unsubscribe string
	Attachments []Attachment
}

// Attachment is a file in a message.
type Attachment struct {
	Name    string
	Type    string // of the content, as application/octet-stream
	Content []byte
}

var (
	soundLocalPart = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$")
	soundDomain    = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
	soundID        = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
)

// CheckAddress accepts what every mail server can be asked to deliver to. The error is a sentence for the customer.
func CheckAddress(address string) error {
	at := strings.LastIndexByte(address, '@')
	if at < 0 || len(address) > maxAddress || at > maxLocalPart || !soundLocalPart.MatchString(address[:at]) || !soundDomain.MatchString(address[at+1:]) {
		return fmt.Errorf("%.300q is no e-mail address: write one such as ann@example.org, in ASCII and without a name", address)
	}
	return nil
}

// Client gives messages to a mail server. Each goes over a connection of its own.
type Client struct {
	config Config
	host   string
	port   int
	from   *netmail.Address
}

// New makes a client. It contacts nobody; its error says which setting is wrong.
func New(config Config) (*Client, error) {
	c := &Client{config: config}
	host, port, err := net.SplitHostPort(config.Address)
	if err == nil {
		c.host = host
		c.port, err = strconv.Atoi(port)
	}
	if err != nil || host == "" || c.port < 1 || c.port > 65535 {
		return nil, fmt.Errorf("the mail server's address is %q: write host:port, for example mail.example.org:587", config.Address)
	}
	if config.TLS != "starttls" && config.TLS != "implicit" {
		return nil, fmt.Errorf(`the mail server's TLS is %q: write "starttls", usual at port 587, or "implicit", usual at port 465`, config.TLS)
	}
	if (config.User == "") != (config.Password == "") {
		return nil, errors.New("the mail server's user and password belong together: write both or neither")
	}
	if c.from, err = netmail.ParseAddress(config.From); err != nil || CheckAddress(c.from.Address) != nil || clean(c.from.Name, maxSubject) != c.from.Name {
		return nil, fmt.Errorf("mail would come from %q: write an address, for example Datestone <stamps@example.org>", config.From)
	}
	if c.config.Timeout == 0 {
		c.config.Timeout = defaultTimeout
	}
	return c, nil
}

// compose is a message as it is sent, in lines of ASCII.
func (c *Client) compose(m Message) ([]byte, error) {
	if err := CheckAddress(m.To); err != nil {
		return nil, err
	}
	if len(m.ID) > maxID || !soundID.MatchString(m.ID) {
		return nil, fmt.Errorf("the message's id is %.300q: write letters, digits, - _ and full stops between them", m.ID)
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(c.from)
	if err := msg.To(m.To); err != nil {
		return nil, err
	}
	_, domain, _ := strings.Cut(c.from.Address, "@")
	msg.SetMessageIDWithValue(m.ID + "@" + domain)
	msg.SetDateWithValue(m.Date)
	msg.Subject(clean(m.Subject, maxSubject))
	// No out-of-office note comes back (RFC 3834).
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	if m.Unsubscribe != "" {
		u, err := url.Parse(m.Unsubscribe)
		if err != nil || u.Scheme != "https" || strings.ContainsFunc(m.Unsubscribe, func(r rune) bool { return r <= ' ' || r > '~' || r == '<' || r == '>' }) {
			return nil, fmt.Errorf("the address to unsubscribe at is %.300q: write one that begins with https://", m.Unsubscribe)
		}
		if err := msg.SetListUnsubscribeOneClick(m.Unsubscribe); err != nil {
			return nil, err
		}
	}
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	for _, a := range m.Attachments {
		err := msg.AttachReader(fileName(a.Name, maxAttachment), bytes.NewReader(a.Content), func(f *gomail.File) {
			f.Header.Set("Content-Type", a.Type)
			f.Header.Set("Content-Disposition", disposition(f.Name))
		})
		if err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		return nil, err
	}
	if b.Len() > maxMessage {
		return nil, fmt.Errorf("the message has %d bytes and may have %d", b.Len(), maxMessage)
	}
	return b.Bytes(), nil
}
