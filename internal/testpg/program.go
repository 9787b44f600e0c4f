package testpg

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// program is a folder and the server that runs in it, if any. A keeper, which is a
// shell that reads until its input ends, ends the server and removes the folder. Its
// input ends with the test, and also with the test binary however that ends.
type program struct {
	dir string

	keeper *exec.Cmd
	input  io.Closer

	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

// What a killed postgres leaves behind is its piece of System V memory, whose
// number is in line 7 of postmaster.pid.
const keep = `
read -r _
pid=$(cat "$1/pid") && {
	kill -CONT "$pid"
	kill -"$2" "$pid"
	i=0
	while kill -0 "$pid" && [ $i -lt 400 ]; do
		i=$((i + 1))
		[ $i != 300 ] || kill -KILL "$pid"
		sleep 0.05
	done
}
left=$(sed -n 7p "$1/data/postmaster.pid") && [ -n "$left" ] && ipcrm -m "${left##* }"
rm -rf "$1"
`

// newProgram makes the folder and its keeper. The signal is the one that ends the
// server quickest, with all its children.
func newProgram(name, signal string) (*program, error) {
	dir, err := os.MkdirTemp("", "testpg-"+name+"-")
	if err != nil {
		return nil, err
	}
	if err := own(dir); err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	keeper := exec.Command("sh", "-c", keep, "sh", dir, signal)
	keeper.Dir = "/"
	keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	input, err := keeper.StdinPipe()
	if err == nil {
		err = keeper.Start()
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	return &program{dir: dir, keeper: keeper, input: input}, nil
}

// run starts the server. Its output goes to a file, so that no pipe keeps the test
// binary waiting, and a signal from the terminal does not reach it.
func (p *program) run(path string, args ...string) error {
	out, err := os.OpenFile(p.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := unprivileged(exec.Command(path, args...))
	cmd.Dir, cmd.Env = p.dir, environment()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr.Setsid = true
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := filepath.Join(p.dir, "pid")
	if err := os.WriteFile(pid, []byte(strconv.Itoa(cmd.Process.Pid)), 0o600); err != nil {
		return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	p.cmd, p.done = cmd, make(chan struct{})
	go func() {
		cmd.Wait()
		os.Remove(pid)
		close(p.done)
	}()
	return nil
}

// close ends the server and removes the folder.
func (p *program) close() {
	p.input.Close()
	p.keeper.Wait()
}

func (p *program) log() string { return filepath.Join(p.dir, "log") }

func (p *program) pid() int { return p.cmd.Process.Pid }

func (p *program) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// until waits for ok, and gives up when the server ends or time runs out.
func (p *program) until(what string, ok func() bool) error {
	deadline := time.Now().Add(limit)
	for !ok() {
		if !p.running() {
			return fmt.Errorf("%s ended, but was waited for: %s\n%s", filepath.Base(p.cmd.Path), what, p.tail())
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v: %s\n%s", limit, what, p.tail())
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// end sends a signal and waits until the server has ended.
func (p *program) end(signal syscall.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		return fmt.Errorf("%s did not end within %v of %v:\n%s", filepath.Base(p.cmd.Path), limit, signal, p.tail())
	}
}

// tail returns the last few kilobytes that the server wrote.
func (p *program) tail() string {
	raw, err := os.ReadFile(p.log())
	if err != nil {
		return err.Error()
	}
	return string(raw[max(0, len(raw)-4000):])
}

// freePort returns a port that was free on 127.0.0.1 a moment ago, below those that
// systems give to outgoing connections: a server that is down for a while gets its
// port back.
func freePort() (int, error) {
	for range 100 {
		port := 20000 + rand.IntN(12000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port from 20000 to 32000")
}

// nobody is who servers run as when the tests run as root, which they refuse.
const nobody = 65534

func unprivileged(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = new(syscall.SysProcAttr)
	cmd.Dir = "/"
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return cmd
}

// own gives a file or folder to who servers run as.
func own(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return os.Chown(path, nobody, nobody)
}
