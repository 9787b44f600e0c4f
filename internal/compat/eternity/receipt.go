package eternity

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/mail"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/signedmsg"
)

// Mailer gives a message to a mail server. mail.Client is one.
type Mailer interface {
	Send(ctx context.Context, m mail.Message) error
}

// Receipt sends the e-mail that was asked for with a digest: the digest, its complete proof, and whose signature it has.
type Receipt struct {
	Store  Awaited
	Server *Server // makes the proof
	Mail   Mailer
}

// Send sends once.
func (c *Receipt) Send(ctx context.Context, e notify.Endpoint, n notify.Notice) notify.Outcome {
	m, err := c.message(ctx, e, n)
	if err != nil {
		return notify.Outcome{Err: fmt.Errorf("%w: %w", notify.ErrOurFault, err)}
	}
	err = c.Mail.Send(ctx, m)
	o := notify.Outcome{Err: err}
	if e, ok := errors.AsType[*mail.Error](err); ok {
		o.Status = e.Code
	}
	return o
}

var errNotComplete = errors.New("the proof is not complete any more")

func (c *Receipt) message(ctx context.Context, e notify.Endpoint, n notify.Notice) (mail.Message, error) {
	signed, _, err := c.Store.SignedOf(ctx, n)
	if err != nil {
		return mail.Message{}, err
	}
	key, err := signed.Signature.Recover(signedmsg.Digest(signed.Digest))
	if err != nil {
		return mail.Message{}, err
	}
	proof, err := c.Server.complete(ctx, signed)
	if err != nil {
		return mail.Message{}, err
	}
	hash := key.Hash()
	digest := hex.EncodeToString(signed.Digest)
	told := receiptText{
		Digest: digest, KeyHash: hex.EncodeToString(hash[:]), Address: key.Address(), Signature: signed.Signature.String(),
		Service: c.Server.config.URI, TestNetwork: c.Server.config.TestNetwork,
	}
	name, subject := digest+".ots", "Timestamp of "+digest[:min(len(digest), 16)]+" is complete"
	if told.TestNetwork {
		name, subject = "TEST-NETWORK-"+name, "TEST NETWORK: "+subject
	}
	var page bytes.Buffer
	if err := receiptPage.Execute(&page, told); err != nil {
		return mail.Message{}, err
	}
	return mail.Message{
		To: e.Address, ID: n.UID.String(), Date: n.Created, Subject: subject, Text: told.plain(), HTML: page.String(),
		Attachments: []mail.Attachment{{Name: name, Type: "application/octet-stream", Content: proof}},
	}, nil
}

// complete is the complete proof of a signed digest: a whole .ots file, or the timestamp alone where the digest has
// not the length of its hash.
func (s *Server) complete(ctx context.Context, signed account.Signed) ([]byte, error) {
	at, err := s.place(ctx, signed, nil)
	if err != nil {
		return nil, err
	}
	t, err := s.assemble(ctx, at, Latest, false, false)
	if err != nil {
		return nil, err
	}
	if _, bitcoin := t.Shrink(); !bitcoin {
		return nil, errNotComplete
	}
	hash := at.hash
	if hash == 0 {
		hash = ots.OpSHA256
	}
	if hash.DigestSize() != len(signed.Digest) {
		return t.AppendBinary(nil)
	}
	return (&ots.File{HashOp: hash, Digest: signed.Digest, Timestamp: t}).AppendBinary(nil)
}

type receiptText struct {
	Digest, KeyHash, Address, Signature, Service string
	TestNetwork                                  bool
}

func (r receiptText) plain() string {
	warning := ""
	if r.TestNetwork {
		warning = "TEST NETWORK: this proves nothing.\n\n"
	}
	return warning + fmt.Sprintf(`A timestamp is complete. Whoever submitted it asked %s to tell you.

Digest
%s

Hash of the customer's public key (address %s)
%s

The customer's signature of the digest, a Bitcoin signed message
%s

The proof is attached. It shows that the digest existed before a Bitcoin block. Check it with any OpenTimestamps
client and the file whose digest this is; you need not trust the sender of this e-mail.
`, r.Service, r.Digest, r.Address, r.KeyHash, r.Signature)
}

var receiptPage = template.Must(template.New("receipt").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Timestamp complete</title></head>
<body style="font-family: sans-serif; max-width: 42em">
{{if .TestNetwork}}<p><strong>TEST NETWORK: this proves nothing.</strong></p>
{{end}}<p>A timestamp is complete. Whoever submitted it asked {{.Service}} to tell you.</p>
<dl>
<dt>Digest</dt><dd><code>{{.Digest}}</code></dd>
<dt>Hash of the customer's public key (address {{.Address}})</dt><dd><code>{{.KeyHash}}</code></dd>
<dt>The customer's signature of the digest, a Bitcoin signed message</dt><dd><code>{{.Signature}}</code></dd>
</dl>
<p>The proof is attached. It shows that the digest existed before a Bitcoin block. Check it with any OpenTimestamps
client and the file whose digest this is; you need not trust the sender of this e-mail.</p>
</body></html>
`))
