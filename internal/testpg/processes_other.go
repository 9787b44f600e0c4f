//go:build !linux

package testpg

import (
	"fmt"
	"os/exec"
	"strings"
)

func listProcesses() (map[int]process, error) {
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,state=").Output()
	if err != nil {
		return nil, fmt.Errorf("ps: %w", err)
	}
	all := make(map[int]process)
	for line := range strings.Lines(string(out)) {
		var pid int
		var p process
		var state string
		if _, err := fmt.Sscan(line, &pid, &p.parent, &state); err != nil {
			return nil, fmt.Errorf("ps: %q: %w", line, err)
		}
		p.state = state[0]
		all[pid] = p
	}
	return all, nil
}
