package signedmsg

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"

	"github.com/btcsuite/btcd/address/v2/base58"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"
	"golang.org/x/crypto/ripemd160" //lint:ignore SA1019 addresses have this hash
)

// Version bytes of base58 on mainnet.
const (
	versionAddress = 0x00
	versionWIF     = 0x80
)

// PublicKey is a point of secp256k1 and the form, compressed or not, in which its owner uses it. Keys of one
// point in both forms have different addresses.
type PublicKey struct {
	point      [33]byte
	compressed bool
}

// ParsePublicKey reads a key in hexadecimal digits, 33 bytes compressed or 65 bytes uncompressed.
func ParsePublicKey(text string) (PublicKey, error) {
	b, err := hex.DecodeString(text)
	// 06 and 07 begin a hybrid form, which nobody's software makes any more.
	if err != nil || !(len(b) == 33 || len(b) == 65 && b[0] == 4) {
		return PublicKey{}, fmt.Errorf("not a public key: want 66 hexadecimal digits, or 130 for an uncompressed one")
	}
	point, err := btcec.ParsePubKey(b)
	if err != nil {
		return PublicKey{}, fmt.Errorf("not a public key: %w", err)
	}
	return PublicKey{[33]byte(point.SerializeCompressed()), len(b) == 33}, nil
}

// NewPublicKey is the key with a point, in compressed form, whose owner uses it in that form or in the other.
func NewPublicKey(point []byte, compressed bool) (PublicKey, error) {
	if len(point) != 33 {
		return PublicKey{}, fmt.Errorf("not a public key: %d bytes, want 33", len(point))
	}
	if _, err := btcec.ParsePubKey(point); err != nil {
		return PublicKey{}, fmt.Errorf("not a public key: %w", err)
	}
	return PublicKey{[33]byte(point), compressed}, nil
}

// Point is the key in its compressed form, whichever its owner uses: what to compare and to look up by.
func (k PublicKey) Point() [33]byte { return k.point }

// Compressed says which form the owner uses.
func (k PublicKey) Compressed() bool { return k.compressed }

// Bytes is the key in its owner's form.
func (k PublicKey) Bytes() []byte {
	if k.compressed {
		return k.point[:]
	}
	point, err := btcec.ParsePubKey(k.point[:])
	if err != nil {
		return nil // the zero value
	}
	return point.SerializeUncompressed()
}

// String is the key in its owner's form, in hexadecimal digits.
func (k PublicKey) String() string { return hex.EncodeToString(k.Bytes()) }

// Hash is RIPEMD160(SHA256(key)) of the key in its owner's form: what its address holds.
func (k PublicKey) Hash() [20]byte {
	sum := sha256.Sum256(k.Bytes())
	h := ripemd160.New()
	h.Write(sum[:])
	return [20]byte(h.Sum(nil))
}

// Address is the pay-to-public-key-hash address of the key on mainnet.
func (k PublicKey) Address() string {
	hash := k.Hash()
	return base58.CheckEncode(hash[:], versionAddress)
}

// PrivateKey signs messages.
type PrivateKey struct {
	key        *btcec.PrivateKey
	compressed bool
}

// NewPrivateKey makes a key at random.
func NewPrivateKey() (PrivateKey, error) {
	key, err := btcec.NewPrivateKey()
	if err != nil {
		return PrivateKey{}, fmt.Errorf("making a key: %w", err)
	}
	return PrivateKey{key, true}, nil
}

// ParsePrivateKey reads a key as key files have it: in the wallet import format of mainnet, or as a decimal
// number, which is meant in compressed form. Its errors do not repeat the text.
func ParsePrivateKey(text string) (PrivateKey, error) {
	if k, ok := parseWIF(text); ok {
		return k, nil
	}
	const longest = 78 // digits of the largest key
	if n, ok := new(big.Int).SetString(text, 10); ok && len(text) <= longest && n.Sign() > 0 && text[0] != '+' {
		if n.Cmp(btcec.S256().N) < 0 {
			key, _ := btcec.PrivKeyFromBytes(n.FillBytes(make([]byte, 32)))
			return PrivateKey{key, true}, nil
		}
	}
	return PrivateKey{}, fmt.Errorf("not a private key: want the wallet import format of mainnet, 51 or 52 characters, or a decimal number")
}

func parseWIF(text string) (PrivateKey, bool) {
	if len(text) < 50 || len(text) > 53 {
		return PrivateKey{}, false
	}
	b, version, err := base58.CheckDecode(text)
	if err != nil || version != versionWIF || !(len(b) == 32 || len(b) == 33 && b[32] == 1) {
		return PrivateKey{}, false
	}
	if n := new(big.Int).SetBytes(b[:32]); n.Sign() == 0 || n.Cmp(btcec.S256().N) >= 0 {
		return PrivateKey{}, false
	}
	key, _ := btcec.PrivKeyFromBytes(b[:32])
	return PrivateKey{key, len(b) == 33}, true
}

// WIF is the key in the wallet import format of mainnet.
func (k PrivateKey) WIF() string {
	b := k.key.Serialize()
	if k.compressed {
		b = append(b, 1)
	}
	return base58.CheckEncode(b, versionWIF)
}

// Public is the key that recovers from what this one signs.
func (k PrivateKey) Public() PublicKey {
	return PublicKey{[33]byte(k.key.PubKey().SerializeCompressed()), k.compressed}
}

// Sign signs a message, with the k of RFC 6979 and a low s.
func (k PrivateKey) Sign(message []byte) Signature {
	hash := Hash(message)
	return Signature(ecdsa.SignCompact(k.key, hash[:], k.compressed))
}

// String keeps the key out of logs.
func (k PrivateKey) String() string { return "a private key" }

// GoString keeps the key out of logs.
func (k PrivateKey) GoString() string { return k.String() }
