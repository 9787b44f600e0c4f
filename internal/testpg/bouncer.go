package testpg

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Bouncer starts a pgbouncer in front of the server and returns the URL of db
// through it. The mode is "session", "transaction" or "statement". All databases are
// there, and all roles that were made before; to the superuser also pgbouncer's console,
// the database pgbouncer.
func (s *Server) Bouncer(t testing.TB, db, mode string) string {
	t.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		path = "/usr/sbin/pgbouncer" // not in every user's PATH
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("pgbouncer is not installed, run script/setup: %v", err)
	}
	u, err := url.Parse(db)
	if err != nil {
		t.Fatal(err)
	}
	prog, err := newProgram("pgbouncer", "KILL")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the log of pgbouncer:\n%s", prog.tail())
		}
		prog.close()
	})

	var users strings.Builder
	s.mu.Lock()
	for _, r := range s.roles {
		fmt.Fprintf(&users, "%q %q\n", r.name, r.password)
	}
	s.mu.Unlock()
	auth, ini := filepath.Join(prog.dir, "userlist.txt"), filepath.Join(prog.dir, "pgbouncer.ini")
	if err := errors.Join(os.WriteFile(auth, []byte(users.String()), 0o600), own(auth)); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		config := fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = %s
admin_users = postgres
max_client_conn = 1000
`, s.Port, port, auth, mode)
		if err := errors.Join(os.WriteFile(ini, []byte(config), 0o600), own(ini)); err != nil {
			t.Fatal(err)
		}
		if err := prog.run(path, ini); err != nil {
			t.Fatal(err)
		}
		u.Host = fmt.Sprintf("127.0.0.1:%d", port)
		err = prog.until("pgbouncer answers", func() bool {
			_, err := psql(u.String(), "SELECT 1")
			return err == nil
		})
		if err == nil {
			return u.String()
		}
		if prog.running() {
			t.Fatal(err)
		}
	}
	t.Fatalf("pgbouncer does not start:\n%s", prog.tail())
	return ""
}
