package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/datestone/datestone/internal/testnode"
	"github.com/datestone/datestone/ots"
)

// ethereumProof has a real node carry the digest of a file in the only transaction of a block, and makes the proof.
func ethereumProof(t *testing.T, chain *testnode.Ethereum, name string) {
	t.Helper()
	text := []byte("attested by a block")
	digest := sha256.Sum256(text)
	var accounts []string
	chain.Must(t, &accounts, "eth_accounts")
	var id, raw string
	chain.Must(t, &id, "eth_sendTransaction", map[string]string{"from": accounts[0], "to": accounts[0], "data": "0x" + hex.EncodeToString(digest[:])})
	chain.Mine(t, 1)
	chain.Must(t, &raw, "eth_getRawTransactionByHash", id)
	tx, err := hex.DecodeString(raw[2:])
	if err != nil {
		t.Fatal(err)
	}
	if len(tx) < 56 || len(tx) > 249 {
		t.Fatalf("a transaction of %d bytes, and the leaf here is for others", len(tx))
	}
	// The leaf of the one value: RLP of the list of the compact key of 0x80, and the transaction.
	leaf := []byte{0xf8, byte(len(tx) + 5), 0x82, 0x20, 0x80, 0xb8, byte(len(tx))}
	at := bytes.Index(tx, digest[:])
	path := ots.Path{}.Prepend(tx[:at]).Append(tx[at+32:]).Prepend(leaf).Then(ots.Op{Tag: ots.OpKeccak256})
	var height string
	chain.Must(t, &height, "eth_blockNumber")
	if height != "0x1" {
		t.Fatalf("the block is %s", height)
	}
	file, err := (&ots.File{HashOp: ots.OpSHA256, Digest: digest[:], Timestamp: ots.New(path, ots.EthereumAttestation(1))}).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{name: text, name + ".ots": file} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVerifyEthereum(t *testing.T) {
	chain, other := testnode.Anvil(t), testnode.Anvil(t, "--timestamp", "1790000001")
	name := filepath.Join(t.TempDir(), "file")
	ethereumProof(t, chain, name)
	other.Mine(t, 1)
	dead := testnode.Anvil(t)
	dead.Kill()
	for _, c := range []struct {
		name   string
		args   []string
		code   int
		status string
		words  string
	}{
		{"the chain's node", []string{"--ethereum-rpc", chain.URL}, exitOK, "verified", "chain 31337 1, 0x"},
		{"by the chain's number", []string{"--ethereum-rpc", "31337=" + chain.URL}, exitOK, "verified", "what chain 31337 is worth"},
		{"one of two chains", []string{"--ethereum-rpc", other.URL, "--ethereum-rpc", chain.URL}, exitOK, "verified", "chain 31337 1, 0x"},
		{"one of two nodes", []string{"--ethereum-rpc", dead.URL, "--ethereum-rpc", chain.URL}, exitOK, "verified", "that the block stays: it has 1 confirmation"},
		{"no node", nil, exitIncomplete, "unchecked", "no node was named: --ethereum-rpc URL"},
		{"another chain", []string{"--ethereum-rpc", other.URL}, exitFalse, "false", "another transactions root"},
		{"a node that is down", []string{"--ethereum-rpc", dead.URL}, exitUnreached, "failed", "start that node"},
		{"a node of another number", []string{"--ethereum-rpc", "1=" + chain.URL}, exitUsage, "failed", "on chain 31337, not 1"},
		{"no number", []string{"--ethereum-rpc", "main=" + chain.URL}, exitUsage, "", "no number of a chain"},
		{"no URL", []string{"--ethereum-rpc", "localhost"}, exitUsage, "", "must be like http"},
	} {
		args := append([]string{"verify", "--no-bitcoin", "--offline", name + ".ots"}, c.args...)
		var out, stderr bytes.Buffer
		code := run(t.Context(), args, &app{stdout: &out, stderr: &stderr})
		if all := out.String() + stderr.String(); code != c.code || !strings.Contains(all, c.words) {
			t.Errorf("%s: code %d, want %d with %q; it said\n%s", c.name, code, c.code, c.words, all)
		}
		if c.status == "" {
			continue
		}
		out.Reset()
		run(t.Context(), append(args, "--json"), &app{stdout: &out, stderr: &stderr})
		var doc struct {
			Proofs []struct {
				Status string
				Block  *struct {
					Chain   string
					ChainID int `json:"chain_id"`
				}
			}
		}
		if err := json.Unmarshal(out.Bytes(), &doc); err != nil || len(doc.Proofs) != 1 || doc.Proofs[0].Status != c.status {
			t.Errorf("%s: %s, %v", c.name, out.String(), err)
		} else if b := doc.Proofs[0].Block; c.code == exitOK && (b == nil || b.Chain != "ethereum" || b.ChainID != 31337) {
			t.Errorf("%s: the block is %+v", c.name, b)
		}
	}
}
