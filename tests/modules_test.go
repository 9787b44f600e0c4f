package tests

import (
	"os/exec"
	"strings"
	"testing"
)

// SQLite is C translated to Go and works with exactly the C library that it was translated for; with
// another version it may crash.
func TestSQLiteHasItsOwnLibc(t *testing.T) {
	output := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("go", args...)
		cmd.Dir = ".."
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go %s: %v", strings.Join(args, " "), err)
		}
		return strings.TrimSpace(string(out))
	}
	sqlite := output("list", "-m", "-f", "{{.Path}}@{{.Version}}", "modernc.org/sqlite")
	libc := output("list", "-m", "-f", "{{.Path}}@{{.Version}}", "modernc.org/libc")
	found := false
	for line := range strings.Lines(output("mod", "graph")) {
		from, to, _ := strings.Cut(strings.TrimSpace(line), " ")
		if from == sqlite && strings.HasPrefix(to, "modernc.org/libc@") {
			if found = true; to != libc {
				t.Errorf("%s wants %s, and the build takes %s", sqlite, to, libc)
			}
		}
	}
	if !found {
		t.Errorf("%s names no libc in the module graph", sqlite)
	}
}
