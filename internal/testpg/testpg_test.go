package testpg

import (
	"strings"
	"testing"
)

func TestNewDatabase(t *testing.T) {
	t.Parallel()
	s := Shared(t)
	one, other := s.NewDatabase(t), s.NewDatabase(t)
	SQL(t, one, "CREATE TABLE note (text text); INSERT INTO note VALUES ('a'), ('B')")
	if got := SQL(t, one, "SELECT text FROM note ORDER BY text"); got != "a\nB" {
		t.Errorf("rows %q", got)
	}
	if got := SQL(t, other, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"); got != "0" {
		t.Errorf("a new database has %s tables", got)
	}
	if got := SQL(t, one, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"); got != "f" {
		t.Error("the owner of a database is a superuser")
	}
	if _, err := psql(strings.Replace(one, ":"+s.login.owner+"@", ":wrong@", 1), "SELECT 1"); err == nil {
		t.Error("a wrong password is as good as the right one")
	}
}

func TestRole(t *testing.T) {
	t.Parallel()
	s := Shared(t)
	owner := s.NewDatabase(t)
	SQL(t, owner, "CREATE TABLE before (id bigserial)")
	writer, reader := s.Role(t, owner), s.Role(t, owner, "SELECT")
	SQL(t, owner, "CREATE TABLE after (id bigserial)")
	for _, table := range []string{"before", "after"} {
		SQL(t, writer, "INSERT INTO "+table+" DEFAULT VALUES")
		if got := SQL(t, reader, "SELECT id FROM "+table); got != "1" {
			t.Errorf("a reader finds %q in %s", got, table)
		}
		if _, err := psql(reader, "INSERT INTO "+table+" DEFAULT VALUES"); err == nil {
			t.Errorf("a reader writes into %s", table)
		}
	}
	if _, err := psql(writer, "CREATE TABLE own (id bigint)"); err == nil {
		t.Error("a writer creates a table")
	}
}

func TestRestartKeepsData(t *testing.T) {
	t.Parallel()
	s := Start(t, Options{NoSync: true})
	port := s.Port
	SQL(t, s.URL(), "CREATE TABLE note AS SELECT 1 AS id")
	s.Restart(t)
	if got := SQL(t, s.URL(), "SELECT id FROM note"); got != "1" || s.Port != port {
		t.Errorf("after a restart: %q on port %d, before %d", got, s.Port, port)
	}
}
