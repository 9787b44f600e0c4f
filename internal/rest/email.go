package rest

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/notify/webhook"
	"github.com/datestone/datestone/internal/store"
)

// Mailboxes keep which accounts want e-mail.
type Mailboxes interface {
	Account(ctx context.Context, id int64) (account.Account, error)
	SetMail(ctx context.Context, now time.Time, e notify.Endpoint) (notify.Endpoint, error)
	Mail(ctx context.Context, owner int64) (notify.Endpoint, error)
	EndMail(ctx context.Context, owner int64) error
}

// mailed are the kinds that go by e-mail.
var mailed = []notify.Kind{notify.Confirmed, notify.Withdrawn}

// NewMailbox is an account's endpoint for e-mail, which waits so long for more to say.
func NewMailbox(owner int64, kinds notify.Kinds, gather time.Duration) notify.Endpoint {
	e := notify.Endpoint{UID: account.NewID(), Account: owner, Channel: notify.Mail, Kinds: kinds, Gather: gather, Secret: make([]byte, notify.MailSecretBytes)}
	rand.Read(e.Secret)
	return e
}

func (s *Server) email(w http.ResponseWriter, r *http.Request, c *caller) error {
	owner, err := s.config.Store.Account(r.Context(), c.account.ID)
	if err != nil {
		return refused(err)
	}
	e, err := s.config.Store.Mail(r.Context(), owner.ID)
	if err != nil && !errors.Is(err, notify.ErrUnknown) {
		return refused(err)
	}
	return answerJSON(w, r, http.StatusOK, s.emailOf(owner, e))
}

// emailOf takes an endpoint, or the zero value when the account gets no e-mail.
func (s *Server) emailOf(owner account.Account, e notify.Endpoint) api.EmailNotifications {
	answer := api.EmailNotifications{
		Available: s.sendsNoMail(owner) == nil, Enabled: e.ID != 0, Address: owner.Email, Events: []api.EventType{},
		Failures: e.Failures, FailingSince: timeOf(e.Failing), NextAttemptAt: timeOf(e.Next),
	}
	for _, k := range e.Kinds.List() {
		answer.Events = append(answer.Events, webhook.Event(k))
	}
	return answer
}

// sendsNoMail says why an account can get no e-mail.
func (s *Server) sendsNoMail(owner account.Account) error {
	if s.config.CheckMail == nil {
		return failure(api.ErrServiceUnavailable, "This service sends no e-mail.")
	}
	if err := s.config.CheckMail(owner.Email); err != nil {
		return because(err, api.ErrServiceUnavailable, "This service sends no e-mail to the account's address: "+err.Error()+".")
	}
	return nil
}

func (s *Server) setEmail(w http.ResponseWriter, r *http.Request, c *caller) error {
	owner, err := s.config.Store.Account(r.Context(), c.account.ID)
	if err != nil {
		return refused(err)
	}
	if err := s.sendsNoMail(owner); err != nil {
		return err
	}
	_, fields, err := readObject(r, maxBody)
	if err != nil {
		return err
	}
	kinds := notify.Set(mailed...)
	if list := fields["events"]; list != nil {
		if kinds, err = parseMailed(list); err != nil {
			return err
		}
	}
	e, err := s.config.Store.SetMail(r.Context(), c.now, NewMailbox(owner.ID, kinds, s.config.MailEvery))
	if err != nil {
		return refused(err)
	}
	c.note = append(c.note, "email", e.UID.String())
	return answerJSON(w, r, http.StatusOK, s.emailOf(owner, e))
}

func parseMailed(v any) (notify.Kinds, error) {
	kinds, err := parseEvents(v)
	if err == nil && kinds&^notify.Set(mailed...) == 0 {
		return kinds, nil
	}
	var names []string
	for _, k := range mailed {
		names = append(names, string(webhook.Event(k)))
	}
	return 0, failure(api.ErrInvalidEvents, "events must be a list with some of "+strings.Join(names, ", ")+".")
}

func (s *Server) endEmail(w http.ResponseWriter, r *http.Request, c *caller) error {
	if err := s.config.Store.EndMail(r.Context(), c.account.ID); err != nil {
		return refused(err)
	}
	c.note = append(c.note, "email", "off")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// Proof is the .ots file of the stamp that a notice is about, nil while it is not complete.
func (s *Server) Proof(ctx context.Context, n notify.Notice) ([]byte, error) {
	st, err := s.config.Store.Stamp(ctx, n.Stamp)
	if errors.Is(err, store.ErrNotFound) || err == nil && st.Account != n.Account {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return s.complete(ctx, st)
}
