package ots_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/ots"
)

// TestCorpus reads published proofs, which are not part of this repository, with
// the reference's verdict on each. Where they are not at hand it says so; the
// vectors of this package cover the same ground.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("DATESTONE_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "corpus")
		if _, err := os.Stat(dir); err != nil {
			t.Logf("no corpus of published proofs at hand (DATESTONE_CORPUS names its folder): %v", err)
			return
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	type attestation struct {
		Message, Type string
		Value         json.RawMessage // a string or a number
	}
	var verdicts map[string]struct {
		Valid        bool
		Error        string
		FileHashOp   string `json:"file_hash_op"`
		FileDigest   string `json:"file_digest"`
		Attestations []attestation
		Canonical    bool
	}
	if err := json.Unmarshal(text, &verdicts); err != nil {
		t.Fatal(err)
	}
	if len(verdicts) == 0 {
		t.Fatal("expected.json is empty")
	}
	for name, want := range verdicts {
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			f, err := ots.ParseFile(raw)
			if (err == nil) != want.Valid {
				t.Fatalf("error %v; the reference says %v %s", err, want.Valid, want.Error)
			}
			if err != nil {
				return
			}
			if got := fmt.Sprintf("%02x", byte(f.HashOp)); got != want.FileHashOp {
				t.Errorf("file hash %s, want %s", got, want.FileHashOp)
			}
			if got := hex.EncodeToString(f.Digest); got != want.FileDigest {
				t.Errorf("digest %s, want %s", got, want.FileDigest)
			}
			var got, wanted []string
			if err := f.Timestamp.Walk(f.Digest, func(n *ots.Timestamp, msg []byte) error {
				for _, a := range n.Attestations() {
					got = append(got, fmt.Sprintf("%x %s", msg, a))
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			for _, a := range want.Attestations {
				wanted = append(wanted, a.Message+" "+corpusText(t, a.Type, a.Value))
			}
			slices.Sort(got)
			slices.Sort(wanted)
			if diff := gocmp.Diff(wanted, got); diff != "" {
				t.Errorf("attestations, reference -, ours +:\n%s", diff)
			}
			out, err := f.AppendBinary(nil)
			if err != nil || bytes.Equal(out, raw) != want.Canonical {
				t.Errorf("canonical: %v, %v; want %v", bytes.Equal(out, raw), err, want.Canonical)
			}
		})
	}
}

// corpusText is an attestation of expected.json as Attestation.String prints it.
func corpusText(t *testing.T, kind string, value json.RawMessage) string {
	t.Helper()
	text := strings.Trim(string(value), `"`)
	switch kind {
	case "Pending":
		return "PendingAttestation('" + text + "')"
	case "Unknown":
		return "UnknownAttestation(" + strings.Replace(text, ":", ", ", 1) + ")"
	case "Bitcoin", "Litecoin", "Ethereum":
		return kind + "BlockHeaderAttestation(" + text + ")"
	}
	t.Fatalf("expected.json names an attestation %q that this test does not know", kind)
	return ""
}
