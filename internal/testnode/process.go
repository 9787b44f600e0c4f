package testnode

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Tool returns the path of something that script/setup installs, "bin/btcd" for
// example, and ends the test when it is not there.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(tools(t), filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not installed, run script/setup: %v", name, err)
	}
	return path
}

func tools(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("DATESTONE_TOOLS"); dir != "" {
		return dir
	}
	return filepath.Join(Root(t), ".tools")
}

// Root returns the folder of the module's go.mod, above the test's folder.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod above the test's folder")
		}
		dir = up
	}
}

// portsGiven are the ports that programs have, those of programs that are down among them.
var portsGiven sync.Map

// FreePort returns a port of 127.0.0.1 below those that systems give to outgoing connections, and no port twice: a program
// that is down for a while gets its port back.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 12000 + rand.IntN(8000)
		if _, given := portsGiven.LoadOrStore(port, true); given {
			continue
		}
		if l, err := net.Listen("tcp", local(port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port from 12000 to 20000")
	return 0
}

// Process is a program that a test started. Its output goes to a file, so that no
// pipe keeps the test binary waiting, and it dies with the test.
type Process struct {
	Log string // file with stdout and stderr

	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended

	mu      sync.Mutex
	err     error // of Wait, set before done is closed
	stopped bool  // by the test: how it ended is no news
}

// StartProcess starts cmd with its output appended to the file log.
func StartProcess(t testing.TB, log string, cmd *exec.Cmd) *Process {
	t.Helper()
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", cmd.Path, err)
	}
	p := &Process{Log: log, cmd: cmd, done: make(chan struct{})}
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.mu.Lock()
		stopped := p.stopped
		p.mu.Unlock()
		p.Kill()
		if t.Failed() && !stopped {
			t.Logf("end of %s:\n%s", log, p.Tail())
		}
	})
	return p
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns how the process ended: nil for exit code 0. It is meaningful once
// Done is closed.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *Process) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
}

// Kill ends the process as a power cut would (SIGKILL) and waits for that. It may
// be called more than once.
func (p *Process) Kill() {
	p.stop()
	p.cmd.Process.Kill()
	<-p.done
}

// Terminate asks the process to end (SIGTERM) and returns how it did.
func (p *Process) Terminate(t testing.TB, limit time.Duration) error {
	t.Helper()
	p.stop()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		t.Fatalf("%s did not end within %v of SIGTERM:\n%s", filepath.Base(p.cmd.Path), limit, p.Tail())
	}
	return p.Err()
}

// Tail returns the last few kilobytes that the process wrote.
func (p *Process) Tail() string {
	raw, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	if len(raw) > 4000 {
		raw = raw[len(raw)-4000:]
	}
	return string(raw)
}

// ready waits until up answers without an error, and reports false when the
// process ended first.
func (p *Process) ready(limit time.Duration, up func() error) (bool, error) {
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := up()
		if err == nil {
			return true, nil
		}
		select {
		case <-p.done:
			return false, nil
		case <-tick.C:
		}
		if time.Now().After(deadline) {
			return false, fmt.Errorf("not ready within %v: %w", limit, err)
		}
	}
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
