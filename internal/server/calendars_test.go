package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/ots/signedmsg"
)

// customer makes an account with a public key beside the running server.
func customer(t *testing.T, s *Server) signedmsg.PrivateKey {
	t.Helper()
	key, err := signedmsg.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.db.CreateAccount(t.Context(), time.Now(), "customer@example.org", "business")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.AddSigner(t.Context(), time.Now(), account.Signer{Account: a.ID, Key: key.Public(), Version: "0.3.0"}); err != nil {
		t.Fatal(err)
	}
	return key
}

// ask sends a request to a host at the server's address.
func ask(t *testing.T, s *Server, host, method, target, body string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+s.Addr().String()+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// Which calendar answers, where they share a host, where each has its own, and where one of them is off.
func TestCalendars(t *testing.T) {
	const open, own = "calendar.test:14788", "auth.calendar.test"
	for _, mode := range []struct {
		name, calendars, authenticated string
		receipts                       string // the address in what is signed
	}{
		{"shared", "both", "", benchURI},
		{"apart", "both", "https://" + own, "https://" + own},
		{"alone", "authenticated", "", benchURI},
		{"open", "open", "", ""},
	} {
		t.Run(mode.name, func(t *testing.T) {
			s := runServer(t, Config{Calendars: mode.calendars, AuthenticatedURI: mode.authenticated, Metrics: "same"})
			key := customer(t, s)
			signature := func(digest string) []string {
				return []string{"x-signature", key.Sign(signedmsg.Digest([]byte(digest))).String()}
			}
			digest := strings.Repeat("d", 32)
			status, receipt := ask(t, s, open, "POST", "/digest", digest, signature(digest)...)
			if mode.receipts == "" {
				// The field says nothing to the open calendar alone, which is everybody's.
				commitmentOf(t, []byte(receipt), []byte(digest), benchURI)
				if status, _ := ask(t, s, open, "POST", fmt.Sprintf("/verify/%x", digest), "proof"); status != 404 {
					t.Errorf("verify: %d", status)
				}
				return
			}
			if status != 200 {
				t.Fatalf("a signed digest: %d %q", status, receipt)
			}
			signed := commitmentOf(t, []byte(receipt), []byte(digest), mode.receipts)
			if status, again := ask(t, s, own, "POST", "/digest", digest, signature(digest)...); status != 200 || !bytes.Equal([]byte(again), []byte(receipt)) {
				t.Errorf("again: %d", status)
			}

			const pending, unknown = "Pending confirmation in Bitcoin blockchain", "Not found"
			other := strings.Repeat("o", 32)
			type want struct {
				status int
				body   string // empty for any
			}
			none, promise := want{}, want{200, ""}
			for _, c := range []struct {
				host, method, target, body string
				header                     []string
				shared, apart, alone       want
			}{
				{open, "POST", "/digest", "anonymous", nil, promise, promise, want{401, ""}},
				{own, "POST", "/digest", "anonymous", nil, promise, want{401, ""}, want{401, ""}},
				{open, "POST", "/digest?op=sha256", other, nil, want{401, ""}, want{401, ""}, want{401, ""}},
				{open, "POST", "/digest?email=a@b.example", other, nil, want{401, ""}, want{401, ""}, want{401, ""}},
				{open, "POST", "/digest", other, []string{"x-version", "0.3.0"}, want{401, ""}, want{401, ""}, want{401, ""}},
				{open, "POST", "/digest", other, []string{"x-signature", ""}, want{401, ""}, want{401, ""}, want{401, ""}},
				{open, "POST", "/digest?x", other, nil, want{404, "not found"}, want{404, "not found"}, want{401, ""}},
				{open, "GET", fmt.Sprintf("/timestamp/%x", digest), "", nil, want{200, receipt}, want{404, unknown}, want{200, receipt}},
				{own, "GET", fmt.Sprintf("/timestamp/%x", digest), "", nil, want{200, receipt}, want{200, receipt}, want{200, receipt}},
				{open, "GET", fmt.Sprintf("/timestamp/%x", other), "", nil, want{404, unknown}, want{404, unknown}, want{404, unknown}},
				{open, "GET", fmt.Sprintf("/timestamp/%x", signed), "", nil, want{404, pending}, want{404, pending}, promise},
				{own, "GET", fmt.Sprintf("/timestamp/%x", signed), "", nil, want{404, pending}, promise, promise},
				{open, "GET", fmt.Sprintf("/timestamp/%x?shrink", signed), "", nil, promise, promise, promise},
				{open, "GET", fmt.Sprintf("/timestamp/%x?detached", digest), "", nil, promise, promise, promise},
				{open, "POST", fmt.Sprintf("/verify/%x", digest), "no proof", nil, promise, promise, promise},
				{open, "OPTIONS", fmt.Sprintf("/verify/%x", digest), "", nil, want{204, ""}, want{204, ""}, want{204, ""}},
				{open, "GET", fmt.Sprintf("/verify/%x", digest), "", nil, want{404, ""}, want{404, ""}, want{404, ""}}, // a page of certificates
				{open, "GET", "/", "", nil, promise, promise, promise},
				{own, "GET", "/", "", nil, promise, promise, promise},
				{own, "GET", "/healthz", "", nil, want{200, "alive\n"}, want{200, "alive\n"}, want{200, "alive\n"}},
			} {
				w := map[string]want{"shared": c.shared, "apart": c.apart, "alone": c.alone}[mode.name]
				if w == none {
					t.Fatal("nothing is wanted")
				}
				if status, body := ask(t, s, c.host, c.method, c.target, c.body, c.header...); status != w.status || w.body != "" && body != w.body {
					t.Errorf("%s %s at %s %v: %d %q, want %d %q", c.method, c.target, c.host, c.header, status, body, w.status, w.body)
				}
			}
			_, numbers := ask(t, s, open, "GET", "/metrics", "")
			for _, want := range []string{`request_seconds_count{route="signed-digest",surface="authenticated"}`, `request_seconds_count{route="status",surface="calendar"}`} {
				if !strings.Contains(numbers, want) {
					t.Errorf("no %s in the metrics", want)
				}
			}
		})
	}
}

func TestCheckCalendars(t *testing.T) {
	for _, c := range []struct{ calendars, uri, want string }{
		{"both", "", ""}, {"authenticated", "https://auth.example.org", ""}, {"open", "", ""},
		{"open", "https://auth.example.org", "leave it out"}, {"private", "", `"authenticated"`}, {"", "", `"both"`},
		{"both", "https://auth.example.org/path", "authenticated_uri"}, {"both", "ftp://x", "authenticated_uri"},
	} {
		config := Config{Calendars: c.calendars, AuthenticatedURI: c.uri}
		if err := config.checkCalendars(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %q: %v, want %q", c.calendars, c.uri, err, c.want)
		}
	}
	for text, want := range map[string]bool{
		"": true, "https://a.example/x?y=z": true, "http://a.example:8080": true, "ftp://a.example": false, "https://": false,
		"https://u:p@a.example": false, "https://a.example/#x": false, "a.example": false, "https://a.example/" + strings.Repeat("x", 2000): false,
	} {
		if err := CheckCallback(text); (err == nil) != want {
			t.Errorf("callback %.30q: %v", text, err)
		}
	}
}
