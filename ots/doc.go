// Package ots holds the OpenTimestamps proof format: reading, evaluating,
// merging, pruning and writing proofs, building Merkle trees, and checking
// attestations against block headers given as values. It does no I/O but
// [ReadFile], has no clock, and never panics whatever the bytes.
//
// A proof says that a message existed at some time. It is a tree: the message is
// the root, each edge is an operation that makes another message from one, and
// attestations stand on the messages that somebody has vouched for. Who trusts an
// attestation and can repeat the operations, above all the hashes, knows that the
// first message is at least as old.
//
// What follows is the format, complete enough to write another implementation.
// Its limits are those of the reference implementation, in Python; the verdict on
// every input is meant to be the same.
//
// # Numbers and byte strings
//
// A varuint is an unsigned number in LEB128: seven bits a byte, the least
// significant first, the high bit set in every byte but the last. Readers accept
// superfluous zero groups at the end (81 00 is 1) and numbers of any size; writers
// use the shortest form (0 is 00). varbytes are a varuint length and that many
// bytes. The rules below are in hexadecimal.
//
// # Detached proofs
//
// A file, by convention NAME.ots beside NAME, is
//
//	file := magic version hashop digest timestamp
//
//	magic    00 "OpenTimestamps" 00 00 "Proof" 00 bf89e2e884e89294   (31 bytes)
//	version  01, one byte
//	hashop   the operation that made the digest: 02 sha1, 03 ripemd160,
//	         08 sha256 or 67 keccak256
//	digest   of the file that is stamped, as long as hashop makes it; the
//	         timestamp's first message
//
// Nothing may follow. Keccak256 is accepted because the reference accepts it; no
// known tool writes it. Some readers take the version as a varuint, so that 81 00
// passes; here, as in the reference today, it is one byte.
//
// # Timestamps
//
//	timestamp := { ff item } item
//	item      := 00 attestation | operation timestamp
//
// So every item but the last is announced by ff, and a timestamp has at least
// one item. An operation is followed by the timestamp of its result. Calendars
// answer with a bare timestamp for a message that the client knows:
// [ParseTimestamp].
//
// # Operations
//
//	02 sha1       message to 20 bytes
//	03 ripemd160  message to 20 bytes
//	08 sha256     message to 32 bytes
//	67 keccak256  message to 32 bytes; Ethereum's, with the padding of before SHA-3
//	f0 append     varbytes: message and argument
//	f1 prepend    varbytes: argument and message
//	f2 reverse    the bytes in reverse order
//	f3 hexlify    two lower-case hexadecimal digits for each byte
//
// Every message, the first included, has at most [MaxMessage] bytes, 4096; so a
// message to hexlify has at most 2048. Reverse and hexlify need at least one byte.
// An argument has 1 to 4096 bytes. At most [MaxDepth] operations, 255, stand in a
// row between the first message and any other. All other tags are errors. All
// this is checked while reading, for the tree as a whole.
//
// # Attestations
//
//	attestation := tag payload
//
// The tag has eight bytes; the payload is varbytes of at most [MaxPayload], 8192.
//
//	0588960d73d71901 bitcoin   varuint height: the message is the merkle root of
//	                           that block, 32 bytes in internal order
//	06869a0d73d71b45 litecoin  the same in Litecoin
//	30fe8087b5c7ead7 ethereum  varuint height: the message is the transactions
//	                           root of that block
//	83dfe30d2ef90c8e pending   varbytes URI: the calendar there will have the rest
//	                           of the proof for this message
//	any other                  unknown: the payload is opaque and kept as it is
//
// A URI has at most [MaxURI] bytes, 1000, each one of A-Z a-z 0-9 - . _ / and :. A
// payload of a known kind must be used up exactly.
//
// # Canonical form
//
// Readers take items in any order. Writers put attestations before operations;
// attestations by tag, then by height as a number, by URI, or by payload, as
// bytes; operations by tag, then by argument as bytes (a beginning comes before
// what it begins). Equal attestations are written once. Of equal operations that
// follow the same message a reader keeps the last, with all that hangs on it:
// that is what the reference does, and only a careless writer makes them. To
// unite two timestamps, whose equal operations are united, is [Timestamp.Merge].
//
// # Merkle trees
//
// To stamp many digests at once they are made the leaves of a tree: pairs are
// taken from left to right, a parent is sha256(left || right), and a lone last
// node is carried up unchanged ([MerkleTree]). A leaf's path to the root is, for
// each level on which it has a sibling, append right or prepend left, then sha256.
//
// # Cost
//
// Reading is one scan that follows the lengths of messages and not their bytes.
// Runs of operations are kept as they are written, so a proof takes a small
// multiple of its length in memory; evaluating takes a message for each fork above
// the one at hand, at most MaxDepth of 4096 bytes.
package ots
