package testpg

import (
	"testing"
	"time"
)

// process is another process as the system shows it.
type process struct {
	parent int
	state  byte // 0 when there is none
}

func (p process) alive() bool   { return p.state != 0 && p.state != 'Z' && p.state != 'X' }
func (p process) stopped() bool { return p.state == 'T' || p.state == 't' }

// processes returns all processes by their number.
func processes(t testing.TB) map[int]process {
	t.Helper()
	all, err := listProcesses()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// poll waits for ok and ends the test when that takes too long.
func poll(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
