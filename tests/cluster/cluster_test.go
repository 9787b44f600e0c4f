package cluster_test

import (
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/datestone/datestone/internal/testnode"
)

// program is the datestoned under test.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.parallel").Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		flag.Set("test.parallel", "4") // they mostly wait
	}
	os.Exit(testnode.Programs(func(folder string) int {
		program = filepath.Join(folder, "datestoned")
		return m.Run()
	}, "./cmd/datestoned"))
}
