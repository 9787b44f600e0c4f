package testpg

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestKillKeepsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	s := Start(t, Options{})
	SQL(t, s.URL(), "CREATE TABLE note (id bigint)")
	for range 3 {
		SQL(t, s.URL(), "INSERT INTO note SELECT count(*) FROM note")
		s.Kill(t)
		if _, err := psql(s.URL(), "SELECT 1"); err == nil {
			t.Fatal("a killed server answers")
		}
		s.Start(t)
	}
	if got := SQL(t, s.URL(), "SELECT id FROM note ORDER BY id"); got != "0\n1\n2" {
		t.Errorf("rows after three kills: %q", got)
	}
	if log := s.prog.tail(); !strings.Contains(log, "was not properly shut down") {
		t.Errorf("the kill looked like a shutdown:\n%s", log)
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	s := Start(t, Options{NoSync: true})
	// A connection whose backend is there before the pause and busy in it.
	client, input := session(t, s.URL())
	input("CREATE TABLE note (id bigint);\n")
	poll(t, "the table is there", func() bool { return s.Exec(t, "SELECT to_regclass('note') IS NOT NULL") == "t" })
	s.Pause(t)
	input("INSERT INTO note VALUES (1);\n\\q\n")
	for pid, p := range processes(t) {
		if p.parent == s.prog.pid() && p.alive() && !p.stopped() {
			t.Errorf("process %d of a paused server runs", pid)
		}
	}
	select {
	case err := <-client:
		t.Fatalf("a paused server answered: %v", err)
	default:
	}
	s.Resume(t)
	if err := <-client; err != nil {
		t.Fatalf("the connection did not survive the pause: %v", err)
	}
	if got := SQL(t, s.URL(), "SELECT id FROM note"); got != "1" {
		t.Errorf("rows after the pause: %q", got)
	}
}

// session starts a psql that reads what is given to input, and returns how it ends.
func session(t *testing.T, db string) (ended chan error, input func(string)) {
	bin, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", db)
	pipe, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended, done := make(chan error, 1), make(chan struct{})
	go func() {
		ended <- cmd.Wait()
		close(done)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return ended, func(sql string) {
		if _, err := pipe.Write([]byte(sql)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStandby(t *testing.T) {
	t.Parallel()
	primary := Start(t, Options{NoSync: true})
	SQL(t, primary.URL(), "CREATE TABLE note AS SELECT 1 AS id")
	standby := primary.Standby(t)
	SQL(t, primary.URL(), "INSERT INTO note VALUES (2)")
	standby.CaughtUp(t)
	if got := SQL(t, standby.URL(), "SELECT sum(id) FROM note"); got != "3" {
		t.Errorf("the standby sees %q", got)
	}
	if _, err := psql(standby.URL(), "INSERT INTO note VALUES (3)"); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("writing to a standby: %v", err)
	}
	primary.Kill(t)
	standby.Promote(t)
	SQL(t, standby.URL(), "INSERT INTO note VALUES (3)")

	// The old primary comes back and knows nothing of that.
	primary.Start(t)
	if got := SQL(t, primary.URL(), "SELECT sum(id) FROM note"); got != "3" {
		t.Errorf("the old primary sees %q", got)
	}
}

func TestSynchronousStandby(t *testing.T) {
	t.Parallel()
	primary := Start(t, Options{NoSync: true, Synchronous: true})
	SQL(t, primary.URL(), "CREATE TABLE note (id bigint)")
	first, second := primary.Standby(t), primary.Standby(t)
	SQL(t, primary.URL(), "INSERT INTO note VALUES (1)")

	second.Pause(t)
	client, input := session(t, primary.URL())
	input("INSERT INTO note VALUES (2);\n\\q\n")
	poll(t, "the commit waits for the standby", func() bool {
		return primary.Exec(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == "1"
	})
	second.Resume(t)
	if err := <-client; err != nil {
		t.Fatal(err)
	}
	primary.Kill(t)
	first.Promote(t)
	SQL(t, first.URL(), "INSERT INTO note VALUES (3)") // it waits for nobody
	if got := SQL(t, first.URL(), "SELECT sum(id) FROM note"); got != "6" {
		t.Errorf("the promoted standby sees %q", got)
	}
}

func TestBouncer(t *testing.T) {
	t.Parallel()
	s := Start(t, Options{NoSync: true})
	fresh := s.NewDatabase(t)
	role := s.Role(t, fresh)
	for _, mode := range []string{"session", "transaction"} {
		through := s.Bouncer(t, s.URL(), mode)
		if through == s.URL() {
			t.Fatal("this is not the URL of pgbouncer")
		}
		SQL(t, through, "SELECT 1")
		console := strings.Replace(through, "/datestone?", "/pgbouncer?", 1)
		console = strings.Replace(console, "datestone:"+s.login.owner, "postgres:"+s.login.admin, 1)
		if got := SQL(t, console, "SHOW CONFIG"); !strings.Contains(got, "pool_mode|"+mode) {
			t.Errorf("pgbouncer is not in mode %s:\n%s", mode, got)
		}
	}
	if got := SQL(t, s.Bouncer(t, role, "transaction"), "SELECT current_user <> 'datestone', current_database() <> 'datestone'"); got != "t|t" {
		t.Errorf("through pgbouncer as another role into another database: %q", got)
	}
}

func TestDumpAndRestore(t *testing.T) {
	t.Parallel()
	s := Shared(t)
	from, to := s.NewDatabase(t), s.NewDatabase(t)
	SQL(t, from, "CREATE TABLE note AS SELECT 1 AS id")
	file := filepath.Join(t.TempDir(), "dump")
	Dump(t, from, file)
	Restore(t, file, to)
	if got := SQL(t, to, "SELECT id FROM note"); got != "1" {
		t.Errorf("restored: %q", got)
	}
}
