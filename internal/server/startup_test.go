package server

import (
	"net/url"
	"strings"
	"testing"

	"github.com/datestone/datestone/internal/testpg"
)

// TestBadDatabase: a database that cannot keep a log ends start-up with a sentence that says what to do, and
// the sentence does not tell the password.
func TestBadDatabase(t *testing.T) {
	t.Parallel()
	pg := testpg.Start(t, testpg.Options{NoSync: true})
	standby := pg.Standby(t)
	closed := listen(t)
	closed.Close()

	made := func(sql string) string {
		database := pg.NewDatabase(t)
		_, stop := startServer(t, Config{Database: database})
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if sql != "" {
			testpg.SQL(t, database, sql)
		}
		return database
	}
	change := func(f func(*url.URL)) string {
		u, err := url.Parse(pg.URL())
		if err != nil {
			t.Fatal(err)
		}
		f(u)
		return u.String()
	}
	older, newer := made("DELETE FROM migration WHERE version = (SELECT MAX(version) FROM migration)"), made("INSERT INTO migration VALUES (99, 'later', 0)")
	ready := made("")

	for _, c := range []struct {
		name, database, migrate string
		want                    string // in the error; empty is none
	}{
		{"sound", ready, "", ""},
		{"sound, by hand", ready, "manual", ""},
		{"a role that may only write", pg.Role(t, ready), "manual", ""},
		{"an empty database, by hand", pg.NewDatabase(t), "manual", ""},
		{"a pooler in session mode", pg.Bouncer(t, ready, "session"), "", ""},

		{"unreachable", change(func(u *url.URL) { u.Host = closed.Addr().String() }), "", "check the host and the port in database"},
		{"unknown host", change(func(u *url.URL) { u.Host = "datestone.invalid:5432" }), "", "check the host and the port in database"},
		{"no port", change(func(u *url.URL) { u.Host = "127.0.0.1:http" }), "", "port"},
		{"a password that is not escaped", "postgres://datestone:secret%@127.0.0.1/datestone", "", "cannot parse"},
		{"a password with a slash", "postgres://datestone:secret/x@127.0.0.1/datestone", "", "cannot parse"},
		{"wrong password", change(func(u *url.URL) { u.User = url.UserPassword("datestone", "secret") }), "", "check the user and the password"},
		{"unknown user", change(func(u *url.URL) { u.User = url.UserPassword("nobody", "secret") }), "", "check the user and the password"},
		{"no such database", change(func(u *url.URL) { u.Path = "/other" }), "", "make the database first: createdb"},
		{"a read-only standby", standby.URL(), "", "name the primary in database"},
		{"a newer schema", newer, "", "use the newer datestoned that made it"},
		{"a newer schema, by hand", newer, "manual", "use the newer datestoned that made it"},
		{"an older schema, by hand", older, "manual", "bring it up to date with datestoned migrate up"},
		{"no right to make tables", pg.Role(t, pg.NewDatabase(t)), "", "give the user the right to create tables"},
		{"a pooler in transaction mode", pg.Bouncer(t, ready, "transaction"), "", "set its pool_mode to session"},
		{"a pooler in statement mode", pg.Bouncer(t, ready, "statement"), "", "statement pooling mode"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := sound(t)
			config.Listen, config.Database = "127.0.0.1:0", c.database
			if c.migrate != "" {
				config.Migrate = c.migrate
			}
			s, err := Open(t.Context(), config, Options{Log: testLog{t}})
			if err == nil {
				err = s.close()
			}
			t.Log(err)
			if c.want == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			_, password, _ := strings.Cut(strings.TrimPrefix(c.database, "postgres://"), ":")
			if password, _, _ = strings.Cut(password, "@"); err != nil && strings.Contains(err.Error(), password) {
				t.Error("the error tells the password")
			}
		})
	}
}
