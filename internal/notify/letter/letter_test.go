package letter

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/mail"
	"github.com/datestone/datestone/internal/notify"
)

type fake struct {
	sent []mail.Message
	err  error
}

func (f *fake) Send(_ context.Context, m mail.Message) error {
	f.sent = append(f.sent, m)
	return f.err
}

func TestTrouble(t *testing.T) {
	f := &fake{}
	s := &Sender{Client: f, Service: mail.Service{URI: "https://stamps.test"}, Targets: func(context.Context) ([]anchor.Status, error) {
		return []anchor.Status{{Target: "bitcoin", Network: "regtest", TestNetwork: true}}, nil
	}}
	e := notify.Endpoint{Channel: notify.Mail, Address: "operator@example.org"}
	n := notify.Notice{UID: account.NewID(), Target: "bitcoin", Kind: notify.Trouble, Ref: "no_funds", Message: "Send coins.", Created: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}
	if o := s.Send(t.Context(), e, n); o.Err != nil || len(f.sent) != 1 {
		t.Fatalf("%+v, %v", o, f.sent)
	}
	m := f.sent[0]
	if m.To != e.Address || m.ID != n.UID.String() || !m.Date.Equal(n.Created) || !strings.Contains(m.Subject, "no_funds") || !strings.Contains(m.Text, "Send coins.") || !strings.Contains(m.Text, "TEST NETWORK") {
		t.Errorf("%+v", m)
	}
	f.err = &mail.Error{Fault: mail.Refused, Code: 550, Message: "no such user"}
	if o := s.Send(t.Context(), e, n); o.Err == nil || o.Status != 550 || errors.Is(o.Err, notify.ErrOurFault) {
		t.Errorf("refused: %+v", o)
	}
	n.Kind = notify.Confirmed
	if o := s.Send(t.Context(), e, n); o.Err == nil || len(f.sent) != 2 {
		t.Errorf("another kind: %+v", o)
	}
	n.Kind = notify.Trouble
	s.Targets = func(context.Context) ([]anchor.Status, error) { return nil, errors.New("the database is away") }
	if o := s.Send(t.Context(), e, n); !errors.Is(o.Err, notify.ErrOurFault) {
		t.Errorf("%+v", o)
	}
}
