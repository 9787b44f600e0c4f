package api

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The headers of a webhook, by the Standard Webhooks specification 1.0.0 (https://www.standardwebhooks.com).
const (
	HeaderWebhookID        = "Webhook-Id"        // the same however often an event is sent
	HeaderWebhookTimestamp = "Webhook-Timestamp" // when it was sent this time, in Unix seconds
	HeaderWebhookSignature = "Webhook-Signature" // one for each secret, with a space between
)

// WebhookTolerance is how far the time at which a webhook was sent may be from the receiver's clock.
const WebhookTolerance = 5 * time.Minute

const (
	secretPrefix     = "whsec_"
	signaturePrefix  = "v1," // HMAC-SHA256
	newSecretBytes   = 32
	minSecretBytes   = 24
	maxSecretBytes   = 64
	maxWebhookID     = 128
	maxSignatures    = 32 // of one webhook that are looked at
	maxTimestampText = 15
)

var (
	// ErrWebhookHeaders: a header of the webhook is missing or is not of its form.
	ErrWebhookHeaders = errors.New("the webhook's headers are not those of a signed webhook")
	// ErrWebhookTime: the webhook was sent long ago, as a replayed one was, or one of the clocks is wrong.
	ErrWebhookTime = errors.New("the webhook's time is too far from this clock")
	// ErrWebhookSignature: none of the secrets signed this webhook. It may be anybody's.
	ErrWebhookSignature = errors.New("no secret signed this webhook")
)

// EventType says what happened.
type EventType string

const (
	// EventConfirmed: a target's attestation of the timestamp counts, and the proof carries it.
	EventConfirmed EventType = "timestamp.confirmed"
	// EventAnchored: the timestamp is in a block that is not yet deep enough.
	EventAnchored EventType = "timestamp.anchored"
	// EventWithdrawn: an attestation that counted left its chain. The timestamp is pending again unless another
	// target's still counts.
	EventWithdrawn EventType = "timestamp.withdrawn"
	// EventProofUpgraded: the .ots file has another attestation; download it again.
	EventProofUpgraded EventType = "proof.upgraded"
	// EventTest was asked for, to try the endpoint. Its data is empty.
	EventTest EventType = "webhook.test"
	// EventTarget tells the operator that a target's state is another one.
	EventTarget EventType = "target.status"
)

// EventTypes are the types that an endpoint can be registered for.
func EventTypes() []EventType {
	return []EventType{EventConfirmed, EventAnchored, EventWithdrawn, EventProofUpgraded}
}

// Event is the body of a webhook. Types that are not of this package may be added: ignore them.
type Event struct {
	Type      EventType `json:"type"`
	Timestamp Time      `json:"timestamp"` // when it happened, not when it was sent
	Data      EventData `json:"data"`

	// ID is that of the header, which is signed with the body. An event may arrive more than once, always with
	// the same ID.
	ID string `json:"-"`
}

// EventData is what an event is about.
type EventData struct {
	Timestamp   *Timestamp        `json:"timestamp,omitempty"` // as the API gives it at the time of sending
	Target      string            `json:"target,omitempty"`    // the name of a [Target]
	Attestation *EventAttestation `json:"attestation,omitempty"`
	// Status and Message are a target's, for the operator.
	Status  string `json:"status,omitempty"`
	Message string `json:"message,omitempty"`
}

// EventAttestation is where a target holds the timestamp.
type EventAttestation struct {
	Network       string `json:"network"`
	TestNetwork   bool   `json:"test_network"` // then it proves nothing
	BlockHeight   int64  `json:"block_height"`
	BlockHash     string `json:"block_hash"`
	BlockTime     Time   `json:"block_time"`
	Transaction   string `json:"transaction"`
	Confirmations int64  `json:"confirmations"` // the newest block counts as 1; 0 once the attestation is withdrawn
}

// NewWebhookSecret makes the secret of an endpoint, written as whsec_ and base64.
func NewWebhookSecret() string {
	key := make([]byte, newSecretBytes)
	rand.Read(key)
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}

// VerifyWebhook is the event in a webhook that one of the secrets signed. Several secrets are given while they are
// rotated. body is what was received, byte for byte. The error is [ErrWebhookHeaders], [ErrWebhookTime] or
// [ErrWebhookSignature] when the webhook is not to be believed.
func VerifyWebhook(secrets []string, header http.Header, body []byte) (Event, error) {
	return VerifyWebhookAt(time.Now(), secrets, header, body)
}

// VerifyWebhookAt is [VerifyWebhook] with a clock that shows now.
func VerifyWebhookAt(now time.Time, secrets []string, header http.Header, body []byte) (Event, error) {
	keys, err := webhookKeys(secrets)
	if err != nil {
		return Event{}, err
	}
	id, sent, signatures := header.Get(HeaderWebhookID), header.Get(HeaderWebhookTimestamp), header.Get(HeaderWebhookSignature)
	seconds, err := strconv.ParseInt(sent, 10, 64)
	if !soundWebhookID(id) || err != nil || sent != strconv.FormatInt(seconds, 10) || len(sent) > maxTimestampText || signatures == "" {
		return Event{}, ErrWebhookHeaders
	}
	if !signed(keys, id, sent, body, signatures) {
		return Event{}, ErrWebhookSignature
	}
	if late := now.Sub(time.Unix(seconds, 0)); late.Abs() > WebhookTolerance {
		return Event{}, fmt.Errorf("%w: it was sent at %s", ErrWebhookTime, time.Unix(seconds, 0).UTC().Format(time.RFC3339))
	}
	var e Event
	if err := json.Unmarshal(body, &e); err != nil {
		return Event{}, fmt.Errorf("the webhook's body is not the API's: %w", err)
	}
	e.ID = id
	return e, nil
}

// SignWebhook sets the headers of a webhook that is sent at a time. Every secret signs it, so that a receiver that
// knows one of them believes it. id is the event's, in letters, digits, - and _.
func SignWebhook(header http.Header, secrets []string, id string, at time.Time, body []byte) error {
	keys, err := webhookKeys(secrets)
	if err != nil {
		return err
	}
	if !soundWebhookID(id) {
		return fmt.Errorf("the webhook's id is %q: write letters, digits, - and _", id)
	}
	sent := strconv.FormatInt(at.Unix(), 10)
	var signatures []string
	for _, key := range keys {
		signatures = append(signatures, signaturePrefix+base64.StdEncoding.EncodeToString(webhookMAC(key, id, sent, body)))
	}
	header.Set(HeaderWebhookID, id)
	header.Set(HeaderWebhookTimestamp, sent)
	header.Set(HeaderWebhookSignature, strings.Join(signatures, " "))
	return nil
}

// webhookKeys decodes secrets. No error has one in it.
func webhookKeys(secrets []string) ([][]byte, error) {
	if len(secrets) == 0 {
		return nil, errors.New("there is no webhook secret")
	}
	var keys [][]byte
	for _, s := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, secretPrefix))
		if err != nil || len(key) < minSecretBytes || len(key) > maxSecretBytes {
			return nil, fmt.Errorf("that is no webhook secret: one is %s and the base64 of %d to %d bytes", secretPrefix, minSecretBytes, maxSecretBytes)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// The signed parts are joined by full stops, so none may be in an id.
func soundWebhookID(id string) bool {
	return id != "" && len(id) <= maxWebhookID && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

func signed(keys [][]byte, id, sent string, body []byte, signatures string) bool {
	var offered [][]byte
	for s := range strings.SplitSeq(signatures, " ") {
		text, ok := strings.CutPrefix(s, signaturePrefix)
		if !ok {
			continue // of a scheme to come
		}
		if signature, err := base64.StdEncoding.Strict().DecodeString(text); err == nil {
			offered = append(offered, signature)
		}
		if len(offered) == maxSignatures {
			break
		}
	}
	return slices.ContainsFunc(keys, func(key []byte) bool {
		want := webhookMAC(key, id, sent, body)
		return slices.ContainsFunc(offered, func(s []byte) bool { return subtle.ConstantTimeCompare(s, want) == 1 })
	})
}

func webhookMAC(key []byte, id, sent string, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.", id, sent)
	mac.Write(body)
	return mac.Sum(nil)
}
