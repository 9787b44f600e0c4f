// Package apidoc describes the REST API: the OpenAPI document in openapi.yaml, and the reference page that is made
// of it. Both are served without a key, with the service's own address in them.
//
//	GET /developers               the reference, a page
//	GET /developers/openapi.json  the document; also /openapi.json
//	GET /developers/openapi.yaml  the same; also /openapi.yaml
//
// What the document says is held against the code by the tests of package rest.
package apidoc

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"time"

	"github.com/datestone/datestone/internal/httpkit"
)

// Config is what the document says of the service.
type Config struct {
	// URI is the public address of the service.
	URI string
	// KeyPrefix begins every API key.
	KeyPrefix string
	// TestNetwork marks the page of a service whose proofs prove nothing.
	TestNetwork bool

	// Log receives what fails. Default slog.Default().
	Log *slog.Logger
	// Observe, when set, is told of each answer.
	Observe func(route string, status int, took time.Duration)
}

// Server answers the requests for which Serves is true. Make one with New.
type Server struct {
	handler http.Handler
	files   map[string]file
}

// file is one answer, which stays as it is while the program runs.
type file struct {
	mediaType string
	tag       string
	body      []byte
}

func newFile(mediaType string, body []byte) file {
	sum := sha256.Sum256(body)
	return file{mediaType, `"` + hex.EncodeToString(sum[:16]) + `"`, body}
}

// New makes the document and the page.
func New(config Config) (*Server, error) {
	d, err := Load(config.URI, config.KeyPrefix)
	if err != nil {
		return nil, err
	}
	asJSON, err := d.JSON()
	if err != nil {
		return nil, err
	}
	asYAML, err := d.YAML()
	if err != nil {
		return nil, err
	}
	page, err := d.page(config.TestNetwork)
	if err != nil {
		return nil, err
	}
	inJSON, inYAML := newFile("application/json", asJSON), newFile("application/yaml", asYAML)
	s := &Server{files: map[string]file{
		"/developers":              newFile("text/html; charset=utf-8", page),
		"/developers/openapi.json": inJSON,
		"/developers/openapi.yaml": inYAML,
		"/openapi.json":            inJSON,
		"/openapi.yaml":            inYAML,
	}}
	surface := &httpkit.Surface{Fail: writeError, Observe: config.Observe, Log: config.Log}
	s.handler = httpkit.Identified(surface.Handle("developers", s.serve))
	return s, nil
}

// slashed is the page's path as people type it too.
const slashed = "/developers/"

// Serves says whether a path is the package's.
func (s *Server) Serves(path string) bool {
	_, is := s.files[path]
	return is || path == slashed
}

// ServeHTTP answers a request for which Serves is true.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) error {
	httpkit.Busy(r)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return &httpkit.Error{Status: http.StatusMethodNotAllowed, Message: "use GET or HEAD", Header: []string{"Allow", "GET, HEAD"}}
	}
	header := w.Header()
	if r.URL.Path == slashed {
		header.Set("Location", "/developers")
		w.WriteHeader(http.StatusMovedPermanently)
		return nil
	}
	f, ok := s.files[r.URL.Path]
	if !ok {
		return &httpkit.Error{Status: http.StatusNotFound, Message: "there is nothing at this path"}
	}
	header.Set("Content-Type", f.mediaType)
	header.Set("ETag", f.tag)
	header.Set("Cache-Control", "no-cache") // kept, but asked for again: the document changes with the program
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Content-Security-Policy", pagePolicy)
	if f.mediaType == "application/json" || f.mediaType == "application/yaml" {
		header.Set("Access-Control-Allow-Origin", "*") // viewers of such documents are pages of other sites
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
	return nil
}

func writeError(w http.ResponseWriter, r *http.Request, e *httpkit.Error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	httpkit.WriteBody(w, r, e.Status, []byte(e.Message+"\n"))
}
