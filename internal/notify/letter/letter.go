// Package letter sends notices as e-mail. The operator's troubles are the notices that go by e-mail.
package letter

import (
	"context"
	"errors"
	"fmt"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/mail"
	"github.com/datestone/datestone/internal/notify"
)

// Client gives a message to a mail server. mail.Client is one.
type Client interface {
	Send(ctx context.Context, m mail.Message) error
}

// Sender sends e-mail.
type Sender struct {
	Client  Client
	Service mail.Service
	// Targets are the targets as they last described themselves.
	Targets func(ctx context.Context) ([]anchor.Status, error)
}

// Send sends a notice once. Sent again it has the same Message-ID.
func (s *Sender) Send(ctx context.Context, e notify.Endpoint, n notify.Notice) notify.Outcome {
	if n.Kind != notify.Trouble {
		return notify.Outcome{Err: fmt.Errorf("a notice of the kind %s does not go by e-mail", n.Kind)}
	}
	targets, err := s.Targets(ctx)
	if err != nil {
		return notify.Outcome{Err: fmt.Errorf("%w: %w", notify.ErrOurFault, err)}
	}
	t := mail.Trouble{Target: n.Target, Code: n.Ref, Message: n.Message, Since: n.Created}
	for _, status := range targets {
		if status.Target == n.Target {
			t.Network, t.TestNetwork = status.Network, status.TestNetwork
		}
	}
	m := s.Service.Trouble(t)
	m.To, m.ID, m.Date = e.Address, n.UID.String(), n.Created
	err = s.Client.Send(ctx, m)
	o := notify.Outcome{Err: err}
	if e, ok := errors.AsType[*mail.Error](err); ok {
		o.Status = e.Code
	}
	return o
}
