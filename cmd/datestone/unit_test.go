package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/datestone/datestone/ots"
)

func TestShow(t *testing.T) {
	tests := []struct{ in, want string }{
		{"plain text, 'quoted'", "plain text, 'quoted'"},
		{"grün 漢字", "grün 漢字"},
		{"a\nb\tc\r", `a\x0ab\x09c\x0d`},
		{"\x1b[31mred\x7f", `\x1b[31mred\x7f`},
		{"\u202egnp.exe", `\u202egnp.exe`},
		{"zero\u200bwidth\ufeff", `zero\u200bwidth\ufeff`},
		{"c1 \u009b31m", `c1 \u009b31m`},
		{"broken \xff\xc3", `broken \xff\xc3`},
		{"line\u2028sep\u00a0", `line\u2028sep\u00a0`},
	}
	for _, tt := range tests {
		if got := show(tt.in); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestSeconds(t *testing.T) {
	for text, want := range map[string]time.Duration{"5": 5 * time.Second, "0.25": 250 * time.Millisecond, "1m": time.Minute, "30ms": 30 * time.Millisecond} {
		var s seconds
		if err := s.UnmarshalText([]byte(text)); err != nil || s.duration() != want {
			t.Errorf("%s: %s, %v", text, s.duration(), err)
		}
	}
	for _, text := range []string{"", "0", "-1", "x", "1d", "1e99", "NaN", "25h"} {
		var s seconds
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q accepted as %s", text, s.duration())
		}
	}
}

func TestWorse(t *testing.T) {
	order := []int{exitOK, exitIncomplete, exitUnreached, exitUsage, exitFalse, exitInterrupt}
	for i, a := range order {
		for j, b := range order {
			if got, want := worse(a, b), order[max(i, j)]; got != want {
				t.Errorf("worse(%d, %d) = %d, want %d", a, b, got, want)
			}
		}
	}
}

// The transaction of the complete receipt in testdata/script/info-receipts.txtar.
const receiptTx = "0100000001b592ca038eaa9c1b698a049b09be8ee8972b5d0eca29c19946027ba9248acb03000000004847304402200f992d5dbec6edb143f76c14e4538e0a50d66bae27c683cf4291e475287ec6af022010bae9443390aadbd2e2b8b9f757beea26d3f5c345f7e6b4d81b3d390edd381801fdffffff022eb142000000000023210338b2490eaa949538423737cd83449835d1061dca88f4ffaca7181bcac67d2095ac0000000000000000226a20"

func TestTransactionID(t *testing.T) {
	tx, err := hex.DecodeString(receiptTx + strings.Repeat("ab", 32) + "678a0600")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := transactionID(tx); !ok {
		t.Fatal("a transaction is not taken for one")
	}
	at := func(i int, b ...byte) []byte {
		c := bytes.Clone(tx)
		copy(c[i:], b)
		return c
	}
	for name, msg := range map[string][]byte{
		"empty":               nil,
		"a digest":            tx[:32],
		"cut":                 tx[:len(tx)-1],
		"more after it":       append(bytes.Clone(tx), 0),
		"no inputs":           at(4, 0),
		"more inputs":         at(4, 2),
		"four billion inputs": at(4, 0xfe, 0xff, 0xff, 0xff, 0xff),
		"huge count":          at(4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		"long form of 1":      at(4, 0xfd, 1, 0),
		"script over the end": at(41, 0xfd, 0xff, 0xff),
		"too much money":      at(len(tx)-4-34-1-8-1-35-8+7, 0x7f),
	} {
		if id, ok := transactionID(msg); ok {
			t.Errorf("%s: taken for transaction %s", name, id)
		}
	}
}

// Whatever is kept, the pruned tree is what the library's own Prune gives when the choice
// does not depend on where an attestation stands.
func TestPruneWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ts := &ots.Timestamp{}
		n := rapid.IntRange(1, 20).Draw(t, "n")
		for range n {
			p := ots.Path{}
			for range rapid.IntRange(0, 4).Draw(t, "ops") {
				p = p.Append([]byte{rapid.Byte().Draw(t, "arg") & 3})
			}
			att, err := ots.UnknownAttestation([8]byte{rapid.Byte().Draw(t, "tag")}, rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "payload"))
			if err != nil {
				t.Fatal(err)
			}
			ts.Merge(ots.New(p, att))
		}
		drop := rapid.Byte().Draw(t, "drop")
		discard := func(a ots.Attestation) bool { return a.Tag()[0] < drop }
		got := selectBest(ts, discard).wire(ts)
		want := ts.Prune(func(a ots.Attestation) bool { return !discard(a) })
		if want == nil {
			if got != nil {
				t.Fatalf("got %x, want nothing", got)
			}
			return
		}
		b, err := want.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, b) {
			t.Fatalf("got %x, want %x", got, b)
		}
	})
}

func TestReplaceKeepsBoth(t *testing.T) {
	dir := t.TempDir()
	name, backup := filepath.Join(dir, "f"), filepath.Join(dir, "f.bak")
	if err := writeNew(name, []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := writeNew(name, []byte("new")); !os.IsExist(err) {
		t.Fatalf("overwritten: %v", err)
	}
	if err := replace(name, backup, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := replace(name, backup, []byte("newer")); !os.IsExist(err) {
		t.Fatalf("a backup was overwritten: %v", err)
	}
	for file, want := range map[string]string{name: "new", backup: "old"} {
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", file, got, err, want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A small file of very many attestations on long messages costs an error, not the memory.
func TestBomb(t *testing.T) {
	ts := []byte{0xf0, 0xa0, 0x1f} // append 4000 bytes
	ts = append(ts, make([]byte, 4000)...)
	const forks = 20_000
	for i := range forks {
		if i < forks-1 {
			ts = append(ts, 0xff)
		}
		ts = append(ts, 0xf0, 2, byte(i>>8), byte(i), 0x00)
		ts = append(ts, "\x05\x88\x96\x0d\x73\xd7\x19\x01\x02\xff\x01"...)
	}
	name := filepath.Join(t.TempDir(), "bomb.ots")
	if err := os.WriteFile(name, append([]byte(ots.Magic+"\x01\x08"+strings.Repeat("\x00", 32)), ts...), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"verify", "--offline", "--no-bitcoin", "-d", strings.Repeat("00", 32), name},
		{"info", "--json", name},
		{"prune", "--no-verify", name},
	} {
		var out, stderr bytes.Buffer
		if code := run(t.Context(), args, &app{stdout: &out, stderr: &stderr}); code != exitUsage || !strings.Contains(stderr.String(), "more attestations than can be listed") {
			t.Errorf("%s: exit code %d: %s", args[0], code, &stderr)
		}
	}
	// As text it streams.
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"info", name}, &app{stdout: io.Discard, stderr: &stderr}); code != exitOK {
		t.Errorf("info: exit code %d: %s", code, &stderr)
	}
	if code := run(t.Context(), []string{"upgrade", name}, &app{stdout: io.Discard, stderr: &stderr}); code != exitOK {
		t.Errorf("upgrade: exit code %d: %s", code, &stderr)
	}
}

func TestReplaceThroughLink(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	if err := writeNew(real, []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	if err := replace(link, link+".bak", []byte("new")); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{real: "new", link: "new", link + ".bak": "old"} {
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", file, got, err, want)
		}
	}
	if to, err := os.Readlink(link); err != nil || to != "real" {
		t.Errorf("the link points to %q, %v", to, err)
	}
}

func TestProgressOnlyOnTerminals(t *testing.T) {
	for _, tty := range []bool{false, true} {
		var out bytes.Buffer
		a := &app{cli: &cli{}, stderr: &out, stderrTTY: tty}
		p := a.progress(100, "hashing", true)
		p.add(10)
		if out.Len() > 0 {
			t.Errorf("a bar for work that may be short: %q", &out)
		}
		p.due = time.Now()
		p.add(40)
		p.done()
		if got := strings.Contains(out.String(), "hashing"); got != tty {
			t.Errorf("terminal %v: %q", tty, &out)
		}
	}
}

// socks is a SOCKS5 proxy that leads every connection to one address and tells the names
// that it was asked for.
func socks(t *testing.T, to string, names chan<- string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				head := make([]byte, 2)
				if _, err := io.ReadFull(c, head); err != nil {
					return
				}
				io.CopyN(io.Discard, c, int64(head[1]))
				c.Write([]byte{5, 0})
				req := make([]byte, 5)
				if _, err := io.ReadFull(c, req); err != nil || req[3] != 3 {
					names <- fmt.Sprintf("not a name: %x", req)
					return
				}
				name := make([]byte, int(req[4])+2)
				if _, err := io.ReadFull(c, name); err != nil {
					return
				}
				names <- string(name[:req[4]])
				up, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer up.Close()
				c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
				go io.Copy(up, c)
				io.Copy(c, up)
			}()
		}
	}()
	return l.Addr().String()
}

func TestSocksProxy(t *testing.T) {
	c := &calendar{known: map[string][]byte{}, gone: make(chan struct{}), url: "http://calendar.invalid"}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	names := make(chan string, 10)
	proxy := socks(t, strings.TrimPrefix(s.URL, "http://"), names)
	var out, stderr bytes.Buffer
	a := &app{stdin: strings.NewReader("data"), stdout: &out, stderr: &stderr}
	if code := run(t.Context(), []string{"stamp", "--socks5-proxy", proxy, "-c", "http://calendar.invalid"}, a); code != exitOK {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	if f, err := ots.ParseFile(out.Bytes()); err != nil || len(pendingURIs(f.Timestamp)) != 1 {
		t.Errorf("%v", err)
	}
	if got := <-names; got != "calendar.invalid" {
		t.Errorf("the proxy was asked for %s", got)
	}
}

// A stamp that waits for a calendar ends at once when it is interrupted.
func TestInterrupt(t *testing.T) {
	c := &calendar{behaviour: "slow", gone: make(chan struct{})}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(c.gone) })
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: exe, Args: []string{"datestone", "stamp", "-v", "--timeout", "600", "-c", s.URL, "-d", strings.Repeat("00", 32)}, Dir: t.TempDir()}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	defer kill.Stop()
	var said strings.Builder
	for sc := bufio.NewScanner(stderr); sc.Scan(); {
		fmt.Fprintln(&said, sc.Text())
		if strings.HasPrefix(sc.Text(), "submitting to") {
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Error(err)
			}
		}
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupt || !strings.Contains(said.String(), "datestone: error: interrupted") {
		t.Errorf("exit code %d, said:\n%s", code, &said)
	}
}
