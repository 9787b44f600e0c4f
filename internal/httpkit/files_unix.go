//go:build unix

package httpkit

import "syscall"

// maxFiles is the number of file descriptors that the process may have. The runtime has raised the
// soft limit to the hard one before main.
func maxFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<30))
}
