// Package httpkit is what every HTTP surface shares: handlers that return errors, request ids, limits
// on what a client may hold, and the server that carries them. It has no routes.
//
// A handler returns an error instead of writing one. An [*Error] carries what the client may read
// and, apart from it, what the log needs; any other error is a 500 whose text stays private. The
// [Surface] writes it in the words of its own contract.
package httpkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Error is an answer that is not a success.
type Error struct {
	Status  int
	Message string   // for the client
	Header  []string // further header fields: name, value, name, value
	Err     error    // the cause, for the log only; may be nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%d %s: %v", e.Status, e.Message, e.Err)
	}
	return fmt.Sprintf("%d %s", e.Status, e.Message)
}

func (e *Error) Unwrap() error { return e.Err }

// Handler answers a request or returns why not. After an error it must not have written anything.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Surface is what the handlers of one contract have in common.
type Surface struct {
	// Fail writes an error as the contract wants it. e.Err must not reach the client.
	Fail func(w http.ResponseWriter, r *http.Request, e *Error)
	// Observe, when set, is told of each answer.
	Observe func(route string, status int, took time.Duration)
	// Log receives answers from 500 on, a bounded number a second: when the disk is full thousands
	// fail. Default slog.Default().
	Log *slog.Logger

	once    sync.Once
	lines   *rate.Limiter
	omitted atomic.Int64 // lines since the last one
}

const (
	linesPerSecond = 5
	linesAtOnce    = 20
)

// logFailure writes one line unless there have been too many.
func (s *Surface) logFailure(r *http.Request, level slog.Level, route, id string, e *Error) {
	s.once.Do(func() { s.lines = rate.NewLimiter(linesPerSecond, linesAtOnce) })
	if !s.lines.Allow() {
		s.omitted.Add(1)
		return
	}
	log := s.logger()
	if n := s.omitted.Swap(0); n > 0 {
		log = log.With("omitted", n)
	}
	log.Log(r.Context(), level, "a request failed", "route", route, "request", id, "status", e.Status, "err", e.Err)
}

func (s *Surface) logger() *slog.Logger {
	if s.Log == nil {
		return slog.Default()
	}
	return s.Log
}

// Handle makes a handler into an http.Handler. route names it in metrics and logs.
//
// A handler that reads a body reads it with [ReadBody]; until then, and between requests, the
// connection counts as waiting for its client and may be closed when the server runs out of room.
// From then on the handler bounds its own time: it may not be told that the client hung up.
func (s *Surface) Handle(route string, h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := recorders.Get().(*recorder)
		*rec = recorder{ResponseWriter: w}
		if id := broughtID(r); id != nil {
			w.Header()["X-Request-Id"] = id
		}
		if r.Body == http.NoBody {
			Busy(r)
		}
		defer func() {
			if cause := recover(); cause != nil {
				if cause == http.ErrAbortHandler {
					panic(cause)
				}
				id := requestID(r)
				s.logger().Error("a request handler panicked", "route", route, "request", id[0], "cause", cause, "stack", string(debug.Stack()))
				s.fail(rec, r, id, &Error{Status: http.StatusInternalServerError, Message: "internal error"})
			}
			if s.Observe != nil {
				s.Observe(route, rec.status(), time.Since(start))
			}
			*rec = recorder{}
			recorders.Put(rec)
		}()
		err := h(rec, r)
		if err == nil {
			return
		}
		var e *Error
		if !errors.As(err, &e) {
			e = &Error{Status: http.StatusInternalServerError, Message: "internal error", Err: err}
		}
		id := requestID(r)
		if e.Status >= 500 && !errors.Is(err, context.Canceled) {
			level := slog.LevelError
			if e.Status == http.StatusServiceUnavailable {
				level = slog.LevelWarn
			}
			s.logFailure(r, level, route, id[0], e)
		}
		s.fail(rec, r, id, e)
	})
}

// fail writes the error unless an answer has begun; then all that is left is to cut it off.
func (s *Surface) fail(rec *recorder, r *http.Request, id []string, e *Error) {
	if rec.code != 0 {
		panic(http.ErrAbortHandler)
	}
	header := rec.Header()
	header["X-Request-Id"] = id
	for i := 0; i+1 < len(e.Header); i += 2 {
		header.Set(e.Header[i], e.Header[i+1])
	}
	s.Fail(rec, r, e)
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	code int
}

var recorders = sync.Pool{New: func() any { return new(recorder) }}

func (r *recorder) WriteHeader(code int) {
	if r.code == 0 || r.code < 200 {
		r.code = code
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.code == 0 {
		r.code = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) status() int {
	if r.code == 0 {
		return http.StatusOK
	}
	return r.code
}

// ErrBody says that a body did not come as it was announced.
var ErrBody = errors.New("the body is not what Content-Length says")

// ReadBody reads a body of exactly len(b) bytes, which is what Content-Length said. From here on the
// connection is at work and is not closed to make room.
func ReadBody(r *http.Request, b []byte) error {
	if _, err := io.ReadFull(r.Body, b); err != nil {
		return fmt.Errorf("%w: %w", ErrBody, err)
	}
	Busy(r)
	return nil
}

// short is how many bytes net/http buffers and measures for certain, without a field that we set.
const short = 1 << 10

// WriteBody answers with a body whose type the caller has set. A HEAD request gets the header alone.
func WriteBody(w http.ResponseWriter, r *http.Request, status int, body []byte) error {
	head := r.Method == http.MethodHead
	if head || len(body) > short {
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	if head || status != http.StatusOK {
		w.WriteHeader(status)
	}
	if !head {
		// An error here is the client's connection; there is nobody left to tell.
		w.Write(body)
	}
	return nil
}
