package httpkit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits bound what clients may hold; the zero value of each means its default.
type Limits struct {
	// Connections is the number of connections that may be open at a time. Default 8192, and at most
	// three quarters of the file descriptors that the process may have.
	Connections int
	// Header is the time for the header of a request to arrive. Default 5 s.
	Header time.Duration
	// Request is the time for a request to arrive with its body. Default 10 s.
	Request time.Duration
	// Answer is the time from a request's header to the end of its answer. Default 40 s.
	Answer time.Duration
	// Idle is the time that a connection may stay open between requests. Default 75 s.
	Idle time.Duration
	// HeaderBytes is the size of a request's header. Default 8192.
	HeaderBytes int
	// Grace is the time for requests to be answered when the server stops. Default 15 s.
	Grace time.Duration
}

func (l Limits) withDefaults() Limits {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&l.Header, 5*time.Second)
	set(&l.Request, 10*time.Second)
	set(&l.Answer, 40*time.Second)
	set(&l.Idle, 75*time.Second)
	set(&l.Grace, 15*time.Second)
	if l.HeaderBytes == 0 {
		l.HeaderBytes = 8192
	}
	if l.Connections == 0 {
		l.Connections = 8192
	}
	if files := maxFiles(); files > 0 {
		l.Connections = min(l.Connections, max(1, files/4*3))
	}
	return l
}

// tick is how late the limits of time may be kept.
func (l Limits) tick() time.Duration {
	return min(500*time.Millisecond, max(time.Millisecond, min(l.Header, l.Request, l.Answer, l.Idle)/8))
}

// Server serves one handler within limits. Make one with NewServer.
type Server struct {
	limits   Limits
	http     *http.Server
	listener *Listener
}

// NewServer makes a server for a listener. It accepts nothing until Run.
func NewServer(ln net.Listener, h http.Handler, l Limits, log *slog.Logger) *Server {
	l = l.withDefaults()
	return &Server{
		limits:   l,
		listener: Limit(ln, l.Connections),
		http: &http.Server{
			Handler:           h,
			ReadHeaderTimeout: l.Header,
			ReadTimeout:       l.Request,
			WriteTimeout:      l.Answer,
			IdleTimeout:       l.Idle,
			// net/http reads 4096 bytes more than it is told.
			MaxHeaderBytes: max(1, l.HeaderBytes-4096),
			ConnContext:    connContext,
			ConnState:      connState,
			ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelWarn),
			// OPTIONS * is answered as other requests are.
			DisableGeneralOptionsHandler: true,
		},
	}
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Connections returns the number of open connections and how many were closed to make room.
func (s *Server) Connections() (open int, shed int64) { return s.listener.Count() }

// Run serves until ctx is done, then answers the requests that have arrived and returns nil. What
// is not answered within the grace is cut off.
func (s *Server) Run(ctx context.Context) error {
	stop := make(chan struct{})
	defer close(stop)
	go s.listener.sweep(s.limits.tick(), stop)
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving HTTP at %s: %w", s.listener.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.limits.Grace)
	defer cancel()
	// Shutdown waits some seconds for connections that have not said anything; they need not be waited for.
	silent := time.AfterFunc(500*time.Millisecond, s.listener.shedWaiting)
	defer silent.Stop()
	err := s.http.Shutdown(grace)
	<-failed
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.Join(fmt.Errorf("requests were not answered within %v", s.limits.Grace), s.http.Close())
	}
	return err
}
