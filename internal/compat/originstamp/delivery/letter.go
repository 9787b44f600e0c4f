package delivery

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"slices"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/compat/originstamp/proof"
	"github.com/datestone/datestone/internal/mail"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/page"
	"github.com/datestone/datestone/internal/seed"
)

// Mailer gives a message to a mail server. mail.Client is one.
type Mailer interface {
	Send(ctx context.Context, m mail.Message) error
}

// Letter sends the e-mail that was asked for with a hash, with both proofs.
type Letter struct {
	Store Store
	Mail  Mailer
	// Currencies have the names of targets.
	Currencies []seed.Currency
	// Service is the public address, without a slash at the end.
	Service string
	// Proof is the .ots file of a submitted hash, complete or not, or nil when there is none.
	Proof func(ctx context.Context, sub seed.Submitted) ([]byte, error)
}

// Send sends once.
func (l *Letter) Send(ctx context.Context, e notify.Endpoint, n notify.Notice) notify.Outcome {
	m, err := l.message(ctx, e, n)
	if errors.Is(err, errNotFinal) {
		return notify.Outcome{Err: err}
	} else if err != nil {
		return notify.Outcome{Err: fmt.Errorf("%w: %w", notify.ErrOurFault, err)}
	}
	err = l.Mail.Send(ctx, m)
	o := notify.Outcome{Err: err}
	if e, ok := errors.AsType[*mail.Error](err); ok {
		o.Status = e.Code
	}
	return o
}

func (l *Letter) message(ctx context.Context, e notify.Endpoint, n notify.Notice) (mail.Message, error) {
	sub, states, branch, err := final(ctx, l.Store, n)
	if err != nil {
		return mail.Message{}, err
	}
	targets, err := l.Store.Targets(ctx)
	if err != nil {
		return mail.Message{}, err
	}
	ots, err := l.Proof(ctx, sub)
	if err != nil {
		return mail.Message{}, err
	}
	state := states[0]
	i := slices.IndexFunc(l.Currencies, func(c seed.Currency) bool { return c.Target == state.Target })
	if i < 0 {
		return mail.Message{}, fmt.Errorf("the target %s is no currency", state.Target)
	}
	hash := hex.EncodeToString(sub.Hash[:])
	told := told{
		Hash: hash, Comment: page.Visible(sub.Comment), Currency: proof.CurrencyName(l.Currencies[i]), Transaction: state.Ref, Printed: state.Attestation.Kind == "",
		Time: state.Time, Root: hex.EncodeToString(branch.Root[:]), Service: l.Service, OTS: len(ots) > 0,
		TestNetwork: slices.ContainsFunc(targets, func(t anchor.Status) bool { return t.Target == state.Target && t.TestNetwork }),
	}
	name, subject := hash, "Timestamp of "+hash[:16]+" is tamper-proof"
	if told.TestNetwork {
		name, subject = "TEST-NETWORK-"+name, "TEST NETWORK: "+subject
	}
	var html bytes.Buffer
	if err := letterPage.Execute(&html, told); err != nil {
		return mail.Message{}, err
	}
	m := mail.Message{
		To: e.Address, ID: n.UID.String(), Date: n.Created, Subject: subject, Text: told.plain(), HTML: html.String(),
		Attachments: []mail.Attachment{{Name: name + ".xml", Type: "text/xml", Content: proof.XML(branch)}},
	}
	if told.OTS {
		m.Attachments = append(m.Attachments, mail.Attachment{Name: name + ".ots", Type: "application/octet-stream", Content: ots})
	}
	return m, nil
}

// told is what an e-mail says.
type told struct {
	Hash, Comment, Currency, Transaction, Root, Service string
	Time                                                time.Time
	Printed, OTS, TestNetwork                           bool
}

// Row is a fact and its name.
type Row struct{ Label, Text string }

// Rows are the facts, in their order.
func (t told) Rows() []Row {
	rows := []Row{{"Hash (SHA-256)", t.Hash}}
	if t.Comment != "" {
		rows = append(rows, Row{"Comment", t.Comment})
	}
	where := "Transaction"
	if t.Printed {
		where = "Issue"
	}
	return append(rows, Row{"Currency", t.Currency}, Row{where, t.Transaction}, Row{"Time", t.Time.UTC().Format("2 January 2006, 15:04:05 UTC")}, Row{"Root hash", t.Root})
}

// Address is where the hash is shown.
func (t told) Address() string { return t.Service + "/s/" + t.Hash }

// Attached says what the files are.
func (t told) Attached() string {
	text := "The proof is attached as XML: it leads from the hash to the root hash, which the transaction carries."
	if t.Printed {
		text = "The proof is attached as XML: it leads from the hash to the root hash, which was printed."
	}
	if t.OTS {
		text += " The .ots file is a proof of the same hash for any OpenTimestamps client, which completes it if that is still to be done."
	}
	return text + " You need not trust the sender of this e-mail to verify either of them."
}

func (t told) plain() string {
	var b bytes.Buffer
	if t.TestNetwork {
		b.WriteString("TEST NETWORK: this proves nothing.\n\n")
	}
	fmt.Fprintf(&b, "The timestamp of a hash is tamper-proof. Somebody asked %s to tell you.\n", t.Service)
	for _, row := range t.Rows() {
		fmt.Fprintf(&b, "\n%s\n%s\n", row.Label, row.Text)
	}
	fmt.Fprintf(&b, "\nVerify it\n%s\n\n%s\n", t.Address(), t.Attached())
	return b.String()
}

var letterPage = template.Must(template.New("letter").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Timestamp tamper-proof</title></head>
<body style="font-family: sans-serif; max-width: 42em">
{{if .TestNetwork}}<p><strong>TEST NETWORK: this proves nothing.</strong></p>
{{end}}<p>The timestamp of a hash is tamper-proof. Somebody asked {{.Service}} to tell you.</p>
<dl>
{{range .Rows}}<dt>{{.Label}}</dt><dd style="overflow-wrap: anywhere"><bdi>{{.Text}}</bdi></dd>
{{end}}</dl>
<p><a href="{{.Address}}">Verify it</a></p>
<p>{{.Attached}}</p>
</body></html>
`))
