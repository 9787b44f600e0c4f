package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// No redirect is followed, to whatever host: the key would go with it.
func TestRedirects(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		other := &scripted{steps: []http.HandlerFunc{answer(200, resource)}}
		otherServer := httptest.NewServer(other)
		defer otherServer.Close()
		// A client of the caller's that follows everything.
		options := Options{Attempts: 1, HTTP: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}}
		c, s := start(t, options, answer(status, "", "Location", otherServer.URL+"/api/v1/timestamps"))
		_, err := c.Create(context.Background(), testCreate)
		if e, ok := errors.AsType[*Error](err); !ok || e.Status != status || !strings.Contains(e.Message, otherServer.URL) {
			t.Errorf("%d gives %v", status, err)
		}
		if len(other.requests()) != 0 || len(s.requests()) != 1 {
			t.Errorf("%d was followed", status)
		}
	}
}

// A server that says the key to its client does not bring it into a log.
func TestKeyIsNeverInErrors(t *testing.T) {
	echo, err := json.Marshal(ErrorAnswer{&Error{Code: Code(testKey), Message: "your key is " + testKey, RequestID: testKey}})
	if err != nil {
		t.Fatal(err)
	}
	raw := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			io.WriteString(conn, text)
			conn.Close()
		}
	}
	for name, step := range map[string]http.HandlerFunc{
		"envelope":  answer(400, string(echo)),
		"header":    answer(500, "", "X-Request-Id", testKey),
		"redirect":  answer(302, "", "Location", "https://example.org/?"+testKey),
		"time":      answer(200, strings.Replace(resource, "2026-05-01T10:00:00.000Z", testKey, 1)),
		"status":    raw("HTTP/1.1 " + testKey + " hm\r\n\r\n"),
		"protocol":  raw(testKey + "\r\n\r\n"),
		"header 2":  raw("HTTP/1.1 200 OK\r\n" + testKey + " x\r\n\r\n"),
		"duplicate": answer(409, `{"error":{"code":"DUPLICATE_TIMESTAMP","message":"`+testKey+testKey+`"}}`),
	} {
		var retried []error
		c, _ := start(t, Options{Attempts: 2, Retrying: func(err error, _ time.Duration) { retried = append(retried, err) }}, step)
		_, err := c.Create(context.Background(), testCreate)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, err := range append(retried, err) {
			for e := err; e != nil; e = errors.Unwrap(e) {
				if text := fmt.Sprintf("%v %+v %#v", e, e, e); strings.Contains(text, testKey) {
					t.Errorf("%s: %s", name, text)
				}
			}
		}
	}
}

// A stranger's words are short and safe to print.
func TestWordsAreClean(t *testing.T) {
	words, err := json.Marshal("\x1b[2Jgone\nü\u202e" + strings.Repeat("ä", 5000))
	if err != nil {
		t.Fatal(err)
	}
	c, _ := start(t, Options{}, answer(400, `{"error":{"code":"INVALID_\nJSON","message":`+string(words)+`,"request_id":"`+strings.Repeat("x", 5000)+`"}}`))
	_, err = c.Usage(context.Background())
	e, ok := errors.AsType[*Error](err)
	if !ok || !strings.HasPrefix(e.Message, "_[2Jgone_ü_ä") || len(e.Message) > maxMessage || e.Code != "INVALID__JSON" || len(e.RequestID) != 128 {
		t.Errorf("%q", err)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	endless := func(w http.ResponseWriter, r *http.Request) {
		chunk := []byte(strings.Repeat("[", 64<<10))
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	failing := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(400)
		endless(w, r)
	}
	c, s := start(t, Options{}, endless)
	ctx := context.Background()
	calls := map[string]func() error{
		"create": func() error { _, err := c.Create(ctx, testCreate); return err },
		"get":    func() error { _, err := c.Get(ctx, testID); return err },
		"page":   func() error { _, err := c.Page(ctx, ListOptions{}); return err },
		"ots":    func() error { _, err := c.OTS(ctx, testID); return err },
		"batch": func() error {
			_, err := c.CreateBatch(ctx, BatchRequest{Items: []CreateRequest{testCreate}})
			return err
		},
	}
	for name, call := range calls {
		if err := call(); err == nil || !strings.Contains(err.Error(), "is longer than") || Temporary(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := len(s.requests()); got != len(calls) {
		t.Errorf("%d requests, so it was tried again", got)
	}
	c, _ = start(t, Options{}, failing)
	if _, err := c.Usage(ctx); err == nil {
		t.Error("no error")
	}
}

// Answers that are none of the API's, or are about something else.
func TestWrongAnswers(t *testing.T) {
	otherHash := strings.Replace(resource, testHash[:8], "00000000", 1)
	batch := func(results string) string { return `{"data":[` + results + `],"created":1,"existing":0}` }
	ctx := context.Background()
	create := func(c *Client) error { _, err := c.Create(ctx, testCreate); return err }
	createBatch := func(c *Client) error {
		_, err := c.CreateBatch(ctx, BatchRequest{Items: []CreateRequest{testCreate}})
		return err
	}
	get := func(c *Client) error { _, err := c.Get(ctx, testID); return err }
	tests := []struct {
		name, answer string
		call         func(c *Client) error
	}{
		{"empty", "", create},
		{"page of a proxy", "<html>", create},
		{"an array", "[]", create},
		{"an empty object", "{}", create},
		{"another hash", otherHash, create},
		{"no id", strings.Replace(resource, testID, "", 1), create},
		{"an id that is a path", strings.Replace(resource, testID, "../../x", 1), create},
		{"a size that overflows", strings.Replace(resource, "1024", "99999999999999999999", 1), create},
		{"another timestamp", strings.Replace(resource, testID, "00000000-d9cb-469f-a165-70867728950e", 1), get},
		{"another hash", otherHash, func(c *Client) error { _, err := c.ByHash(ctx, testHash); return err }},
		{"no results", batch(""), createBatch},
		{"more results", batch(`{"timestamp":` + resource + `},{"timestamp":` + resource + `}`), createBatch},
		{"a result of another hash", batch(`{"timestamp":` + otherHash + `}`), createBatch},
		{"an empty proof", "", func(c *Client) error { _, err := c.OTS(ctx, testID); return err }},
	}
	for _, tt := range tests {
		c, s := start(t, Options{}, answer(200, tt.answer))
		if err := tt.call(c); err == nil || Temporary(err) || len(s.requests()) != 1 {
			t.Errorf("%s: %v after %d requests", tt.name, err, len(s.requests()))
		}
	}
}

// An answer that breaks off may have been a success: the request is sent again, as it was.
func TestBrokenAnswer(t *testing.T) {
	broken := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(resource)))
		io.WriteString(w, resource[:100])
	}
	c, s := start(t, Options{}, broken, hangUp, answer(201, resource))
	if _, err := c.Create(context.Background(), testCreate); err != nil {
		t.Fatal(err)
	}
	got := s.requests()
	if len(got) != 3 || got[2].header.Get("Idempotency-Key") != got[0].header.Get("Idempotency-Key") || got[2].body != got[0].body {
		t.Errorf("requests %+v", got)
	}
}

// A server whose certificate is not trusted gets no key, and no second try.
func TestCertificate(t *testing.T) {
	s := &scripted{steps: []http.HandlerFunc{answer(200, resource)}}
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	tries := 0
	c, err := New(server.URL, testKey, Options{Retrying: func(error, time.Duration) { tries++ }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Usage(context.Background()); err == nil || Temporary(err) || tries != 0 || len(s.requests()) != 0 {
		t.Errorf("%v after %d more tries", err, tries)
	}
}
