// Package testpg starts real PostgreSQL servers for tests: each on a free port of
// 127.0.0.1 with a folder of its own, thrown away afterwards, also when the test
// binary is killed. They need PostgreSQL 15 or newer, which script/setup installs.
//
//	db := testpg.Shared(t).NewDatabase(t) // a suite that only needs a database
//
//	pg := testpg.Start(t, testpg.Options{}) // a server to be stopped, killed, ...
//	pg.Kill(t)
//	pg.Start(t)
//	standby := pg.Standby(t)
//	pg.Kill(t)
//	standby.Promote(t)
//	standby := pg.Standby(t)
//	pg.Kill(t)
//	standby.Promote(t)
//
// A database is named by its URL, as our own programs take it.
package testpg

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Options say how a server differs from a fresh one of Debian's.
type Options struct {
	NoSync      bool     // it does not wait for the disk; for suites that do not test durability
	Synchronous bool     // a commit waits until all standbys have it on disk
	Settings    []string // more lines of postgresql.conf, "max_connections=20" for example
}

// Server is a PostgreSQL server. Databases and roles may be made by several
// goroutines at once; what starts, stops or holds up the server may not be called so.
type Server struct {
	Port int // of 127.0.0.1, the same for the server's whole life

	options Options
	shared  bool // what tests make in it ends with them
	login   login
	prog    *program
	paused  bool
	made    atomic.Int64 // databases, roles and standbys: numbers for their names

	primary     *Server  // of a standby
	synchronous []string // the standbys that commits wait for

	mu    sync.Mutex
	roles []role // all that can log in, for pgbouncer
}

type role struct{ name, password string }

// login has what every server of the process knows: they come of one template.
type login struct {
	admin string // password of the superuser postgres
	owner string // password of datestone, who owns the databases and has no other right
}

const (
	limit = 60 * time.Second // for everything that ought to take a moment
	name  = "datestone"      // the database and who owns it
)

// Start starts a server that ends with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := start(o)
	if err != nil {
		t.Fatal(err)
	}
	s.endWith(t)
	return s
}

var shared = sync.OnceValues(func() (*Server, error) {
	s, err := start(Options{NoSync: true, Settings: []string{"max_connections=500"}})
	if err != nil {
		return nil, err
	}
	s.shared = true
	return s, nil
})

// Shared returns the one server of this test process for suites that only need
// databases. It ends with the process and does not wait for the disk.
func Shared(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func start(o Options) (*Server, error) {
	from, err := template()
	if err != nil {
		return nil, err
	}
	s, err := newServer(o, from.login)
	if err != nil {
		return nil, err
	}
	if err := from.copyTo(s.data()); err != nil {
		s.prog.close()
		return nil, err
	}
	if err := s.launch(); err != nil {
		s.prog.close()
		return nil, err
	}
	return s, nil
}

func newServer(o Options, l login) (*Server, error) {
	prog, err := newProgram("postgres", "QUIT")
	if err != nil {
		return nil, err
	}
	return &Server{options: o, login: l, prog: prog,
		roles: []role{{"postgres", l.admin}, {name, l.owner}}}, nil
}

func (s *Server) endWith(t testing.TB) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the log of PostgreSQL on port %d:\n%s", s.Port, s.prog.tail())
		}
		if s.paused {
			s.Resume(t)
		}
		s.prog.close()
	})
}

// launch starts a new server, on another port when somebody else was quicker.
func (s *Server) launch() error {
	var err error
	for range 4 {
		if s.Port, err = freePort(); err != nil {
			return err
		}
		if err = s.up(); err == nil {
			return nil
		}
	}
	return err
}

// URL returns the database datestone, as the role that owns it.
func (s *Server) URL() string { return s.url(name, s.login.owner, name) }

// AdminURL is [Server.URL] as the superuser.
func (s *Server) AdminURL() string { return s.url("postgres", s.login.admin, name) }

func (s *Server) url(user, password, database string) string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable", user, password, s.Port, database)
}

// as returns the same database's URL as the superuser.
func (s *Server) as(t testing.TB, db string) string {
	t.Helper()
	u, err := url.Parse(db)
	if err != nil {
		t.Fatal(err)
	}
	return s.url("postgres", s.login.admin, strings.TrimPrefix(u.Path, "/"))
}

// NewDatabase returns the URL of a fresh empty database, as the role that owns it.
func (s *Server) NewDatabase(t testing.TB) string {
	t.Helper()
	database := fmt.Sprintf("%s_%d", name, s.made.Add(1))
	s.Exec(t, fmt.Sprintf("CREATE DATABASE %s OWNER %s TEMPLATE template0", database, name))
	if s.shared {
		t.Cleanup(func() { s.Exec(t, fmt.Sprintf("DROP DATABASE %s WITH (FORCE)", database)) })
	}
	return s.url(name, s.login.owner, database)
}

// Role returns the URL of db for a new role that can create nothing there. It has
// the named privileges on all tables of the owner, those that exist and those that
// will; none named means SELECT, INSERT, UPDATE and DELETE.
func (s *Server) Role(t testing.TB, db string, privileges ...string) string {
	t.Helper()
	if len(privileges) == 0 {
		privileges = []string{"SELECT", "INSERT", "UPDATE", "DELETE"}
	}
	r := role{fmt.Sprintf("role_%d", s.made.Add(1)), password()}
	sequences := "SELECT"
	if slices.ContainsFunc(privileges, func(p string) bool { return strings.EqualFold(p, "INSERT") }) {
		sequences = "USAGE, SELECT"
	}
	on := strings.Join(privileges, ", ")
	admin := s.as(t, db)
	SQL(t, admin, fmt.Sprintf(`
		CREATE ROLE %[1]s LOGIN PASSWORD '%[2]s';
		GRANT %[3]s ON ALL TABLES IN SCHEMA public TO %[1]s;
		GRANT %[4]s ON ALL SEQUENCES IN SCHEMA public TO %[1]s;
		ALTER DEFAULT PRIVILEGES FOR ROLE %[5]s IN SCHEMA public GRANT %[3]s ON TABLES TO %[1]s;
		ALTER DEFAULT PRIVILEGES FOR ROLE %[5]s IN SCHEMA public GRANT %[4]s ON SEQUENCES TO %[1]s;`,
		r.name, r.password, on, sequences, name))
	if s.shared {
		t.Cleanup(func() { SQL(t, admin, fmt.Sprintf("DROP OWNED BY %[1]s; DROP ROLE %[1]s;", r.name)) })
	}
	s.mu.Lock()
	s.roles = append(s.roles, r)
	s.mu.Unlock()
	u, err := url.Parse(db)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(r.name, r.password)
	return u.String()
}

// Exec runs statements in the database datestone as the superuser, each in its own
// transaction, and returns the rows as psql prints them: a line each, columns
// parted by "|".
func (s *Server) Exec(t testing.TB, sql string) string {
	t.Helper()
	return SQL(t, s.AdminURL(), sql)
}

// SQL is [Server.Exec] for any database.
func SQL(t testing.TB, db, sql string) string {
	t.Helper()
	out, err := psql(db, sql)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func psql(db, sql string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return client(ctx, sql, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-", db)
}

// client runs one of PostgreSQL's client programs and returns its standard output.
func client(ctx context.Context, input, program string, args ...string) (string, error) {
	bin, err := binaries()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, program), args...)
	return output(cmd, input)
}
