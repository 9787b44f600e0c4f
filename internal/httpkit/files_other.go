//go:build !unix

package httpkit

// maxFiles is 0 where the number of open files has no limit that can be asked for.
func maxFiles() int { return 0 }
