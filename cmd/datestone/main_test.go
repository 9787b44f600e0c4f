package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/datestone/datestone/ots/headers/headerstest"
	"github.com/datestone/datestone/ots/headers/p2p/p2ptest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"datestone": main})
}

// world is what one script finds around it.
type world struct {
	chain     *headerstest.Chain
	calendars []*calendar
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Values["world"] = &world{chain: headerstest.New()}
			env.Setenv("HOME", env.WorkDir+"/home")
			// With the race detector a process would linger for a second.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			// A bit bucket for whoever asks a calendar that the script did not start.
			env.Setenv("http_proxy", "http://127.0.0.1:1")
			env.Setenv("https_proxy", "http://127.0.0.1:1")
			env.Setenv("no_proxy", "127.0.0.1")
			return os.MkdirAll(filepath.Join(env.WorkDir, "home"), 0o755)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code":     cmdCode,
			"calendar": cmdCalendar,
			"signers":  cmdSigners,
			"service":  cmdService,
			"mine":     cmdMine,
			"node":     cmdNode,
			"esplora":  cmdEsplora,
			"headers":  cmdHeaders,
			"peer":     cmdPeer,
			"unhex":    cmdUnhex,
			"cut":      cmdCut,
			"wait-for": cmdWaitFor,
		},
	})
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value("world").(*world) }

// code N command ... runs a command that must exit with that code.
func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command ...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		got = ee.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	ts.Logf("[stdout]\n%s[stderr]\n%s", ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// calendar NAME [behaviour] starts a calendar and puts its URL in $NAME.
func cmdCalendar(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: calendar NAME [behaviour]")
	}
	c := &calendar{behaviour: strings.Join(args[1:], ""), known: map[string][]byte{}, gone: make(chan struct{})}
	s := httptest.NewServer(c)
	c.mu.Lock()
	c.url = s.URL
	c.mu.Unlock()
	ts.Setenv(args[0], s.URL)
	ts.Defer(s.Close)
	ts.Defer(func() { close(c.gone) })
	w := worldOf(ts)
	w.calendars = append(w.calendars, c)
}

// signers FILE is true when the calendars took digests by the public key in the file, and by no other.
func cmdSigners(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: signers FILE")
	}
	want := strings.TrimSpace(ts.ReadFile(args[0]))
	n := 0
	for _, c := range worldOf(ts).calendars {
		c.mu.Lock()
		for _, s := range c.signers {
			if n++; s != want {
				ts.Fatalf("a digest is signed by %s, want %s", s, want)
			}
		}
		c.mu.Unlock()
	}
	if n == 0 {
		ts.Fatalf("nothing was signed")
	}
}

// mine makes a block that commits to all that the calendars have taken, and N more.
func cmdMine(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	if err := mine(w.chain, w.calendars); err != nil {
		ts.Fatalf("%v", err)
	}
	if len(args) == 1 {
		n, err := strconv.Atoi(args[0])
		ts.Check(err)
		for i := range n {
			w.chain.Mine([32]byte{0xee, byte(i), byte(w.chain.Tip())})
		}
	}
}

// node NAME [core|btcd] [user password] starts a node's RPC; its URL is without them.
func cmdNode(ts *testscript.TestScript, neg bool, args []string) {
	dialect, user, password := headerstest.Core, "", ""
	if len(args) > 1 && args[1] == "btcd" {
		dialect = headerstest.Btcd
	}
	if len(args) == 4 {
		user, password = args[2], args[3]
	}
	s := httptest.NewServer(worldOf(ts).chain.Node(dialect, user, password))
	ts.Setenv(args[0], s.URL)
	ts.Setenv(args[0]+"_HOST", strings.TrimPrefix(s.URL, "http://"))
	ts.Setenv(args[0]+"_PORT", s.URL[strings.LastIndexByte(s.URL, ':')+1:])
	ts.Defer(s.Close)
}

// esplora NAME starts an explorer.
func cmdEsplora(ts *testscript.TestScript, neg bool, args []string) {
	s := httptest.NewServer(worldOf(ts).chain.Esplora())
	ts.Setenv(args[0], s.URL)
	ts.Defer(s.Close)
}

// peer NAME [short] starts a node of the peer-to-peer network, with the chain as it is now, or
// without its last three blocks.
func cmdPeer(ts *testscript.TestScript, neg bool, args []string) {
	raw := worldOf(ts).chain.File()
	if len(args) == 2 {
		raw = raw[:len(raw)-3*80]
	}
	n := p2ptest.New(&chaincfg.RegressionNetParams, raw)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], l.Addr().String())
	ts.Defer(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go n.Serve(c)
		}
	}()
}

// headers FILE [height] writes a full headers file, or a sparse one of one block.
func cmdHeaders(ts *testscript.TestScript, neg bool, args []string) {
	c := worldOf(ts).chain
	data := c.File()
	if len(args) == 2 {
		height, err := strconv.ParseUint(args[1], 10, 64)
		ts.Check(err)
		raw, err := c.Header(height).AppendBinary(nil)
		ts.Check(err)
		data = fmt.Appendf(nil, "%d %x\n", height, raw)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o644))
}

// unhex FROM TO turns a file of hexadecimal digits into bytes.
func cmdUnhex(ts *testscript.TestScript, neg bool, args []string) {
	b, err := hex.DecodeString(strings.Join(strings.Fields(ts.ReadFile(args[0])), ""))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o644))
}

// cut FROM TO N writes a file without its last N bytes.
func cmdCut(ts *testscript.TestScript, neg bool, args []string) {
	b := ts.ReadFile(args[0])
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(b[:len(b)-n]), 0o644))
}

// wait-for FILE waits until a file exists.
func cmdWaitFor(ts *testscript.TestScript, neg bool, args []string) {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s does not appear", args[0])
		}
	}
}
