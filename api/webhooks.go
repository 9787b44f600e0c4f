package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// What a Webhook's status is.
const (
	WebhookActive = "active"
	WebhookGone   = "gone" // its server answered 410 Gone: nothing is sent to it any more
)

// Webhook is a URL that is told what happens to timestamps.
type Webhook struct {
	ID     string      `json:"id"` // a UUID
	URL    string      `json:"url"`
	Events []EventType `json:"events"`
	// TimestampID is the one timestamp that it is about; null for every one of the account.
	TimestampID *string `json:"timestamp_id"`
	Status      string  `json:"status"`
	CreatedAt   Time    `json:"created_at"`
	// Failures are those since the last success, which FailingSince began. NextAttemptAt is null while nothing is due.
	Failures      int   `json:"failures"`
	FailingSince  *Time `json:"failing_since"`
	NextAttemptAt *Time `json:"next_attempt_at"`
	// OldSecretUntil is how long the secret before the current one signs as well.
	OldSecretUntil *Time `json:"old_secret_until"`
	// Secret signs what is sent. It is in the answers to [Client.CreateWebhook] and [Client.RotateWebhook] alone.
	Secret string `json:"secret,omitempty"`
}

// Webhooks are all webhooks of an account, oldest first.
type Webhooks struct {
	Data []Webhook `json:"data"`
}

// WebhookRequest registers a URL. It is told what happens from then on.
type WebhookRequest struct {
	URL    string      `json:"url"`
	Events []EventType `json:"events"`
	// TimestampID is the one timestamp that it is about; empty for every one of the account.
	TimestampID string `json:"timestamp_id,omitempty"`
}

// WebhookTest is a test that is on its way.
type WebhookTest struct {
	ID string `json:"id"` // of the delivery
}

// What a WebhookDelivery's status is.
const (
	DeliveryDue       = "due"
	DeliveryDelivered = "delivered"
	DeliveryParked    = "parked"  // given up after two weeks; the service's operator can have it sent again
	DeliveryDropped   = "dropped" // the operator decided that it is not sent
)

// WebhookDelivery is an event on its way to a webhook.
type WebhookDelivery struct {
	ID          string    `json:"id"` // the event's, as in the header
	Event       EventType `json:"event"`
	TimestampID *string   `json:"timestamp_id"`
	Target      *string   `json:"target"`
	Status      string    `json:"status"`
	Tries       int       `json:"tries"`
	// LastStatusCode is null when there was no answer; LastError is null after a success.
	LastStatusCode *int    `json:"last_status_code"`
	LastError      *string `json:"last_error"`
	LastTriedAt    *Time   `json:"last_tried_at"`
	CreatedAt      Time    `json:"created_at"`
}

// WebhookDeliveries is one page of deliveries, newest first.
type WebhookDeliveries struct {
	Data          []WebhookDelivery `json:"data"`
	NextAttemptAt *Time             `json:"next_attempt_at"` // of the webhook; null while nothing is due
	NextCursor    *string           `json:"next_cursor"`     // the before of the next page; null if there is none
}

// CreateWebhook registers a URL. The answer has its secret, which nobody can ask for again. The request is sent
// once.
func (c *Client) CreateWebhook(ctx context.Context, r WebhookRequest) (Webhook, error) {
	var w Webhook
	body, err := jsonBody(r)
	if err == nil {
		err = c.call(ctx, request{method: http.MethodPost, path: []string{"webhooks"}, limit: maxAnswer, body: body, contentType: "application/json", single: true}, &w)
	}
	if err == nil && w.Secret == "" {
		err = fmt.Errorf("the server answered with a webhook without a secret")
	}
	if err != nil {
		return Webhook{}, c.failed("registering a webhook", err)
	}
	return w, nil
}

// Webhooks are the webhooks of the account.
func (c *Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	var all Webhooks
	if err := c.call(ctx, request{method: http.MethodGet, path: []string{"webhooks"}, limit: maxAnswer}, &all); err != nil {
		return nil, c.failed("listing webhooks", err)
	}
	return all.Data, nil
}

// Webhook returns a webhook, without its secret, or [ErrWebhookNotFound].
func (c *Client) Webhook(ctx context.Context, id string) (Webhook, error) {
	var w Webhook
	if err := c.webhook(ctx, http.MethodGet, id, "", nil, &w); err != nil {
		return Webhook{}, c.failed("getting a webhook", err)
	}
	return w, nil
}

// DeleteWebhook deletes a webhook. What is due to it is not sent any more.
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	err := checkID(id)
	if err == nil {
		_, err = c.do(ctx, request{method: http.MethodDelete, path: []string{"webhooks", id}, limit: maxAnswer})
	}
	if err != nil {
		return c.failed("deleting a webhook", err)
	}
	return nil
}

// RotateWebhook gives a webhook another secret, which is in the answer alone. For a day the one before it signs as
// well: give both to [VerifyWebhook] until then. The request is sent once.
func (c *Client) RotateWebhook(ctx context.Context, id string) (Webhook, error) {
	var w Webhook
	if err := c.webhook(ctx, http.MethodPost, id, "rotate", nil, &w); err != nil {
		return Webhook{}, c.failed("rotating a webhook's secret", err)
	}
	return w, nil
}

// TestWebhook has an [EventTest] sent, and returns the id by which [Client.WebhookDeliveries] shows what became of it.
func (c *Client) TestWebhook(ctx context.Context, id string) (WebhookTest, error) {
	var t WebhookTest
	if err := c.webhook(ctx, http.MethodPost, id, "test", nil, &t); err != nil {
		return WebhookTest{}, c.failed("testing a webhook", err)
	}
	return t, nil
}

// WebhookDeliveries is a page of what was sent to a webhook and is to be, newest first. before is a next_cursor, or
// empty.
func (c *Client) WebhookDeliveries(ctx context.Context, id, before string) (WebhookDeliveries, error) {
	var d WebhookDeliveries
	query := url.Values{}
	if before != "" {
		query.Set("before", before)
	}
	if err := c.webhook(ctx, http.MethodGet, id, "deliveries", query, &d); err != nil {
		return WebhookDeliveries{}, c.failed("asking for a webhook's deliveries", err)
	}
	return d, nil
}

func (c *Client) webhook(ctx context.Context, method, id, what string, query url.Values, result any) error {
	if err := checkID(id); err != nil {
		return err
	}
	path := []string{"webhooks", id}
	if what != "" {
		path = append(path, what)
	}
	return c.call(ctx, request{method: method, path: path, query: query, limit: maxAnswer, single: method == http.MethodPost}, result)
}
