package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/testnode"
	"github.com/datestone/datestone/ots/signedmsg"
)

// private runs the libraries of a customer's that are not ours.
func private(t *testing.T, args ...string) string {
	t.Helper()
	env := []string{"NODE_NO_WARNINGS=1", "NODE_PATH=" + testnode.Tool(t, "npm/node_modules")}
	return must(t, env, "node", append([]string{"private.js"}, args...)...)
}

// Signatures of two other libraries, with a random k and both forms of keys, recover to their keys, and ours verify
// there.
func TestSignedMessages(t *testing.T) {
	t.Parallel()
	var messages []string
	for n := range 12 {
		messages = append(messages, string(signedmsg.Digest(binary.BigEndian.AppendUint32(nil, uint32(n)))))
	}
	headers := make(map[byte]bool)
	for _, wif := range []string{"Kynp181oRdngSNwkskrGNN898VnffatY6tftn84TPLRRkEaLjJ4U", "5HpHagT65TZzG1PH3CSu63k8DbpvD8s5ip4nEB3kEsreAnchuDf"} {
		key, err := signedmsg.ParsePrivateKey(wif)
		if err != nil {
			t.Fatal(err)
		}
		for _, library := range []string{"bitcore-message", "bitcoinjs-message"} {
			lines := strings.Fields(private(t, append([]string{"sign", library, wif}, messages...)...))
			if len(lines) != len(messages) {
				t.Fatalf("%s made %d signatures of %d messages", library, len(lines), len(messages))
			}
			for i, line := range lines {
				sig, err := signedmsg.Parse(line)
				if err != nil {
					t.Fatal(err)
				}
				got, err := sig.Recover([]byte(messages[i]))
				if err != nil || got != key.Public() {
					t.Errorf("%s: %s recovers %v, %v; want %v", library, line, got, err, key.Public())
				}
				headers[sig[0]] = true
			}
			private(t, "verify", library, key.Public().Address(), messages[0], key.Sign([]byte(messages[0])).String())
		}
	}
	for _, h := range []byte{27, 28, 31, 32} {
		if !headers[h] {
			t.Errorf("no signature had the header %d", h)
		}
	}
	// An r above the order of the group happens to nobody by chance. Its key is whatever recovers: both agree.
	made := 0
	for r := byte(1); made < 4 && r < 200; r++ {
		for _, header := range []byte{29, 30, 33, 34} {
			sig := signedmsg.Signature{0: header, 32: r, 64: 7}
			key, err := sig.Recover([]byte("message"))
			if err != nil {
				continue
			}
			private(t, "verify", "bitcoinjs-message", key.Address(), "message", sig.String())
			made++
		}
	}
	if made < 4 {
		t.Errorf("only %d signatures with such an r were made", made)
	}
}

// Customers of the authenticated calendar stamp, with their own library and with our tool; every client completes
// and verifies the proofs; and a third party counts again what was signed.
func TestAuthenticatedCalendar(t *testing.T) {
	t.Parallel()
	c, _ := devChain(t)
	called := make(chan string, 100)
	customer := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { called <- r.URL.RawQuery }))
	t.Cleanup(customer.Close)
	office := newPostOffice(t)
	s := serve(t, &c.rpc, fmt.Sprintf("calendars = \"authenticated\"\negress_allow = [%q]\nsmtp_address = %q\nsmtp_tls = \"implicit\"\nsmtp_ca = %q\nmail_from = \"stamps@example.org\"",
		strings.TrimPrefix(customer.URL, "http://"), office.address, office.ca), "")
	operate := func(args ...string) string {
		return must(t, nil, program("datestoned"), append(args, "--config", s.conf)...)
	}
	operate("account", "create", "customer@example.org", "--plan", "pro")
	wif := "Kynp181oRdngSNwkskrGNN898VnffatY6tftn84TPLRRkEaLjJ4U"
	operate("key", "add", "--account", "customer@example.org", "--pubkey", "02584a082739b72b5bc7db9a39015c19011765acca3f0e1ab2cded928ad81f384a", "--callback", customer.URL+"/hook?a=b")
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	var made struct {
		PublicKey string `json:"public_key"`
		Address   string
	}
	if err := json.Unmarshal([]byte(must(t, nil, program("datestone"), "keygen", "--json", "--private-calendar", s.URL, keys)), &made); err != nil {
		t.Fatal(err)
	}
	operate("key", "add", "--account", "1", "--pubkey", made.PublicKey, "--api-version", "0.3.0")

	// Nobody else stamps.
	one, two := filepath.Join(dir, "one.txt"), filepath.Join(dir, "two.txt")
	write(t, one, "one\n")
	write(t, two, "two\n")
	if out, err := command(t, nil, program("datestone"), "stamp", "-c", s.URL, one); err == nil || !strings.Contains(out, "401") {
		t.Errorf("an anonymous stamp: %v\n%s", err, out)
	}
	private(t, "stamp", s.URL, wif, one)
	must(t, nil, program("datestone"), "stamp", "--private-calendar", s.URL, "--key-file", keys, two)
	digest := sha256.Sum256([]byte("three\n"))
	text := hex.EncodeToString(digest[:])
	if out := private(t, "submit", s.URL, wif, text); !strings.Contains(out, s.URL) {
		t.Errorf("the receipt is\n%s", out)
	}
	// Somebody wants the complete proof by e-mail.
	key, err := signedmsg.ParsePrivateKey(wif)
	if err != nil {
		t.Fatal(err)
	}
	mailed := sha256.Sum256([]byte("four\n"))
	signature := key.Sign(signedmsg.Digest(mailed[:])).String()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/digest?op=sha256&email=to%2Bstamps@example.org", bytes.NewReader(mailed[:]))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("x-signature", signature)
	res, err := httpClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("a digest with an e-mail address: %s", res.Status)
	}

	all := clients(t, s, c)
	for _, client := range all {
		if client.upgrade(t, one) {
			t.Errorf("%s says that a pending proof is complete", client.name)
		}
	}
	c.funded(t, s)
	detached := func() []byte {
		res, err := httpClient.Get(s.URL + "/timestamp/" + text + "?detached&shrink")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s %v", res.Status, err)
		}
		return b
	}
	verify := func(proof []byte) (status, message string) {
		res, err := httpClient.Post(s.URL+"/verify/"+text, "application/octet-stream", bytes.NewReader(proof))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var got struct {
			Status, Message string
			Value           struct {
				Attestations []struct {
					UnixTimestamp int64
					Type          string
				}
			}
		}
		if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		if a := got.Value.Attestations; got.Status == "ok" && (len(a) != 1 || a[0].Type != "Bitcoin" || a[0].UnixTimestamp == 0) {
			t.Errorf("verified as %+v", got)
		}
		return got.Status, got.Message
	}
	if status, message := verify(detached()); status != "ko" || !strings.Contains(message, "pending") {
		t.Errorf("a pending proof is %s: %s", status, message)
	}
	for i, file := range []string{one, two} {
		for j, client := range all {
			copied := filepath.Join(dir, fmt.Sprintf("%d-%d.txt", i, j))
			for _, ending := range []string{"", ".ots"} {
				b, err := os.ReadFile(file + ending)
				if err != nil {
					t.Fatal(err)
				}
				write(t, copied+ending, string(b))
			}
			c.until(t, client.name+" completes the proof", func() bool { return client.upgrade(t, copied) })
			all[0].verify(t, copied)
			if client.verify != nil {
				client.verify(t, copied)
			}
		}
	}
	// The receipt was lost: the digest alone gives the whole proof.
	write(t, filepath.Join(dir, "three.txt"), "three\n")
	c.until(t, "the proof by its digest holds", func() bool {
		proof := detached()
		if status, message := verify(proof); status != "ok" {
			return false
		} else if !strings.HasPrefix(message, "TEST NETWORK") {
			t.Errorf("the service says %q", message)
		}
		write(t, filepath.Join(dir, "three.txt.ots"), string(proof))
		return true
	})
	all[0].verify(t, filepath.Join(dir, "three.txt"))

	// The e-mail has all that is needed to check the proof, and whose it is.
	to, subject, told, name, proof := office.next(t)
	hash := key.Public().Hash()
	for _, want := range []string{"TEST NETWORK", hex.EncodeToString(mailed[:]), hex.EncodeToString(hash[:]), "1HVJFtpe2oscC4hneLhTmAgs14Se85JyHK", signature} {
		if !strings.Contains(told, want) {
			t.Errorf("the e-mail lacks %q:\n%s", want, told)
		}
	}
	if to != "to+stamps@example.org" || !strings.HasPrefix(subject, "TEST NETWORK") || name != fmt.Sprintf("TEST-NETWORK-%x.ots", mailed) {
		t.Errorf("the e-mail to %s about %s has the file %s", to, subject, name)
	}
	write(t, filepath.Join(dir, "four.txt"), "four\n")
	write(t, filepath.Join(dir, "four.txt.ots"), string(proof))
	all[0].verify(t, filepath.Join(dir, "four.txt"))

	// The customer is called for each digest of the key, and of no other.
	wanted := map[string]bool{}
	for range 3 {
		select {
		case query := <-called:
			wanted[query] = true
		case <-time.After(time.Minute):
			t.Fatalf("the customer was not called; called with %v", wanted)
		}
	}
	if len(wanted) != 3 || !wanted["a=b&digest="+text+"&type=BTC"] {
		t.Errorf("called with %v", wanted)
	}

	// A third party counts: with the published program, and with the customer's addresses alone.
	exported := operate("account", "usage", "1", "--signed")
	addresses := []string{"1HVJFtpe2oscC4hneLhTmAgs14Se85JyHK"}
	if out, err := recount(t, exported, addresses); err == nil {
		t.Errorf("what another key signed was counted: %s", out)
	}
	addresses = append(addresses, made.Address)
	if out, err := recount(t, exported, addresses); err != nil || !strings.HasSuffix(strings.TrimSpace(out), " 4") || !strings.HasPrefix(out, time.Now().UTC().Format("2006-")) {
		t.Errorf("counted again: %q, %v", out, err)
	}
	forged := strings.Replace(exported, text, strings.Repeat("0", 64), 1)
	if out, err := recount(t, forged, addresses); err == nil {
		t.Errorf("an invented digest was counted: %s", out)
	}
	s.fsck(t)
}

func recount(t *testing.T, exported string, addresses []string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", append([]string{filepath.Join(testnode.Root(t), "internal", "compat", "eternity", "recount.js")}, addresses...)...)
	cmd.Env = append(os.Environ(), "NODE_PATH="+testnode.Tool(t, "npm/node_modules"))
	cmd.Stdin = strings.NewReader(exported)
	out, err := cmd.Output()
	return string(out), err
}
