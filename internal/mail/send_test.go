package mail

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testMessage() Message {
	return Message{
		To: "ann@example.org", ID: "ntc_1", Date: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC), Subject: "Hello",
		Text: "Hello.\n", HTML: "<p>Hello.</p>\n",
	}
}

func mustNew(t *testing.T, config Config) *Client {
	t.Helper()
	if config.From == "" {
		config.From = "Datestone <stamps@stamps.example.org>"
	}
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSend(t *testing.T) {
	ca := newAuthority(t)
	server := ca.server(t, "127.0.0.1", time.Now().Add(time.Hour))
	for _, c := range []struct {
		name, tls, user string
		mechanisms      []string
	}{
		{"starttls", "starttls", "", nil},
		{"implicit", "implicit", "", nil},
		{"starttls and PLAIN", "starttls", testUser, []string{"PLAIN"}},
		{"implicit and PLAIN", "implicit", testUser, []string{"LOGIN", "PLAIN"}},
		{"starttls and LOGIN", "starttls", testUser, []string{"LOGIN"}},
		{"implicit and LOGIN", "implicit", testUser, []string{"NTLM", "LOGIN"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			office := &postOffice{mechanisms: c.mechanisms}
			config := Config{Address: office.start(t, server, c.tls == "implicit"), TLS: c.tls, RootCAs: ca.pool()}
			if c.user != "" {
				config.User, config.Password = testUser, testPassword
			}
			client := mustNew(t, config)
			for range 2 { // each on a connection of its own
				if err := client.Send(t.Context(), testMessage()); err != nil {
					t.Fatal(err)
				}
			}
			mails := office.all()
			if len(mails) != 2 {
				t.Fatalf("%d messages", len(mails))
			}
			for _, m := range mails {
				if m.from != "stamps@stamps.example.org" || m.to != "ann@example.org" || m.user != c.user || !m.secure || !strings.Contains(string(m.content), "\r\nMessage-ID: <ntc_1@stamps.example.org>\r\n") {
					t.Errorf("the server took %+v\n%s", m, m.content)
				}
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	ca := newAuthority(t)
	server := ca.server(t, "127.0.0.1", time.Now().Add(time.Hour))
	for _, c := range []struct {
		name   string
		office *postOffice
		want   Error
	}{
		{"an unknown recipient", &postOffice{rcpt: func(string) error { return answer(550, "No such user") }}, Error{Refused, 550, "naming the recipient: the mail server says: 550 5.1.1 No such user"}},
		{"a full mailbox", &postOffice{rcpt: func(string) error { return answer(452, "Mailbox full") }}, Error{Temporary, 452, "naming the recipient: the mail server says: 452 4.1.1 Mailbox full"}},
		{"greylisting", &postOffice{rcpt: func(string) error { return answer(450, "Try again later") }}, Error{Temporary, 450, "naming the recipient: the mail server says: 450 4.1.1 Try again later"}},
		{"no relaying without a login", &postOffice{rcpt: func(string) error { return answer(530, "Log in") }}, Error{Misconfigured, 530, "naming the recipient: the mail server says: 530 5.1.1 Log in"}},
		{"a sender that is not ours", &postOffice{sender: func(string) error { return answer(553, "Not yours") }}, Error{Misconfigured, 553, "naming the sender: the mail server says: 553 5.1.1 Not yours"}},
		{"a busy server", &postOffice{sender: func(string) error { return answer(421, "Busy") }}, Error{Temporary, 421, "naming the sender: the mail server says: 421 4.1.1 Busy"}},
		{"taken for spam", &postOffice{data: func() error { return answer(554, "Spam") }}, Error{Refused, 554, "sending the message: the mail server says: 554 5.1.1 Spam"}},
		{"a full disk", &postOffice{data: func() error { return answer(451, "Full") }}, Error{Temporary, 451, "sending the message: the mail server says: 451 4.1.1 Full"}},
		{"words that do not end", &postOffice{rcpt: func(string) error { return answer(550, "a\x1b[2J\u202e"+strings.Repeat("b", 1000)) }}, Error{Refused, 550, "naming the recipient: the mail server says: 550 5.1.1 a[2J" + strings.Repeat("b", 263) + "…"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := mustNew(t, Config{Address: c.office.start(t, server, false), TLS: "starttls", RootCAs: ca.pool()})
			if d := cmp.Diff(&c.want, faulty(t, client.Send(t.Context(), testMessage()))); d != "" {
				t.Error(d)
			}
			if len(c.office.all()) != 0 {
				t.Error("it was taken")
			}
		})
	}
}

// One recipient is refused and another is not, and greylisting ends, with the same Message-ID.
func TestGreylisting(t *testing.T) {
	ca := newAuthority(t)
	var asked atomic.Int32
	office := &postOffice{rcpt: func(to string) error {
		if to != "ann@example.org" {
			return answer(550, "No such user")
		}
		if asked.Add(1) < 3 {
			return answer(450, "Greylisted")
		}
		return nil
	}}
	client := mustNew(t, Config{Address: office.start(t, ca.server(t, "127.0.0.1", time.Now().Add(time.Hour)), true), TLS: "implicit", RootCAs: ca.pool()})
	other := testMessage()
	other.To = "bob@example.org"
	for range 2 {
		if e := faulty(t, client.Send(t.Context(), testMessage())); e.Fault != Temporary {
			t.Errorf("%+v", e)
		}
		if e := faulty(t, client.Send(t.Context(), other)); e.Fault != Refused {
			t.Errorf("%+v", e)
		}
	}
	if err := client.Send(t.Context(), testMessage()); err != nil || len(office.all()) != 1 {
		t.Errorf("%v, %d messages", err, len(office.all()))
	}
}

func TestMisconfigured(t *testing.T) {
	ca, otherCA := newAuthority(t), newAuthority(t)
	good := ca.server(t, "127.0.0.1", time.Now().Add(time.Hour))
	otherName := ca.server(t, "192.0.2.1", time.Now().Add(time.Hour), "mail.example.net")
	expired := ca.server(t, "127.0.0.1", time.Now().Add(-time.Hour))
	login := []string{"PLAIN", "LOGIN"}
	for _, c := range []struct {
		name       string
		server     *tls.Config
		secure     bool // the server begins with TLS
		tls        string
		roots      *x509.CertPool
		mechanisms []string
		password   string
		want       string
	}{
		{name: "no STARTTLS", tls: "starttls", roots: ca.pool(), want: "does not support STARTTLS"},
		{name: "no STARTTLS, but AUTH", tls: "starttls", roots: ca.pool(), mechanisms: login, password: testPassword, want: "does not support STARTTLS"},
		{name: "another authority", server: good, tls: "starttls", roots: otherCA.pool(), want: "certificate is not good: x509: certificate signed by unknown authority"},
		{name: "another authority, implicit", server: good, secure: true, tls: "implicit", roots: otherCA.pool(), want: "name the file of the authority"},
		{name: "the system's authorities", server: good, tls: "starttls", want: "certificate is not good"},
		{name: "another name", server: otherName, tls: "starttls", roots: ca.pool(), want: "certificate is not good: x509: certificate is valid for 192.0.2.1"},
		{name: "another name, implicit", server: otherName, secure: true, tls: "implicit", roots: ca.pool(), want: "not 127.0.0.1"},
		{name: "expired", server: expired, tls: "starttls", roots: ca.pool(), want: "expired"},
		{name: "a wrong password", server: good, tls: "starttls", roots: ca.pool(), mechanisms: []string{"PLAIN"}, password: "wrong horse", want: "535 5.7.8 no such login: stamps [the password]"},
		{name: "a wrong password, LOGIN", server: good, tls: "starttls", roots: ca.pool(), mechanisms: []string{"LOGIN"}, password: "wrong horse", want: "[the password]"},
		{name: "a login where there is none", server: good, tls: "starttls", roots: ca.pool(), password: testPassword, want: "AUTH"},
		{name: "a login of a kind that we lack", server: good, tls: "starttls", roots: ca.pool(), mechanisms: []string{"GSSAPI"}, password: testPassword, want: "connecting to the mail server: "},
		{name: "no login where one is wanted", server: good, tls: "starttls", roots: ca.pool(), mechanisms: login, want: "530 5.7.0 Authentication required"},
		{name: "TLS at a port without", server: good, tls: "implicit", roots: ca.pool(), want: `"starttls" may be what it wants`},
	} {
		t.Run(c.name, func(t *testing.T) {
			office := &postOffice{mechanisms: c.mechanisms}
			config := Config{Address: office.start(t, c.server, c.secure), TLS: c.tls, RootCAs: c.roots}
			if c.password != "" {
				config.User, config.Password = testUser, c.password
			}
			e := faulty(t, mustNew(t, config).Send(t.Context(), testMessage()))
			if e.Fault != Misconfigured || !strings.Contains(e.Message, c.want) || c.password != "" && strings.Contains(e.Message, c.password) {
				t.Errorf("%+v, not %q", e, c.want)
			}
			if len(office.all()) != 0 {
				t.Error("it was taken")
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	client := mustNew(t, Config{Address: l.Addr().String(), TLS: "starttls"})
	if e := faulty(t, client.Send(t.Context(), testMessage())); e.Fault != Temporary || !strings.Contains(e.Message, "refused") {
		t.Errorf("%+v", e)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := client.Send(ctx, testMessage()); err != context.Canceled {
		t.Errorf("a stopped one gives %v", err)
	}
}

// script is a server that answers step by step until the one where it fails.
type script struct {
	config *tls.Config
	until  string // the step at which it stops answering
	then   func(net.Conn)
	ends   atomic.Bool // it was told everything
}

func (s *script) start(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return l.Addr().String()
}

func (s *script) serve(raw net.Conn) {
	defer raw.Close()
	conn := raw
	if s.until == "greeting" {
		s.then(conn)
		return
	}
	fmt.Fprint(conn, "220 mail.example.org\r\n")
	lines := bufio.NewReader(conn)
	inData := false
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		command, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " ")
		if inData && command != "." {
			continue
		}
		inData = false
		if command == "." {
			s.ends.Store(true)
		}
		if command == s.until {
			s.then(conn)
			return
		}
		switch command {
		case "EHLO":
			fmt.Fprint(conn, "250-mail.example.org\r\n250-STARTTLS\r\n250-AUTH PLAIN\r\n250 8BITMIME\r\n")
		case "STARTTLS":
			fmt.Fprint(conn, "220 go on\r\n")
			if s.until == "handshake" {
				s.then(conn)
				return
			}
			secure := tls.Server(conn, s.config)
			conn, lines = secure, bufio.NewReader(secure)
		case "AUTH":
			fmt.Fprint(conn, "235 hello\r\n")
		case "DATA":
			fmt.Fprint(conn, "354 go on\r\n")
			inData = true
		case "QUIT":
			fmt.Fprint(conn, "221 bye\r\n")
			return
		default:
			fmt.Fprint(conn, "250 ok\r\n")
		}
	}
}

func hang(conn net.Conn) { io.Copy(io.Discard, conn) }

func TestServersThatStop(t *testing.T) {
	ca := newAuthority(t)
	server := ca.server(t, "127.0.0.1", time.Now().Add(time.Hour))
	ways := map[string]func(net.Conn){
		"hangs": hang,
		"says a line again and again": func(conn net.Conn) {
			for {
				if _, err := io.WriteString(conn, "250-and more\r\n"); err != nil {
					return
				}
			}
		},
		"trickles": func(conn net.Conn) {
			for {
				if _, err := io.WriteString(conn, "2"); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		},
		"never ends a line": func(conn net.Conn) {
			for {
				if _, err := io.WriteString(conn, strings.Repeat("2", 1000)); err != nil {
					return
				}
			}
		},
		"breaks":       func(net.Conn) {},
		"is shut down": func(conn net.Conn) { io.WriteString(conn, "421 4.3.2 shutting down\r\n") },
	}
	steps := []string{"greeting", "EHLO", "STARTTLS", "handshake", "AUTH", "MAIL", "RCPT", "DATA", ".", "QUIT"}
	for way, then := range ways {
		for _, step := range steps {
			t.Run(way+" at "+step, func(t *testing.T) {
				t.Parallel()
				s := &script{config: server, until: step, then: then}
				timeout := 500 * time.Millisecond
				if step == "QUIT" {
					timeout = time.Minute
				}
				client := mustNew(t, Config{Address: s.start(t), TLS: "starttls", RootCAs: ca.pool(), User: testUser, Password: testPassword, Timeout: timeout})
				begin := time.Now()
				err := client.Send(t.Context(), testMessage())
				if took := time.Since(begin); took > 30*time.Second {
					t.Errorf("it took %v", took)
				}
				if step == "QUIT" {
					// The server has the message, and whoever sends it again sends it twice.
					if err != nil || !s.ends.Load() {
						t.Errorf("%v", err)
					}
					return
				}
				e := faulty(t, err)
				nonsense := way != "hangs" && way != "breaks" && way != "is shut down"
				switch {
				case e.Fault == Refused || e.Fault == Misconfigured && !nonsense && step != "handshake":
					t.Errorf("%+v", e)
				case way == "hangs" && !strings.HasSuffix(e.Message, ": the mail server did not answer within 500ms"):
					t.Errorf("%+v", e)
				}
			})
		}
	}
}

// What was written before TLS began is not believed afterwards.
func TestStartTLSInjection(t *testing.T) {
	ca := newAuthority(t)
	s := &script{config: ca.server(t, "127.0.0.1", time.Now().Add(time.Hour)), until: "STARTTLS"}
	s.then = func(conn net.Conn) {
		io.WriteString(conn, "220 go on\r\n250-evil\r\n250 AUTH PLAIN\r\n250 ok\r\n")
		secure := tls.Server(conn, s.config)
		if err := secure.Handshake(); err != nil {
			return
		}
		io.Copy(io.Discard, secure)
	}
	client := mustNew(t, Config{Address: s.start(t), TLS: "starttls", RootCAs: ca.pool(), Timeout: time.Second})
	if err := client.Send(t.Context(), testMessage()); err == nil || s.ends.Load() {
		t.Errorf("%v, %v", err, s.ends.Load())
	}
}
