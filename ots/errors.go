package ots

import "errors"

// The errors a caller may want to tell apart. Those that come from bytes are
// wrapped with the offset at which reading stopped.
var (
	// ErrNotOTS: the bytes do not begin as a detached proof does.
	ErrNotOTS = errors.New("not an OpenTimestamps proof")
	// ErrVersion: a proof of a format version other than 1.
	ErrVersion = errors.New("unsupported format version")
	// ErrTruncated: the proof ends too early.
	ErrTruncated = errors.New("proof is cut short")
	// ErrTrailing: the proof is complete and bytes follow it.
	ErrTrailing = errors.New("bytes follow the end of the proof")
	// ErrTooDeep: more than MaxDepth operations in a row.
	ErrTooDeep = errors.New("more than 255 operations in a row")
	// ErrLimit: an argument, a message, a payload, a URI or a whole file is
	// longer, or shorter, than the format allows.
	ErrLimit = errors.New("length out of bounds")
	// ErrMalformed: an unknown operation, or a known attestation whose payload
	// does not read as one.
	ErrMalformed = errors.New("malformed proof")
	// ErrEmpty: a timestamp with a path that leads to no attestation has no
	// serialized form.
	ErrEmpty = errors.New("timestamp without an attestation cannot be written")
	// ErrMismatch: the message is not what the block header commits to.
	ErrMismatch = errors.New("block header commits to another message")
)
