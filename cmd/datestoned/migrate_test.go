package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/datestone/datestone/internal/testpg"
)

// runHere runs one command line in this process.
func runHere(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(&program{ctx: t.Context(), stdout: &out, stderr: &errs}, args)
	return code, out.String(), errs.String()
}

func TestMigrate(t *testing.T) {
	database := testpg.Shared(t).NewDatabase(t)
	sql := func(text string) func() { return func() { testpg.SQL(t, database, text) } }
	on, file := "--database="+database, "--database="+filepath.Join(t.TempDir(), "datestone.db")
	const upToDate, older, newer = "is up to date\n", "bring it up to date with datestoned migrate up", "use the newer datestoned that made it"
	for _, c := range []struct {
		name   string
		before func()
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"no file", nil, "status " + file, exitFailed, "", "no such file"},
		{"a new file", nil, "up " + file, 0, upToDate, ""},
		{"the file", nil, "status --json " + file, 0, `{"up_to_date":true,"version":`, ""},
		{"an empty database", nil, "status " + on, exitFound, "", "not a Datestone database"},
		{"a new schema", nil, "up --json " + on, 0, `{"up_to_date":true,"version":`, ""},
		{"the schema", nil, "status " + on, 0, upToDate, ""},
		{"up again", nil, "up " + on, 0, upToDate, ""},
		{"an older schema", sql("DELETE FROM migration WHERE version = (SELECT MAX(version) FROM migration)"), "status " + on, exitFound, "", older},
		{"an older schema, as JSON", nil, "status --json " + on, exitFound, `{"up_to_date":false,"version":`, older},
		{"a newer schema", sql("INSERT INTO migration VALUES (99, 'later', 0)"), "status " + on, exitFound, "", newer},
		{"a newer schema goes nowhere", nil, "up " + on, exitFound, "", newer},
		{"no such setting", nil, "up --database=mysql://x", exitFailed, "", "begins with mysql://"},
	} {
		if c.before != nil {
			c.before()
		}
		code, stdout, stderr := runHere(t, append([]string{"migrate"}, strings.Fields(c.args)...)...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || stdout != "" && c.stdout == "" || !strings.Contains(stderr, c.stderr) || stderr != "" && c.stderr == "" {
			t.Errorf("%s: code %d, said %q and %q; want %d, %q and %q", c.name, code, stdout, stderr, c.code, c.stdout, c.stderr)
		}
	}
}
