// Package signedmsg makes and checks Bitcoin signed messages, with which customers of an authenticated
// calendar sign what they submit.
//
// # The format
//
// What is signed is
//
//	hash = SHA256(SHA256(0x18 "Bitcoin Signed Message:\n" varint(len(message)) message))
//
// and the signature is 65 bytes, written in base64 with padding (88 characters):
//
//	header r s     27+recid, or 31+recid when the public key is meant in compressed form; r and s of 32 bytes
//
// It names no key: the key is recovered from it, and the verifier looks whether it knows that key. Every
// well-formed signature therefore belongs to some key. k may be random, so the same message has many valid
// signatures by one key, with low and with high s.
//
// A calendar's message is the lower-case hexadecimal text of the digest: see [Digest].
package signedmsg

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2/ecdsa"
)

const (
	// Size is the length of a signature in bytes.
	Size = 65
	// textSize is its length in base64.
	textSize = 88

	magic = "\x18Bitcoin Signed Message:\n"
)

// ErrSignature is in the chain of the error for what is not a signature of a message by any key.
var ErrSignature = errors.New("not a signature of a message")

// Signature is a compact signature from which the key can be recovered.
type Signature [Size]byte

// Parse reads a signature in base64, as it is written in a header field: exactly 88 characters.
func Parse(text string) (Signature, error) {
	if len(text) != textSize {
		return Signature{}, fmt.Errorf("%w: %d characters, want %d of base64", ErrSignature, len(text), textSize)
	}
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != Size {
		return Signature{}, fmt.Errorf("%w: not base64 of %d bytes", ErrSignature, Size)
	}
	return Signature(b), nil
}

// String is the signature in base64.
func (s Signature) String() string { return base64.StdEncoding.EncodeToString(s[:]) }

// Recover returns the key that signed the message, in the form that the signature means. The error matches
// [ErrSignature].
func (s Signature) Recover(message []byte) (PublicKey, error) {
	hash := Hash(message)
	point, compressed, err := ecdsa.RecoverCompact(s[:], hash[:])
	if err != nil {
		return PublicKey{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return PublicKey{point: [33]byte(point.SerializeCompressed()), compressed: compressed}, nil
}

// Hash is what is signed of a message.
func Hash(message []byte) [32]byte {
	b := make([]byte, 0, len(magic)+9+len(message))
	b = append(b, magic...)
	switch n := uint64(len(message)); {
	case n < 0xfd:
		b = append(b, byte(n))
	case n <= 0xffff:
		b = binary.LittleEndian.AppendUint16(append(b, 0xfd), uint16(n))
	case n <= 0xffffffff:
		b = binary.LittleEndian.AppendUint32(append(b, 0xfe), uint32(n))
	default:
		b = binary.LittleEndian.AppendUint64(append(b, 0xff), n)
	}
	once := sha256.Sum256(append(b, message...))
	return sha256.Sum256(once[:])
}

// Digest is the message that stands for a digest: its lower-case hexadecimal text.
func Digest(digest []byte) []byte { return hex.AppendEncode(nil, digest) }
