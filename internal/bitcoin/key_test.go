package bitcoin

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/datestone/datestone/internal/bitcoin/ledger"
	"github.com/datestone/datestone/internal/testnode"
)

// bipSeed is the seed of "abandon ... about", of the vectors in BIP-84 and BIP-86.
const bipSeed = "5eb00bbddcf069084889a8ab9155568165f5c453ccb85e70811aaed6f6da5fc19a5ac40b389cd370d086206dec8aa6c43daea6690f20ad3d8d48b2d2ce9e38e4"

func writeKey(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readKeys(t testing.TB, text, net, kind string) *keys {
	t.Helper()
	master, err := readKeyFile(writeKey(t, text), Bitcoin.networks[net])
	if err != nil {
		t.Fatal(err)
	}
	k, err := deriveKeys(master, Bitcoin.networks[net], kind)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAddressVectors(t *testing.T) {
	for _, c := range []struct{ kind, funding, log string }{
		{"wpkh", "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu", "bc1q8c6fshw2dlwun7ekn9qwf37cu2rn755upcp6el"},
		{"tr", "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr", "bc1p3qkhfews2uk44qtvauqyr2ttdsw7svhkl9nkm9s9c3x4ax5h60wqwruhk7"},
	} {
		k := readKeys(t, bipSeed, "mainnet", c.kind)
		if got := k.branches[ledger.Funding].address; got != c.funding {
			t.Errorf("%s: funding address %s, want %s", c.kind, got, c.funding)
		}
		if got := k.branches[ledger.Log].address; got != c.log {
			t.Errorf("%s: log address %s, want %s", c.kind, got, c.log)
		}
	}
}

// The same key as seed and as extended private key is the same wallet.
func TestKeyFile(t *testing.T) {
	// The master key that BIP-84 gives for the seed, written as xprv.
	const xprv = "xprv9s21ZrQH143K3GJpoapnV8SFfukcVBSfeCficPSGfubmSFDxo1kuHnLisriDvSnRRuL2Qrg5ggqHKNVpxR86QEC8w35uxmGoggxtQTPvfUu"
	if a, b := readKeys(t, bipSeed, "mainnet", "wpkh"), readKeys(t, xprv, "mainnet", "wpkh"); a.public[0] != b.public[0] {
		t.Errorf("descriptors %s and %s differ", a.public[0], b.public[0])
	}
	account := readKeys(t, bipSeed, "mainnet", "wpkh").public[0]
	xpub := account[strings.Index(account, "]")+1 : strings.Index(account, "/0/0")]
	for _, c := range []struct{ text, net, want string }{
		{"", "mainnet", "32 to 128"},
		{"cafe", "mainnet", "32 to 128"},
		{strings.Repeat("00", 65), "mainnet", "32 to 128"},
		{"secret words", "mainnet", "neither"},
		{xprv[:len(xprv)-1] + "v", "mainnet", "neither"},
		{xprv, "regtest", "another network"},
		{xpub, "mainnet", "cannot sign"},
	} {
		_, err := readKeyFile(writeKey(t, c.text), Bitcoin.networks[c.net])
		if err == nil || !strings.Contains(err.Error(), c.want) || c.text != "" && strings.Contains(err.Error(), c.text) {
			t.Errorf("key file %q: %v, want an error with %q and without the key", c.text, err, c.want)
		}
	}
}

// Bitcoin Core finds the checksum of our descriptors right, and derives the same addresses from them.
func TestDescriptorsAgainstNode(t *testing.T) {
	node := testnode.Bitcoind(t)
	for _, kind := range []string{"wpkh", "tr"} {
		k := readKeys(t, hex.EncodeToString([]byte("a seed of thirty-two bytes or so")), "regtest", kind)
		for branch, descriptor := range k.public {
			var addresses []string
			node.Must(t, &addresses, "deriveaddresses", descriptor)
			if len(addresses) != 1 || addresses[0] != k.branches[branch].address {
				t.Errorf("%s: the node derives %v, want %s", descriptor, addresses, k.branches[branch].address)
			}
		}
	}
}
