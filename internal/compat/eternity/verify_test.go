package eternity

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers"
)

// judged is the answer to a verification, which is always a 200.
func (r *rig) judged(digest, proof []byte) (got result) {
	r.t.Helper()
	a := r.do("POST", "/verify/"+hex.EncodeToString(digest), proof)
	if a.status != 200 || a.header.Get("Content-Type") != "application/json" {
		r.t.Fatalf("answered %d %v %s", a.status, a.header, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		r.t.Fatal(err)
	}
	return got
}

func TestVerify(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		digest := digestOf("verified")
		r.must(r.post(r.key, "", digest))
		detached := func() []byte {
			return r.must(r.do("GET", "/timestamp/"+hex.EncodeToString(digest)+"?detached", nil))
		}
		pending := detached()
		height := r.confirm()
		complete := detached()
		at := r.chain.Header(height).Time
		want := result{"ok", "Everything is ok!", 0, value{[]attested{{at.Unix(), at.Format("Jan 02 2006 (UTC)"), "Bitcoin"}}}}
		if diff := cmp.Diff(want, r.judged(digest, complete)); diff != "" {
			t.Errorf("a complete proof (-want +got):\n%s", diff)
		}
		forged := bytes.Clone(complete)
		forged[bytes.Index(forged, []byte("rest of block"))] ^= 1
		file := func(t *ots.Timestamp) []byte {
			b, err := (&ots.File{HashOp: ots.OpSHA256, Digest: digest, Timestamp: t}).AppendBinary(nil)
			if err != nil {
				r.t.Fatal(err)
			}
			return b
		}
		many := ots.New(ots.Path{}.SHA256())
		for n := range uint64(50) {
			many.Merge(ots.New(ots.Path{}.SHA256(), ots.BitcoinAttestation(n)))
		}
		for _, c := range []struct {
			name   string
			digest []byte
			proof  []byte
			code   int
			says   string
		}{
			{"no proof", digest, []byte("no proof"), 1, "read"},
			{"cut short", digest, complete[:len(complete)-1], 1, "read"},
			{"more follows", digest, append(bytes.Clone(complete), 0), 1, "read"},
			{"too many attestations", digest, file(many), 1, "evaluated"},
			{"another digest", digestOf("x"), complete, 2, "another digest"},
			{"pending", digest, pending, 3, "pending"},
			{"forged", digest, forged, 4, "Merkle root"},
			{"a block that is not there", digest, file(ots.New(ots.Path{}.SHA256(), ots.BitcoinAttestation(1000))), 4, "no Bitcoin block 1000"},
			{"a height without end", digest, file(ots.New(ots.Path{}.SHA256(), ots.BitcoinAttestation(1<<63))), 4, "no Bitcoin block"},
			{"Ethereum alone", digest, file(ots.New(ots.Path{}.SHA256(), ots.EthereumAttestation(5))), 4, "does not check"},
		} {
			got := r.judged(c.digest, c.proof)
			if got.Status != "ko" || got.Code != c.code || !strings.Contains(got.Message, c.says) || got.Value.Attestations == nil || len(got.Value.Attestations) != 0 {
				t.Errorf("%s: %+v, want code %d that says %q", c.name, got, c.code, c.says)
			}
		}
		// Not deep enough; then without a node, and with one that gives no answer.
		r.change(func(c *Config) { c.Confirmations = 7 })
		if got := r.judged(digest, complete); got.Code != codePending || !strings.Contains(got.Message, "6 of 7") {
			t.Errorf("not deep enough: %+v", got)
		}
		r.change(func(c *Config) { c.Confirmations, c.TestNetwork = 6, true })
		if got := r.judged(digest, complete); got.Code != codeOK || !strings.HasPrefix(got.Message, "TEST NETWORK") {
			t.Errorf("on a test network: %+v", got)
		}
		node := r.config.Headers
		r.change(func(c *Config) { c.Headers = nil })
		if got := r.judged(digest, complete); got.Code != codeFailed || !strings.Contains(got.Message, "no Bitcoin node") {
			t.Errorf("without a node: %+v", got)
		}
		r.change(func(c *Config) { c.Headers = unreachable{node} })
		if a := r.do("POST", "/verify/"+hex.EncodeToString(digest), complete); a.status != 503 || strings.Contains(a.body, "secret") || a.header.Get("Retry-After") == "" {
			t.Errorf("an unreachable node: %+v", a)
		}
	})
}

type unreachable struct{ headers.Source }

func (unreachable) Header(context.Context, uint64) (ots.Header, error) {
	return ots.Header{}, fmt.Errorf("%w: secret address", headers.ErrUnreachable)
}

// mainnet has one block of Bitcoin's chain.
type mainnet struct{ headers.Source }

var sampleTime = time.Date(2016, 9, 6, 1, 2, 3, 0, time.UTC)

func (mainnet) Header(_ context.Context, height uint64) (ots.Header, error) {
	if height != 428648 {
		return ots.Header{}, headers.ErrNoBlock
	}
	root, err := hex.DecodeString("078cdde9c89f2e3c58c96b1658627fd9298c63c6618954ea24ac3b5a13fe18da")
	h := ots.Header{Time: sampleTime}
	for i := range root {
		h.MerkleRoot[31-i] = root[i]
	}
	return h, err
}

func (mainnet) Tip(context.Context) (uint64, error) { return 900_000, nil }

// The sample receipt of the documentation.
func TestSample(t *testing.T) {
	sample, err := os.ReadFile("testdata/sample.ots")
	if err != nil {
		t.Fatal(err)
	}
	digest, _ := hex.DecodeString("05c4f616a8e5310d19d938cfd769864d7f4ccdc2ca8b479b10af83564b097af9")
	s, err := New(Config{URI: testURI, Headers: mainnet{}, Confirmations: 6})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.judge(t.Context(), digest, sample)
	want := result{"ok", "Everything is ok!", 0, value{[]attested{{sampleTime.Unix(), "Sep 06 2016 (UTC)", "Bitcoin"}}}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("the sample (-want +got):\n%s %v", diff, err)
	}
	// Each of its bytes counts.
	for i := range sample {
		forged := bytes.Clone(sample)
		forged[i] ^= 1
		if got, err := s.judge(t.Context(), digest, forged); err == nil && got.Code == codeOK {
			if f, err := ots.ParseFile(forged); err != nil || !promiseDiffers(f, sample) {
				t.Errorf("byte %d changed: %+v", i, got)
			}
		}
	}
}

// promiseDiffers says whether a proof differs from the sample in its promise alone, which proves nothing.
func promiseDiffers(f *ots.File, sample []byte) bool {
	other, err := ots.ParseFile(sample)
	if err != nil {
		return false
	}
	complete := func(a ots.Attestation) bool { return a.Kind() == ots.KindBitcoin }
	a, err1 := f.Timestamp.Prune(complete).AppendBinary(nil)
	b, err2 := other.Timestamp.Prune(complete).AppendBinary(nil)
	return err1 == nil && err2 == nil && bytes.Equal(a, b)
}

// A proof of little text that asks for much work is refused and not computed.
func TestHeavyProof(t *testing.T) {
	s, err := New(Config{URI: testURI, Headers: mainnet{}, Confirmations: 6})
	if err != nil {
		t.Fatal(err)
	}
	digest := digestOf("heavy")
	base := ots.Path{}.Append(bytes.Repeat([]byte{1}, 4000))
	heavy := ots.New(base.SHA256(), ots.BitcoinAttestation(1))
	for n := range 150 {
		p := base
		for range 200 {
			p = p.Then(ots.Op{Tag: ots.OpReverse})
		}
		heavy.Merge(ots.New(p.Append(fmt.Append(nil, n)).SHA256(), ots.BitcoinAttestation(1)))
	}
	wire, err := (&ots.File{HashOp: ots.OpSHA256, Digest: digest, Timestamp: heavy}).AppendBinary(nil)
	if err != nil || len(wire) > maxProof {
		t.Fatalf("%d bytes, %v", len(wire), err)
	}
	if got, err := s.judge(t.Context(), digest, wire); err != nil || got.Code != codeUnreadable {
		t.Errorf("%+v, %v", got, err)
	}
}
