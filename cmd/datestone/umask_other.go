//go:build !unix

package main

import "io/fs"

const umask fs.FileMode = 0
