package testpg

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func (s *Server) data() string { return filepath.Join(s.prog.dir, "data") }

// up starts the server on its port and waits until it takes connections.
func (s *Server) up() error {
	bin, err := binaries()
	if err != nil {
		return err
	}
	settings := []string{"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(s.Port), "unix_socket_directories=",
		"dynamic_shared_memory_type=mmap", "log_line_prefix=%m [%p] %d ", "logging_collector=off"}
	if s.options.NoSync {
		settings = append(settings, "fsync=off", "full_page_writes=off")
	}
	args := []string{"-D", s.data()}
	for _, line := range slices.Concat(settings, s.options.Settings) {
		args = append(args, "-c", line)
	}
	if err := s.prog.run(filepath.Join(bin, "postgres"), args...); err != nil {
		return err
	}
	return s.prog.until("PostgreSQL takes connections", s.ready)
}

// ready reads what pg_ctl reads: the server's own word in its data folder.
func (s *Server) ready() bool {
	raw, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return false
	}
	lines := strings.Split(string(raw), "\n")
	if len(lines) < 8 || lines[0] != strconv.Itoa(s.prog.pid()) {
		return false
	}
	state := strings.TrimSpace(lines[7])
	return state == "ready" || state == "standby"
}

// Start starts a stopped or killed server again on the same port. After a kill it
// recovers first.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if s.prog.running() {
		t.Fatal("this PostgreSQL runs already")
	}
	if err := s.up(); err != nil {
		t.Fatal(err)
	}
}

// Stop ends the server in good order, whoever is connected ("fast").
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if s.paused {
		s.Resume(t)
	}
	if err := s.prog.end(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
}

// Restart is [Server.Stop] and [Server.Start].
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop(t)
	s.Start(t)
}

// Pause holds up all processes of the server, as a frozen machine does: its
// connections stay open and nothing answers.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGSTOP)
	s.paused = true
}

// Resume takes back [Server.Pause].
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGCONT)
	s.paused = false
}

// Kill ends all processes of the server at once, as a power cut would (SIGKILL),
// except that what was written without fsync stays.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if !s.prog.running() {
		return
	}
	children := s.signal(t, syscall.SIGSTOP)
	for _, child := range children {
		syscall.Kill(child, syscall.SIGKILL)
	}
	if err := s.prog.end(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.paused = false
	poll(t, "the killed server's processes have ended", func() bool {
		all := processes(t)
		return !slices.ContainsFunc(children, func(pid int) bool { return all[pid].alive() })
	})
}

// signal sends SIGSTOP or SIGCONT to the postmaster and all its children, and
// returns the children. The postmaster is stopped first and started last, so that
// none is made meanwhile.
func (s *Server) signal(t testing.TB, signal syscall.Signal) (children []int) {
	t.Helper()
	postmaster := s.prog.pid()
	if !s.prog.running() {
		t.Fatalf("PostgreSQL on port %d does not run", s.Port)
	}
	send := func(pid int) {
		if err := syscall.Kill(pid, signal); err != nil && err != syscall.ESRCH {
			t.Fatal(err)
		}
	}
	if signal == syscall.SIGSTOP {
		send(postmaster)
		poll(t, "the postmaster is stopped", func() bool { return processes(t)[postmaster].stopped() })
	}
	all := processes(t)
	for pid, p := range all {
		if p.parent == postmaster && p.alive() {
			children = append(children, pid)
			send(pid)
		}
	}
	if signal == syscall.SIGCONT {
		send(postmaster)
		return children
	}
	poll(t, "the server's processes are stopped", func() bool {
		all := processes(t)
		return !slices.ContainsFunc(children, func(pid int) bool { return all[pid].alive() && !all[pid].stopped() })
	})
	return children
}
