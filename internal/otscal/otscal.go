// Package otscal is the OpenTimestamps calendar surface: the wire protocol that stamping clients
// speak, and the status page. It decides nothing about digests; it asks the calendar.
//
//	POST /digest            0 to 64 raw bytes -> the timestamp up to the commitment
//	GET  /timestamp/<hex>   a commitment -> its timestamp, or 404 and why not yet
//	GET  /tip               the 32 bytes of the newest transaction that is not confirmed
//	GET  /                  the status, as HTML or JSON
//
// Paths are compared as they were sent: /digest/ and /digest?x are other paths.
package otscal

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/ots"
)

// Calendar commits digests and knows proofs. calendar.Calendar is one.
type Calendar interface {
	// Submit returns only after the digest's entry is on disk. It bounds its own waiting.
	Submit(ctx context.Context, digest []byte) (calendar.Receipt, error)
	Proof(ctx context.Context, commitment []byte, dubious bool) (calendar.Proof, error)
}

// Config are the surface's settings.
type Config struct {
	// URI goes into the pending attestations: where clients will ask for the proof.
	URI string
	// Version is the program's.
	Version string
	// Unknown, when set, is asked for what is no commitment of the calendar. It answers, or says that it
	// has not.
	Unknown func(w http.ResponseWriter, r *http.Request, digest []byte) (answered bool, err error)
	// Observe, when set, is told of each answer.
	Observe func(route string, status int, took time.Duration)
	// Log receives requests that failed for our own reasons. Default slog.Default().
	Log *slog.Logger
}

// Server answers the calendar's requests. Make one with New.
type Server struct {
	calendar Calendar
	status   *reporter
	config   Config
	// pending ends every answer to a submission: the timestamp on the commitment, in wire form.
	pending []byte

	submit, timestamp, tip, backup, page, missing, options, other http.Handler
}

// New makes the surface. The URI must be one that pending attestations can carry.
func New(c Calendar, store Store, config Config) (*Server, error) {
	attestation, err := ots.PendingAttestation(config.URI)
	if err != nil {
		return nil, fmt.Errorf("public address %q: %w", config.URI, err)
	}
	pending, err := ots.New(ots.Path{}, attestation).AppendBinary(nil)
	if err != nil {
		return nil, fmt.Errorf("public address %q: %w", config.URI, err)
	}
	s := &Server{calendar: c, status: &reporter{store: store}, config: config, pending: pending}
	surface := &httpkit.Surface{Fail: fail, Observe: config.Observe, Log: config.Log}
	s.submit = surface.Handle("digest", s.postDigest)
	s.timestamp = surface.Handle("timestamp", s.getTimestamp)
	s.tip = surface.Handle("tip", s.getTip)
	s.backup = surface.Handle("backup", getBackup)
	s.page = surface.Handle("status", s.getStatus)
	s.missing = surface.Handle("other", getMissing)
	s.options = surface.Handle("options", answerOptions)
	s.other = surface.Handle("other", refuseMethod)
	return s, nil
}

// ServeHTTP finds the handler for a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["Access-Control-Allow-Origin"] = anyOrigin
	s.handler(r).ServeHTTP(w, r)
}

const timestampPrefix = "/timestamp/"

func (s *Server) handler(r *http.Request) http.Handler {
	path := requestTarget(r)
	switch r.Method {
	case http.MethodPost:
		if path == "/digest" {
			return s.submit
		}
		return s.missing
	case http.MethodGet, http.MethodHead:
		switch {
		case strings.HasPrefix(path, timestampPrefix):
			return s.timestamp
		case path == "/":
			return s.page
		case path == "/tip":
			return s.tip
		case strings.HasPrefix(path, "/experimental/backup/"):
			return s.backup
		}
		return s.missing
	case http.MethodOptions:
		return s.options
	}
	return s.other
}

// requestTarget is the path and query as they were sent.
func requestTarget(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		return r.RequestURI
	}
	return r.URL.RequestURI() // the absolute form, which proxies send
}

// Values of header fields. They are shared between answers and never written to.
var (
	anyOrigin   = []string{"*"}
	octetStream = []string{"application/octet-stream"}
	plainText   = []string{"text/plain"}
	closing     = []string{"close"}
	retryAfter  = []string{"1"}
)

func cacheFor(seconds string) []string { return []string{"public, max-age=" + seconds} }

var (
	cacheTip     = cacheFor("10")
	cacheMinute  = cacheFor("60")
	cachePage    = cacheFor("5")
	cacheRecent  = cacheFor("600")
	cacheHour    = cacheFor("3600")
	cacheForever = cacheFor("31536000")
)

var (
	errLength  = &httpkit.Error{Status: http.StatusBadRequest, Message: "invalid Content-Length"}
	errTooLong = &httpkit.Error{Status: http.StatusBadRequest, Message: "digest too long"}
	errNotHex  = &httpkit.Error{Status: http.StatusBadRequest, Message: "commitment must be hex-encoded bytes", Header: cached(cacheForever)}
	errUnknown = &httpkit.Error{Status: http.StatusNotFound, Message: "Not found", Header: cached(cacheMinute)}
	errPending = &httpkit.Error{Status: http.StatusNotFound, Message: "Pending confirmation in Bitcoin blockchain", Header: cached(cacheMinute)}
	errNoTip   = &httpkit.Error{Status: http.StatusNotFound, Message: "no transaction waits for confirmation", Header: cached(cacheTip)}
	errNoPost  = &httpkit.Error{Status: http.StatusNotFound, Message: "not found", Header: cached(cacheHour)}
	errNoGet   = &httpkit.Error{Status: http.StatusNotFound, Message: "Not found", Header: cached(cacheHour)}
	errMethod  = &httpkit.Error{Status: http.StatusNotImplemented, Message: "use GET or POST"}
)

func cached(value []string) []string { return []string{"Cache-Control", value[0]} }

// fail writes an error in the protocol's way: a line of text.
func fail(w http.ResponseWriter, r *http.Request, e *httpkit.Error) {
	header := w.Header()
	header["Content-Type"] = plainText
	if e.Status == http.StatusServiceUnavailable {
		header["Retry-After"] = retryAfter
	}
	if r.ContentLength != 0 {
		// What is left of the body is not waited for.
		header["Connection"] = closing
	}
	httpkit.WriteBody(w, r, e.Status, []byte(e.Message))
}

// unavailable is the answer when the fault is ours and may pass.
func unavailable(err error) error {
	return &httpkit.Error{Status: http.StatusServiceUnavailable, Message: "the calendar cannot answer now; try again", Err: err}
}

func (s *Server) postDigest(w http.ResponseWriter, r *http.Request) error {
	switch n := r.ContentLength; {
	case n < 0 || n == 0 && r.Header["Content-Length"] == nil:
		return errLength
	case n > calendar.MaxDigest:
		return errTooLong
	}
	digest := make([]byte, r.ContentLength)
	if err := httpkit.ReadBody(r, digest); err != nil {
		return errLength
	}
	// A client that hangs up stays until the batch is done, which the calendar bounds.
	receipt, err := s.calendar.Submit(context.WithoutCancel(r.Context()), digest)
	if err != nil {
		return unavailable(err)
	}
	w.Header()["Content-Type"] = octetStream
	return httpkit.WriteBody(w, r, http.StatusOK, append(receipt.Path, s.pending...))
}

func (s *Server) getTimestamp(w http.ResponseWriter, r *http.Request) error {
	text := requestTarget(r)[len(timestampPrefix):]
	commitment, err := hex.DecodeString(text)
	if err != nil {
		return errNotHex
	}
	if len(commitment) != logtree.EntrySize {
		return s.unknown(w, r, commitment)
	}
	ctx, cancel := context.WithTimeout(r.Context(), readWithin)
	defer cancel()
	proof, err := s.calendar.Proof(ctx, commitment, false)
	switch {
	case errors.Is(err, calendar.ErrUnknown):
		return s.unknown(w, r, commitment)
	case err != nil:
		return unavailable(err)
	}
	if proof.Timestamp != nil {
		header := w.Header()
		header["Content-Type"] = octetStream
		switch {
		case proof.State != calendar.Confirmed: // what it has gives way to a block
			header["Cache-Control"] = cacheMinute
		case proof.Deep:
			header["Cache-Control"] = cacheForever
		default:
			header["Cache-Control"] = cacheRecent
		}
		return httpkit.WriteBody(w, r, http.StatusOK, proof.Timestamp)
	}
	switch proof.State {
	case calendar.Mined:
		report, err := s.status.report(r.Context(), time.Now())
		if err != nil {
			return unavailable(err)
		}
		target, _ := report.first()
		return &httpkit.Error{
			Status:  http.StatusNotFound,
			Message: fmt.Sprintf("Timestamped by transaction %s; waiting for %d confirmations", proof.Ref, target.Confirmations),
			Header:  cached(cacheMinute),
		}
	default:
		return errPending
	}
}

func (s *Server) unknown(w http.ResponseWriter, r *http.Request, digest []byte) error {
	if s.config.Unknown != nil {
		if answered, err := s.config.Unknown(w, r, digest); answered || err != nil {
			return err
		}
	}
	return errUnknown
}

// getBackup answers that there is no such chunk: a log is copied by its tiles, not by this format.
func getBackup(http.ResponseWriter, *http.Request) error {
	return errUnknown
}

func getMissing(_ http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost {
		return errNoPost
	}
	return errNoGet
}

func answerOptions(w http.ResponseWriter, _ *http.Request) error {
	header := w.Header()
	header["Allow"] = methods
	header["Access-Control-Allow-Methods"] = methods
	header["Access-Control-Allow-Headers"] = []string{"Accept, Content-Type"}
	header["Access-Control-Max-Age"] = []string{"86400"}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

var methods = []string{"GET, HEAD, POST, OPTIONS"}

func refuseMethod(w http.ResponseWriter, _ *http.Request) error {
	w.Header()["Allow"] = methods
	return errMethod
}
