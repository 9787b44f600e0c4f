// Package webhook sends notices as signed webhooks. Body and signature are made anew for each try; the webhook's
// id is the notice's.
package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/egress"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/seal"
)

// events are the names of kinds in the API.
var events = map[notify.Kind]api.EventType{
	notify.Anchored:  api.EventAnchored,
	notify.Confirmed: api.EventConfirmed,
	notify.Upgraded:  api.EventProofUpgraded,
	notify.Withdrawn: api.EventWithdrawn,
	notify.Trouble:   api.EventTarget,
	notify.Test:      api.EventTest,
}

// Event is the name of a kind in the API.
func Event(k notify.Kind) api.EventType { return events[k] }

// Kind is the kind that customers may ask for by this name.
func Kind(e api.EventType) (notify.Kind, bool) {
	for kind, name := range events {
		if name == e && kind != notify.Trouble && kind != notify.Test {
			return kind, true
		}
	}
	return "", false
}

// Client asks servers. egress.Client is one.
type Client interface {
	Do(ctx context.Context, r *http.Request) (egress.Answer, error)
}

// ErrNothing says that what a notice is about is not there any more.
var ErrNothing = errors.New("what the event is about is not there any more")

// Sender sends webhooks.
type Sender struct {
	// Client is for addresses that customers chose, Operator for the operator's.
	Client, Operator Client
	// Secrets opens what the store keeps encrypted. OperatorSecret signs for the operator, unless it is empty.
	Secrets        *seal.Key
	OperatorSecret string
	// Describe says what a notice about a stamp is about, as it is now, or ErrNothing.
	Describe func(ctx context.Context, n notify.Notice) (api.EventData, error)
	Now      func() time.Time
}

// Send sends a notice once.
func (s *Sender) Send(ctx context.Context, e notify.Endpoint, n notify.Notice) notify.Outcome {
	body, err := s.body(ctx, n)
	if errors.Is(err, ErrNothing) {
		return notify.Outcome{Err: err}
	} else if err != nil {
		return notify.Outcome{Err: fmt.Errorf("%w: %w", notify.ErrOurFault, err)}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.Address, bytes.NewReader(body))
	if err != nil {
		return notify.Outcome{Err: errors.New("the URL is not one that can be asked")}
	}
	r.Header.Set("Content-Type", "application/json")
	now := s.Now()
	if err := s.sign(r.Header, e, n, now, body); err != nil {
		return notify.Outcome{Err: err}
	}
	client := s.Client
	if e.Account == 0 {
		client = s.Operator
	}
	answer, err := client.Do(ctx, r)
	if err != nil {
		if e, ok := errors.AsType[*egress.Error](err); ok {
			err = errors.New(e.Message) // the cause may tell of our network
		} else if ctx.Err() != nil {
			err = errors.New("there was no answer in time")
		}
		return notify.Outcome{Err: err}
	}
	o := notify.Outcome{Status: answer.Status}
	switch {
	case answer.Status >= 200 && answer.Status <= 299:
		return o
	case answer.Status == http.StatusGone:
		o.Gone = true
	case answer.Status >= 300 && answer.Status <= 399:
		o.Err = fmt.Errorf("the server answered %d: redirects are not followed, register the URL that it leads to", answer.Status)
		return o
	}
	o.Err = fmt.Errorf("the server answered %d", answer.Status)
	o.RetryAfter = retryAfter(answer.Header.Get("Retry-After"), now)
	return o
}

func (s *Sender) body(ctx context.Context, n notify.Notice) ([]byte, error) {
	event := api.Event{Type: Event(n.Kind), Timestamp: api.Time{Time: n.Created}}
	switch n.Kind {
	case notify.Test:
	case notify.Trouble:
		event.Data = api.EventData{Target: n.Target, Status: n.Ref, Message: n.Message}
	default:
		var err error
		if event.Data, err = s.Describe(ctx, n); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(event); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// sign signs with every secret of the endpoint. The error has none in it.
func (s *Sender) sign(h http.Header, e notify.Endpoint, n notify.Notice, now time.Time, body []byte) error {
	var secrets []string
	if e.Account == 0 {
		if s.OperatorSecret == "" {
			h.Set(api.HeaderWebhookID, n.UID.String())
			h.Set(api.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
			return nil
		}
		secrets = []string{s.OperatorSecret}
	} else {
		sealed := [][]byte{e.Secret}
		if len(e.OldSecret) > 0 && now.Before(e.OldUntil) {
			sealed = append(sealed, e.OldSecret)
		}
		for _, b := range sealed {
			secret, err := OpenSecret(s.Secrets, e.UID, b)
			if err != nil {
				return err
			}
			secrets = append(secrets, secret)
		}
	}
	return api.SignWebhook(h, secrets, n.UID.String(), now, body)
}

// SealSecret encrypts an endpoint's secret.
func SealSecret(k *seal.Key, endpoint account.ID, secret string) []byte {
	return k.Seal([]byte(secret), endpoint[:])
}

// OpenSecret decrypts an endpoint's secret.
func OpenSecret(k *seal.Key, endpoint account.ID, sealed []byte) (string, error) {
	if k == nil {
		return "", errors.New("this node has no key for secrets")
	}
	secret, err := k.Open(sealed, endpoint[:])
	if err != nil {
		return "", errors.New("the webhook's secret cannot be read any more: rotate it")
	}
	return string(secret), nil
}

// retryAfter reads the header's seconds or date; 0 for anything else.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(text); err == nil {
		return time.Duration(max(0, min(n, 30*24*3600))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
