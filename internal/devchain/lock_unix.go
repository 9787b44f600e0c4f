//go:build unix

package devchain

import (
	"os"

	"golang.org/x/sys/unix"
)

// lockFile takes the lock that the process holds until it ends or closes f.
func lockFile(f *os.File) error {
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
}
