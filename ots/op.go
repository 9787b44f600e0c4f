package ots

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"golang.org/x/crypto/ripemd160" //lint:ignore SA1019 the format has this operation
	"golang.org/x/crypto/sha3"
)

// Limits of the format, which are those of the reference implementation.
const (
	// MaxMessage bounds every message and every argument, in bytes.
	MaxMessage = 4096
	// MaxDepth bounds the operations in a row, counted from the file's digest
	// or, in a bare timestamp, from its first message.
	MaxDepth = 255
)

// Tag is the byte that stands for an operation.
type Tag byte

// The operations. The three hashes that open a file of their own (see
// [File]) are the ones of RFC 4880, with its numbers.
const (
	OpSHA1      Tag = 0x02
	OpRIPEMD160 Tag = 0x03
	OpSHA256    Tag = 0x08
	OpKeccak256 Tag = 0x67 // Ethereum's: Keccak before it became SHA-3
	OpAppend    Tag = 0xf0
	OpPrepend   Tag = 0xf1
	OpReverse   Tag = 0xf2
	OpHexlify   Tag = 0xf3 // lower case
)

// Not operations: what else may stand where an operation could.
const (
	tagAttestation = 0x00
	tagFork        = 0xff
)

// String is the operation's name as the reference tools print it.
func (t Tag) String() string {
	switch t {
	case OpSHA1:
		return "sha1"
	case OpRIPEMD160:
		return "ripemd160"
	case OpSHA256:
		return "sha256"
	case OpKeccak256:
		return "keccak256"
	case OpAppend:
		return "append"
	case OpPrepend:
		return "prepend"
	case OpReverse:
		return "reverse"
	case OpHexlify:
		return "hexlify"
	}
	return fmt.Sprintf("unknown operation %#02x", byte(t))
}

// DigestSize is the length in bytes of what a hash operation returns, and 0 for
// every other operation.
func (t Tag) DigestSize() int {
	switch t {
	case OpSHA1, OpRIPEMD160:
		return 20
	case OpSHA256, OpKeccak256:
		return 32
	}
	return 0
}

func (t Tag) takesArg() bool { return t == OpAppend || t == OpPrepend }

// Op is one operation: a step from a message to the next.
type Op struct {
	Tag Tag
	Arg []byte // append and prepend only: 1 to MaxMessage bytes
}

// String prints the operation as the reference tools do: "sha256",
// "append 525a90f5".
func (o Op) String() string {
	if o.Tag.takesArg() {
		return o.Tag.String() + " " + hex.EncodeToString(o.Arg)
	}
	return o.Tag.String()
}

// Apply returns the operation's result for msg, in memory of its own.
func (o Op) Apply(msg []byte) ([]byte, error) {
	if err := checkArg(o.Tag, len(o.Arg)); err != nil {
		return nil, err
	}
	if _, err := resultLen(o.Tag, len(msg), len(o.Arg)); err != nil {
		return nil, err
	}
	switch o.Tag {
	case OpAppend:
		return slices.Concat(msg, o.Arg), nil
	case OpPrepend:
		return slices.Concat(o.Arg, msg), nil
	case OpReverse:
		r := bytes.Clone(msg)
		slices.Reverse(r)
		return r, nil
	case OpHexlify:
		return hex.AppendEncode(nil, msg), nil
	}
	return appendDigest(nil, o.Tag, msg), nil
}

// appendDigest appends the hash of msg, for a tag with a DigestSize.
func appendDigest(b []byte, t Tag, msg []byte) []byte {
	switch t {
	case OpSHA256:
		sum := sha256.Sum256(msg)
		return append(b, sum[:]...)
	case OpSHA1:
		sum := sha1.Sum(msg)
		return append(b, sum[:]...)
	case OpRIPEMD160:
		h := ripemd160.New()
		h.Write(msg)
		return h.Sum(b)
	default:
		h := sha3.NewLegacyKeccak256()
		h.Write(msg)
		return h.Sum(b)
	}
}

// checkArg says whether tag is an operation that takes an argument of argLen
// bytes, 0 meaning none.
func checkArg(t Tag, argLen int) error {
	switch t {
	case OpAppend, OpPrepend:
		if argLen < 1 || argLen > MaxMessage {
			return fmt.Errorf("%w: %v takes an argument of 1 to %d bytes, not %d", ErrLimit, t, MaxMessage, argLen)
		}
		return nil
	case OpSHA1, OpRIPEMD160, OpSHA256, OpKeccak256, OpReverse, OpHexlify:
		if argLen != 0 {
			return fmt.Errorf("%w: %v takes no argument", ErrMalformed, t)
		}
		return nil
	}
	return fmt.Errorf("%w: %v", ErrMalformed, t)
}

// resultLen is the length of the result for a message of msgLen bytes. It is
// what makes it possible to check every limit without computing a message.
func resultLen(t Tag, msgLen, argLen int) (int, error) {
	n := msgLen
	switch t {
	case OpSHA256, OpKeccak256:
		n = 32
	case OpSHA1, OpRIPEMD160:
		n = 20
	case OpAppend, OpPrepend:
		n += argLen
	case OpReverse, OpHexlify:
		if msgLen == 0 {
			return 0, fmt.Errorf("%w: %v of an empty message", ErrLimit, t)
		}
		if t == OpHexlify {
			n *= 2
		}
	default:
		return 0, fmt.Errorf("%w: %v", ErrMalformed, t)
	}
	if msgLen > MaxMessage || n > MaxMessage {
		return 0, fmt.Errorf("%w: %v makes a message of %d bytes from one of %d; the limit is %d", ErrLimit, t, n, msgLen, MaxMessage)
	}
	return n, nil
}
