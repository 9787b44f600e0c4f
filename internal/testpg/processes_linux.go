package testpg

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

func listProcesses() (map[int]process, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	all := make(map[int]process)
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		// "pid (name) state parent ...": a name may contain anything.
		var p process
		if _, err := fmt.Sscanf(string(raw[bytes.LastIndexByte(raw, ')')+1:]), " %c %d", &p.state, &p.parent); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return nil, err
		}
		all[pid] = p
	}
	return all, nil
}
