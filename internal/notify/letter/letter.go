// Package letter sends notices as e-mail: the operator's troubles, and to an account what became of its stamps, with a
// page on which its e-mail is switched off. What became due since the last e-mail goes in one.
package letter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/mail"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/notify/webhook"
	"github.com/datestone/datestone/internal/store"
)

// Client gives a message to a mail server. mail.Client is one.
type Client interface {
	Send(ctx context.Context, m mail.Message) error
}

// Store knows what targets say. store.DB is one.
type Store interface {
	// Targets are the targets as they last described themselves.
	Targets(ctx context.Context) ([]anchor.Status, error)
	AttestationOf(ctx context.Context, target, ref string) (logtree.Attestation, error)
	Attestations(ctx context.Context, p logtree.Position) ([]logtree.Attestation, error)
}

// Sender sends e-mail.
type Sender struct {
	Client  Client
	Service mail.Service
	Store   Store
	// Describe is what a notice about a stamp is about, as it is now. It returns webhook.ErrNothing when the stamp is
	// not there.
	Describe func(ctx context.Context, n notify.Notice) (api.EventData, error)
	// Proof is the .ots file of a notice's stamp, nil while it is not complete.
	Proof func(ctx context.Context, n notify.Notice) ([]byte, error)
}

const (
	// Listed is how many stamps an e-mail names and attaches proofs of; the others it counts.
	Listed = 20
	// maxAttached bounds the proofs in an e-mail, in bytes. One has ten thousand at most.
	maxAttached = 400 << 10
)

// Send sends a notice once. Sent again it has the same Message-ID.
func (s *Sender) Send(ctx context.Context, e notify.Endpoint, n notify.Notice) notify.Outcome {
	_, o := s.SendTogether(ctx, e, []notify.Notice{n})
	return o
}

// SendTogether sends the first notices that say the same: of a trouble one, and of stamps all up to the first whose
// confirmation counts while that of those before it does not, or the other way round. The same ones sent again have the
// same Message-ID.
func (s *Sender) SendTogether(ctx context.Context, e notify.Endpoint, all []notify.Notice) (int, notify.Outcome) {
	var m mail.Message
	n, some := 1, true
	var err error
	switch first := all[0]; {
	case first.Kind == notify.Trouble:
		m, err = s.trouble(ctx, first)
	case aboutConfirmation(first):
		m, n, some, err = s.confirmations(ctx, e, all)
	default:
		return 1, notify.Outcome{Err: fmt.Errorf("a notice of the kind %s does not go by e-mail", first.Kind)}
	}
	if err != nil {
		return 1, notify.Outcome{Err: fmt.Errorf("%w: %w", notify.ErrOurFault, err)}
	}
	if !some {
		return n, notify.Outcome{}
	}
	m.To, m.ID, m.Date = e.Address, messageID(all[:n]), all[n-1].Created
	err = s.Client.Send(ctx, m)
	o := notify.Outcome{Err: err}
	if e, ok := errors.AsType[*mail.Error](err); ok {
		o.Status = e.Code
	}
	return n, o
}

// messageID is another one for other notices: a mail program may show only one message of an id.
func messageID(all []notify.Notice) string {
	if len(all) == 1 {
		return all[0].UID.String()
	}
	h := sha256.New()
	for _, n := range all {
		h.Write(n.UID[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func (s *Sender) trouble(ctx context.Context, n notify.Notice) (mail.Message, error) {
	targets, err := s.Store.Targets(ctx)
	if err != nil {
		return mail.Message{}, err
	}
	t := mail.Trouble{Target: n.Target, Code: n.Ref, Message: n.Message, Since: n.Created}
	for _, status := range targets {
		if status.Target == n.Target {
			t.Network, t.TestNetwork = status.Network, status.TestNetwork
		}
	}
	return s.Service.Trouble(t), nil
}

func aboutConfirmation(n notify.Notice) bool {
	return n.Kind == notify.Confirmed || n.Kind == notify.Withdrawn
}

// confirmations is the message about the first so many notices. It says what is true now, which may have changed since
// they were written. some is false when their stamps are not there any more.
func (s *Sender) confirmations(ctx context.Context, e notify.Endpoint, all []notify.Notice) (m mail.Message, n int, some bool, err error) {
	known, seen := make(map[string]bool), make(map[account.ID]bool)
	var stamps []notify.Notice
	standing := false
	for ; n < len(all) && aboutConfirmation(all[n]) && all[n].Target == all[0].Target; n++ {
		one := all[n]
		stands, err := s.stands(ctx, &one, known)
		if err != nil {
			return m, n, false, err
		}
		if n > 0 && stands != standing {
			break
		}
		if standing = stands; !seen[one.Stamp] {
			seen[one.Stamp] = true
			stamps = append(stamps, one)
		}
	}
	news, err := s.describe(ctx, stamps[:min(len(stamps), Listed)], standing)
	if err != nil || len(news) == 0 {
		return m, n, false, err
	}
	service := s.Service
	service.Off = service.URI + offPath(e)
	switch single := len(news) == 1 && len(stamps) == 1; {
	case single && standing:
		m = service.Confirmed(news[0].Stamp, news[0].Attestation, news[0].Proof)
	case single:
		m = service.Withdrawn(news[0].Stamp, news[0].Attestation)
	case standing:
		m = service.ConfirmedMany(news, len(stamps))
	default:
		m = service.WithdrawnMany(news, len(stamps))
	}
	return m, n, true, nil
}

// stands says whether a notice's target confirms its stamp now, and names the attestation that does in the notice.
// known is what was asked before, by attestation.
func (s *Sender) stands(ctx context.Context, n *notify.Notice, known map[string]bool) (bool, error) {
	counts, ok := known[n.Ref]
	if !ok {
		a, err := s.Store.AttestationOf(ctx, n.Target, n.Ref)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
		counts = err == nil && (a.State == logtree.Counted || a.State == logtree.Superseded)
		known[n.Ref] = counts
	}
	if counts {
		return true, nil
	}
	others, err := s.Store.Attestations(ctx, n.Position)
	for _, a := range others {
		if a.Target == n.Target && a.State == logtree.Counted {
			n.Ref = a.Ref
			return true, err
		}
	}
	return false, err
}

// describe is what is told of stamps that are there.
func (s *Sender) describe(ctx context.Context, stamps []notify.Notice, standing bool) ([]mail.News, error) {
	var all []mail.News
	attached := 0
	for _, n := range stamps {
		data, err := s.Describe(ctx, n)
		if errors.Is(err, webhook.ErrNothing) || err == nil && data.Attestation == nil {
			continue
		} else if err != nil {
			return nil, err
		}
		t, a := data.Timestamp, data.Attestation
		one := mail.News{
			Stamp: mail.Stamp{File: t.Filename, Digest: t.SHA256Hash, Created: t.CreatedAt.Time, Certificate: t.CertificateURL, Verify: t.VerifyURL},
			Attestation: mail.Attestation{
				Target: n.Target, Network: a.Network, TestNetwork: a.TestNetwork, Height: a.BlockHeight, BlockHash: a.BlockHash, BlockTime: a.BlockTime.Time, Transaction: a.Transaction,
			},
		}
		if standing {
			proof, err := s.Proof(ctx, n)
			if err != nil {
				return nil, err
			}
			if attached += len(proof); attached <= maxAttached {
				one.Proof = proof
			}
		}
		all = append(all, one)
	}
	return all, nil
}
