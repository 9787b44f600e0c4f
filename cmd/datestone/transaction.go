package main

import (
	"crypto/sha256"
	"encoding/binary"
)

// maxMoney is more satoshis than there will be.
const maxMoney = 21_000_000 * 100_000_000

// transactionID tells whether a message is a Bitcoin transaction, serialized without
// witnesses as a proof holds it, and gives its id as block explorers write it.
func transactionID(msg []byte) (string, bool) {
	// The shortest has one input and one output with empty scripts.
	if len(msg) < 60 {
		return "", false
	}
	p := txParser{rest: msg, ok: true}
	p.skip(4) // version
	inputs := p.count()
	for i := uint64(0); i < inputs && p.ok; i++ {
		p.skip(36)        // the output spent
		p.skip(p.count()) // script
		p.skip(4)         // sequence
	}
	outputs := p.count()
	for i := uint64(0); i < outputs && p.ok; i++ {
		if v := p.take(8); p.ok && binary.LittleEndian.Uint64(v) > maxMoney {
			p.ok = false
		}
		p.skip(p.count()) // script
	}
	p.skip(4) // lock time
	if !p.ok || inputs == 0 || outputs == 0 || len(p.rest) != 0 {
		return "", false
	}
	once := sha256.Sum256(msg)
	id := sha256.Sum256(once[:])
	return reversedHex(id[:]), true
}

// txParser takes bytes off the front; once it ran short it stays not ok.
type txParser struct {
	rest []byte
	ok   bool
}

func (p *txParser) take(n uint64) []byte {
	if !p.ok || n > uint64(len(p.rest)) {
		p.ok = false
		return nil
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

func (p *txParser) skip(n uint64) { p.take(n) }

// count reads Bitcoin's variable length integer; only the shortest form is accepted.
func (p *txParser) count() uint64 {
	b := p.take(1)
	if !p.ok {
		return 0
	}
	var n, least uint64
	switch b[0] {
	case 0xfd:
		if b := p.take(2); p.ok {
			n, least = uint64(binary.LittleEndian.Uint16(b)), 0xfd
		}
	case 0xfe:
		if b := p.take(4); p.ok {
			n, least = uint64(binary.LittleEndian.Uint32(b)), 1<<16
		}
	case 0xff:
		p.ok = false // nothing that long fits in a message
	default:
		n = uint64(b[0])
	}
	if n < least {
		p.ok = false
	}
	return n
}
