package apidoc

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func newServer(t *testing.T, c Config) *Server {
	t.Helper()
	if c.URI == "" {
		c.URI, c.KeyPrefix = "https://stamps.test", "test_live_"
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ask(s *Server, method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestServe(t *testing.T) {
	s := newServer(t, Config{})
	for path, mediaType := range map[string]string{
		"/developers": "text/html; charset=utf-8", "/openapi.json": "application/json", "/openapi.yaml": "application/yaml",
		"/developers/openapi.json": "application/json", "/developers/openapi.yaml": "application/yaml",
	} {
		if !s.Serves(path) {
			t.Errorf("%s is not served", path)
		}
		got := ask(s, "GET", path, "X-Request-Id", "mine")
		text := body(t, got)
		if got.StatusCode != 200 || got.Header.Get("Content-Type") != mediaType || got.Header.Get("X-Request-Id") != "mine" || len(text) < 10_000 ||
			got.Header.Get("X-Content-Type-Options") != "nosniff" || got.Header.Get("Content-Security-Policy") != pagePolicy {
			t.Errorf("%s: %d, %d bytes, %v", path, got.StatusCode, len(text), got.Header)
		}
		if (got.Header.Get("Access-Control-Allow-Origin") == "*") != (path != "/developers") {
			t.Errorf("%s: Access-Control-Allow-Origin %q", path, got.Header.Get("Access-Control-Allow-Origin"))
		}
		if head := ask(s, "HEAD", path); head.StatusCode != 200 || body(t, head) != "" || head.Header.Get("ETag") != got.Header.Get("ETag") {
			t.Errorf("HEAD %s: %d %v", path, head.StatusCode, head.Header)
		}
		if again := ask(s, "GET", path, "If-None-Match", got.Header.Get("ETag")); again.StatusCode != 304 || body(t, again) != "" {
			t.Errorf("%s again: %d", path, again.StatusCode)
		}
		if post := ask(s, "POST", path); post.StatusCode != 405 || post.Header.Get("Allow") != "GET, HEAD" || post.Header.Get("X-Request-Id") == "" {
			t.Errorf("POST %s: %d %v", path, post.StatusCode, post.Header)
		}
	}
	if got := ask(s, "GET", "/developers/"); got.StatusCode != 301 || got.Header.Get("Location") != "/developers" {
		t.Errorf("/developers/: %d %v", got.StatusCode, got.Header)
	}
	for _, path := range []string{"/", "/developers/x", "/openapi", "/openapi.json/", "/developers//openapi.json"} {
		if s.Serves(path) {
			t.Errorf("%s is served", path)
		}
	}
}

// TestOwnAddress: the document speaks of this service, and its forms say the same.
func TestOwnAddress(t *testing.T) {
	for _, uri := range []string{"http://127.0.0.1:14788", "https://stamps.test/"} {
		s := newServer(t, Config{URI: uri, KeyPrefix: "acme-"})
		texts := make(map[string]string)
		for _, path := range []string{"/openapi.json", "/openapi.yaml", "/developers"} {
			text := body(t, ask(s, "GET", path))
			if strings.Contains(text, "datestone.example") || strings.Contains(text, sourcePrefix) || !strings.Contains(text, "acme-") {
				t.Errorf("%s of %s has another's address or key", path, uri)
			}
			texts[path] = text
		}
		var fromJSON, fromYAML any
		if err := json.Unmarshal([]byte(texts["/openapi.json"]), &fromJSON); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal([]byte(texts["/openapi.yaml"]), &fromYAML); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(fromYAML)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(again, &fromYAML); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(fromJSON, fromYAML); diff != "" {
			t.Errorf("-JSON +YAML:\n%s", diff)
		}
		servers := fromJSON.(map[string]any)["servers"].([]any)[0].(map[string]any)["url"]
		if servers != strings.TrimSuffix(uri, "/") {
			t.Errorf("the server is %v, want %s", servers, uri)
		}
		if !strings.Contains(texts["/developers"], "curl --request POST \\\n  --url &#39;"+strings.TrimSuffix(uri, "/")+"/api/v1/timestamps&#39; \\\n") {
			t.Errorf("no command at %s is on the page", uri)
		}
		if strings.Contains(texts["/openapi.yaml"], "*answered") {
			t.Error("the YAML has anchors")
		}
	}
}

// TestPage: the page is sound, needs nothing from elsewhere and no script, its links lead somewhere, and all of the
// document is on it.
func TestPage(t *testing.T) {
	d, err := Load("https://stamps.test", "test_live_")
	if err != nil {
		t.Fatal(err)
	}
	text := body(t, ask(newServer(t, Config{}), "GET", "/developers"))
	ids, links := make(map[string]bool), make(map[string]bool)
	closed := regexp.MustCompile(`<(meta|br)\b[^>]*`).ReplaceAllString(text, "$0/") // as XML has them
	x := xml.NewDecoder(strings.NewReader(closed))
	x.Entity = xml.HTMLEntity
	heading := 0
	for {
		token, err := x.Token()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the page is not sound: %v", err)
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		switch e.Name.Local {
		case "script", "img", "link", "iframe", "object", "form", "input":
			t.Errorf("the page has a %s", e.Name.Local)
		case "h1", "h2", "h3", "h4":
			level := int(e.Name.Local[1] - '0')
			if heading > 0 && level > heading+1 {
				t.Errorf("a %s follows a h%d", e.Name.Local, heading)
			}
			heading = level
		}
		for _, a := range e.Attr {
			switch {
			case a.Name.Local == "style" || strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "src":
				t.Errorf("<%s %s>, which the policy forbids", e.Name.Local, a.Name.Local)
			case a.Name.Local == "id" && ids[a.Value]:
				t.Errorf("two elements are called %s", a.Value)
			case a.Name.Local == "id":
				ids[a.Value] = true
			case a.Name.Local == "href" && strings.HasPrefix(a.Value, "#"):
				links[a.Value[1:]] = true
			case a.Name.Local == "href" && !strings.HasPrefix(a.Value, "/"):
				t.Errorf("a link leads elsewhere: %s", a.Value)
			}
		}
	}
	for link := range links {
		if !ids[link] {
			t.Errorf("there is no #%s", link)
		}
	}
	var want []string
	for _, p := range d.Paths {
		for _, o := range p.Value.Operations() {
			want = append(want, o.Value.ID)
		}
	}
	for _, event := range d.Webhooks {
		want = append(want, event.Value.Post.ID)
	}
	for _, e := range d.Components.Examples {
		want = append(want, "error-"+e.Name)
	}
	for _, s := range d.Components.Schemas {
		want = append(want, "object-"+s.Name)
	}
	for _, id := range want {
		if !ids[id] || !links[id] && !strings.HasPrefix(id, "object-") && id != "error-METHOD_NOT_ALLOWED" {
			t.Errorf("%s is not on the page, or nothing leads to it", id)
		}
	}
	if strings.Contains(text, "ZgotmplZ") || strings.Contains(text, "&lt;nil&gt;") || strings.Contains(text, "%!") {
		t.Error("a value could not be written")
	}
	if !strings.Contains(text, "<style>"+pageCSS+"</style>") {
		t.Error("the style sheet is not the one that the policy allows")
	}
}

func TestTestNetwork(t *testing.T) {
	const warning = "TEST NETWORK"
	for _, test := range []bool{true, false} {
		text := body(t, ask(newServer(t, Config{TestNetwork: test}), "GET", "/developers"))
		if strings.Contains(text, "<strong>"+warning) != test || strings.Contains(text, "<title>"+warning) != test {
			t.Errorf("on a test network: %v, and the page says otherwise", test)
		}
	}
}

// TestBrokenDocument: what the source could have wrong is an error that names its line.
func TestBrokenDocument(t *testing.T) {
	whole := source
	defer func() { source = whole }()
	for old, new := range map[string]string{
		"'#/components/responses/Internal'":  "'#/components/responses/Nothing'",
		"'#/components/headers/Retry-After'": "'#/components/responses/RateLimited'",
		"paths:\n":                           "paths: [\n",
	} {
		source = bytes.Replace(whole, []byte(old), []byte(new), 1)
		if _, err := Load("https://stamps.test", "test_live_"); err == nil || !strings.Contains(err.Error(), "openapi.yaml") {
			t.Errorf("%s: %v", new, err)
		}
	}
}
