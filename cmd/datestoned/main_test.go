package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/datestone/datestone/internal/testnode"
)

func TestMain(m *testing.M) {
	runtime.KeepAlive(main) // go test forgets its results when the program changes
	os.Exit(testnode.Programs(func(folder string) int {
		os.Setenv("PATH", folder+string(os.PathListSeparator)+os.Getenv("PATH"))
		return m.Run()
	}, "./cmd/datestoned"))
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": code, "datestoned": datestoned},
		Setup: func(e *testscript.Env) error {
			// The surrounding environment must not be a setting.
			for _, line := range os.Environ() {
				if name, _, _ := strings.Cut(line, "="); strings.HasPrefix(name, "DATESTONED_") {
					e.Setenv(name, "")
				}
			}
			return nil
		},
	})
}

// datestoned runs it, and wants it to succeed, or to fail.
func datestoned(ts *testscript.TestScript, fails bool, args []string) {
	if err := ts.Exec("datestoned", args...); (err != nil) != fails {
		ts.Fatalf("datestoned %s: %v", strings.Join(args, " "), err)
	}
}

// code runs datestoned and wants an exit code: code 2 account list.
func code(ts *testscript.TestScript, _ bool, args []string) {
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](ts.Exec("datestoned", args[1:]...)); ok {
		got = exit.ExitCode()
	}
	if args[0] != strconv.Itoa(got) {
		ts.Fatalf("datestoned %s: exit code %d, want %s", strings.Join(args[1:], " "), got, args[0])
	}
}

// process is a running datestoned.
type process struct {
	*exec.Cmd
	addr   string
	uri    string
	dir    string // of dev
	key    string // of dev's account
	stderr *bytes.Buffer
}

// start runs datestoned with these arguments and waits until it is ready.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	// testscript.Main has put a datestoned that is this test binary into PATH.
	return startCommand(t, exec.Command("datestoned", append(args, "--json")...))
}

// startCommand runs a command that is a datestoned with --json.
func startCommand(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{Cmd: cmd, stderr: new(bytes.Buffer)}
	p.Stderr = p.stderr
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Process.Kill()
		p.Wait()
	})
	var ready struct{ Listen, URI, Dir, Key string }
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		p.Wait()
		t.Fatalf("not ready: %v\n%s", err, p.stderr)
	}
	if err := json.Unmarshal(line, &ready); err != nil {
		t.Fatal(err)
	}
	p.addr, p.uri, p.dir, p.key = ready.Listen, ready.URI, ready.Dir, ready.Key
	return p
}

const testURI = "http://calendar.test"

// serve runs datestoned serve over dir without targets.
func serve(t *testing.T, dir string, more ...string) *process {
	t.Helper()
	return start(t, append([]string{"serve", "--listen=127.0.0.1:0", "--uri=" + testURI, "--targets=none", "--data=" + dir}, more...)...)
}

// stop sends SIGTERM and waits for a clean end.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- p.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("ended with %v\n%s", err, p.stderr)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("still running after SIGTERM\n%s", p.stderr)
	}
}

// conn is one client's connection.
type conn struct {
	net.Conn
	r *bufio.Reader
}

func dial(addr string) (*conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	return &conn{c, bufio.NewReader(c)}, nil
}

// errNoAnswer says that the connection ended before the first byte of an answer.
var errNoAnswer = fmt.Errorf("the connection ended without an answer")

// post submits a digest. An answer that begins and does not end is another error than errNoAnswer.
func (c *conn) post(digest string) (status int, body []byte, err error) {
	if _, err := fmt.Fprintf(c, "POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(digest), digest); err != nil {
		return 0, nil, errNoAnswer
	}
	return c.read()
}

func (c *conn) read() (status int, body []byte, err error) {
	if _, err := c.r.Peek(1); err != nil {
		return 0, nil, errNoAnswer
	}
	var version string
	var length int
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return 0, nil, err
		}
		if line = strings.TrimSpace(line); line == "" {
			break
		}
		if status == 0 {
			if _, err := fmt.Sscanf(line, "%s %d", &version, &status); err != nil {
				return 0, nil, err
			}
		}
		fmt.Sscanf(line, "Content-Length: %d", &length)
	}
	body = make([]byte, length)
	_, err = io.ReadFull(c.r, body)
	return status, body, err
}
