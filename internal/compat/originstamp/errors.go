package originstamp

import (
	"context"
	"errors"
	"net/http"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/internal/store"
)

// Code is a number of an error. Only 3201 was ever published; the others are ours.
type Code int

const (
	CodeHash         Code = 3101
	CodeComment      Code = 3102
	CodeNotification Code = 3103
	CodeCount        Code = 3104
	CodeCurrency     Code = 3105
	CodeURL          Code = 3106
	CodeURLTaken     Code = 3107
	CodeProofType    Code = 3108
	CodeKey          Code = 3201
	CodeQuota        Code = 3202
	CodeRate         Code = 3203
	CodePlan         Code = 3204
	CodeHashUnknown  Code = 3301
	CodeSeedUnknown  Code = 3302
	CodeNoProof      Code = 3303
	CodeTokenOld     Code = 3304
	CodeToken        Code = 3305
	CodeURLUnknown   Code = 3306
	CodeNoWebhook    Code = 3307
	CodePayload      Code = 4000
	CodePath         Code = 4004
	CodeMethod       Code = 4005
	CodeTooLarge     Code = 4013
	CodeInternal     Code = 5000
	CodeBusy         Code = 5003
)

// Codes are all numbers, with what they mean.
var Codes = []struct {
	Code    Code
	Meaning string
}{
	{CodeHash, "the hash is not 64 hexadecimal characters"},
	{CodeComment, "the comment is longer than 256 characters, or no text"},
	{CodeNotification, "a notification, or the target of a webhook, is malformed or cannot be reached from here"},
	{CodeCount, "a bulk request has not 1 to 100 timestamps"},
	{CodeCurrency, "the currency is malformed or not active here"},
	{CodeURL, "`url` is not a UUID"},
	{CodeURLTaken, "the UUID belongs to another account, or to another hash"},
	{CodeProofType, "the type of the proof is neither 0 nor 1"},
	{CodeKey, "the API key is missing, wrong or not active (the only number that OriginStamp published)"},
	{CodeQuota, "the month's quota is used up"},
	{CodeRate, "too many requests in a minute; `Retry-After` says how long to wait"},
	{CodePlan, "the account's plan has no API access"},
	{CodeHashUnknown, "nobody has submitted the hash"},
	{CodeSeedUnknown, "there is no such seed"},
	{CodeNoProof, "the hash is not tamper-proof yet in the currency, so there is no proof"},
	{CodeTokenOld, "the link to a proof is older than five minutes"},
	{CodeToken, "the token of a link is not one of this service, or was changed"},
	{CodeURLUnknown, "no hash has the UUID"},
	{CodeNoWebhook, "the account has registered no such webhook"},
	{CodePayload, "the body is not a JSON object (HTTP 400)"},
	{CodePath, "there is nothing at the path (HTTP 404)"},
	{CodeMethod, "the path has no such method (HTTP 405)"},
	{CodeTooLarge, "the body is too large (HTTP 413)"},
	{CodeInternal, "the service failed; the log has the id"},
	{CodeBusy, "the service is busy or cannot reach its database; try again"},
}

// status is the HTTP status of an error: from 500 on for our logs and metrics alone, where clients get 200.
func (c Code) status() int {
	switch c {
	case CodePayload:
		return http.StatusBadRequest
	case CodePath:
		return http.StatusNotFound
	case CodeMethod:
		return http.StatusMethodNotAllowed
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeInternal:
		return http.StatusInternalServerError
	case CodeBusy:
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

// coded is the cause of an httpkit.Error of this surface: its number, the id that the client is told, and what the
// log is to know.
type coded struct {
	code Code
	id   string
	err  error
}

func (c *coded) Error() string {
	if c.err == nil {
		return c.id
	}
	return c.id + ": " + c.err.Error()
}

func (c *coded) Unwrap() error { return c.err }

// failure is an answer with a number. Header are names and values.
func failure(code Code, message string, header ...string) error {
	return because(nil, code, message, header...)
}

// because is failure with a cause for the log.
func because(err error, code Code, message string, header ...string) error {
	return &httpkit.Error{Status: code.status(), Message: message, Header: header, Err: &coded{code, account.NewID().String(), err}}
}

const (
	invalidKey    = "You do not have a valid API key."
	internalError = "The service failed while answering the request."
)

func errKey() error { return failure(CodeKey, invalidKey) }

// refused is the answer to what the parts below say.
func refused(err error) error {
	switch {
	case errors.Is(err, account.ErrSuspended):
		return errKey()
	case errors.Is(err, account.ErrQuota):
		return failure(CodeQuota, "The limit of timestamps of this month is exceeded.")
	case errors.Is(err, seed.ErrPreprint):
		return failure(CodeURLTaken, "url is in use: by another account, or for another hash. Make a new UUID.")
	case errors.Is(err, notify.ErrLimit):
		return failure(CodeNotification, "The account is to be told at as many addresses as it may. Try again once some were told.")
	case errors.Is(err, calendar.ErrUnavailable), errors.Is(err, account.ErrInProgress), errors.Is(err, store.ErrBusy), errors.Is(err, store.ErrUnreachable), errors.Is(err, context.DeadlineExceeded):
		return because(err, CodeBusy, "The service cannot answer now. Try again.", "Retry-After", "1")
	}
	return because(err, CodeInternal, internalError)
}

// unknown is refused where seed.ErrUnknown has a number and words.
func unknown(err error, code Code, message string) error {
	if errors.Is(err, seed.ErrUnknown) {
		return failure(code, message)
	}
	return refused(err)
}

// envelope is what every answer but a file stands in.
type envelope struct {
	Code    Code    `json:"error_code"`
	Message *string `json:"error_message"`
	Data    any     `json:"data"`
}

// errorOf is what a client is told of an error.
func errorOf(err error) envelope {
	var e *httpkit.Error
	c, ok := errors.AsType[*coded](err)
	if !ok || !errors.As(err, &e) {
		c, e = &coded{code: CodeInternal, id: account.NewID().String()}, &httpkit.Error{Message: internalError}
	}
	message := e.Message + " [" + c.id + "]"
	return envelope{Code: c.code, Message: &message}
}

// writeError writes an error in an envelope.
func writeError(w http.ResponseWriter, r *http.Request, e *httpkit.Error) {
	status := e.Status
	if status >= http.StatusInternalServerError {
		status = http.StatusOK
	}
	if status == http.StatusRequestEntityTooLarge {
		w.Header()["Connection"] = []string{"close"} // what is left of the body is not waited for
	}
	answer(w, r, status, errorOf(e))
}
