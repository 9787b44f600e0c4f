package testpg

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// With this set the test binary starts servers and waits to be killed.
const victim = "TESTPG_VICTIM"

func TestNothingOutlivesTheTestBinary(t *testing.T) {
	if os.Getenv(victim) != "" {
		running, paused, killed := Start(t, Options{NoSync: true}), Start(t, Options{NoSync: true}), Start(t, Options{NoSync: true})
		paused.Pause(t)
		killed.Kill(t)
		for _, s := range []*Server{running, paused, killed, Shared(t)} {
			fmt.Println("server", s.prog.dir, s.prog.pid())
		}
		fmt.Println("server", must(template()).prog.dir, 0)
		select {}
	}
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), victim+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var dirs []string
	postmasters := make(map[int]bool)
	for lines := bufio.NewScanner(out); len(dirs) < 5 && lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) == 3 && f[0] == "server" {
			pid, err := strconv.Atoi(f[2])
			if err != nil {
				t.Error(err)
			}
			dirs, postmasters[pid] = append(dirs, f[1]), true
		}
	}
	var pids []int
	for pid, p := range processes(t) {
		if pid > 0 && p.parent > 0 && (postmasters[pid] || postmasters[p.parent]) && p.alive() {
			pids = append(pids, pid)
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	if len(dirs) != 5 || len(pids) < 9 {
		t.Fatalf("the victim had folders %q and processes %v", dirs, pids)
	}
	for _, dir := range dirs {
		poll(t, dir+" is gone", func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) })
	}
	for _, pid := range pids {
		poll(t, fmt.Sprintf("process %d has ended", pid), func() bool { return !processes(t)[pid].alive() })
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
