package rest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/notify/webhook"
	"github.com/datestone/datestone/internal/store"
)

// Endpoints keeps webhooks, and knows what became of their deliveries.
type Endpoints interface {
	AddEndpoint(ctx context.Context, now time.Time, e notify.Endpoint, limits store.EndpointLimits) (notify.Endpoint, error)
	Endpoint(ctx context.Context, uid account.ID) (notify.Endpoint, error)
	Endpoints(ctx context.Context, owner int64, limit int) ([]notify.Endpoint, error)
	DeleteEndpoint(ctx context.Context, owner int64, uid account.ID) error
	RotateSecret(ctx context.Context, owner int64, uid account.ID, secret []byte, until time.Time) error
	AddTest(ctx context.Context, now time.Time, owner int64, uid account.ID) (notify.Notice, error)
	Deliveries(ctx context.Context, f notify.Filter, limit int) ([]notify.Delivery, map[int64]account.ID, error)
	AttestationOf(ctx context.Context, target, ref string) (logtree.Attestation, error)
}

// webhookLimits bound what an account registers, and with it what a new attestation costs.
var webhookLimits = store.EndpointLimits{Wide: 20, Stamp: 10, All: 1000}

// oldSecretSigns is how long a secret signs after it was rotated.
const oldSecretSigns = 24 * time.Hour

func (s *Server) createWebhook(w http.ResponseWriter, r *http.Request, c *caller) error {
	if s.config.Secrets == nil || s.config.CheckURL == nil {
		return failure(api.ErrServiceUnavailable, "This service is not set up for webhooks.")
	}
	_, fields, err := readObject(r, maxBody)
	if err != nil {
		return err
	}
	e := notify.Endpoint{UID: account.NewID(), Account: c.account.ID, Channel: notify.Webhook}
	e.Address, _ = fields["url"].(string)
	if err := s.config.CheckURL(e.Address); err != nil {
		return because(err, api.ErrInvalidURL, "The webhook cannot be called: "+err.Error()+".")
	}
	if e.Kinds, err = parseEvents(fields["events"]); err != nil {
		return err
	}
	if id := fields["timestamp_id"]; id != nil {
		st, err := s.ownStamp(r.Context(), c, id)
		if err != nil {
			return err
		}
		e.Stamp, e.Position = &st.ID, st.Position
	}
	secret := api.NewWebhookSecret()
	e.Secret = webhook.SealSecret(s.config.Secrets, e.UID, secret)
	e, err = s.config.Store.AddEndpoint(r.Context(), c.now, e, webhookLimits)
	if errors.Is(err, notify.ErrLimit) {
		return failure(api.ErrWebhookLimit, "The account has as many webhooks as it may. Delete one first.")
	} else if err != nil {
		return refused(err)
	}
	c.note = append(c.note, "webhook", e.UID.String())
	answer := webhookOf(e, c.now)
	answer.Secret = secret
	return answerJSON(w, r, http.StatusCreated, answer)
}

func parseEvents(v any) (notify.Kinds, error) {
	list, _ := v.([]any)
	var kinds notify.Kinds
	for _, v := range list {
		name, _ := v.(string)
		kind, ok := webhook.Kind(api.EventType(name))
		if !ok {
			kinds = 0
			break
		}
		kinds |= notify.Set(kind)
	}
	if kinds == 0 {
		var names []string
		for _, e := range api.EventTypes() {
			names = append(names, string(e))
		}
		return 0, failure(api.ErrInvalidEvents, "events must be a list with some of "+strings.Join(names, ", ")+".")
	}
	return kinds, nil
}

// ownStamp is the caller's stamp with an id from a body.
func (s *Server) ownStamp(ctx context.Context, c *caller, v any) (account.Stamp, error) {
	text, _ := v.(string)
	id, err := account.ParseID(text)
	if err != nil {
		return account.Stamp{}, failure(api.ErrInvalidID, "timestamp_id is not a UUID.")
	}
	st, err := s.config.Store.Stamp(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && st.Account != c.account.ID {
		return account.Stamp{}, errNotFound()
	} else if err != nil {
		return account.Stamp{}, refused(err)
	}
	return st, nil
}

func refusedWebhook(err error) error {
	if errors.Is(err, notify.ErrUnknown) {
		return failure(api.ErrWebhookNotFound, "The referenced webhook does not exist for the authenticated owner.")
	}
	return refused(err)
}

// endpoint is the caller's webhook with the id in the path. Another owner's looks like one that is not there.
func (s *Server) endpoint(r *http.Request, c *caller) (notify.Endpoint, error) {
	id, err := account.ParseID(r.PathValue(argumentName))
	if err != nil {
		return notify.Endpoint{}, failure(api.ErrInvalidID, "The webhook path parameter is not a UUID.")
	}
	e, err := s.config.Store.Endpoint(r.Context(), id)
	if err == nil && (e.Account != c.account.ID || e.Channel != notify.Webhook) {
		err = notify.ErrUnknown
	}
	if err != nil {
		return notify.Endpoint{}, refusedWebhook(err)
	}
	return e, nil
}

func webhookOf(e notify.Endpoint, now time.Time) api.Webhook {
	w := api.Webhook{
		ID: e.UID.String(), URL: e.Address, Events: []api.EventType{}, Status: api.WebhookActive,
		CreatedAt: api.Time{Time: e.Created}, Failures: e.Failures, FailingSince: timeOf(e.Failing), NextAttemptAt: timeOf(e.Next),
	}
	for _, k := range e.Kinds.List() {
		w.Events = append(w.Events, webhook.Event(k))
	}
	if e.Stamp != nil {
		id := e.Stamp.String()
		w.TimestampID = &id
	}
	if e.State == notify.Gone {
		w.Status = api.WebhookGone
	}
	if len(e.OldSecret) > 0 && now.Before(e.OldUntil) {
		w.OldSecretUntil = timeOf(e.OldUntil)
	}
	return w
}

func timeOf(t time.Time) *api.Time {
	if t.IsZero() {
		return nil
	}
	return &api.Time{Time: t}
}

func (s *Server) webhooks(w http.ResponseWriter, r *http.Request, c *caller) error {
	all, err := s.config.Store.Endpoints(r.Context(), c.account.ID, webhookLimits.All)
	if err != nil {
		return refused(err)
	}
	answer := api.Webhooks{Data: []api.Webhook{}}
	for _, e := range all {
		if e.Channel == notify.Webhook {
			answer.Data = append(answer.Data, webhookOf(e, c.now))
		}
	}
	return answerJSON(w, r, http.StatusOK, answer)
}

func (s *Server) webhook(w http.ResponseWriter, r *http.Request, c *caller) error {
	e, err := s.endpoint(r, c)
	if err != nil {
		return err
	}
	return answerJSON(w, r, http.StatusOK, webhookOf(e, c.now))
}

func (s *Server) deleteWebhook(w http.ResponseWriter, r *http.Request, c *caller) error {
	e, err := s.endpoint(r, c)
	if err != nil {
		return err
	}
	if err := s.config.Store.DeleteEndpoint(r.Context(), c.account.ID, e.UID); err != nil {
		return refusedWebhook(err)
	}
	c.note = append(c.note, "webhook", e.UID.String())
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) rotateWebhook(w http.ResponseWriter, r *http.Request, c *caller) error {
	e, err := s.endpoint(r, c)
	if err != nil {
		return err
	}
	if s.config.Secrets == nil {
		return failure(api.ErrServiceUnavailable, "This service is not set up for webhooks.")
	}
	secret := api.NewWebhookSecret()
	sealed := webhook.SealSecret(s.config.Secrets, e.UID, secret)
	if err := s.config.Store.RotateSecret(r.Context(), c.account.ID, e.UID, sealed, c.now.Add(oldSecretSigns)); err != nil {
		return refusedWebhook(err)
	}
	c.note = append(c.note, "webhook", e.UID.String())
	if e, err = s.endpoint(r, c); err != nil {
		return err
	}
	answer := webhookOf(e, c.now)
	answer.Secret = secret
	return answerJSON(w, r, http.StatusOK, answer)
}

func (s *Server) testWebhook(w http.ResponseWriter, r *http.Request, c *caller) error {
	e, err := s.endpoint(r, c)
	if err != nil {
		return err
	}
	n, err := s.config.Store.AddTest(r.Context(), c.now, c.account.ID, e.UID)
	if errors.Is(err, notify.ErrGone) {
		return failure(api.ErrWebhookGone, "The webhook's server answered 410 Gone, so nothing is sent to it. Delete it and register it anew.")
	} else if err != nil {
		return refusedWebhook(err)
	}
	c.note = append(c.note, "webhook", e.UID.String())
	return answerJSON(w, r, http.StatusAccepted, api.WebhookTest{ID: n.UID.String()})
}

func (s *Server) deliveries(w http.ResponseWriter, r *http.Request, c *caller) error {
	e, err := s.endpoint(r, c)
	if err != nil {
		return err
	}
	f := notify.Filter{Endpoint: &e.UID}
	if text, has, ok := parameter(r.URL.RawQuery, "before"); has {
		id, err := account.ParseID(text)
		if err != nil || !ok {
			return failure(api.ErrInvalidCursor, "The `before` query parameter is not the id of a delivery.")
		}
		last, _, err := s.config.Store.Deliveries(r.Context(), notify.Filter{Endpoint: &e.UID, Notice: &id}, 1)
		if err != nil {
			return refused(err)
		}
		if len(last) == 0 {
			return failure(api.ErrInvalidCursor, "The `before` query parameter is not the id of a delivery to this webhook.")
		}
		f.Before = last[0].ID
	}
	limit := pageSize
	if text, has, ok := parameter(r.URL.RawQuery, "limit"); has {
		if limit, ok = parseLimit(text, ok); !ok {
			return failure(api.ErrInvalidLimit, "The list limit is not a positive integer.")
		}
	}
	all, _, err := s.config.Store.Deliveries(r.Context(), f, limit)
	if err != nil {
		return refused(err)
	}
	answer := api.WebhookDeliveries{Data: []api.WebhookDelivery{}, NextAttemptAt: timeOf(e.Next)}
	for _, d := range all {
		answer.Data = append(answer.Data, deliveryOf(d))
	}
	if len(all) == limit {
		answer.NextCursor = &answer.Data[limit-1].ID
	}
	return answerJSON(w, r, http.StatusOK, answer)
}

func deliveryOf(d notify.Delivery) api.WebhookDelivery {
	a := api.WebhookDelivery{
		ID: d.Notice.UID.String(), Event: webhook.Event(d.Notice.Kind), Status: d.State.String(), Tries: d.Tries,
		LastTriedAt: timeOf(d.Tried), CreatedAt: api.Time{Time: d.Notice.Created},
	}
	if d.Notice.Kind != notify.Test {
		id := d.Notice.Stamp.String()
		a.TimestampID, a.Target = &id, &d.Notice.Target
	}
	if d.Status != 0 {
		a.LastStatusCode = &d.Status
	}
	if d.Error != "" {
		a.LastError = &d.Error
	}
	return a
}

// Describe is what a notice about a stamp is about, as it is now. It returns webhook.ErrNothing when the stamp is
// not there.
func (s *Server) Describe(ctx context.Context, n notify.Notice) (api.EventData, error) {
	data := api.EventData{Target: n.Target}
	st, err := s.config.Store.Stamp(ctx, n.Stamp)
	if errors.Is(err, store.ErrNotFound) || err == nil && st.Account != n.Account {
		return data, webhook.ErrNothing
	} else if err != nil {
		return data, err
	}
	t, err := s.one(ctx, st)
	if err != nil {
		return data, err
	}
	data.Timestamp = &t
	a, found, err := s.attestation(ctx, n)
	if err != nil || !found {
		return data, err
	}
	targets, err := s.config.Store.Targets(ctx)
	if err != nil {
		return data, err
	}
	data.Attestation = &api.EventAttestation{
		BlockHeight: a.Height, BlockHash: reversedHex(a.BlockHash[:]), BlockTime: api.Time{Time: a.BlockTime}, Transaction: a.Ref,
	}
	if a.State != logtree.Withdrawn {
		data.Attestation.Confirmations = a.Depth()
	}
	for _, t := range targets {
		if t.Target == n.Target {
			data.Attestation.Network, data.Attestation.TestNetwork = t.Network, t.TestNetwork
		}
	}
	return data, nil
}

// attestation is the one that a notice names, or else the target's that a proof of the stamp uses.
func (s *Server) attestation(ctx context.Context, n notify.Notice) (logtree.Attestation, bool, error) {
	if n.Ref != "" {
		a, err := s.config.Store.AttestationOf(ctx, n.Target, n.Ref)
		if errors.Is(err, store.ErrNotFound) {
			return a, false, nil
		}
		return a, err == nil, err
	}
	all, err := s.config.Store.Attestations(ctx, n.Position)
	for _, a := range all {
		if a.Target == n.Target {
			return a, true, err
		}
	}
	return logtree.Attestation{}, false, err
}
