package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// serveBare answers every request with the bytes on standard input, after reading its body. It prints
// its address first.
func serveBare() error {
	reply, err := io.ReadAll(io.LimitReader(os.Stdin, 1<<20))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(io.LimitReader(r.Body, 65)); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write(reply)
	}))
}

// server is a child process that answers at address.
type server struct {
	address string
	dir     string
	cmd     *exec.Cmd
}

func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM) // a background job passes on that SIGINT is ignored
	s.cmd.Wait()
}

// bare starts this program as a bare server that gives this reply.
func bare(ctx context.Context, reply []byte) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "bare")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(reply), os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd}
	if _, err := fmt.Fscanln(out, &s.address); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// serve starts a datestoned that anchors nothing, over the database in dir, with these settings more.
func (l *lab) serve(ctx context.Context, dir, settings string) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	listener.Close()
	config := filepath.Join(dir, "datestone.toml")
	text := fmt.Sprintf("listen = %q\nuri = %q\ndata = %q\ntargets = \"none\"\nlog_level = \"warn\"\n%s", address, "http://"+address, dir, settings)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	s := &server{address: address, dir: dir, cmd: exec.CommandContext(ctx, l.binary, "serve", "--config", config)}
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	return s, s.ready()
}

// dev starts a datestoned with a chain of its own over dir.
func (l *lab) dev(ctx context.Context, dir string) (*server, error) {
	cmd := exec.CommandContext(ctx, l.binary, "dev", "--dir", dir, "--listen", "127.0.0.1:0", "--rpc-listen", "127.0.0.1:0", "--json")
	logs := new(bytes.Buffer)
	cmd.Stderr = logs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var ready struct{ Listen string }
	s := &server{dir: dir, cmd: cmd}
	if err := json.NewDecoder(out).Decode(&ready); err != nil {
		s.stop()
		return nil, fmt.Errorf("datestoned dev --json: %w: %s", err, logs)
	}
	s.address = ready.Listen
	return s, s.ready()
}

// ready waits until the server answers.
func (s *server) ready() error {
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		response, err := http.Get("http://" + s.address + "/readyz")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	s.stop()
	return errors.New("the server did not become ready")
}

// memory is the memory that the server holds: now is VmRSS, at most VmHWM.
func (s *server) memory(which string) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(b) {
		var kb int64
		if n, _ := fmt.Sscanf(string(line), which+": %d kB", &kb); n == 1 {
			return kb << 10, nil
		}
	}
	return 0, errors.New("no " + which)
}

// processorTime is what the server's threads have had of the processors, 0 where the system does not say.
func (s *server) processorTime() (total time.Duration) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for _, thread := range threads {
		var onProcessor time.Duration
		if b, err := os.ReadFile(thread); err == nil {
			fmt.Sscan(string(b), &onProcessor)
		}
		total += onProcessor
	}
	return total
}
