package httpkit

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// queue is a listener whose connections, or errors, a test puts in.
type queue chan any

func (q queue) Accept() (net.Conn, error) {
	switch v := (<-q).(type) {
	case net.Conn:
		return v, nil
	case error:
		return nil, v
	}
	return nil, net.ErrClosed
}
func (q queue) Close() error   { close(q); return nil }
func (q queue) Addr() net.Addr { return &net.TCPAddr{} }

// crowd is a Listener that accepts what knock brings.
type crowd struct {
	*Listener
	t        *testing.T
	queue    queue
	accepted chan *conn
}

func newCrowd(t *testing.T, places int) *crowd {
	c := &crowd{t: t, queue: make(queue, 16), accepted: make(chan *conn, 16)}
	c.Listener = Limit(c.queue, places)
	go func() {
		defer close(c.accepted)
		for {
			got, err := c.Accept()
			if err != nil {
				return
			}
			c.accepted <- got.(*conn)
		}
	}()
	return c
}

// knock brings a connection and returns it once it is accepted, with the time that this took.
func (c *crowd) knock() (*conn, time.Duration) {
	start := time.Now()
	ours, _ := net.Pipe()
	c.queue <- ours
	return <-c.accepted, time.Since(start)
}

func isOpen(c *conn) bool {
	c.Conn.SetReadDeadline(time.Now())
	_, err := c.Read(make([]byte, 2))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// TestACrowdWaits: a connection whose request is still on its way is not closed for those that come
// right after it, however many they are.
func TestACrowdWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 2)
		silent, _ := c.knock()
		polite, _ := c.knock()
		time.AfterFunc(young-time.Millisecond, polite.busy)
		if third, took := c.knock(); took != young {
			t.Errorf("the third of two was accepted after %v, want %v", took, young)
		} else if isOpen(silent) || !isOpen(polite) || !isOpen(third) {
			t.Errorf("open are silent %v, polite %v, third %v; want the last two", isOpen(silent), isOpen(polite), isOpen(third))
		}
		// A place that becomes free is taken at once.
		time.AfterFunc(time.Millisecond, func() { polite.Close() })
		if _, took := c.knock(); took != time.Millisecond {
			t.Errorf("a free place was taken after %v", took)
		}
		// An old one gives way at once.
		time.Sleep(young)
		if _, took := c.knock(); took != 0 {
			t.Errorf("an old connection gave way after %v", took)
		}
		if open, shed := c.Count(); open != 2 || shed != 2 {
			t.Errorf("%d are open and %d were shed, want 2 and 2", open, shed)
		}
		c.shedWaiting()
		if open, _ := c.Count(); open != 0 {
			t.Errorf("%d young connections outlived the stop", open)
		}
		c.Close()
		<-c.accepted
	})
}

// TestNothingRunsBesideAHandler: what net/http does beside a handler, to learn whether the client hung
// up, ends at once and does not keep the processor busy, for which synctest would wait without end. A
// client that is gone is noticed when its request has been answered.
func TestNothingRunsBesideAHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes = time.Minute
		reached := make(queue, 1)
		s := NewServer(reached, plain(quiet()).Handle("x", func(w http.ResponseWriter, r *http.Request) error {
			if err := ReadBody(r, make([]byte, r.ContentLength)); err != nil {
				return err
			}
			time.Sleep(takes)
			if err := r.Context().Err(); err != nil {
				return err
			}
			return WriteBody(w, r, 200, []byte("ok"))
		}), Limits{Answer: 2 * takes}, quiet())
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()

		client, server := net.Pipe()
		reached <- server
		const post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
		for range 2 {
			begin := time.Now()
			if status := ask(t, client, post); status != 200 || time.Since(begin) != takes {
				t.Errorf("answered %d after %v, want 200 after %v", status, time.Since(begin), takes)
			}
		}
		io.WriteString(client, post)
		synctest.Wait()
		client.Close()
		time.Sleep(takes)
		synctest.Wait()
		if open, _ := s.Connections(); open != 0 {
			t.Errorf("%d connections are open after the client is gone", open)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestFewFilesAndACrowd: without descriptors a young connection gives way as well, when it is not young any more.
func TestFewFilesAndACrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 8)
		first, _ := c.knock()
		c.queue <- syscall.EMFILE // waits until the first is not young
		c.queue <- syscall.EMFILE // closes it
		if _, took := c.knock(); took < young || took > 2*young {
			t.Errorf("accepted after %v, want about %v", took, young)
		}
		if isOpen(first) {
			t.Error("no descriptor was freed")
		}
		c.shedWaiting()
		// With nothing to close, the caller hears of it.
		c.queue <- syscall.EMFILE
		if got := <-c.accepted; got != nil {
			t.Error("accepted without a descriptor")
		}
		c.Close()
	})
}
