//go:build !linux

package testnode

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }
