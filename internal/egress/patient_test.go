package egress

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
)

// What a server says before it was asked is not read before that.
func TestPatient(t *testing.T) {
	for _, end := range []string{"asked", "closed"} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer theirs.Close()
			p := newPatient(ours)
			go io.WriteString(theirs, "220 welcome\r\n")
			var got string
			var err error
			done := make(chan struct{})
			go func() {
				defer close(done)
				b := make([]byte, 100)
				var n int
				n, err = p.Read(b)
				got = string(b[:n])
			}()
			synctest.Wait()
			select {
			case <-done:
				t.Fatalf("%q was read", got)
			default:
			}
			if end == "closed" {
				p.Close()
				if <-done; err == nil {
					t.Errorf("a closed connection gives %q", got)
				}
				return
			}
			go io.Copy(io.Discard, theirs)
			if _, err := io.WriteString(p, "GET / HTTP/1.1\r\n"); err != nil {
				t.Fatal(err)
			}
			if <-done; err != nil || got != "220 welcome\r\n" {
				t.Errorf("%q, %v", got, err)
			}
			p.Close()
		})
	}
	w := newWorld(t, http.HandlerFunc(ok))
	conn, err := w.client(t, Config{}).dial(t.Context(), "tcp", fmt.Sprintf("127.0.0.2:%d", w.port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, is := conn.(*patient); !is {
		t.Errorf("dial gives a %T", conn)
	}
}
