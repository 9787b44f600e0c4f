package testpg

import (
	"context"
	"testing"
	"time"
)

// Dump writes a database into a file (pg_dump -Fc).
func Dump(t testing.TB, db, file string) {
	t.Helper()
	long(t, "pg_dump", "-Fc", "-f", file, db)
}

// Restore reads such a file into an empty database (pg_restore), whose role becomes
// the owner of what is in it.
func Restore(t testing.TB, file, db string) {
	t.Helper()
	long(t, "pg_restore", "--exit-on-error", "--no-owner", "--no-privileges", "-d", db, file)
}

func long(t testing.TB, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if _, err := client(ctx, "", program, args...); err != nil {
		t.Fatal(err)
	}
}
