package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/store"
)

// coded is the cause of an httpkit.Error of this surface: its code, and what the log is to know.
type coded struct {
	code api.Code
	err  error
}

func (c *coded) Error() string {
	if c.err == nil {
		return string(c.code)
	}
	return string(c.code) + ": " + c.err.Error()
}

func (c *coded) Unwrap() error { return c.err }

// failure is an answer with a code of the contract. Header are names and values.
func failure(code api.Code, message string, header ...string) error {
	return because(nil, code, message, header...)
}

// because is failure with a cause for the log.
func because(err error, code api.Code, message string, header ...string) error {
	return &httpkit.Error{Status: code.Status(), Message: message, Header: header, Err: &coded{code, err}}
}

// codeOf is the code that an error is answered with.
func codeOf(err error) api.Code {
	if c, ok := errors.AsType[*coded](err); ok {
		return c.code
	}
	return api.ErrInternal
}

const internalError = "The platform failed while validating or serving the request."

// notKept is the answer to what the keeper says.
func notKept(err error) error {
	switch {
	case errors.Is(err, account.ErrSuspended):
		return errInvalidKey()
	case errors.Is(err, account.ErrMismatch):
		return failure(api.ErrIdempotencyMismatch, "The same Idempotency-Key was reused for a different create payload.")
	case errors.Is(err, account.ErrInProgress):
		return failure(api.ErrIdempotencyInProgress, "A previous request with the same Idempotency-Key is still processing.", "Retry-After", "1")
	case errors.Is(err, account.ErrQuota):
		return failure(api.ErrMonthlyLimitReached, "The account exhausted its current monthly timestamp allowance.")
	case errors.Is(err, calendar.ErrUnavailable):
		return because(err, api.ErrOTSProvider, "The upstream OpenTimestamps creation step failed.", "Retry-After", "1")
	}
	return refused(err)
}

// refused is the answer to what the store or the log says.
func refused(err error) error {
	if errors.Is(err, store.ErrBusy) || errors.Is(err, context.DeadlineExceeded) {
		return because(err, api.ErrServiceUnavailable, "The service has too much to do. Retry after a short delay.", "Retry-After", "1")
	}
	if errors.Is(err, store.ErrUnreachable) {
		return because(err, api.ErrServiceUnavailable, "The service cannot reach its database. Retry after a short delay.", "Retry-After", "1")
	}
	return because(err, api.ErrInternal, internalError)
}

func errID() error {
	return failure(api.ErrInvalidID, "The timestamp path parameter is not a UUID.")
}

func errNotFound() error {
	return failure(api.ErrTimestampNotFound, "The referenced timestamp does not exist for the authenticated owner.")
}

// writeError writes an error in the contract's envelope.
func writeError(w http.ResponseWriter, r *http.Request, e *httpkit.Error) {
	answer := api.Error{Code: codeOf(e), Message: e.Message, RequestID: w.Header().Get("X-Request-Id")}
	if answer.Code == api.ErrInternal {
		answer.Message = internalError
	}
	if answer.Code == api.ErrPayloadTooLarge {
		w.Header()["Connection"] = []string{"close"} // what is left of the body is not waited for
	}
	answerJSON(w, r, e.Status, api.ErrorAnswer{Error: &answer})
}

// answerJSON writes a value without the escapes that are for HTML alone.
func answerJSON(w http.ResponseWriter, r *http.Request, status int, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	w.Header()["Content-Type"] = jsonType
	return httpkit.WriteBody(w, r, status, bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}
