package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
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
		"npx ots-cli.js", "rpcpassword=datestone", "demo@example.org", "datestone_live_" + strings.Repeat("d", 64), "curl -s -w '\\n' " + uri + "/api/v1/timestamps",
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
	// What it says of the REST API works as it stands, twice.
	example, certificate, _ := strings.Cut(said[strings.Index(said, "  curl "):strings.Index(said, "With the Python")], "Where a browser shows")
	_, certificate, _ = strings.Cut(certificate, ":\n")
	certificate, submission, _ := strings.Cut(certificate, "With OriginStamp")
	_, submission, _ = strings.Cut(submission, ":\n")
	for i := range 2 {
		try := exec.Command("sh", "-e", "-c", "echo hello > hello.txt\n"+example)
		try.Dir = t.TempDir()
		got, err := try.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(got), `{"id":"`) || !strings.HasSuffix(string(got), "}\n1 of 100000 in "+time.Now().UTC().Format("2006-01")+"\n") {
			t.Errorf("the example answers %s, %v", got, err)
		}
		try = exec.Command("sh", "-e", "-c", "echo hello > hello.txt\n"+certificate)
		try.Dir = t.TempDir()
		address, err := try.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v", address, err)
		}
		answer, err := http.Get(strings.TrimSpace(string(address)))
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(page), "<h1>Certificate TS-") {
			t.Errorf("the certificate is at %s: %d, %v", address, answer.StatusCode, err)
		}
		try = exec.Command("sh", "-e", "-c", "echo hello > hello.txt\n"+submission)
		try.Dir = t.TempDir()
		if got, err := try.CombinedOutput(); err != nil || !strings.HasPrefix(string(got), fmt.Sprintf(`{"error_code":0,"error_message":null,"data":{"created":%t,`, i == 0)) {
			t.Errorf("the example of OriginStamp answers %s, %v", got, err)
		}
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
	if p.key != "datestone_live_"+strings.Repeat("d", 64) || p.dir != dir {
		t.Errorf("the key is %q, the folder %q", p.key, p.dir)
	}
	if status, body := p.ask(t, p.key, "POST", "/api/v1/timestamps", newStamp(1)); status != http.StatusCreated {
		t.Errorf("the key makes no stamp: %d %s", status, body)
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
