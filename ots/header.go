package ots

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// HeaderSize is the length of a serialized Bitcoin or Litecoin block header.
const HeaderSize = 80

// Header is a Bitcoin or Litecoin block header. Hashes are in internal byte
// order, the reverse of how they are printed.
type Header struct {
	Version    int32
	Prev       [32]byte // hash of the previous block
	MerkleRoot [32]byte
	Time       time.Time // whole seconds, UTC
	Bits       uint32
	Nonce      uint32
}

// ParseHeader reads the HeaderSize bytes of a serialized header. It checks
// neither work nor chain: whether the header can be trusted is its source's
// affair.
func ParseHeader(raw []byte) (Header, error) {
	if len(raw) != HeaderSize {
		return Header{}, fmt.Errorf("parsing block header: %w: %d bytes instead of %d", ErrLimit, len(raw), HeaderSize)
	}
	le := binary.LittleEndian
	return Header{
		Version:    int32(le.Uint32(raw)),
		Prev:       [32]byte(raw[4:36]),
		MerkleRoot: [32]byte(raw[36:68]),
		Time:       time.Unix(int64(le.Uint32(raw[68:])), 0).UTC(),
		Bits:       le.Uint32(raw[72:]),
		Nonce:      le.Uint32(raw[76:]),
	}, nil
}

// AppendBinary appends the HeaderSize bytes that ParseHeader reads.
func (h Header) AppendBinary(b []byte) ([]byte, error) {
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(h.Version))
	b = append(b, h.Prev[:]...)
	b = append(b, h.MerkleRoot[:]...)
	b = le.AppendUint32(b, uint32(h.Time.Unix()))
	b = le.AppendUint32(b, h.Bits)
	return le.AppendUint32(b, h.Nonce), nil
}

// Hash is the block's hash in Bitcoin, in internal byte order. (In Litecoin the
// same value links the chain; the work is done on another.)
func (h Header) Hash() [32]byte {
	var raw [HeaderSize]byte
	b, _ := h.AppendBinary(raw[:0])
	sum := sha256.Sum256(b)
	return sha256.Sum256(sum[:])
}

// EthereumHeader is what an Ethereum attestation needs of a block header.
type EthereumHeader struct {
	TransactionsRoot [32]byte
	Time             time.Time
}

// VerifyHeader returns the time that a Bitcoin or Litecoin attestation proves:
// that of the header, if msg, the message on which the attestation stands, is
// its merkle root in internal byte order. Otherwise the error is ErrMismatch.
// That the header is the one of the attestation's chain and height is for the
// caller to know.
func (a Attestation) VerifyHeader(msg []byte, h Header) (time.Time, error) {
	if k := a.Kind(); k != KindBitcoin && k != KindLitecoin {
		return time.Time{}, fmt.Errorf("verifying %v: %w: a Bitcoin or Litecoin attestation is needed", a, ErrMismatch)
	}
	return a.verify("merkle root", msg, h.MerkleRoot, h.Time)
}

// VerifyEthereum is VerifyHeader for an Ethereum attestation, whose message is
// the block's transactions root.
func (a Attestation) VerifyEthereum(msg []byte, h EthereumHeader) (time.Time, error) {
	if a.Kind() != KindEthereum {
		return time.Time{}, fmt.Errorf("verifying %v: %w: an Ethereum attestation is needed", a, ErrMismatch)
	}
	return a.verify("transactions root", msg, h.TransactionsRoot, h.Time)
}

func (a Attestation) verify(what string, msg []byte, root [32]byte, at time.Time) (time.Time, error) {
	if string(msg) != string(root[:]) {
		return time.Time{}, fmt.Errorf("verifying %v: %w: the %s is %x, the message is %x", a, ErrMismatch, what, root, msg)
	}
	return at, nil
}
