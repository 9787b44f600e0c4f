package api

import (
	"fmt"
	"net/http"
	"time"
)

// Code names what was wrong. Codes are errors, so that errors.Is(err, api.ErrDuplicateTimestamp) tells what the
// server answered.
type Code string

// The codes of the contract.
const (
	ErrAuthenticationRequired Code = "AUTHENTICATION_REQUIRED"
	ErrInvalidAPIKey          Code = "INVALID_API_KEY"
	ErrPlanNotEntitled        Code = "PLAN_NOT_ENTITLED"
	ErrInvalidJSON            Code = "INVALID_JSON"
	ErrInvalidSHA256Hash      Code = "INVALID_SHA256_HASH"
	ErrInvalidFilename        Code = "INVALID_FILENAME"
	ErrInvalidFileSize        Code = "INVALID_FILE_SIZE"
	ErrInvalidFileType        Code = "INVALID_FILE_TYPE"
	ErrInvalidStatus          Code = "INVALID_STATUS"
	ErrInvalidLimit           Code = "INVALID_LIMIT"
	ErrInvalidCursor          Code = "INVALID_CURSOR"
	ErrInvalidID              Code = "INVALID_ID"
	ErrInvalidIdempotencyKey  Code = "INVALID_IDEMPOTENCY_KEY"
	ErrIdempotencyMismatch    Code = "IDEMPOTENCY_MISMATCH"
	ErrIdempotencyInProgress  Code = "IDEMPOTENCY_IN_PROGRESS"
	ErrMonthlyLimitReached    Code = "MONTHLY_LIMIT_REACHED"
	ErrDuplicateTimestamp     Code = "DUPLICATE_TIMESTAMP"
	ErrTimestampNotFound      Code = "TIMESTAMP_NOT_FOUND"
	ErrOTSNotFound            Code = "OTS_NOT_FOUND"
	ErrRateLimited            Code = "RATE_LIMITED"
	ErrOTSProvider            Code = "OTS_PROVIDER_ERROR"
	ErrInternal               Code = "INTERNAL_ERROR"
)

// Codes beyond the contract.
const (
	ErrInvalidThumbnail   Code = "INVALID_THUMBNAIL"
	ErrInvalidBatch       Code = "INVALID_BATCH" // no items, or more than MaxBatch
	ErrInvalidProof       Code = "INVALID_PROOF" // what was uploaded to be verified is no .ots
	ErrNotFound           Code = "NOT_FOUND"     // no such route
	ErrMethodNotAllowed   Code = "METHOD_NOT_ALLOWED"
	ErrPayloadTooLarge    Code = "PAYLOAD_TOO_LARGE"
	ErrServiceUnavailable Code = "SERVICE_UNAVAILABLE"
	ErrInvalidURL         Code = "INVALID_URL"           // a webhook's
	ErrInvalidEvents      Code = "INVALID_EVENTS"        // a webhook's: none, or one that there is not
	ErrWebhookNotFound    Code = "WEBHOOK_NOT_FOUND"     // the account has no such webhook
	ErrWebhookLimit       Code = "WEBHOOK_LIMIT_REACHED" // delete one first
	ErrWebhookGone        Code = "WEBHOOK_GONE"          // its server answered 410 Gone
)

var statuses = map[Code]int{
	ErrAuthenticationRequired: http.StatusUnauthorized,
	ErrInvalidAPIKey:          http.StatusUnauthorized,
	ErrPlanNotEntitled:        http.StatusForbidden,
	ErrInvalidJSON:            http.StatusBadRequest,
	ErrInvalidSHA256Hash:      http.StatusBadRequest,
	ErrInvalidFilename:        http.StatusBadRequest,
	ErrInvalidFileSize:        http.StatusBadRequest,
	ErrInvalidFileType:        http.StatusBadRequest,
	ErrInvalidStatus:          http.StatusBadRequest,
	ErrInvalidLimit:           http.StatusBadRequest,
	ErrInvalidCursor:          http.StatusBadRequest,
	ErrInvalidID:              http.StatusBadRequest,
	ErrInvalidIdempotencyKey:  http.StatusBadRequest,
	ErrIdempotencyMismatch:    http.StatusConflict,
	ErrIdempotencyInProgress:  http.StatusConflict,
	ErrMonthlyLimitReached:    http.StatusForbidden,
	ErrDuplicateTimestamp:     http.StatusConflict,
	ErrTimestampNotFound:      http.StatusNotFound,
	ErrOTSNotFound:            http.StatusNotFound,
	ErrRateLimited:            http.StatusTooManyRequests,
	ErrOTSProvider:            http.StatusBadGateway,
	ErrInternal:               http.StatusInternalServerError,

	ErrInvalidThumbnail:   http.StatusBadRequest,
	ErrInvalidBatch:       http.StatusBadRequest,
	ErrInvalidProof:       http.StatusBadRequest,
	ErrNotFound:           http.StatusNotFound,
	ErrMethodNotAllowed:   http.StatusMethodNotAllowed,
	ErrPayloadTooLarge:    http.StatusRequestEntityTooLarge,
	ErrServiceUnavailable: http.StatusServiceUnavailable,
	ErrInvalidURL:         http.StatusBadRequest,
	ErrInvalidEvents:      http.StatusBadRequest,
	ErrWebhookNotFound:    http.StatusNotFound,
	ErrWebhookLimit:       http.StatusForbidden,
	ErrWebhookGone:        http.StatusConflict,
}

func (c Code) Error() string { return string(c) }

// Status is the HTTP status that a code is sent with; 500 for a code that is not of this package.
func (c Code) Status() int {
	if s, ok := statuses[c]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// Error is what the server answers instead of a result.
type Error struct {
	Code      Code   `json:"code"` // empty when the answer was none of the API's, as from a proxy
	Message   string `json:"message"`
	RequestID string `json:"request_id"` // what the operator finds the request by

	Status     int           `json:"-"` // of HTTP
	RetryAfter time.Duration `json:"-"` // how long the server asks to wait; 0 if it does not say
}

// ErrorAnswer is the envelope that an Error is sent in.
type ErrorAnswer struct {
	Error *Error `json:"error"`
}

func (e *Error) Error() string {
	text := e.Message
	if text == "" {
		text = fmt.Sprintf("the server answered with status %d", e.Status)
	}
	if e.Code != "" {
		text += " (" + string(e.Code) + ")"
	}
	if e.RequestID != "" {
		text += ", request " + e.RequestID
	}
	return text
}

// Unwrap gives the code, for errors.Is.
func (e *Error) Unwrap() error {
	if e.Code == "" {
		return nil
	}
	return e.Code
}
