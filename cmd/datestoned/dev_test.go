package main

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestDevSaysWhatToTry reads what a person reads, and ends as a person ends it.
func TestDevSaysWhatToTry(t *testing.T) {
	cmd := exec.Command("datestoned", "dev", "--listen=127.0.0.1:0", "--rpc-listen=127.0.0.1:0", "--every=100ms")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	var text strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "Stop it") {
			break
		}
	}
	said := text.String()
	uri := regexp.MustCompile(`http://127\.0\.0\.1:[1-9]\d*`).FindString(said)
	for _, want := range []string{
		"TEST NETWORK", "datestone stamp -c " + uri, "datestone upgrade -l " + uri, "ots stamp -c " + uri + " -m 1",
		"datestone verify --btc-regtest --bitcoin-node http://datestone:datestone@127.0.0.1:", "ots --btc-regtest",
		"npx ots-cli.js", "rpcpassword=datestone",
	} {
		if uri == "" || !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	folder := regexp.MustCompile(`folder +(\S+),`).FindStringSubmatch(said)
	if folder == nil {
		t.Fatalf("it does not say where it keeps things:\n%s", said)
	}
	if _, err := os.Stat(folder[1]); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if _, err := os.Stat(folder[1]); !os.IsNotExist(err) {
		t.Errorf("the temporary folder is still there: %v", err)
	}
}

func TestDevInJSON(t *testing.T) {
	dir := t.TempDir()
	p := start(t, "dev", "--listen=127.0.0.1:0", "--rpc-listen=127.0.0.1:0", "--dir="+dir)
	if p.uri != "http://"+p.addr {
		t.Errorf("the address is %s and receipts name %s", p.addr, p.uri)
	}
	p.stop(t)
}

func TestDevOnOccupiedAddress(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	out, err := exec.Command("datestoned", "dev", "--listen="+ln.Addr().String(), "--rpc-listen=127.0.0.1:0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--listen and --rpc-listen choose other addresses") {
		t.Errorf("got %v, %s", err, out)
	}
}
