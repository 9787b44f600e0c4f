package ots

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Limits on attestations, in bytes.
const (
	MaxPayload = 8192
	MaxURI     = 1000
)

const tagSize = 8

// The tags of the known attestations.
const (
	bitcoinTag  = "\x05\x88\x96\x0d\x73\xd7\x19\x01"
	litecoinTag = "\x06\x86\x9a\x0d\x73\xd7\x1b\x45"
	ethereumTag = "\x30\xfe\x80\x87\xb5\xc7\xea\xd7"
	pendingTag  = "\x83\xdf\xe3\x0d\x2e\xf9\x0c\x8e"
)

// Kind tells what an attestation is.
type Kind uint8

// The kinds of attestation.
const (
	KindUnknown  Kind = iota // any other tag; the payload is opaque
	KindPending              // a calendar promises the rest of the proof
	KindBitcoin              // the message is the merkle root of a Bitcoin block
	KindLitecoin             // the same in Litecoin
	KindEthereum             // the message is the transactions root of an Ethereum block
)

// String is the name of the kind, in lower case.
func (k Kind) String() string {
	switch k {
	case KindPending:
		return "pending"
	case KindBitcoin:
		return "bitcoin"
	case KindLitecoin:
		return "litecoin"
	case KindEthereum:
		return "ethereum"
	}
	return "unknown"
}

// Attestation says that the message it stands on existed at a time. It is kept
// as it is written, so an unknown one loses nothing. Attestations are values:
// == and [Attestation.Equal] agree. The zero value is no attestation, and a
// timestamp that holds it cannot be written.
type Attestation struct {
	wire string // tag, varbytes(payload); canonical
}

// PendingAttestation promises that the calendar at uri will complete the proof.
// A URI has at most MaxURI bytes, each one of A-Z a-z 0-9 - . _ / and :.
func PendingAttestation(uri string) (Attestation, error) {
	if err := checkURI(uri); err != nil {
		return Attestation{}, err
	}
	return newAttestation(pendingTag, string(appendVarbytes(nil, uri))), nil
}

// BitcoinAttestation says that the message is the merkle root of the block at
// that height.
func BitcoinAttestation(height uint64) Attestation { return blockAttestation(bitcoinTag, height) }

// LitecoinAttestation is BitcoinAttestation for Litecoin.
func LitecoinAttestation(height uint64) Attestation { return blockAttestation(litecoinTag, height) }

// EthereumAttestation says that the message is the transactions root of the
// block of that number.
func EthereumAttestation(height uint64) Attestation { return blockAttestation(ethereumTag, height) }

// UnknownAttestation makes an attestation of a kind that this package does not
// know. It refuses the tags that it knows, and payloads over MaxPayload.
func UnknownAttestation(tag [8]byte, payload []byte) (Attestation, error) {
	if len(payload) > MaxPayload {
		return Attestation{}, fmt.Errorf("%w: an attestation's payload has at most %d bytes, not %d", ErrLimit, MaxPayload, len(payload))
	}
	a := newAttestation(string(tag[:]), string(payload))
	if k := a.Kind(); k != KindUnknown {
		return Attestation{}, fmt.Errorf("%w: %x is the tag of %v attestations", ErrMalformed, tag, k)
	}
	return a, nil
}

func blockAttestation(tag string, height uint64) Attestation {
	return newAttestation(tag, string(appendVaruint(nil, height)))
}

func newAttestation(tag, payload string) Attestation {
	b := make([]byte, 0, tagSize+2+len(payload))
	b = append(b, tag...)
	return Attestation{string(appendVarbytes(b, payload))}
}

// Kind tells what the attestation is.
func (a Attestation) Kind() Kind {
	if len(a.wire) < tagSize {
		return KindUnknown
	}
	switch a.wire[:tagSize] {
	case bitcoinTag:
		return KindBitcoin
	case pendingTag:
		return KindPending
	case litecoinTag:
		return KindLitecoin
	case ethereumTag:
		return KindEthereum
	}
	return KindUnknown
}

// IsZero tells whether a is the zero value, which attests nothing.
func (a Attestation) IsZero() bool { return a.wire == "" }

// Equal tells whether a and b say the same.
func (a Attestation) Equal(b Attestation) bool { return a == b }

// Tag is the eight bytes that name the kind.
func (a Attestation) Tag() (tag [8]byte) {
	copy(tag[:], a.wire)
	return tag
}

// Payload is what follows the tag, in memory of its own.
func (a Attestation) Payload() []byte { return []byte(a.payload()) }

func (a Attestation) payload() string {
	if a.wire == "" {
		return ""
	}
	_, at, _ := varuint(a.wire, tagSize)
	return a.wire[at:]
}

// Height is the block height of a Bitcoin, Litecoin or Ethereum attestation. It
// is false for the other kinds, and for a height over 64 bits: the format sets
// no bound, no chain has such a block, and the attestation still round-trips.
func (a Attestation) Height() (uint64, bool) {
	switch a.Kind() {
	case KindBitcoin, KindLitecoin, KindEthereum:
		p := a.payload()
		if len(p) > 10 || len(p) == 10 && p[9] > 1 {
			return 0, false
		}
		v, _, _ := varuint(p, 0)
		return v, true
	}
	return 0, false
}

// URI is the calendar of a pending attestation, and empty for other kinds.
func (a Attestation) URI() string {
	if a.Kind() != KindPending {
		return ""
	}
	p := a.payload()
	_, at, _ := varuint(p, 0)
	return p[at:]
}

// String prints the attestation as the reference tools do:
// "PendingAttestation('https://example.org')",
// "BitcoinBlockHeaderAttestation(428648)"; an unknown one as
// "UnknownAttestation(tag, payload)" in hexadecimal.
func (a Attestation) String() string {
	switch a.Kind() {
	case KindPending:
		return "PendingAttestation('" + a.URI() + "')"
	case KindBitcoin:
		return "BitcoinBlockHeaderAttestation(" + a.decimalHeight() + ")"
	case KindLitecoin:
		return "LitecoinBlockHeaderAttestation(" + a.decimalHeight() + ")"
	case KindEthereum:
		return "EthereumBlockHeaderAttestation(" + a.decimalHeight() + ")"
	}
	tag := a.Tag()
	return "UnknownAttestation(" + hex.EncodeToString(tag[:]) + ", " + hex.EncodeToString(a.Payload()) + ")"
}

// decimalHeight prints a height of any size.
func (a Attestation) decimalHeight() string {
	if h, ok := a.Height(); ok {
		return fmt.Sprint(h)
	}
	p := a.payload()
	bits := make([]byte, (len(p)*7+7)/8) // big-endian, as big.Int takes it
	for i := range len(p) * 7 {
		if p[i/7]>>(i%7)&1 != 0 {
			bits[len(bits)-1-i/8] |= 1 << (i % 8)
		}
	}
	return new(big.Int).SetBytes(bits).String()
}

// Compare is the canonical order: by tag, then by height, URI or payload.
func (a Attestation) Compare(b Attestation) int {
	if a.wire == b.wire {
		return 0
	}
	if len(a.wire) < tagSize || len(b.wire) < tagSize {
		return len(a.wire) - len(b.wire)
	}
	if c := strings.Compare(a.wire[:tagSize], b.wire[:tagSize]); c != 0 {
		return c
	}
	switch a.Kind() {
	case KindPending:
		return strings.Compare(a.URI(), b.URI())
	case KindUnknown:
		return strings.Compare(a.payload(), b.payload())
	}
	return compareHeights(a.payload(), b.payload())
}

// compareHeights orders two shortest varuints of any size: the longer is the
// larger, and among equals the last group weighs most.
func compareHeights(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	for i := len(a) - 1; i >= 0; i-- {
		if a[i] != b[i] {
			return int(a[i]&0x7f) - int(b[i]&0x7f)
		}
	}
	return 0
}

// sortAttestations puts atts in canonical order and drops repetitions, in place.
func sortAttestations(atts []Attestation) []Attestation {
	if len(atts) < 2 {
		return atts
	}
	slices.SortFunc(atts, Attestation.Compare)
	return slices.Compact(atts)
}

func checkURI(uri string) error {
	if len(uri) > MaxURI {
		return fmt.Errorf("%w: a calendar's URI has at most %d bytes, not %d", ErrLimit, MaxURI, len(uri))
	}
	for i := range len(uri) {
		if !uriByte[uri[i]] {
			return fmt.Errorf("%w: a calendar's URI may hold A-Z a-z 0-9 - . _ / and : but not %q", ErrMalformed, uri[i])
		}
	}
	return nil
}

// No byte that could carry parameters, a query, a fragment, a login or an
// escape.
var uriByte = func() (ok [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/:") {
		ok[c] = true
	}
	return ok
}()
