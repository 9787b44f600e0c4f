package bitcoin

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"
	"github.com/btcsuite/btcd/txscript/v2"

	"github.com/datestone/datestone/internal/bitcoin/ledger"
)

// GenerateKeyFile makes a file with a new random seed that only this user can read. It never replaces
// a file.
func GenerateKeyFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("making a key file: %w", err)
	}
	var seed [32]byte
	rand.Read(seed[:])
	_, err = fmt.Fprintf(f, "%x\n", seed)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("making a key file: %w", err), os.Remove(path))
	}
	return nil
}

// readKeyFile reads a master key: an extended private key of depth 0, or a seed in hexadecimal. Its
// errors never hold what the file holds.
func readKeyFile(path string, net network) (*hdkeychain.ExtendedKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading the key file: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the key file %s can be read by others: chmod 600 it", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return nil, fmt.Errorf("reading the key file: %w", err)
	}
	text := strings.TrimSpace(string(b))
	if seed, err := hex.DecodeString(text); err == nil {
		if len(seed) < hdkeychain.MinSeedBytes || len(seed) > hdkeychain.MaxSeedBytes {
			return nil, fmt.Errorf("the seed in the key file %s has %d hexadecimal digits, and must have 32 to 128", path, len(text))
		}
		key, err := hdkeychain.NewMaster(seed, net.params)
		if err != nil {
			return nil, fmt.Errorf("the seed in the key file %s gives no key; make another", path)
		}
		return key, nil
	}
	key, err := hdkeychain.NewKeyFromString(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the key file %s holds neither an extended private key nor a seed in hexadecimal", path)
	case !key.IsPrivate():
		return nil, fmt.Errorf("the key file %s holds a public key, which cannot sign", path)
	case !key.IsForNet(net.params):
		return nil, fmt.Errorf("the key in %s is for another network than this one of %s", path, net.chain.name)
	case key.Depth() != 0:
		return nil, fmt.Errorf("the key in %s is not a master key: its depth is %d, not 0", path, key.Depth())
	}
	return key, nil
}

// branchKey is the one key and address of a branch of the wallet.
type branchKey struct {
	branch  int
	private *btcec.PrivateKey
	script  []byte
	address string
}

// keys are the keys of the own wallet: m/84'/coin'/0'/branch/0 or m/86'/coin'/0'/branch/0.
type keys struct {
	taproot  bool
	branches map[int]branchKey
	public   []string // descriptors, by branch
}

const hardened = hdkeychain.HardenedKeyStart

func deriveKeys(master *hdkeychain.ExtendedKey, net network, kind string) (*keys, error) {
	purpose := uint32(84)
	if kind == "tr" {
		purpose = 86
	}
	fingerprint, err := master.Derive(0)
	if err != nil {
		return nil, err
	}
	account := master
	for _, i := range []uint32{purpose, net.params.HDCoinType, 0} {
		if account, err = account.Derive(hardened + i); err != nil {
			return nil, err
		}
	}
	public, err := account.Neuter()
	if err != nil {
		return nil, err
	}
	k := &keys{taproot: kind == "tr", branches: make(map[int]branchKey)}
	for _, branch := range []int{ledger.Funding, ledger.Log, ledger.Seeds} {
		b, err := deriveBranch(account, net, k.taproot, branch)
		if err != nil {
			return nil, err
		}
		k.branches[branch] = b
		text := fmt.Sprintf("%s([%08x/%dh/%dh/0h]%s/%d/0)", kind, fingerprint.ParentFingerprint(), purpose, net.params.HDCoinType, public, branch)
		k.public = append(k.public, text+"#"+descriptorChecksum(text))
	}
	return k, nil
}

func deriveBranch(account *hdkeychain.ExtendedKey, net network, taproot bool, branch int) (branchKey, error) {
	key, err := account.Derive(uint32(branch))
	if err != nil {
		return branchKey{}, err
	}
	if key, err = key.Derive(0); err != nil {
		return branchKey{}, err
	}
	b := branchKey{branch: branch}
	if b.private, err = key.ECPrivKey(); err != nil {
		return branchKey{}, err
	}
	public := b.private.PubKey()
	var to address.Address
	if taproot {
		to, err = address.NewAddressTaproot(schnorr.SerializePubKey(txscript.ComputeTaprootKeyNoScript(public)), net.params)
	} else {
		to, err = address.NewAddressWitnessPubKeyHash(address.Hash160(public.SerializeCompressed()), net.params)
	}
	if err != nil {
		return branchKey{}, err
	}
	b.address = to.EncodeAddress()
	b.script, err = txscript.PayToAddrScript(to)
	return b, err
}

// Descriptors are the public descriptors of the own wallet in the key file: for funding, for the log,
// for seeds. Whoever has them sees all its coins and can spend none.
func Descriptors(c Config) ([]string, error) {
	net, err := c.complete()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cmp.Or(c.Chain, Bitcoin).table, err)
	}
	master, err := readKeyFile(c.KeyFile, net)
	if err != nil {
		return nil, err
	}
	k, err := deriveKeys(master, net, c.Script)
	if err != nil {
		return nil, fmt.Errorf("deriving keys: %w", err)
	}
	return k.public, nil
}

// descriptorChecksum is the checksum of BIP-380.
func descriptorChecksum(text string) string {
	const (
		inputs = "0123456789()[],'/*abcdefgh@:$%{}IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~ijklmnopqrstuvwxyzABCDEFGH`#\"\\ "
		digits = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	)
	state := uint64(1)
	feed := func(value uint64) {
		top := state >> 35
		state = (state&0x7ffffffff)<<5 ^ value
		for i, g := range [...]uint64{0xf5dee51989, 0xa9fdca3312, 0x1bab10e32d, 0x3706b1677a, 0x644d626ffd} {
			if top>>i&1 == 1 {
				state ^= g
			}
		}
	}
	group, count := uint64(0), 0
	for i := range len(text) {
		at := uint64(strings.IndexByte(inputs, text[i]))
		feed(at & 31)
		group, count = group*3+at>>5, count+1
		if count == 3 {
			feed(group)
			group, count = 0, 0
		}
	}
	if count > 0 {
		feed(group)
	}
	for range 8 {
		feed(0)
	}
	state ^= 1
	var sum [8]byte
	for i := range sum {
		sum[i] = digits[state>>(5*(7-i))&31]
	}
	return string(sum[:])
}
