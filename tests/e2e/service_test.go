// Package e2e tests the whole with its real parts: the built datestoned and
// datestone, a real bitcoind and btcd, and OpenTimestamps clients that are not
// ours. What they need is installed by script/setup.
package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/testnode"
)

// binaries is the folder with the programs under test, built once.
var binaries string

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.parallel").Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		flag.Set("test.parallel", "4") // they mostly wait
	}
	os.Exit(testnode.Programs(func(folder string) int {
		binaries = folder
		return m.Run()
	}, "./cmd/datestoned", "./cmd/datestone"))
}

func program(name string) string {
	testnode.LookAtSources()
	return filepath.Join(binaries, name)
}

// service is a running `datestoned serve` with a folder of its own.
type service struct {
	*testnode.Process
	URL  string // scheme, host and port, as clients know it
	Dir  string
	conf string
	argv []string // in front of the command: prlimit and its flags, for example
}

// serve starts a service that anchors in the node's chain, or nowhere when node is
// nil. Settings are lines of its configuration file for the top or the table
// [bitcoin].
func serve(t *testing.T, node *testnode.RPC, top string, table string) *service {
	t.Helper()
	s := newService(t, node, top, table)
	s.start(t)
	return s
}

// newService is serve without the start.
func newService(t *testing.T, node *testnode.RPC, top string, table string) *service {
	t.Helper()
	dir := t.TempDir()
	port := testnode.FreePort(t)
	s := &service{URL: fmt.Sprintf("http://127.0.0.1:%d", port), Dir: dir, conf: filepath.Join(dir, "datestone.toml")}
	text := fmt.Sprintf("listen = \"127.0.0.1:%d\"\nuri = %q\ndata = %q\nmetrics = \"same\"\n%s\n", port, s.URL, filepath.Join(dir, "data"), top)
	if node == nil {
		text += "targets = \"none\"\n"
	} else {
		key := filepath.Join(dir, "wallet.key")
		write(t, key, strings.Repeat("2a", 32)+"\n")
		text += fmt.Sprintf("[bitcoin]\nnetwork = \"regtest\"\nrpc_url = %q\nrpc_user = %q\nrpc_password = %q\nkey_file = %q\ninterval = \"1s\"\nresend = \"1s\"\n%s\n",
			node.URL, node.User, node.Pass, key, table)
	}
	write(t, s.conf, text)
	return s
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start runs the program and returns when it is ready. After a kill it goes on
// with the same folder and address.
func (s *service) start(t *testing.T) {
	t.Helper()
	argv := append(append([]string{}, s.argv...), program("datestoned"), "serve", "--config", s.conf)
	s.Process = testnode.StartProcess(t, filepath.Join(s.Dir, "output.log"), exec.Command(argv[0], argv[1:]...))
	s.ready(t)
}

func (s *service) ready(t *testing.T) {
	t.Helper()
	testnode.Eventually(t, 30*time.Second, "datestoned is ready", func() bool {
		select {
		case <-s.Done():
			t.Fatalf("datestoned ended: %v\n%s", s.Err(), s.Tail())
		default:
		}
		status, _ := get(s.URL + "/readyz")
		return status == http.StatusOK
	})
}

var httpClient = &http.Client{Timeout: 20 * time.Second}

// get returns the status, 0 when there was no answer, and the body.
func get(url string) (int, string) {
	res, err := httpClient.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(body)
}

// status is the part of the status page's JSON that the tests read.
type status struct {
	Address string `json:"address"`
	Log     struct {
		Size int64 `json:"size"`
	} `json:"log"`
}

func (s *service) status(t *testing.T) status {
	t.Helper()
	req, err := http.NewRequest("GET", s.URL+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	res, err := httpClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var st status
	if err := json.NewDecoder(res.Body).Decode(&st); err != nil {
		t.Fatal(err)
	}
	return st
}

// command runs a program to its end and returns all that it wrote.
func command(t *testing.T, env []string, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must is command that ends the test when the program fails.
func must(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	out, err := command(t, env, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return out
}

// fsck runs the operator's check on a stopped or running service.
func (s *service) fsck(t *testing.T) {
	t.Helper()
	must(t, nil, program("datestoned"), "fsck", "--config", s.conf)
}
