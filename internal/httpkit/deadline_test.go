package httpkit

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// TestDeadlines: a deadline of a connection ends a read and a write that are under way, may be moved before it passes,
// and does not stay once it was taken back.
func TestDeadlines(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Limit(inner, 10)
	defer l.Close()
	stop := make(chan struct{})
	defer close(stop)
	go l.sweep(time.Millisecond, stop)
	client, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	buffer := make([]byte, 8)
	began := time.Now()
	must(t, c.SetReadDeadline(began.Add(50*time.Millisecond)))
	if _, err := c.Read(buffer); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) < 50*time.Millisecond {
		t.Errorf("a read ended after %v with %v", time.Since(began), err)
	}
	if _, err := c.Read(buffer); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read after the deadline: %v", err)
	}
	must(t, c.SetDeadline(time.Time{}))
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(buffer); err != nil || string(buffer[:n]) != "hello" {
		t.Errorf("a read without a deadline: %q, %v", buffer[:n], err)
	}

	// Moved while it runs: the later one counts.
	must(t, c.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	late := time.Now().Add(200 * time.Millisecond)
	must(t, c.SetReadDeadline(late))
	if _, err := c.Read(buffer); !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().Before(late) {
		t.Errorf("a read whose deadline was moved ended %v before it: %v", time.Until(late), err)
	}
	must(t, c.SetReadDeadline(time.Now().Add(time.Hour)))
	must(t, c.SetReadDeadline(longAgo))
	if _, err := c.Read(buffer); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read that was to end at once: %v", err)
	}

	must(t, c.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
	if _, err := io.Copy(c, endless{}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("writing to a client that does not read: %v", err)
	}
}

// endless reads zeros without end.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
