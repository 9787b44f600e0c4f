//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// umask is read once at the start: there is no way to read it without setting it.
var umask = func() fs.FileMode {
	m := syscall.Umask(0)
	syscall.Umask(m)
	return fs.FileMode(m)
}()
