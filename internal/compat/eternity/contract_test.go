package eternity

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/signedmsg"
)

func digestOf(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// The receipt has the form of the documentation's: append a nonce, hash, and in the end the promise.
func TestReceipt(t *testing.T) {
	sample, err := os.ReadFile("testdata/pending")
	if err != nil {
		t.Fatal(err)
	}
	documented, err := ots.ParseTimestamp(sample, 32)
	if err != nil || strings.Join(kinds(documented), " ") != "PendingAttestation('https://auth.calendar.eternitywall.com')" {
		t.Fatalf("the documented receipt has %v, %v", kinds(documented), err)
	}
	onEach(t, func(t *testing.T, r *rig) {
		digest := digestOf("receipt")
		receipt := r.must(r.post(r.key, "", digest))
		if !bytes.HasPrefix(receipt, sample[:2]) || receipt[18] != sample[18] {
			t.Errorf("the receipt begins with %x, the documented one with %x", receipt[:19], sample[:19])
		}
		ts, err := ots.ParseTimestamp(receipt, len(digest))
		if err != nil || strings.Join(kinds(ts), " ") != "PendingAttestation('"+testURI+"')" {
			t.Fatalf("the receipt has %v, %v", kinds(ts), err)
		}
		// At once, and for as long as it is pending, in every way to ask.
		commitment := standing(t, ts, digest, ots.KindPending)
		for _, query := range []string{"", "?shrink", "?allow-dubious"} {
			if got := r.must(r.do("GET", "/timestamp/"+hex.EncodeToString(digest)+query, nil)); !bytes.Equal(got, receipt) {
				t.Errorf("%s: %x, want %x", query, got, receipt)
			}
			if got := kinds(r.get(commitment, query)); len(got) != 1 {
				t.Errorf("by commitment, %s: %v", query, got)
			}
		}
		f := r.file(digest, "?detached")
		if wire, err := f.Timestamp.AppendBinary(nil); err != nil || f.HashOp != ots.OpSHA256 || !bytes.Equal(f.Digest, digest) || !bytes.Equal(wire, receipt) {
			t.Errorf("detached: %v", f)
		}
		if upper := r.must(r.do("GET", "/timestamp/"+strings.ToUpper(hex.EncodeToString(digest)), nil)); !bytes.Equal(upper, receipt) {
			t.Error("upper case has another answer")
		}
		if head := r.do("HEAD", "/timestamp/"+hex.EncodeToString(digest), nil); head.status != 200 || head.body != "" || head.header.Get("Content-Length") != fmt.Sprint(len(receipt)) {
			t.Errorf("HEAD: %+v", head)
		}
		// Again it is free and the same, byte for byte, also in another process and when it is complete.
		for _, then := range []func(){func() {}, func() { r.stop(); r.start() }, func() { r.confirm() }} {
			then()
			if got := r.must(r.post(r.key, "", digest)); !bytes.Equal(got, receipt) {
				t.Errorf("posted again: %x, want %x", got, receipt)
			}
		}
		if used, err := r.db.QuotaUsed(t.Context(), r.owner.ID, account.Month(time.Now())); err != nil || used != 1 {
			t.Errorf("%d used, %v; want 1", used, err)
		}
	})
}

func TestRefusals(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		digest := digestOf("refused")
		good := r.key.Sign(signedmsg.Digest(digest)).String()
		stranger, err := signedmsg.NewPrivateKey()
		if err != nil {
			t.Fatal(err)
		}
		r.must(r.post(r.otherKey, "", digestOf("one")))
		r.must(r.post(r.otherKey, "", digestOf("two")))
		suspended, suspendedKey := r.customer("suspended@example.org", "business", "0.3.0")
		if err := r.db.SetSuspended(t.Context(), suspended.ID, true); err != nil {
			t.Fatal(err)
		}
		gone := r.signer(r.owner, "0.3.0")
		if err := r.db.RemoveSigner(t.Context(), time.Now(), gone.Public().Point()); err != nil {
			t.Fatal(err)
		}
		sign := func(k signedmsg.PrivateKey, message string) []string {
			return []string{"x-signature", k.Sign([]byte(message)).String()}
		}
		text := hex.EncodeToString(digest)
		for _, c := range []struct {
			name, method, target string
			body                 []byte
			header               []string
			status               int
			says                 string
		}{
			{"no signature", "POST", "/digest", digest, nil, 401, "x-signature"},
			{"op alone", "POST", "/digest?op=sha256", digest, nil, 401, "x-signature"},
			{"version alone", "POST", "/digest", digest, []string{"x-version", "0.3.0"}, 401, "x-signature"},
			{"empty signature", "POST", "/digest", digest, []string{"x-signature", ""}, 401, "x-signature"},
			{"two signatures", "POST", "/digest", digest, []string{"x-signature", good, "x-signature", good}, 401, "x-signature"},
			{"no base64", "POST", "/digest", digest, []string{"x-signature", strings.Repeat("!", 88)}, 401, "base64"},
			{"wrong header byte", "POST", "/digest", digest, []string{"x-signature", signedmsg.Signature{0: 35}.String()}, 401, "enabled"},
			{"r and s are 0", "POST", "/digest", digest, []string{"x-signature", signedmsg.Signature{0: 31}.String()}, 401, "enabled"},
			{"a stranger", "POST", "/digest", digest, sign(stranger, text), 401, "enabled"},
			{"a removed key", "POST", "/digest", digest, sign(gone, text), 401, "enabled"},
			{"another digest", "POST", "/digest", digestOf("x"), []string{"x-signature", good}, 401, "enabled"},
			{"upper case was signed", "POST", "/digest", digest, sign(r.key, strings.ToUpper(text)), 401, "enabled"},
			{"raw bytes were signed", "POST", "/digest", digest, sign(r.key, string(digest)), 401, "enabled"},
			{"suspended", "POST", "/digest", digest, sign(suspendedKey, text), 401, "suspended"},
			{"over quota", "POST", "/digest", digest, sign(r.otherKey, text), 402, "quota"},
			{"empty", "POST", "/digest", nil, sign(r.key, ""), 400, "no digest"},
			{"65 bytes", "POST", "/digest", make([]byte, 65), sign(r.key, strings.Repeat("0", 130)), 400, "too long"},
			{"a megabyte", "POST", "/digest", make([]byte, 1<<20), sign(r.key, "0"), 400, "too long"},
			{"unknown op", "POST", "/digest?op=md5", digest, []string{"x-signature", good}, 400, "op must be"},
			{"op of another length", "POST", "/digest?op=sha1", digest, []string{"x-signature", good}, 400, "20 bytes"},
			{"two ops", "POST", "/digest?op=sha256&op=sha256", digest, []string{"x-signature", good}, 400, "op must be"},
			{"bad e-mail", "POST", "/digest?email=nobody", digest, []string{"x-signature", good}, 400, "e-mail"},
			{"e-mail with a line", "POST", "/digest?email=a%40b.example%0d%0aBcc:x", digest, []string{"x-signature", good}, 400, "e-mail"},
			{"two e-mails", "POST", "/digest?email=a@b.example&email=c@d.example", digest, []string{"x-signature", good}, 400, "e-mail"},
			{"broken query", "POST", "/digest?op=%zz", digest, []string{"x-signature", good}, 400, "query"},
			{"not hex", "GET", "/timestamp/xy", nil, nil, 400, "hexadecimal"},
			{"odd", "GET", "/timestamp/abc", nil, nil, 400, "hexadecimal"},
			{"nothing", "GET", "/timestamp/", nil, nil, 400, "hexadecimal"},
			{"unknown", "GET", "/timestamp/" + text, nil, nil, 404, "Not found"},
			{"unknown commitment", "GET", "/timestamp/" + strings.Repeat("00", 40), nil, nil, 404, "Not found"},
			{"long", "GET", "/timestamp/" + strings.Repeat("ab", 2000), nil, nil, 404, "Not found"},
			{"broken query of a get", "GET", "/timestamp/" + hex.EncodeToString(digestOf("one")) + "?detached;shrink", nil, nil, 400, "query"},
			{"verify not hex", "POST", "/verify/xy", []byte("proof"), nil, 400, "hexadecimal"},
			{"verify no digest", "POST", "/verify/", []byte("proof"), nil, 400, "hexadecimal"},
			{"verify nothing", "POST", "/verify/" + text, nil, nil, 400, ".ots"},
			{"verify too much", "POST", "/verify/" + text, make([]byte, 1<<20+1), nil, 413, "1 MiB"},
			{"elsewhere", "GET", "/", nil, nil, 404, "Not found"},
			{"another method", "PUT", "/digest", digest, nil, 404, "Not found"},
			{"get verify", "GET", "/verify/" + text, nil, nil, 404, "Not found"},
		} {
			a := r.do(c.method, c.target, c.body, c.header...)
			if a.status != c.status || !strings.Contains(a.body, c.says) || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") || a.header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s: %d %v %q, want %d that says %q", c.name, a.status, a.header, a.body, c.status, c.says)
			}
		}
		// Nothing of it was kept, and over quota what was kept is still answered.
		if all, err := r.db.SignedBy(t.Context(), r.owner.ID, time.Unix(0, 0), 10); err != nil || len(all) != 0 {
			t.Errorf("kept %v, %v", all, err)
		}
		r.must(r.post(r.otherKey, "", digestOf("one")))
		if o := r.do("OPTIONS", "/digest", nil); o.status != 204 || !strings.Contains(o.header.Get("Access-Control-Allow-Headers"), "X-Signature") {
			t.Errorf("OPTIONS: %+v", o)
		}
	})
}

// What customers may send: every length, every hash, both forms of a key, and as the clients say it.
func TestAccepted(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		for n := 1; n <= account.MaxSigned; n++ {
			digest := bytes.Repeat([]byte{byte(n)}, n)
			ts, err := ots.ParseTimestamp(r.must(r.post(r.key, "", digest)), n)
			if err != nil {
				t.Fatal(err)
			}
			if got := kinds(r.get(digest, "")); len(got) != 1 || len(standing(t, ts, digest, ots.KindPending)) != 40 {
				t.Errorf("%d bytes: %v", n, got)
			}
		}
		for op, hash := range hashes {
			digest := digestOf(op)[:hash.length]
			r.must(r.post(r.key, "?op="+op, digest, "Content-Type", "application/x-www-form-urlencoded", "Accept", "application/vnd.opentimestamps.v1"))
			if f := r.file(digest, "?detached"); f.HashOp != hash.op || !bytes.Equal(f.Digest, digest) {
				t.Errorf("%s: %v", op, f)
			}
		}
		// Without a hash the header is SHA-256's, which other lengths have not.
		if a := r.do("GET", "/timestamp/07070707070707?detached", nil); a.status != 400 || !strings.Contains(a.body, "op") {
			t.Errorf("detached of 7 bytes: %+v", a)
		}
		// The key that is enabled in one form signs in the other.
		uncompressed, err := signedmsg.ParsePrivateKey("5HpHagT65TZzG1PH3CSu63k8DbpvD8s5ip4nEB3kEsreAnchuDf")
		if err != nil {
			t.Fatal(err)
		}
		compressed, err := signedmsg.ParsePrivateKey("1")
		if err != nil {
			t.Fatal(err)
		}
		r.add(r.owner, uncompressed.Public(), "0.3.0")
		if a, b := r.must(r.post(uncompressed, "", digestOf("forms"))), r.must(r.post(compressed, "", digestOf("forms"))); !bytes.Equal(a, b) {
			t.Error("the two forms of one key have two receipts")
		}
		// The e-mail address is kept with the first post, and whoever repeats it cannot turn it away.
		r.must(r.post(r.key, "?email=a%2Bb@example.org", digestOf("mail")))
		r.must(r.post(r.key, "?email=thief@example.org", digestOf("mail")))
		if s, _, err := r.db.SignedDigest(t.Context(), digestOf("mail")); err != nil || s.Email != "a+b@example.org" {
			t.Errorf("the e-mail address is %q, %v", s.Email, err)
		}
		r.change(func(c *Config) { c.Mail = false })
		if a := r.post(r.key, "?email=a@example.org", digestOf("no mail")); a.status != 400 || !strings.Contains(a.body, "no e-mail") {
			t.Errorf("e-mail without a mail server: %+v", a)
		}
		// What other software signed, by the published vectors.
		for _, v := range []struct{ key, signature string }{
			{"02584a082739b72b5bc7db9a39015c19011765acca3f0e1ab2cded928ad81f384a", "H92yHhj2eYDq3PiKvfwNjB2qeIIe4XKgCWPKa13huk51bsUwKi/enExDoYkxEVwuDGJyS0LwyRSIUDasHlGb9+Y="},
			{"02584a082739b72b5bc7db9a39015c19011765acca3f0e1ab2cded928ad81f384a", "IFvp+nNuuDBTZ+06/49sLW/OXAyxvM7ILLR7XHUKhLevLAwysBJ8U/DKw0RGpIFo4GQrmbO+CGKG3e33a4MDcUQ="},
		} {
			key, err := signedmsg.ParsePublicKey(v.key)
			if err != nil {
				t.Fatal(err)
			}
			r.add(r.owner, key, "0.3.0")
			digest, _ := hex.DecodeString("a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447")
			r.must(r.do("POST", "/digest", digest, "x-signature", v.signature))
		}
	})
}

// What is complete: branches and flags.
func TestComplete(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		digest := digestOf("complete")
		receipt, err := ots.ParseTimestamp(r.must(r.post(r.key, "?op=keccak256", digest)), 32)
		if err != nil {
			t.Fatal(err)
		}
		commitment := standing(t, receipt, digest, ots.KindPending)
		height := r.confirm(ots.EthereumAttestation(7), ots.LitecoinAttestation(8))
		bitcoin, litecoin := fmt.Sprintf("BitcoinBlockHeaderAttestation(%d)", height), "LitecoinBlockHeaderAttestation(8)"
		ethereum, pending := "EthereumBlockHeaderAttestation(7)", "PendingAttestation('"+testURI+"')"
		for _, by := range [][]byte{digest, commitment} {
			for _, c := range []struct {
				query, version string
				want           []string
			}{
				{"", "", []string{pending, bitcoin, litecoin}},
				{"?allow-dubious", "", []string{pending, bitcoin, ethereum, litecoin}},
				{"?allow-dubious=false", "", []string{pending, bitcoin, ethereum, litecoin}},
				{"?shrink", "", []string{bitcoin}},
				{"?shrink=0&allow-dubious", "", []string{bitcoin}},
				{"", "0.2.1", []string{bitcoin, litecoin}},
				{"?shrink", "0.1.0", []string{bitcoin}},
				{"", "9.9.9", []string{pending, bitcoin, litecoin}}, // unknown: ignored
			} {
				var more []string
				if c.version != "" {
					more = []string{"x-version", c.version}
				}
				ts := r.get(by, c.query, more...)
				got := kinds(ts)
				slices.Sort(got)
				slices.Sort(c.want)
				if !slices.Equal(got, c.want) {
					t.Errorf("%d bytes, %s %s: %v, want %v", len(by), c.query, c.version, got, c.want)
				}
				if at := standing(t, ts, by, ots.KindBitcoin); !bytes.Equal(at, rootOf(r, height)) {
					t.Errorf("%d bytes, %s: Bitcoin attests to %x", len(by), c.query, at)
				}
			}
		}
		if f := r.file(digest, "?detached&shrink"); f.HashOp != ots.OpKeccak256 || len(kinds(f.Timestamp)) != 1 {
			t.Errorf("detached: %v %v", f.HashOp, kinds(f.Timestamp))
		}
		if a := r.do("GET", "/timestamp/"+hex.EncodeToString(commitment)+"?detached", nil); a.status != 400 {
			t.Errorf("a commitment detached: %+v", a)
		}
		// The oldest block's attestation is what shrink keeps, whatever comes later.
		r.must(r.post(r.key, "", digestOf("later")))
		r.confirm()
		if got := kinds(r.get(digest, "?shrink")); len(got) != 1 || got[0] != bitcoin {
			t.Errorf("shrunk later: %v, want %s", got, bitcoin)
		}
	})
}

func rootOf(r *rig, height uint64) []byte {
	root := r.chain.Header(height).MerkleRoot
	return root[:]
}

// The older versions, by the key's default and by x-version.
func TestVersions(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		digest, short := digestOf("old"), digestOf("old")[:20]
		// 0.2.x knows neither op nor email at /digest.
		r.must(r.post(r.old, "?op=md5&email=nobody", digest))
		r.must(r.post(r.key, "?op=md5", digestOf("asked"), "x-version", "0.2.0"))
		r.must(r.post(r.old, "", short))
		if a := r.post(r.old, "?op=md5", digest, "x-version", "0.3.0"); a.status != 400 {
			t.Errorf("op in 0.3.0: %+v", a)
		}
		if s, _, err := r.db.SignedDigest(t.Context(), digest); err != nil || s.Email != "" || s.HashOp != 0 {
			t.Errorf("kept %+v, %v", s, err)
		}
		// It takes op at /timestamp, which 0.3.0 does not.
		if f := r.file(short, "?detached&op=ripemd160"); f.HashOp != ots.OpRIPEMD160 {
			t.Errorf("op at /timestamp: %v", f.HashOp)
		}
		if f := r.file(digest, "?detached"); f.HashOp != ots.OpSHA256 {
			t.Errorf("no op at /timestamp: %v", f.HashOp)
		}
		if a := r.do("GET", "/timestamp/"+hex.EncodeToString(short)+"?detached&op=sha256", nil); a.status != 400 {
			t.Errorf("op of another length at /timestamp: %+v", a)
		}
		if a := r.do("GET", "/timestamp/"+hex.EncodeToString(short)+"?detached&op=ripemd160", nil, "x-version", "0.3.0"); a.status != 400 {
			t.Errorf("op at /timestamp of 0.3.0: %+v", a)
		}
		// 0.1.x makes no whole proofs.
		if got := kinds(r.get(digest, "?detached", "x-version", "0.1.0")); len(got) != 1 {
			t.Errorf("0.1.0: %v", got)
		}
		// The promise is always there while it is all there is, and in 0.2.x not beside what is complete.
		if got := kinds(r.get(digest, "")); len(got) != 1 {
			t.Errorf("pending in 0.2.1: %v", got)
		}
		r.confirm()
		for version, want := range map[string]int{"": 1, "0.2.0": 1, "0.3.0": 2, "1.0.0": 1} {
			if got := kinds(r.get(digest, "", "x-version", version)); len(got) != want {
				t.Errorf("complete in %q: %v, want %d", version, got, want)
			}
		}
	})
	for _, text := range []string{"", "0.3", "0.3.1", "0.0.9", "1.0.0", "0.3.0.0", "a.b.c", "0.-3.0", "0.300.0", " 0.3.0"} {
		if v, err := ParseVersion(text); err == nil {
			t.Errorf("%q is version %v", text, v)
		}
	}
	for _, text := range []string{"0.1.0", "0.2.0", "0.2.1", "0.3.0"} {
		if v, err := ParseVersion(text); err != nil || v.String() != text {
			t.Errorf("%q is version %v, %v", text, v, err)
		}
	}
}

// Many connections post the same signed digests at once: one receipt each, and each is billed once.
func TestRace(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		const digests, each = 8, 6
		receipts := make([][each]string, digests)
		var wg sync.WaitGroup
		for i := range digests {
			for j := range each {
				wg.Go(func() { receipts[i][j] = string(r.post(r.key, "", fmt.Append(nil, "digest ", i)).body) })
			}
		}
		wg.Wait()
		for i, all := range receipts {
			for _, other := range all {
				if other != all[0] || len(other) < 40 {
					t.Fatalf("digest %d has receipts %x and %x", i, all[0], other)
				}
			}
		}
		if used, err := r.db.QuotaUsed(t.Context(), r.owner.ID, account.Month(time.Now())); err != nil || used != digests {
			t.Errorf("%d used, %v; want %d", used, err, digests)
		}
	})
}

// What is this contract's on a host that it shares.
func TestClaims(t *testing.T) {
	s, err := New(Config{URI: "https://Auth.calendar.test"})
	if err != nil {
		t.Fatal(err)
	}
	signed := []string{"X-Signature", "x"}
	version := []string{"X-Version", "0.2.0"}
	digest, commitment := strings.Repeat("ab", 32), strings.Repeat("ab", 40)
	for _, c := range []struct {
		method, target string
		header         []string
		want           bool
	}{
		{"POST", "/digest", nil, false}, {"POST", "/digest?x", nil, false}, {"POST", "/digest", signed, true}, {"POST", "/digest", version, true},
		{"POST", "/digest", []string{"X-Signature", ""}, true}, {"POST", "/digest?op", nil, true}, {"POST", "/digest?email=", nil, true},
		{"POST", "/digest/", signed, false}, {"GET", "/digest", signed, false},
		{"GET", "/timestamp/" + digest, nil, false}, {"GET", "/timestamp/" + commitment, nil, false}, {"GET", "/timestamp/" + commitment, version, true},
		{"GET", "/timestamp/" + commitment + "?detached", nil, true}, {"HEAD", "/timestamp/" + commitment + "?a=b&shrink", nil, true},
		{"GET", "/timestamp/" + commitment + "?allow-dubious", nil, true}, {"GET", "/timestamp/" + commitment + "?a=b", nil, false},
		{"POST", "/verify/" + digest, nil, true}, {"GET", "/verify/" + digest, nil, false}, {"OPTIONS", "/digest", nil, true},
		{"GET", "/", version, false}, {"GET", "/tip", nil, false},
	} {
		req := httptest.NewRequest(c.method, c.target, nil)
		for i := 0; i+1 < len(c.header); i += 2 {
			req.Header[c.header[i]] = []string{c.header[i+1]}
		}
		if got := s.Claims(req); got != c.want {
			t.Errorf("%s %s %v: claimed %v, want %v", c.method, c.target, c.header, got, c.want)
		}
	}
	for host, want := range map[string]bool{"auth.calendar.test": true, "AUTH.calendar.test:443": true, "calendar.test": false, "auth.calendar.test:8443": false, "": false} {
		req := httptest.NewRequest("GET", "/", nil)
		req.Host = host
		if s.IsHost(req) != want {
			t.Errorf("host %q: %v", host, !want)
		}
	}
}

// Customers who sign often are known again, and it makes no difference to anybody's answers: not for other keys from
// the same client, nor for what is no signature, nor after the key was removed.
func TestRegulars(t *testing.T) {
	r := newRig(t, filepath.Join(t.TempDir(), "datestone.db"))
	for n := 0; ; n++ {
		r.must(r.post(r.key, "", digestOf(fmt.Sprint("often ", n))))
		r.server.regulars.mu.Lock()
		known := r.server.regulars.clients["192.0.2.1"] != nil
		r.server.regulars.mu.Unlock()
		if known {
			break
		}
		if n == 10_000 {
			t.Fatal("the customer is not known")
		}
	}
	digest := digestOf("known")
	receipt := r.must(r.post(r.key, "", digest))
	if s, key, err := r.db.SignedDigest(t.Context(), digest); err != nil || key.Key != r.key.Public() || s.Signature != r.key.Sign(signedmsg.Digest(digest)) {
		t.Errorf("kept %+v for %+v, %v", s, key, err)
	}
	r.must(r.post(r.otherKey, "", digestOf("another customer")))
	if s, key, err := r.db.SignedDigest(t.Context(), digestOf("another customer")); err != nil || s.Account != r.other.ID || key.Key != r.otherKey.Public() {
		t.Errorf("another customer's is kept for %v, %v", s, err)
	}
	for name, signature := range map[string]signedmsg.Signature{"nobody's": {0: 31}, "of another digest": r.key.Sign([]byte("x"))} {
		if a := r.do("POST", "/digest", digest, "x-signature", signature.String()); a.status != 401 {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if again := r.must(r.post(r.key, "", digest)); !bytes.Equal(again, receipt) {
		t.Error("the receipt is another")
	}
	if err := r.db.RemoveSigner(t.Context(), time.Now(), r.key.Public().Point()); err != nil {
		t.Fatal(err)
	}
	if a := r.post(r.key, "", digest); a.status != 401 {
		t.Errorf("a removed key: %+v", a)
	}
}
