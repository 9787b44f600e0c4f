package ethereum

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"

	"github.com/datestone/datestone/ots"
)

type address [20]byte

// addressOf is the account of a public key.
func addressOf(key *btcec.PublicKey) address {
	sum := keccak256(key.SerializeUncompressed()[1:])
	return address(sum[12:])
}

func (a address) String() string { return "0x" + fmt.Sprintf("%x", a[:]) }

// offer is what a transaction pays, in wei per gas. What it pays at most is price; tip is the part for who makes the
// block, and of a legacy transaction the same as price.
type offer struct{ price, tip uint64 }

// transaction carries a head: its value is 0, and its call data the root.
type transaction struct {
	legacy  bool // without EIP-1559
	chainID uint64
	nonce   uint64
	offer   offer
	gas     uint64
	to      address
	data    []byte
}

// typeDynamicFee begins a transaction of EIP-1559.
const typeDynamicFee = 2

// fields are the encoded fields before the signature.
func (t transaction) fields() []byte {
	var b []byte
	if !t.legacy {
		b = appendUint(b, t.chainID)
	}
	b = appendUint(b, t.nonce)
	if !t.legacy {
		b = appendUint(b, t.offer.tip)
	}
	b = appendUint(b, t.offer.price)
	b = appendUint(b, t.gas)
	b = appendBytes(b, t.to[:])
	b = appendUint(b, 0) // value
	b = appendBytes(b, t.data)
	if !t.legacy {
		b = appendList(b, nil) // access list
	}
	return b
}

// digest is what is signed.
func (t transaction) digest() [32]byte {
	if t.legacy { // EIP-155
		return keccak256(appendList(nil, appendUint(appendUint(appendUint(t.fields(), t.chainID), 0), 0)))
	}
	return keccak256([]byte{typeDynamicFee}, appendList(nil, t.fields()))
}

// sign makes the bytes that are sent.
func (t transaction) sign(key *btcec.PrivateKey) ([]byte, error) {
	digest := t.digest()
	signature := ecdsa.SignCompact(key, digest[:], false)
	parity := uint64(signature[0]) - 27
	if parity > 1 {
		return nil, errors.New("signing: the signature cannot be used; it happens once in 2^127 times")
	}
	if t.legacy {
		parity += 35 + 2*t.chainID
	}
	b := appendUint(t.fields(), parity)
	b = appendBytes(b, bytes.TrimLeft(signature[1:33], "\x00"))
	b = appendBytes(b, bytes.TrimLeft(signature[33:], "\x00"))
	if t.legacy {
		return appendList(nil, b), nil
	}
	return appendList([]byte{typeDynamicFee}, b), nil
}

// parseTransaction reads bytes that sign made, and whose account signed them.
func parseTransaction(raw []byte) (t transaction, from address, err error) {
	var names []string
	if t.legacy = len(raw) > 0 && raw[0] >= 0xc0; t.legacy {
		names = []string{"nonce", "price", "gas", "to", "value", "data", "v", "r", "s"}
	} else if len(raw) > 0 && raw[0] == typeDynamicFee {
		names, raw = []string{"chain", "nonce", "tip", "price", "gas", "to", "value", "data", "access", "v", "r", "s"}, raw[1:]
	} else {
		return t, from, errors.New("neither a legacy transaction nor one of EIP-1559")
	}
	items, err := splitList(raw, len(names))
	if err != nil || len(items) != len(names) {
		return t, from, errors.New("its fields cannot be read")
	}
	signature := make([]byte, 65)
	var v uint64
	for i, name := range names {
		it, err := items[i], error(nil)
		switch name {
		case "chain":
			t.chainID, err = it.uint()
		case "nonce":
			t.nonce, err = it.uint()
		case "tip":
			t.offer.tip, err = it.uint()
		case "price":
			t.offer.price, err = it.uint()
		case "gas":
			t.gas, err = it.uint()
		case "v":
			v, err = it.uint()
		case "data":
			t.data = bytes.Clone(it.content)
		case "to":
			if len(it.content) != len(t.to) {
				return t, from, errors.New("it is sent to no account")
			}
			t.to = address(it.content)
		case "value", "access":
			if len(it.content) != 0 {
				err = errors.New("it is not empty")
			}
		case "r", "s":
			end := 33
			if name == "s" {
				end = 65
			}
			if it.list || len(it.content) > 32 {
				return t, from, errors.New("its signature cannot be read")
			}
			copy(signature[end-len(it.content):end], it.content)
		}
		if err != nil {
			return t, from, fmt.Errorf("its field %s: %w", name, err)
		}
	}
	if t.legacy {
		if v < 37 {
			return t, from, errors.New("its signature is for any chain")
		}
		t.chainID, v, t.offer.tip = (v-35)/2, (v-35)%2, t.offer.price
	}
	if v > 1 {
		return t, from, errors.New("its signature cannot be read")
	}
	signature[0] = 27 + byte(v)
	digest := t.digest()
	key, _, err := ecdsa.RecoverCompact(signature, digest[:])
	if err != nil {
		return t, from, fmt.Errorf("its signature: %w", err)
	}
	return t, addressOf(key), nil
}

// weiPerGwei: amounts are kept in gwei, which are 10^-9 of the coin.
const weiPerGwei = 1_000_000_000

// cost is what so much gas costs, in gwei, rounded up.
func cost(gas, price uint64) int64 {
	high, low := bits.Mul64(gas, price)
	if high >= weiPerGwei {
		return math.MaxInt64
	}
	n, rest := bits.Div64(high, low, weiPerGwei)
	if rest > 0 {
		n++
	}
	return int64(min(n, math.MaxInt64))
}

// pathIn leads from the data to the transaction that carries it.
func pathIn(raw, data []byte) (ots.Path, error) {
	at := bytes.Index(raw, data)
	if at <= 0 || at+len(data) >= len(raw) {
		return ots.Path{}, errors.New("the transaction does not carry the root")
	}
	return ots.Path{}.Prepend(raw[:at]).Append(raw[at+len(data):]), nil
}
