package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// result is what one round of requests gave.
type result struct {
	requests  int
	took      time.Duration
	latencies []time.Duration // of every request
	server    time.Duration   // processor time of the server; 0 where the system does not say
}

func (r result) perSecond() float64 { return float64(r.requests) / r.took.Seconds() }

// serverMicros is the server's processor time for each request, in microseconds.
func (r result) serverMicros() float64 { return float64(r.server) / 1e3 / float64(r.requests) }

// drive sends requests over n connections, each the next as soon as the one before is answered, until
// the time is up. request writes the i-th request of a connection into b; every answer must be 200 or 201.
func drive(ctx context.Context, s *server, n int, length time.Duration, request func(connection, i int, b []byte) []byte) (result, error) {
	return driveWith(ctx, s, n, length, false, request)
}

// driveWith is drive; lean leaves as much as it can of the processors to the server.
func driveWith(ctx context.Context, s *server, n int, length time.Duration, lean bool, request func(connection, i int, b []byte) []byte) (result, error) {
	conns := make([]net.Conn, n)
	for i := range conns {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			return result{}, err
		}
		defer conn.Close()
		conns[i] = conn
	}
	used := s.processorTime()
	start := time.Now()
	deadline := start.Add(length)
	parts := make([][]time.Duration, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for c, conn := range conns {
		wg.Go(func() {
			conn.SetDeadline(deadline.Add(30 * time.Second))
			reader := bufio.NewReaderSize(conn, 16<<10)
			var buffer []byte
			for i := 0; ctx.Err() == nil; i++ {
				before := time.Now()
				if before.After(deadline) {
					return
				}
				buffer = request(c, i, buffer[:0])
				if _, err := conn.Write(buffer); err != nil {
					errs[c] = err
					return
				}
				if errs[c] = answer(reader, lean); errs[c] != nil {
					return
				}
				parts[c] = append(parts[c], time.Since(before))
			}
		})
	}
	wg.Wait()
	r := result{took: time.Since(start), server: s.processorTime() - used}
	for c := range parts {
		if errs[c] != nil {
			return r, fmt.Errorf("connection %d: %w", c, errs[c])
		}
		r.requests += len(parts[c])
		r.latencies = append(r.latencies, parts[c]...)
	}
	return r, nil
}

// answer reads an answer. Where nothing else is driven in the same way the one that costs least is taken.
func answer(r *bufio.Reader, lean bool) error {
	if lean {
		return leanAnswer(r)
	}
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("status %d: %.100s", response.StatusCode, body)
	}
	return nil
}

// leanAnswer reads an answer that has a Content-Length.
func leanAnswer(r *bufio.Reader) error {
	status, length := "", -1
	for line := 0; ; line++ {
		text, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(text) <= 2 {
			break
		}
		if value, is := bytes.CutPrefix(text, []byte("Content-Length: ")); is {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		} else if line == 0 && len(text) > 12 {
			status = string(text[9:12])
		}
	}
	if length < 0 || status[:1] != "2" {
		return fmt.Errorf("status %s, a body of %d bytes", status, length)
	}
	_, err := r.Discard(length)
	return err
}
