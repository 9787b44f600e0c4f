package testnode

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Programs builds commands of this module, such as "./cmd/datestoned", as they are shipped, runs the tests of a package with
// the folder that they are in, and returns their exit code.
func Programs(run func(folder string) int, commands ...string) int {
	folder, err := os.MkdirTemp("", "datestone-programs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	root, err := root()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	build := exec.Command("go", append([]string{"build", "-o", folder + string(filepath.Separator)}, commands...)...)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building: %v\n%s", err, out)
		return 1
	}
	return run(folder)
}

// LookAtSources is for a test whose package does not import what it tests: go test remembers the result of a test together
// with the sizes and times of the files in each folder that the test read, and forgets it when one changes.
var LookAtSources = sync.OnceFunc(func() {
	root, err := root()
	if err != nil {
		panic(err)
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "testdata" || name == "docs") {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
})
