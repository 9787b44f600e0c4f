package mail

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"strings"
	"testing"
	"time"
)

func testClient(t *testing.T) *Client {
	return mustNew(t, Config{Address: "mail.example.org:587", TLS: "starttls"})
}

func TestCheckAddress(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, good := range []string{
		"ann@example.org", "a@b.co", "ann.b+stamps@mail.example.org", "o'neil@example.org", "{a}@example.org", "ann@xn--bcher-kva.example", "a_b-c@1.example.org",
		strings.Repeat("a", 64) + "@example.org",
	} {
		if err := CheckAddress(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		"", "ann", "@example.org", "ann@", "ann@localhost", "ann@example", "ann@example.org.", "ann@.example.org", "ann@-a.example.org", "ann@a..org",
		".ann@example.org", "ann.@example.org", "an..n@example.org", `"an n"@example.org`, "an n@example.org", "ann@exam ple.org", "Ann <ann@example.org>", "<ann@example.org>",
		"ann@example.org,bob@example.org", "ann@example.org\r\nBcc: bob@example.org", "ann\r\n@example.org", "ann@example.org\n", "ann@example.org>", "ann@example.org> SIZE=1",
		"ann@[127.0.0.1]", "ann@127.0.0.1", "bücher@example.org", "ann@bücher.example", "ann@b@example.org", "ann\x00@example.org", "ann(c)@example.org", "@a:ann@example.org",
		strings.Repeat("a", 65) + "@example.org", "a@" + long + "a.example.org", "a@" + long + "." + long + "." + long + "." + long + ".example.org",
	} {
		if err := CheckAddress(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	good := Config{Address: "mail.example.org:587", TLS: "starttls", From: "stamps@example.org"}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		`address is "mail.example.org": write host:port`:      func(c *Config) { c.Address = "mail.example.org" },
		`address is ":587": write host:port`:                  func(c *Config) { c.Address = ":587" },
		`address is "mail.example.org:smtp": write host:port`: func(c *Config) { c.Address = "mail.example.org:smtp" },
		`address is "mail.example.org:0": write host:port`:    func(c *Config) { c.Address = "mail.example.org:0" },
		`TLS is "": write "starttls"`:                         func(c *Config) { c.TLS = "" },
		`TLS is "none": write "starttls"`:                     func(c *Config) { c.TLS = "none" },
		`user and password belong together`:                   func(c *Config) { c.User = "a" },
		`password belong together`:                            func(c *Config) { c.Password = "a" },
		`come from "": write an address`:                      func(c *Config) { c.From = "" },
		`come from "Datestone": write an address`:             func(c *Config) { c.From = "Datestone" },
		`come from "a@localhost": write an address`:           func(c *Config) { c.From = "a@localhost" },
		`come from "a@example.org, b@example.org": write`:     func(c *Config) { c.From = "a@example.org, b@example.org" },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, not %q", err, want)
		}
	}
}

// letter is a message as its receiver's program reads it.
type letter struct {
	header      netmail.Header
	text, html  string
	files       map[string][]byte
	fileHeaders []string
}

func read(t *testing.T, raw []byte) letter {
	t.Helper()
	for line := range bytes.Lines(raw) {
		if len(line) > 1000 || !bytes.HasSuffix(line, []byte("\r\n")) {
			t.Errorf("a line has %d bytes and ends in %q", len(line), line[max(0, len(line)-3):])
		}
		for _, b := range line {
			if b > '~' || b < ' ' && b != '\r' && b != '\n' && b != '\t' || bytes.IndexByte(line, '\r') != len(line)-2 {
				t.Fatalf("%q in %q", b, line)
			}
		}
	}
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	l := letter{header: m.Header, files: make(map[string][]byte)}
	l.walk(t, m.Header.Get("Content-Type"), "", "", m.Body)
	return l
}

func (l *letter) walk(t *testing.T, contentType, coding, disposition string, body io.Reader) {
	t.Helper()
	kind, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, parameters["boundary"])
		for {
			p, err := parts.NextRawPart()
			if err == io.EOF {
				return
			} else if err != nil {
				t.Fatal(err)
			}
			l.walk(t, p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p.Header.Get("Content-Disposition"), p)
		}
	}
	switch coding {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	default:
		t.Fatalf("coded in %q", coding)
	}
	content, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case disposition != "":
		_, parameters, err := mime.ParseMediaType(disposition)
		if err != nil {
			t.Fatalf("%q: %v", disposition, err)
		}
		l.files[parameters["filename"]] = content
		l.fileHeaders = append(l.fileHeaders, contentType)
	case kind == "text/plain":
		l.text = string(content)
	case kind == "text/html":
		l.html = string(content)
	}
}

func TestCompose(t *testing.T) {
	proof := make([]byte, 3000)
	for i := range proof {
		proof[i] = byte(i)
	}
	m := testMessage()
	m.Subject = "Bücher & 東京: " + strings.Repeat("sehr ", 30) + "lang"
	m.Text = "Zeile ä\n.\n..Punkt\nFrom here\n" + strings.Repeat("x", 5000) + "\n"
	m.HTML = "<p>" + strings.Repeat("ä", 5000) + "</p>\n"
	m.Unsubscribe = "https://stamps.example.org/unsubscribe/abc?x=1&y=2"
	m.Attachments = []Attachment{{Name: "Bücher.pdf.ots", Type: "application/octet-stream", Content: proof}}

	// Through a server, so that what SMTP does to lines is in it.
	ca := newAuthority(t)
	office := &postOffice{}
	client := mustNew(t, Config{Address: office.start(t, ca.server(t, "127.0.0.1", time.Now().Add(time.Hour)), true), TLS: "implicit", RootCAs: ca.pool(), From: "Zeitstempel Büro <stamps@example.org>"})
	if err := client.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	raw := office.all()[0].content
	l := read(t, raw)
	var decoder mime.WordDecoder
	subject, err := decoder.DecodeHeader(l.header.Get("Subject"))
	if err != nil || subject != m.Subject {
		t.Errorf("the subject is %q, %v", subject, err)
	}
	from, err := l.header.AddressList("From")
	if err != nil || from[0].Name != "Zeitstempel Büro" || from[0].Address != "stamps@example.org" {
		t.Errorf("from %v, %v", from, err)
	}
	for name, want := range map[string]string{
		"To": "<ann@example.org>", "Message-Id": "<ntc_1@example.org>", "Date": "Fri, 01 May 2026 10:00:00 +0000", "Auto-Submitted": "auto-generated", "Mime-Version": "1.0",
		"List-Unsubscribe": "<" + m.Unsubscribe + ">", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click", "Bcc": "", "Cc": "", "User-Agent": "", "X-Mailer": "",
	} {
		if got := l.header.Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	if strings.ReplaceAll(l.text, "\r\n", "\n") != m.Text || strings.ReplaceAll(l.html, "\r\n", "\n") != m.HTML {
		t.Errorf("the text is\n%.200s\nand\n%.200s", l.text, l.html)
	}
	if len(l.files) != 1 || !bytes.Equal(l.files["Bücher.pdf.ots"], proof) {
		t.Errorf("the files are %q", l.files)
	}
}

// Whatever customers name things, they write no headers and no other recipients.
func TestInjection(t *testing.T) {
	c := testClient(t)
	evil := []string{
		"a\r\nBcc: eve@example.org", "a\nBcc: eve@example.org", "a\rBcc: eve@example.org", "a\r\n\r\n<script>", "a\x00b", "a\u2028Bcc: b", "a\u0085Bcc: b", "=?UTF-8?q?=0D=0ABcc:_eve@example.org?=",
		"\r\n.\r\nMAIL FROM:<eve@example.org>\r\n", `a"; filename="evil.exe`, "a\u202egpj.exe", "../../etc/passwd", `..\..\a`, "$(reboot)", "`reboot`", strings.Repeat("長", 500), strings.Repeat("\U0001f600", 500), "", ".", "\xff\xfe",
	}
	count := func(m Message) int {
		raw, err := c.compose(m)
		if err != nil {
			t.Fatal(err)
		}
		l := read(t, raw)
		for _, name := range []string{"Bcc", "Cc"} {
			if l.header.Get(name) != "" {
				t.Errorf("%q has %s", m.Subject, name)
			}
		}
		for name := range l.files {
			if name == "" || strings.ContainsAny(name, "/\\\"\r\n$`\u202e") || strings.HasPrefix(name, ".") {
				t.Errorf("a file is named %q", name)
			}
		}
		return len(l.header)
	}
	m := testMessage()
	m.Attachments = []Attachment{{Name: "a", Type: "application/octet-stream", Content: []byte("a")}}
	want := count(m)
	for _, e := range evil {
		m.Subject, m.Text, m.Attachments[0].Name = e, e, e
		if e == "" {
			m.Subject = "a" // an empty one has no header
		}
		if got := count(m); got != want {
			t.Errorf("%q gives %d headers, not %d", e, got, want)
		}
		stamp := testStamp
		stamp.File = e
		written := Service{URI: "https://stamps.example.org"}.Confirmed(stamp, testAttestation, []byte("proof"))
		written.To, written.ID = m.To, m.ID
		if got := count(written); got != want {
			t.Errorf("a file %q gives %d headers, not %d", e, got, want)
		}
		if strings.Contains(written.Text, "$(") && strings.Contains(written.Text, `ots verify "$(`) || strings.Contains(written.HTML, "<script>") {
			t.Errorf("a file %q gives\n%s", e, written.Text)
		}
		for _, change := range []func(*Message){
			func(m *Message) { m.To = e }, func(m *Message) { m.ID = e }, func(m *Message) { m.Unsubscribe = "https://a.example/" + e + "\n>" }, func(m *Message) { m.Unsubscribe = "javascript:" + e },
		} {
			bad := testMessage()
			change(&bad)
			if _, err := c.compose(bad); err == nil {
				t.Errorf("%+v is composed", bad)
			}
		}
	}
	huge := testMessage()
	huge.Text = strings.Repeat("a\n", maxMessage)
	if e := faulty(t, c.Send(t.Context(), huge)); e.Fault != Refused || !strings.Contains(e.Message, "bytes") {
		t.Errorf("%+v", e)
	}
}
