package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/server"
	"github.com/datestone/datestone/internal/testpg"
	"github.com/datestone/datestone/ots/signedmsg"
)

// sign posts a digest that a key signed, and returns the status of the answer.
func (p *process) sign(t *testing.T, key signedmsg.PrivateKey, digest, query string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.addr+"/digest"+query, strings.NewReader(digest))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Signature", key.Sign(signedmsg.Digest([]byte(digest))).String())
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatalf("%v\n%s", err, p.stderr)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestPublicKeysBesideAServer: what an operator says of public keys holds for the next digest, and what was signed can
// be exported whole.
func TestPublicKeysBesideAServer(t *testing.T) {
	for name, database := range map[string]func(dir string) string{
		"sqlite":   func(dir string) string { return filepath.Join(dir, "datestone.db") },
		"postgres": func(string) string { return testpg.Shared(t).NewDatabase(t) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			on := "--database=" + database(dir)
			p := serve(t, dir, on)
			do := func(want string, args ...string) string {
				t.Helper()
				code, stdout, stderr := runHere(t, append(args, on)...)
				if code != 0 || !strings.Contains(stdout, want) {
					t.Fatalf("%v: code %d, %q and %q, want %q", args, code, stdout, stderr, want)
				}
				return strings.TrimSpace(stdout)
			}
			refuse := func(want string, args ...string) {
				t.Helper()
				if code, stdout, stderr := runHere(t, append(args, on)...); code == 0 || !strings.Contains(stderr, want) {
					t.Errorf("%v: code %d, %q and %q, want %q", args, code, stdout, stderr, want)
				}
			}
			const who, other = "a@example.org", "b@example.org"
			do("made account 1", "account", "create", who, "--plan=free")
			do("made account 2", "account", "create", other, "--plan=free")
			key, err := signedmsg.NewPrivateKey()
			if err != nil {
				t.Fatal(err)
			}
			public := key.Public().String()
			do("there are no public keys", "key", "list")
			if got := do("", "account", "usage", who, "--signed"); got != "" {
				t.Errorf("nothing was signed, and exported is %q", got)
			}
			if got := do("", "account", "usage", who, "--signed", "--format=csv"); got != "digest,signature,public_key,address,created,month,op,email" {
				t.Errorf("nothing was signed, and exported is %q", got)
			}
			if status := p.sign(t, key, "before", ""); status != 401 {
				t.Errorf("before it was added: %d", status)
			}
			do(who+" pays for what "+public, "key", "add", "--account="+who, "--pubkey="+public, "--callback=https://a.example/called?x=y")
			if status := p.sign(t, key, "one", "?email=to@example.org"); status != 400 { // there is no mail server
				t.Errorf("with an e-mail address: %d", status)
			}
			if status := p.sign(t, key, "one", ""); status != 200 {
				t.Errorf("after it was added: %d", status)
			}
			do(public, "key", "list", "--account="+who)
			do("https://a.example/called?x=y", "key", "list")
			do(`"keys":[]`, "key", "list", "--account="+other, "--json")
			do(`"api_version":"0.2.1"`, "key", "add", "--account=1", "--pubkey="+public, "--api-version=0.2.1", "--json")

			refuse("another account", "key", "add", "--account="+other, "--pubkey="+public)
			refuse("there is no account", "key", "add", "--account=c@example.org", "--pubkey="+public)
			refuse("not a public key", "key", "add", "--account=1", "--pubkey=02ab")
			refuse("not a version", "key", "add", "--account=1", "--pubkey="+public, "--api-version=0.4.0")
			refuse("the callback is", "key", "add", "--account=1", "--pubkey="+public, "--callback=ftp://a.example")
			refuse("the callback is", "key", "add", "--account=1", "--pubkey="+public, "--callback=http://127.0.0.1/")
			refuse("no account has the public key", "key", "remove", "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
			refuse("missing flags", "key", "add")
			refuse("--format", "account", "usage", who, "--signed", "--format=xml")

			for n := range 9 {
				if status := p.sign(t, key, fmt.Sprint("more ", n), ""); status != 200 {
					t.Errorf("digest %d: %d", n, status)
				}
			}
			if status := p.sign(t, key, "one too many", ""); status != 402 {
				t.Errorf("over quota: %d", status)
			}
			if status := p.sign(t, key, "one", ""); status != 200 {
				t.Errorf("again, over quota: %d", status)
			}
			do("10 of 10 in ", "account", "usage", who)

			var all []server.SignedDigest
			for line := range strings.Lines(do("", "account", "usage", who, "--signed")) {
				var s server.SignedDigest
				if err := json.Unmarshal([]byte(line), &s); err != nil {
					t.Fatal(err)
				}
				all = append(all, s)
			}
			rows, err := csv.NewReader(strings.NewReader(do("", "account", "usage", who, "--signed", "--format=csv"))).ReadAll()
			if err != nil || len(rows) != 11 || len(all) != 10 {
				t.Fatalf("exported %d lines and %d rows, %v", len(all), len(rows), err)
			}
			for i, s := range all {
				sig, err := signedmsg.Parse(s.Signature)
				if err != nil {
					t.Fatal(err)
				}
				if by, err := sig.Recover([]byte(s.Digest)); err != nil || by != key.Public() || s.PublicKey != public || s.Address != by.Address() || s.Month != s.Created.Format("2006-01") {
					t.Errorf("exported %+v, which %v signed, %v", s, by, err)
				}
				if want := []string{s.Digest, s.Signature, s.PublicKey, s.Address, s.Created.Format(time.RFC3339Nano), s.Month, s.Op, s.Email}; strings.Join(rows[i+1], "|") != strings.Join(want, "|") {
					t.Errorf("as CSV %v, want %v", rows[i+1], want)
				}
			}
			if all[0].Digest != fmt.Sprintf("%x", "one") {
				t.Errorf("the first is %+v", all[0])
			}

			do("is refused; what it signed stays", "key", "remove", public)
			do("removed", "key", "list")
			if status := p.sign(t, key, "one", ""); status != 401 {
				t.Errorf("after it was removed: %d", status)
			}
			if n := strings.Count(do("", "account", "usage", who, "--signed"), "\n"); n != 9 {
				t.Errorf("%d lines are left", n+1)
			}
			do(who, "key", "add", "--account=1", "--pubkey="+public)
			if status := p.sign(t, key, "one", ""); status != 200 {
				t.Errorf("after it was added again: %d", status)
			}
			p.stop(t)
		})
	}
}
