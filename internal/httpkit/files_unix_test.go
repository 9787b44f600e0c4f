//go:build unix

package httpkit

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOutOfFiles runs this test binary again with few file descriptors and checks there that a server
// whose every descriptor is held by idle clients still answers new ones.
func TestOutOfFiles(t *testing.T) {
	if os.Getenv("HTTPKIT_FEW_FILES") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestOutOfFiles$", "-test.v")
		cmd.Env = append(os.Environ(), "HTTPKIT_FEW_FILES=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "answered beside") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	const files = 80
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: files, Max: files}); err != nil {
		t.Fatal(err)
	}
	s, addr := start(t, answer(plain(quiet())), Limits{})
	// The clients live in this process as well, so the descriptors run out before the server's limit.
	var idle []net.Conn
	for {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		defer c.Close()
		idle = append(idle, c)
	}
	// One descriptor for the client's end; the server has to find one for its own. It may take this one for a client that
	// waited, and then has to find both.
	idle[len(idle)-1].Close()
	var c net.Conn
	waitFor(t, func() (ok bool) {
		var err error
		c, err = net.Dial("tcp", addr)
		return err == nil
	})
	defer c.Close()
	if got := ask(t, c, get); got != http.StatusOK {
		t.Fatalf("got %d", got)
	}
	waitFor(t, func() bool { _, shed := s.Connections(); return shed > 0 })
	fmt.Printf("answered beside %d idle connections with %d descriptors at %s\n", len(idle), files, time.Now().Format(time.TimeOnly))
}
