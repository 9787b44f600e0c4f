// Package certificate is what a person keeps of a stamp: a page, the same as a PDF with the proof inside, and a ZIP file
// with all there is. They say what is proven, what is not, and how to check it without this service.
//
//	GET /cert/{TS-XXXXXX}             the certificate, as a page
//	GET /cert/{TS-XXXXXX}.pdf         the same as a PDF, with the .ots file attached
//	GET /cert/{TS-XXXXXX}.ots         the proof
//	GET /cert/{TS-XXXXXX}.zip         the proof, the PDF and how to verify them
//	GET /cert/{TS-XXXXXX}/thumbnail   the owner's picture of the file
//	GET /verify/{sha256}              whether there is a certificate of a digest, and what it says
//	GET /cert, /verify                forms that lead to these
//
// With ?sha256= a page says whether that is the digest of the certificate. What the owner said of the file (its name,
// size and type, the branding, the picture) is shown only when the owner made the certificate public.
package certificate

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/publish"
)

// Status is what a certificate is worth now. It is read off the position of the stamp and never stored.
type Status string

const (
	// Pending: in the log of the service, and in no block yet.
	Pending Status = "pending"
	// Mined: in a block that is not deep enough to count.
	Mined Status = "mined"
	// Confirmed: in a block that counts.
	Confirmed Status = "confirmed"
	// Withdrawn: it was confirmed, and the block has left its chain.
	Withdrawn Status = "withdrawn"
)

// Certificate is all that a page or a document says of a stamp.
type Certificate struct {
	ID       string
	SHA256   string
	Received time.Time // by the clock of the service
	AsOf     time.Time // when the status was read
	Status   Status
	// Block is what attests to the stamp, or did when Withdrawn; nil while Pending.
	Block *logtree.Attestation
	// Needed is how many blocks deep an attestation must be to count; 0 when that is not known.
	Needed      int
	Chain       string // in a sentence: "the Bitcoin blockchain"
	Network     string // of the chain: mainnet, regtest, ...; empty when that is not known
	TestNetwork bool
	Proof       []byte // the .ots file
	// Printed is the first confirmed publication that the fingerprint is in, or nil.
	Printed *publish.Shown
	Service string // the address of the service, without a slash at the end

	// What the owner said of the file, and shows with it; nil and empty where it is not to be shown.
	Public    bool
	File      *account.File
	Branding  *account.Branding
	Thumbnail []byte
}

// Address is where the certificate is shown.
func (c *Certificate) Address() string { return c.Service + c.path("") }

// path leads to a form of the certificate, such as ".pdf".
func (c *Certificate) path(suffix string) string {
	return prefix + c.ID + suffix
}

// FileName is the name of a file about the certificate: ASCII that every system takes.
func (c *Certificate) FileName(ending string) string {
	if c.TestNetwork {
		return "TEST-NETWORK-" + c.ID + ending
	}
	return c.ID + ending
}

// Transaction is what carried the head of the log, as explorers name it.
func (c *Certificate) Transaction() string {
	if c.Block == nil {
		return ""
	}
	return c.Block.Ref
}

// BlockHash is the hash of the block as explorers write it.
func (c *Certificate) BlockHash() string {
	if c.Block == nil {
		return ""
	}
	b := c.Block.BlockHash
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return hex.EncodeToString(b[:])
}

// certify reads what a stamp is worth now. What the owner said of the file is in the certificate when it is public or
// for the owner.
func (s *Server) certify(ctx context.Context, st account.Stamp, owner bool) (*Certificate, error) {
	targets, err := s.config.Store.Targets(ctx)
	if err != nil {
		return nil, err
	}
	c := &Certificate{
		ID: st.Certificate, SHA256: hex.EncodeToString(st.SHA256[:]), Received: st.Created, Service: s.config.URI, Public: st.Public,
		AsOf: s.config.Now().UTC().Truncate(time.Minute), TestNetwork: anyTest(targets),
	}
	if st.Public || owner {
		c.Branding, c.Thumbnail = st.Branding, st.Thumbnail
		if st.File != (account.File{}) { // a submitted hash has none
			c.File = &st.File
		}
	}
	printed, err := publish.Of(ctx, s.config.Store, st, 1)
	if err != nil {
		return nil, err
	}
	c.Printed = first(printed)
	// A block may come or go between the two questions; then they are asked again.
	const attempts = 4
	for range attempts {
		if err := s.readStatus(ctx, c, st.Position, targets); err != nil {
			return nil, err
		}
		var state calendar.State
		if c.Proof, state, err = calendar.File(ctx, s.config.Store, s.config.Proofs, s.pending, st, false); err != nil {
			return nil, err
		}
		if (state == calendar.Confirmed) == (c.Status == Confirmed) {
			return c, nil
		}
	}
	return nil, fmt.Errorf("certificate %s: its status changes too often to be read", c.ID)
}

func (s *Server) readStatus(ctx context.Context, c *Certificate, p logtree.Position, targets []anchor.Status) error {
	c.Status, c.Block = Pending, nil
	attestations, err := s.config.Store.Attestations(ctx, p)
	if err != nil {
		return err
	}
	for _, a := range attestations { // lowest block first
		if a.Kind != logtree.Bitcoin {
			continue
		}
		if a.State == logtree.Counted {
			c.Status, c.Block = Confirmed, &a
			break
		}
		if c.Block == nil {
			c.Status, c.Block = Mined, &a
		}
	}
	if c.Status != Confirmed {
		withdrawn, err := s.config.Store.Withdrawn(ctx, p)
		if err != nil {
			return err
		}
		if len(withdrawn) > 0 {
			c.Status, c.Block = Withdrawn, &withdrawn[0]
		}
	}
	c.Chain, c.Network, c.Needed = unknownChain, "", 0
	for _, t := range targets {
		if t.Printed == nil && t.Kind != logtree.Ethereum && (c.Block != nil && c.Block.Target == t.Target || c.Block == nil && c.Chain == unknownChain) {
			c.Chain, c.Network, c.Needed = chainName(t), t.Network, t.Confirmations
		}
	}
	return nil
}

// unknownChain is what the chain of a certificate is called before a target is known.
const unknownChain = "a blockchain"

// chainName names a target's chain in a sentence.
func chainName(t anchor.Status) string {
	if t.Target == "" {
		return unknownChain
	}
	name := strings.ToUpper(t.Target[:1]) + t.Target[1:]
	if t.TestNetwork {
		return fmt.Sprintf("the %s test network %s", name, t.Network)
	}
	return fmt.Sprintf("the %s blockchain", name)
}

// logo is the address of the owner's logo for a page and for its policy, which names that one picture. It is empty for
// an address that a policy cannot name.
func (c *Certificate) logo() (address, source string) {
	if c.Branding == nil || c.Branding.LogoURL == "" {
		return "", ""
	}
	u, err := url.Parse(c.Branding.LogoURL)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Host == "" || strings.Trim(u.Host, hostCharacters) != "" {
		return "", ""
	}
	path := strings.NewReplacer(";", "%3B", ",", "%2C", "'", "%27", " ", "%20").Replace(u.EscapedPath())
	return u.String(), "https://" + u.Host + path
}

const hostCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:"
