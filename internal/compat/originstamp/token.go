package originstamp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// linkLives is how long a link to a proof leads to it.
const linkLives = 5 * time.Minute

// ticket is what a token says. Nothing of it is stored: the token has an HMAC of it.
type ticket struct {
	hash     [32]byte
	currency int
	kind     kind
	expires  time.Time // in seconds
}

// ticketSize is that of the hash, the currency, the kind and the time, in this order and big-endian.
const ticketSize = 32 + 4 + 1 + 8

func (s *Server) mac(text []byte) []byte {
	m := hmac.New(sha256.New, s.config.LinkKey)
	m.Write(text)
	return m.Sum(nil)
}

// seal makes a token.
func (s *Server) seal(t ticket) string {
	text := binary.BigEndian.AppendUint32(t.hash[:], uint32(t.currency))
	text = append(text, byte(t.kind))
	text = binary.BigEndian.AppendUint64(text, uint64(t.expires.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(text, s.mac(text)...))
}

// unseal reads a token that seal made with the same key. It may have expired.
func (s *Server) unseal(token string) (ticket, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) != ticketSize+sha256.Size || !hmac.Equal(b[ticketSize:], s.mac(b[:ticketSize])) {
		return ticket{}, failure(CodeToken, "The token is not one of this service, or was changed. Ask for another link at /v3/timestamp/proof/url.")
	}
	return ticket{
		hash: [32]byte(b), currency: int(int32(binary.BigEndian.Uint32(b[32:]))), kind: kind(b[36]),
		expires: time.Unix(int64(binary.BigEndian.Uint64(b[37:])), 0),
	}, nil
}
