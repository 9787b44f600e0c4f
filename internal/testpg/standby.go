package testpg

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Standby starts a streaming replica, which answers reads only. It has the primary's
// users and passwords and ends with the test.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	bin, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	standby, err := newServer(s.options, s.login)
	if err != nil {
		t.Fatal(err)
	}
	standby.endWith(t)
	standby.primary = s
	s.mu.Lock()
	standby.roles = append(standby.roles[:0], s.roles...)
	s.mu.Unlock()

	called := fmt.Sprintf("standby_%d", s.made.Add(1))
	args := []string{"-D", standby.data(), "-R", "-X", "stream", "-c", "fast", "-C", "-S", called,
		"-d", s.AdminURL() + "&application_name=" + called}
	if s.options.NoSync {
		args = append(args, "--no-sync")
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	backup := exec.CommandContext(ctx, filepath.Join(bin, "pg_basebackup"), args...)
	if _, err := output(unprivileged(backup), ""); err != nil {
		t.Fatal(err)
	}
	// What the primary waits for came with the copy.
	if err := appendTo(filepath.Join(standby.data(), "postgresql.auto.conf"), "synchronous_standby_names = ''\n"); err != nil {
		t.Fatal(err)
	}
	if err := standby.launch(); err != nil {
		t.Fatal(err)
	}
	state := "async"
	if s.options.Synchronous {
		s.synchronous = append(s.synchronous, called)
		s.Exec(t, fmt.Sprintf("ALTER SYSTEM SET synchronous_standby_names = 'ANY %d (%s)'; SELECT pg_reload_conf()",
			len(s.synchronous), strings.Join(s.synchronous, ", ")))
		state = "quorum"
	}
	poll(t, "the standby follows", func() bool {
		return s.Exec(t, fmt.Sprintf("SELECT state, sync_state FROM pg_stat_replication WHERE application_name = '%s'", called)) ==
			"streaming|"+state
	})
	return standby
}

// CaughtUp waits until the standby shows everything that the primary has written
// so far.
func (s *Server) CaughtUp(t testing.TB) {
	t.Helper()
	written := s.primary.Exec(t, "SELECT pg_current_wal_flush_lsn()")
	poll(t, "the standby has caught up", func() bool {
		return s.Exec(t, fmt.Sprintf("SELECT pg_last_wal_replay_lsn() >= '%s'", written)) == "t"
	})
}

// Promote makes a standby a primary of its own, whether or not its primary still
// runs, and waits until it takes writes.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	if s.Exec(t, fmt.Sprintf("SELECT pg_promote(true, %d)", int(limit.Seconds()))) != "t" {
		t.Fatalf("the standby was not promoted within %v:\n%s", limit, s.prog.tail())
	}
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
