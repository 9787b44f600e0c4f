package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testKey  = "datestone_live_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	testID   = "0f8fad5b-d9cb-469f-a165-70867728950e"
	testHash = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
)

// resource is the contract's example.
const resource = `{"id":"0f8fad5b-d9cb-469f-a165-70867728950e","certificate_id":"TS-4H9Z2Q",` +
	`"sha256_hash":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",` +
	`"filename":"plan.pdf","file_size_bytes":1024,"file_type":"application/pdf",` +
	`"status":"pending","blockchain_tx":null,"bitcoin_block":null,"confirmed_at":null,` +
	`"created_at":"2026-05-01T10:00:00.000Z","thumbnail_url":null,"branding_snapshot":null,` +
	`"certificate_url":"https://example.org/cert/TS-4H9Z2Q",` +
	`"verify_url":"https://example.org/verify/ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",` +
	`"ots_url":"/api/v1/timestamps/0f8fad5b-d9cb-469f-a165-70867728950e/ots"}`

var testCreate = CreateRequest{SHA256Hash: testHash, Filename: "plan.pdf", FileSizeBytes: 1024, FileType: "application/pdf"}

// seen is a request that a scripted server got.
type seen struct {
	method, uri, body string
	header            http.Header
	at                time.Time
}

// scripted answers each request with the next step, and those after the last with the last.
type scripted struct {
	steps []http.HandlerFunc

	mu   sync.Mutex
	seen []seen
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	step := s.steps[min(len(s.seen), len(s.steps)-1)]
	s.seen = append(s.seen, seen{r.Method, r.URL.RequestURI(), string(body), r.Header, time.Now()})
	s.mu.Unlock()
	step(w, r)
}

func (s *scripted) requests() []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

func answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func refuse(code Code, header ...string) http.HandlerFunc {
	return answer(code.Status(), fmt.Sprintf(`{"error":{"code":%q,"message":"no","request_id":"r-1"}}`, string(code)), header...)
}

// hangUp closes the connection in the middle of the request.
func hangUp(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }

func start(t *testing.T, options Options, steps ...http.HandlerFunc) (*Client, *scripted) {
	t.Helper()
	s := &scripted{steps: steps}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c, err := New(server.URL, testKey, options)
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// What is decoded and encoded again is the contract's example, byte for byte.
func TestTimestampIsTheContracts(t *testing.T) {
	confirmed := strings.NewReplacer(`"pending"`, `"confirmed"`, `"blockchain_tx":null`, `"blockchain_tx":"`+testHash+`"`,
		`"bitcoin_block":null`, `"bitcoin_block":895000`, `"confirmed_at":null`, `"confirmed_at":"2026-05-01T11:00:00.120Z"`,
		`"thumbnail_url":null`, `"thumbnail_url":"https://example.org/t.png"`,
		`"branding_snapshot":null`, `"branding_snapshot":{"name":"Firm","logo_url":"https://example.org/l.png","color":"#aabbcc"}`,
		`"application/pdf"`, `null`).Replace(resource)
	for _, text := range []string{resource, confirmed, `{"data":[` + resource + `],"total_count":1,"next_cursor":"2026-05-01T10:00:00.000Z"}`, `{"data":[],"total_count":0,"next_cursor":null}`} {
		var v any = new(Timestamp)
		if strings.HasPrefix(text, `{"data"`) {
			v = new(List)
		}
		if err := json.Unmarshal([]byte(text), v); err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != text {
			t.Errorf("got  %s\nwant %s", got, text)
		}
	}
	b, err := json.Marshal(Time{time.Date(2026, 5, 1, 12, 0, 0, 1_999_999, time.FixedZone("", 7200))})
	if err != nil || string(b) != `"2026-05-01T10:00:00.001Z"` {
		t.Errorf("a time is sent as %s, %v", b, err)
	}
}

func TestPatchRequest(t *testing.T) {
	yes := true
	for want, p := range map[string]PatchRequest{
		`{}`:                          {},
		`{"certificate_public":true}`: {CertificatePublic: &yes},
		`{"thumbnail":null}`:          {RemoveThumbnail: true},
		`{"thumbnail":"AQI="}`:        {Thumbnail: []byte{1, 2}},
	} {
		got, err := json.Marshal(p)
		if err != nil || string(got) != want {
			t.Errorf("%+v is sent as %s, %v; want %s", p, got, err, want)
		}
		var back PatchRequest
		if err := json.Unmarshal(got, &back); err != nil || !reflect.DeepEqual(back, p) {
			t.Errorf("%s is read as %+v, %v", got, back, err)
		}
	}
	if b, err := json.Marshal(PatchRequest{RemoveThumbnail: true, Thumbnail: []byte{1}}); err == nil {
		t.Errorf("a contradiction is sent as %s", b)
	}
	if err := json.Unmarshal([]byte(`{"thumbnail":7}`), new(PatchRequest)); err == nil {
		t.Error("a number is a thumbnail")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, base := range []string{"", "example.org", "ftp://example.org", "https://", "https://u:p@example.org", "https://example.org?x=1", "https://example.org?", "https://example.org#x", "https://exa mple.org"} {
		if _, err := New(base, testKey, Options{}); err == nil {
			t.Errorf("%q is accepted", base)
		}
	}
	for _, key := range []string{"", "k3y", testKey + "\n", "datestone_live_\x00000000000", "datestone live 0000000000", strings.Repeat("k", 600), "datestone_live_ümlaut0000"} {
		_, err := New("https://example.org", key, Options{})
		if err == nil {
			t.Errorf("%q is accepted", key)
		} else if key != "" && strings.Contains(err.Error(), key) {
			t.Errorf("the error has the key: %v", err)
		}
	}
}

// Each call sends what the contract wants.
func TestRequests(t *testing.T) {
	ctx := context.Background()
	list := `{"data":[],"total_count":0,"next_cursor":null}`
	tests := []struct {
		name, method, uri, body, answer string
		call                            func(c *Client) error
	}{
		{"create", "POST", "/api/v1/timestamps", `{"sha256_hash":"` + testHash + `","filename":"plan.pdf","file_size_bytes":1024,"file_type":"application/pdf"}`, resource,
			func(c *Client) error { _, err := c.Create(ctx, testCreate); return err }},
		{"names are not mangled", "POST", "/api/v1/timestamps", `{"sha256_hash":"` + testHash + `","filename":"a<b>&\u2028.pdf","file_size_bytes":1}`, resource,
			func(c *Client) error {
				_, err := c.Create(ctx, CreateRequest{SHA256Hash: testHash, Filename: "a<b>&\u2028.pdf", FileSizeBytes: 1})
				return err
			}},
		{"batch", "POST", "/api/v1/timestamps/batch", `{"items":[{"sha256_hash":"` + testHash + `","filename":"x","file_size_bytes":1}]}`, `{"data":[{"result":"existing","timestamp":` + resource + `}],"created":0,"existing":1}`,
			func(c *Client) error {
				a, err := c.CreateBatch(ctx, BatchRequest{Items: []CreateRequest{{SHA256Hash: testHash, Filename: "x", FileSizeBytes: 1}}})
				if err == nil && (a.Existing != 1 || a.Data[0].Result != ResultExisting) {
					err = fmt.Errorf("answer %+v", a)
				}
				return err
			}},
		{"get", "GET", "/api/v1/timestamps/" + testID, "", resource, func(c *Client) error { _, err := c.Get(ctx, testID); return err }},
		{"by hash", "GET", "/api/v1/hashes/" + testHash, "", resource, func(c *Client) error { _, err := c.ByHash(ctx, strings.ToUpper(testHash)); return err }},
		{"patch", "PATCH", "/api/v1/timestamps/" + testID, `{"thumbnail":null}`, resource, func(c *Client) error {
			_, err := c.Patch(ctx, testID, PatchRequest{RemoveThumbnail: true})
			return err
		}},
		{"page", "GET", "/api/v1/timestamps", "", list, func(c *Client) error { _, err := c.Page(ctx, ListOptions{}); return err }},
		{"filtered page", "GET", "/api/v1/timestamps?before=2026-05-01T10%3A00%3A00.000001Z&limit=7&status=pending", "", list, func(c *Client) error {
			_, err := c.Page(ctx, ListOptions{Status: StatusPending, Before: "2026-05-01T10:00:00.000001Z", Limit: 7})
			return err
		}},
		{"ots", "GET", "/api/v1/timestamps/" + testID + "/ots", "", "\x00proof", func(c *Client) error {
			b, err := c.OTS(ctx, testID)
			if err == nil && string(b) != "\x00proof" {
				err = fmt.Errorf("%q", b)
			}
			return err
		}},
		{"evidence", "GET", "/api/v1/timestamps/" + testID + "/evidence.zip", "", "PK", func(c *Client) error { _, err := c.Evidence(ctx, testID); return err }},
		{"usage", "GET", "/api/v1/usage", "", `{"plan":"pro","used":3}`, func(c *Client) error { _, err := c.Usage(ctx); return err }},
		{"verify", "POST", "/api/v1/verify", "\x00proof", `{"status":"pending"}`, func(c *Client) error { _, err := c.Verify(ctx, []byte("\x00proof"), ""); return err }},
		{"verify for a hash", "POST", "/api/v1/verify?sha256_hash=" + testHash, "\x00proof", `{"status":"mismatch"}`, func(c *Client) error {
			v, err := c.Verify(ctx, []byte("\x00proof"), testHash)
			if err == nil && v.Status != ProofMismatch {
				err = fmt.Errorf("status %s", v.Status)
			}
			return err
		}},
		{"targets", "GET", "/api/v1/targets", "", `{"data":[{"name":"bitcoin"}]}`, func(c *Client) error {
			targets, err := c.Targets(ctx)
			if err == nil && (len(targets) != 1 || targets[0].Name != "bitcoin") {
				err = fmt.Errorf("targets %+v", targets)
			}
			return err
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, s := start(t, Options{UserAgent: "test/1"}, answer(200, tt.answer))
			if err := tt.call(c); err != nil {
				t.Fatal(err)
			}
			got := s.requests()
			if len(got) != 1 || got[0].method != tt.method || got[0].uri != tt.uri || got[0].body != tt.body {
				t.Errorf("sent %+v", got)
			}
			h := got[0].header
			if h.Get("Authorization") != "Bearer "+testKey || h.Get("User-Agent") != "test/1" {
				t.Errorf("headers %v", h)
			}
			create := tt.method == "POST" && strings.HasPrefix(tt.uri, "/api/v1/timestamps")
			if got := h.Get("Idempotency-Key"); (len(got) >= 20) != create {
				t.Errorf("idempotency key %q", got)
			}
			if json := h.Get("Content-Type") == "application/json"; json != strings.HasPrefix(tt.body, "{") {
				t.Errorf("content type %q", h.Get("Content-Type"))
			}
		})
	}
}

func TestBasePath(t *testing.T) {
	s := &scripted{steps: []http.HandlerFunc{answer(200, `{}`)}}
	server := httptest.NewServer(s)
	defer server.Close()
	c, err := New(server.URL+"/stamps/", testKey, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Usage(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := s.requests()[0].uri; got != "/stamps/api/v1/usage" {
		t.Error(got)
	}
}

// Nothing is sent for what cannot be right.
func TestRefusedBeforeItIsSent(t *testing.T) {
	c, s := start(t, Options{}, answer(200, resource))
	ctx := context.Background()
	for _, id := range []string{"", "..", "../usage", testID + "/ots", strings.ReplaceAll(testID, "-", ""), "zf8fad5b-d9cb-469f-a165-70867728950e"} {
		if _, err := c.Get(ctx, id); !errors.Is(err, ErrInvalidID) {
			t.Errorf("%q: %v", id, err)
		}
		if _, err := c.OTS(ctx, id); !errors.Is(err, ErrInvalidID) {
			t.Errorf("%q: %v", id, err)
		}
		if _, err := c.Patch(ctx, id, PatchRequest{}); !errors.Is(err, ErrInvalidID) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := c.ByHash(ctx, "../usage"); !errors.Is(err, ErrInvalidSHA256Hash) {
		t.Error(err)
	}
	for _, items := range [][]CreateRequest{nil, make([]CreateRequest, MaxBatch+1), {{IdempotencyKey: "k"}}} {
		if _, err := c.CreateBatch(ctx, BatchRequest{Items: items}); !errors.Is(err, ErrInvalidBatch) {
			t.Errorf("%d items: %v", len(items), err)
		}
	}
	if _, err := c.CreateBatch(ctx, BatchRequest{Items: []CreateRequest{{Thumbnail: []byte{1}}}}); !errors.Is(err, ErrInvalidThumbnail) {
		t.Error(err)
	}
	if n := len(s.requests()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestTypedErrors(t *testing.T) {
	c, _ := start(t, Options{Attempts: 1}, answer(409, `{"error":{"code":"DUPLICATE_TIMESTAMP","message":"you have it","request_id":"r-77"}}`))
	_, err := c.Create(context.Background(), testCreate)
	if !errors.Is(err, ErrDuplicateTimestamp) || errors.Is(err, ErrRateLimited) {
		t.Errorf("code of %v", err)
	}
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Status != 409 || e.Message != "you have it" || e.RequestID != "r-77" {
		t.Errorf("%+v", e)
	}
	if got, want := err.Error(), "creating a timestamp: you have it (DUPLICATE_TIMESTAMP), request r-77"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if Temporary(err) {
		t.Error("a duplicate does not pass")
	}

	// What is no answer of the API still has a status, and the request's id from the header.
	c, _ = start(t, Options{Attempts: 1}, answer(502, "<html>bad gateway", "X-Request-Id", "p-1", "Retry-After", "7"))
	_, err = c.Usage(context.Background())
	e, ok = errors.AsType[*Error](err)
	if !ok || e.Status != 502 || e.Code != "" || e.RequestID != "p-1" || e.RetryAfter != 7*time.Second {
		t.Errorf("%+v", e)
	}
	if got, want := err.Error(), "asking for the usage: the server answered with status 502, request p-1"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for code, status := range statuses {
		if status < 400 || code.Status() != status || !errors.Is(&Error{Code: code}, code) {
			t.Errorf("%s: %d", code, code.Status())
		}
	}
	if errors.Is(&Error{}, Code("")) || Code("X").Status() != 500 {
		t.Error("a code that is none")
	}
}

func TestListFollowsCursors(t *testing.T) {
	page := func(cursor string, names ...string) http.HandlerFunc {
		list := List{Data: []Timestamp{}, TotalCount: 3}
		for _, n := range names {
			list.Data = append(list.Data, Timestamp{Filename: n})
		}
		if cursor != "" {
			list.NextCursor = &cursor
		}
		b, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		return answer(200, string(b))
	}
	gather := func(c *Client, most int) (names []string, err error) {
		for ts, err := range c.List(context.Background(), ListOptions{Status: StatusPending}) {
			if err != nil {
				return names, err
			}
			names = append(names, ts.Filename)
			if len(names) == most {
				break
			}
		}
		return names, nil
	}
	first, second := "2026-05-01T10:00:00.000002Z", "2026-05-01T10:00:00.000001Z"

	c, s := start(t, Options{}, page(first, "a", "b"), page(second, "c"), page(""))
	for range 2 { // an iterator can be used again
		s.mu.Lock()
		s.seen = nil
		s.mu.Unlock()
		names, err := gather(c, 0)
		if err != nil || !slices.Equal(names, []string{"a", "b", "c"}) {
			t.Fatalf("%v, %v", names, err)
		}
		var uris []string
		for _, r := range s.requests() {
			uris = append(uris, r.uri)
		}
		if !slices.Equal(uris, []string{
			"/api/v1/timestamps?status=pending",
			"/api/v1/timestamps?before=2026-05-01T10%3A00%3A00.000002Z&status=pending",
			"/api/v1/timestamps?before=2026-05-01T10%3A00%3A00.000001Z&status=pending",
		}) {
			t.Errorf("asked %q", uris)
		}
	}

	// Who stops early asks for no further page.
	c, s = start(t, Options{}, page(first, "a", "b"), page(second, "c"), page(""))
	if names, err := gather(c, 2); err != nil || len(names) != 2 || len(s.requests()) != 1 {
		t.Errorf("%v, %v after %d requests", names, err, len(s.requests()))
	}
	// Cursors that stand still, go back, or are none.
	for _, bad := range []string{second, first, "2026-05-01", "x"} {
		c, s = start(t, Options{}, page(second, "a"), page(bad, "b"))
		names, err := gather(c, 0)
		if err == nil || len(names) != 2 || len(s.requests()) != 2 {
			t.Errorf("cursor %q: %v, %v after %d requests", bad, names, err, len(s.requests()))
		}
	}
	// A failure ends it.
	c, _ = start(t, Options{}, page(first, "a"), refuse(ErrInvalidAPIKey))
	if names, err := gather(c, 0); !errors.Is(err, ErrInvalidAPIKey) || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
}
