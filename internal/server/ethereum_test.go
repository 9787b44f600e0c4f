package server

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/ethereum"
	"github.com/datestone/datestone/internal/testnode"
	"github.com/datestone/datestone/ots"
)

// anvilKey is the key of the first account that anvil funds.
const anvilKey = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80\n"

func anvilKeyFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(anvilKey), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Two chains side by side, read from a configuration file: each attests, and the attestations are given to those only who
// ask for them. Debian's Python library reads the proof and finds both.
func TestEthereum(t *testing.T) {
	chains := map[string]*testnode.Ethereum{"one": testnode.Anvil(t), "two": testnode.Anvil(t, "--chain-id", "1337")}
	key := anvilKeyFile(t)
	text := fmt.Sprintf("uri = %q\ntargets = \"configured\"\n", benchURI)
	for name, chain := range chains {
		id := map[string]int{"one": 31337, "two": 1337}[name]
		text += fmt.Sprintf("[[ethereum]]\nname = %q\nchain_id = %d\nrpc_url = %q\nkey_file = %q\nconfirmations = 2\ncurrency = %d\n", name, id, chain.URL, key, id)
	}
	file := filepath.Join(t.TempDir(), "datestone.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Data, c.Metrics = t.TempDir(), "same"
	s, stop := startServer(t, c)
	base := "http://" + s.Addr().String()
	commitment := submit(t, base, strings.Repeat("e", 32))
	asked := fmt.Sprintf("%s/timestamp/%x?allow-dubious", base, commitment)
	var proof *ots.Timestamp
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		for _, chain := range chains {
			chain.Mine(t, 1)
		}
		if status, body := get(t, asked); status == 200 {
			if proof, err = ots.ParseTimestamp([]byte(body), len(commitment)); err != nil {
				t.Fatal(err)
			}
			if strings.Count(fmt.Sprint(kindsOf(t, proof, commitment)), "ethereum") == 2 {
				break
			}
		}
		if time.Now().After(deadline) {
			status, body := get(t, asked)
			t.Fatalf("no proof in time: %d %q", status, body)
		}
	}
	if status, body := get(t, strings.TrimSuffix(asked, "?allow-dubious")); status != 404 || body != "Pending confirmation in Bitcoin blockchain" {
		t.Errorf("to one who did not ask: %d %q", status, body)
	}
	roots := map[string]bool{} // that the chains' own blocks have
	var blocks []json.RawMessage
	err = proof.Walk(commitment, func(n *ots.Timestamp, msg []byte) error {
		for _, a := range n.Attestations() {
			if a.Kind() == ots.KindPending {
				continue
			}
			height, _ := a.Height()
			found := false
			for _, chain := range chains {
				var raw json.RawMessage
				chain.Must(t, &raw, "eth_getBlockByNumber", fmt.Sprintf("%#x", height), false)
				var b struct{ TransactionsRoot string }
				if err := json.Unmarshal(raw, &b); err != nil {
					return err
				}
				blocks = append(blocks, raw)
				found = found || b.TransactionsRoot == fmt.Sprintf("0x%x", msg)
			}
			if !found {
				return fmt.Errorf("%v on %x: no chain has that root", a, msg)
			}
			roots[fmt.Sprintf("%x %d", msg, height)] = true
		}
		return nil
	})
	if err != nil || len(roots) != 2 {
		t.Errorf("the proof leads to %v, %v", roots, err)
	}
	wire, err := proof.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range python(t, commitment, wire, blocks) {
		if !roots[line] {
			t.Errorf("Python finds %q, and the chains have %v", line, roots)
		}
		delete(roots, line)
	}
	if len(roots) > 0 {
		t.Errorf("Python does not find %v", roots)
	}
	_, metrics := get(t, base+"/metrics")
	for _, want := range []string{`datestone_target_state{state="ok",target="one"} 1`, `datestone_target_state{state="ok",target="two"} 1`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics do not have %s", want)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	report, err := Fsck(t.Context(), c, false, nil)
	if err != nil || !report.Clean() || report.Attestations < 2 || len(report.Unchecked) > 0 {
		t.Errorf("fsck: %+v, %v", report, err)
	}
}

func kindsOf(t *testing.T, stamp *ots.Timestamp, commitment []byte) (kinds []string) {
	t.Helper()
	err := stamp.Walk(commitment, func(n *ots.Timestamp, _ []byte) error {
		for _, a := range n.Attestations() {
			kinds = append(kinds, a.Kind().String())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return kinds
}

// python is what Debian's library makes of a proof: message and height of each attestation of Ethereum, as its module for dubious
// notaries verifies them.
func python(t *testing.T, commitment, proof []byte, blocks []json.RawMessage) []string {
	t.Helper()
	program := `
import io, json, sys
from opentimestamps.core.timestamp import Timestamp
from opentimestamps.core.serialize import StreamDeserializationContext
from opentimestamps.core.dubious.notary import EthereumBlockHeaderAttestation
from opentimestamps.core.notary import PendingAttestation, VerificationError
message, proof = (bytes.fromhex(sys.stdin.readline()) for _ in range(2))
blocks = json.loads(sys.stdin.readline())
def verifies(a, msg, block):
    try:
        return a.verify_against_blockheader(msg, block) == block["timestamp"] and int(block["number"], 16) == a.height
    except VerificationError:
        return False
t = Timestamp.deserialize(StreamDeserializationContext(io.BytesIO(proof)), message)
found = []
for msg, a in t.all_attestations():
    if isinstance(a, PendingAttestation):
        continue
    assert isinstance(a, EthereumBlockHeaderAttestation), a
    assert any(verifies(a, msg, b) for b in blocks), a
    found.append("%s %d" % (msg.hex(), a.height))
print(json.dumps(found))
`
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", program)
	given, err := json.Marshal(blocks)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = strings.NewReader(fmt.Sprintf("%x\n%x\n%s\n", commitment, proof, given))
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v; run script/setup, which installs python3-opentimestamps\n%s", err, errs.String())
	}
	var found []string
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestEthereumConfig(t *testing.T) {
	key, other := anvilKeyFile(t), anvilKeyFile(t)
	good := ethereum.Config{Name: "sepolia", ChainID: 11155111, RPCURL: "http://127.0.0.1:8545", KeyFile: key}
	for name, c := range map[string]struct {
		change func(c *Config)
		want   string
	}{
		"none of it":        {func(c *Config) {}, ""},
		"no name":           {func(c *Config) { c.Ethereum[0].Name = "" }, "lower-case letters"},
		"bitcoin's name":    {func(c *Config) { c.Ethereum[0].Name = bitcoinName }, "another target"},
		"no chain":          {func(c *Config) { c.Ethereum[0].ChainID = 0 }, "chain_id is missing"},
		"no node":           {func(c *Config) { c.Ethereum[0].RPCURL = "" }, "rpc_url is missing"},
		"no URL":            {func(c *Config) { c.Ethereum[0].RPCURL = "127.0.0.1:8545" }, "must be like http"},
		"no key":            {func(c *Config) { c.Ethereum[0].KeyFile = "" }, "wallet new-ethereum"},
		"two ways to count": {func(c *Config) { c.Ethereum[0].Finalized, c.Ethereum[0].Confirmations = true, 3 }, "two ways"},
		"fees":              {func(c *Config) { c.Ethereum[0].Fees = "free" }, "eip1559"},
		"caps":              {func(c *Config) { c.Ethereum[0].MaxFee = 30_000_000 }, "max_fee_day cannot be less"},
		"a receiver":        {func(c *Config) { c.Ethereum[0].To = "0x12" }, "40 hexadecimal digits"},
		"same name":         {func(c *Config) { c.Ethereum = append(c.Ethereum, good) }, "two tables"},
		"same key": {func(c *Config) {
			second := good
			second.Name = "second"
			c.Ethereum = append(c.Ethereum, second)
		}, "one chain with one key_file"},
		"same currency": {func(c *Config) {
			second := good
			second.Name, second.KeyFile, second.Currency, c.Ethereum[0].Currency = "second", other, 1, 1
			c.Ethereum = append(c.Ethereum, second)
		}, "same currency 1"},
		"no targets": {func(c *Config) { c.Targets = "none" }, "[[ethereum]]"},
	} {
		config := Defaults()
		config.URI, config.Ethereum = benchURI, []ethereum.Config{good}
		c.change(&config)
		err := config.checkTargets()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	var c Config
	if err := decode("[[ethereum]]\nchain = 1\n", &c); err == nil || !strings.Contains(err.Error(), "is no setting") {
		t.Errorf("an unknown setting of a chain: %v", err)
	}
}
