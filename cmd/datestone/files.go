package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/datestone/datestone/ots"
)

// writeNew writes a file that must not exist yet. Where the file system has links it is
// there whole or not at all.
func writeNew(name string, data []byte) error {
	tmp, err := writeTemp(name, data, 0o644)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	return place(tmp, name)
}

// replace writes a new version of a file and keeps the old one under another name,
// which must be free. At every moment name is either the old or the new version.
func replace(name, backup string, data []byte) error {
	// A link goes on pointing where it did.
	name, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	st, err := os.Stat(name)
	if err != nil {
		return err
	}
	tmp, err := writeTemp(name, data, st.Mode().Perm())
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if backup != "" {
		if err := place(name, backup); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, name); err != nil {
		return err
	}
	syncDir(filepath.Dir(name))
	return nil
}

// place gives a file a second name, or copies it where the file system has no links. The
// name must be free; fs.ErrExist says that it is not.
func place(old, name string) error {
	err := os.Link(old, name)
	if err == nil || errors.Is(err, fs.ErrExist) {
		if err == nil {
			syncDir(filepath.Dir(name))
		}
		return err
	}
	data, err := os.ReadFile(old)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if err := finish(f, data); err != nil {
		os.Remove(name)
		return err
	}
	syncDir(filepath.Dir(name))
	return nil
}

func writeTemp(name string, data []byte, mode fs.FileMode) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".datestone-*")
	if err != nil {
		return "", err
	}
	err = f.Chmod(mode &^ umask)
	if err2 := finish(f, data); err == nil {
		err = err2
	}
	if err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

func finish(f *os.File, data []byte) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err2 := f.Close(); err == nil {
		err = err2
	}
	return err
}

// syncDir makes a new name durable where the system can do that.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		d.Sync()
		d.Close()
	}
}

// readProof reads and parses a proof; "-" is standard input. raw is what was read.
func (a *app) readProof(name string) (f *ots.File, raw []byte, err error) {
	r := a.stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, nil, openError(name, err)
		}
		defer file.Close()
		if st, err := file.Stat(); err == nil && st.IsDir() {
			return nil, nil, usagef("name the .ots files in it", "%s is a folder", name)
		}
		r = file
	}
	var buf bytes.Buffer
	f, err = ots.ReadFile(io.TeeReader(r, &buf))
	if err == nil {
		return f, buf.Bytes(), nil
	}
	hint := ""
	if name == "-" {
		name = "standard input"
	}
	switch {
	case errors.Is(err, ots.ErrNotOTS):
		if name != "standard input" {
			if _, statErr := os.Stat(name + ".ots"); statErr == nil {
				hint = fmt.Sprintf("did you mean %s.ots?", name)
			}
		}
		return nil, nil, usagef(hint, "%s is not an OpenTimestamps proof", name)
	case errors.Is(err, ots.ErrTruncated):
		hint = "the file may be cut off; a copy or the .bak beside it may be whole"
	}
	return nil, nil, usage(fmt.Errorf("%s is not a valid proof: %w", name, err), hint)
}

// backupTaken words the refusal to overwrite an old backup.
func backupTaken(backup string) error {
	return usagef("move it away first", "cannot keep the old proof: %s exists already", backup)
}

func isDir(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.IsDir()
}
