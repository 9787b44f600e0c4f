package bitcoin

import (
	"testing"

	"github.com/datestone/datestone/internal/bitcoin/ledger"
)

// The first Litecoin address of the seed that BIP-84 has its vectors for, as other wallets show it.
func TestLitecoinAddress(t *testing.T) {
	net := Litecoin.networks["mainnet"]
	master, err := readKeyFile(writeKey(t, bipSeed), net)
	if err != nil {
		t.Fatal(err)
	}
	k, err := deriveKeys(master, net, "wpkh")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := k.branches[ledger.Funding].address, "ltc1qjmxnz78nmc8nq77wuxh25n2es7rzm5c2rkk4wh"; got != want {
		t.Errorf("the address is %s, want %s", got, want)
	}
}
