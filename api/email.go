package api

import (
	"context"
	"net/http"
)

// EmailNotifications is whether the account gets e-mail, at its own address, and about what. What happens within some
// minutes comes in one e-mail.
type EmailNotifications struct {
	Available bool        `json:"available"` // false where the service sends no e-mail to this address
	Enabled   bool        `json:"enabled"`
	Address   string      `json:"address"` // the account's
	Events    []EventType `json:"events"`  // empty while it is not enabled
	// Failures are those since the last success, which FailingSince began. NextAttemptAt is null while nothing is due.
	Failures      int   `json:"failures"`
	FailingSince  *Time `json:"failing_since"`
	NextAttemptAt *Time `json:"next_attempt_at"`
}

// EmailRequest switches e-mail on.
type EmailRequest struct {
	// Events are some of [EventConfirmed] and [EventWithdrawn]; both when it is empty.
	Events []EventType `json:"events,omitempty"`
}

var emailPath = []string{"notifications", "email"}

// Email says whether the account gets e-mail.
func (c *Client) Email(ctx context.Context) (EmailNotifications, error) {
	var n EmailNotifications
	if err := c.call(ctx, request{method: http.MethodGet, path: emailPath, limit: maxAnswer}, &n); err != nil {
		return EmailNotifications{}, c.failed("asking for the e-mail settings", err)
	}
	return n, nil
}

// EnableEmail has the account get e-mail about what happens from now on. The error is [ErrServiceUnavailable] where the
// service sends none.
func (c *Client) EnableEmail(ctx context.Context, r EmailRequest) (EmailNotifications, error) {
	var n EmailNotifications
	body, err := jsonBody(r)
	if err == nil {
		err = c.call(ctx, request{method: http.MethodPut, path: emailPath, limit: maxAnswer, body: body, contentType: "application/json"}, &n)
	}
	if err != nil {
		return EmailNotifications{}, c.failed("switching e-mail on", err)
	}
	return n, nil
}

// DisableEmail has the account get no e-mail any more, also none that is due.
func (c *Client) DisableEmail(ctx context.Context) error {
	if _, err := c.do(ctx, request{method: http.MethodDelete, path: emailPath, limit: maxAnswer}); err != nil {
		return c.failed("switching e-mail off", err)
	}
	return nil
}
