// Package api has the types of Datestone's REST API and a client for it.
//
// A file never leaves its owner: the API takes the SHA-256 of a file, its name and its size, and keeps a
// timestamp of it. The timestamp's proof, an OpenTimestamps file, can be downloaded at once; it is complete when
// the status is [StatusConfirmed].
//
// The fields of each type are in the order in which they are sent. Hashes are lower case hexadecimal.
//
// # The client
//
// A [Client] tries a request again, a bounded number of times and with growing pauses, when the connection broke,
// when the server asks it to come back (status 429, [ErrIdempotencyInProgress]) and when a gateway or the service
// is down (502, 503, 504). Creates carry an idempotency key, so however often one is sent it counts once.
//
// What the server answers instead of a result is an [*Error]; errors.Is(err, [ErrDuplicateTimestamp]) tells its
// code. [Temporary] says of any error whether the same request may succeed later. Answers are read up to a limit,
// redirects are not followed, and no error has the key in it.
//
// # Webhooks
//
// [VerifyWebhook] reads the event in a webhook that the server sent, by the Standard Webhooks specification.
package api

import (
	"encoding/json"
	"fmt"
	"time"
)

// Status is where a timestamp is on its way into the blockchain.
type Status string

const (
	StatusPending   Status = "pending"
	StatusConfirmed Status = "confirmed"
	// StatusFailed is in the contract and is not given by Datestone: a timestamp is pending until it is confirmed.
	StatusFailed Status = "failed"
)

// Time is a time in UTC with milliseconds: 2026-05-01T10:00:00.000Z.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000Z"

// String is the form in which a time is sent.
func (t Time) String() string { return t.UTC().Format(timeLayout) }

func (t Time) MarshalJSON() ([]byte, error) {
	if y := t.UTC().Year(); y < 0 || y > 9999 {
		return nil, fmt.Errorf("the year %d cannot be written with four digits", y)
	}
	return []byte(`"` + t.String() + `"`), nil
}

// Timestamp is what an account keeps of a hash. The fields that are pointers are null until they are known, or
// where there is nothing.
type Timestamp struct {
	ID            string    `json:"id"` // a UUID
	CertificateID string    `json:"certificate_id"`
	SHA256Hash    string    `json:"sha256_hash"`
	Filename      string    `json:"filename"`
	FileSizeBytes int64     `json:"file_size_bytes"`
	FileType      *string   `json:"file_type"`
	Status        Status    `json:"status"`
	BlockchainTx  *string   `json:"blockchain_tx"`
	BitcoinBlock  *int64    `json:"bitcoin_block"` // its height
	ConfirmedAt   *Time     `json:"confirmed_at"`
	CreatedAt     Time      `json:"created_at"`
	ThumbnailURL  *string   `json:"thumbnail_url"`
	Branding      *Branding `json:"branding_snapshot"` // the account's when the timestamp was made
	// CertificateURL and VerifyURL are pages for people; OTSURL is relative to the API's address. A certificate that is not
	// public is shown at CertificateURL + "?sha256=" + SHA256Hash, and VerifyURL does not know it.
	CertificateURL string `json:"certificate_url"`
	VerifyURL      string `json:"verify_url"`
	OTSURL         string `json:"ots_url"`
}

// Branding is what an account shows on its certificates.
type Branding struct {
	Name    string `json:"name"`
	LogoURL string `json:"logo_url"`
	Color   string `json:"color"`
}

// List is one page of timestamps, newest first.
type List struct {
	Data       []Timestamp `json:"data"`
	TotalCount int64       `json:"total_count"`
	NextCursor *string     `json:"next_cursor"` // the before of the next page; null if this one is empty
}

// CreateRequest asks for a timestamp.
type CreateRequest struct {
	SHA256Hash    string `json:"sha256_hash"`
	Filename      string `json:"filename"`
	FileSizeBytes int64  `json:"file_size_bytes"` // above 0
	FileType      string `json:"file_type,omitempty"`
	// Thumbnail is a PNG, JPEG or WebP of at most 32 KiB, sent in base64. Items of a batch have none.
	Thumbnail []byte `json:"thumbnail,omitempty"`

	// IdempotencyKey, of 1 to 200 characters, is sent as a header. A request with the same key and the same
	// fields gives the same timestamp; without a key the client makes one for the call.
	IdempotencyKey string `json:"-"`
}

// MaxBatch is how many timestamps one BatchRequest may ask for.
const MaxBatch = 10_000

// BatchRequest asks for timestamps that are made all or none.
type BatchRequest struct {
	Items []CreateRequest `json:"items"`

	// IdempotencyKey is as in CreateRequest, for the batch as a whole. Its items have none.
	IdempotencyKey string `json:"-"`
}

// BatchAnswer has a result for each item of a BatchRequest, in their order.
type BatchAnswer struct {
	Data     []BatchResult `json:"data"`
	Created  int           `json:"created"`
	Existing int           `json:"existing"`
}

// What became of an item of a batch.
const (
	ResultCreated  = "created"
	ResultExisting = "existing" // the account had a timestamp of this hash
)

// BatchResult is what became of one item.
type BatchResult struct {
	Result    string    `json:"result"`
	Timestamp Timestamp `json:"timestamp"`
}

// PatchRequest changes a timestamp. What is not set stays as it is.
type PatchRequest struct {
	// CertificatePublic shows the certificate to everybody, with the file's name, its thumbnail and the branding.
	CertificatePublic *bool
	// Thumbnail replaces the thumbnail; RemoveThumbnail, sent as null, removes it.
	Thumbnail       []byte
	RemoveThumbnail bool
}

type patchJSON struct {
	CertificatePublic *bool           `json:"certificate_public,omitempty"`
	Thumbnail         json.RawMessage `json:"thumbnail,omitempty"`
}

func (p PatchRequest) MarshalJSON() ([]byte, error) {
	j := patchJSON{CertificatePublic: p.CertificatePublic}
	if p.RemoveThumbnail {
		if len(p.Thumbnail) > 0 {
			return nil, fmt.Errorf("a thumbnail cannot be replaced and removed at once")
		}
		j.Thumbnail = json.RawMessage("null")
	} else if len(p.Thumbnail) > 0 {
		var err error
		if j.Thumbnail, err = json.Marshal(p.Thumbnail); err != nil {
			return nil, err
		}
	}
	return json.Marshal(j)
}

func (p *PatchRequest) UnmarshalJSON(b []byte) error {
	var j patchJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*p = PatchRequest{CertificatePublic: j.CertificatePublic}
	if len(j.Thumbnail) == 0 {
		return nil
	}
	if err := json.Unmarshal(j.Thumbnail, &p.Thumbnail); err != nil {
		return err
	}
	p.RemoveThumbnail = len(p.Thumbnail) == 0
	return nil
}

// Usage is how much of its quota an account has used. Months are in UTC, written 2026-05.
type Usage struct {
	Plan      string       `json:"plan"`
	Month     string       `json:"month"`
	Quota     int64        `json:"quota"`
	Used      int64        `json:"used"`
	Remaining int64        `json:"remaining"`
	ResetsAt  Time         `json:"resets_at"`
	Months    []MonthUsage `json:"months"` // newest first, with this one
}

// Publications are where roots that a timestamp is in were printed.
type Publications struct {
	Data []Publication `json:"data"`
}

// Publication is a root that was printed, with the way from a timestamp to it. Whoever follows Steps from SHA256Hash gets
// Root, which is on the paper in the lines Printed.
type Publication struct {
	Paper       string            `json:"paper"`        // what it is called
	Issue       string            `json:"issue"`        // its date, 2026-11-28
	Page        string            `json:"page"`         // may be empty
	URL         string            `json:"url"`          // may be empty
	ConfirmedAt Time              `json:"confirmed_at"` // when the service's operator said so
	SHA256Hash  string            `json:"sha256_hash"`  // where the steps begin
	Steps       []PublicationStep `json:"steps"`
	Root        string            `json:"root"`
	Printed     []string          `json:"printed"`
	Notice      string            `json:"notice"` // all that was printed
}

// PublicationStep is one operation: append or prepend bytes in hexadecimal, or sha256 of what is there.
type PublicationStep struct {
	Op  string `json:"op"`
	Hex string `json:"hex"` // empty for sha256
}

// MonthUsage is how many timestamps an account made in a month.
type MonthUsage struct {
	Month string `json:"month"`
	Used  int64  `json:"used"`
}

// What a Verification found.
const (
	ProofVerified  = "verified"  // an attestation agrees with its block
	ProofPending   = "pending"   // there are only promises of calendars
	ProofUnchecked = "unchecked" // nothing in it could be checked here
	ProofFalse     = "false"     // an attestation disagrees with its block
	ProofMismatch  = "mismatch"  // the proof is for another hash than the one that was sent with it
)

// Verification is what the server found in a proof, and what it did not look at. Whoever does not trust the
// server verifies the proof with a block header of their own.
type Verification struct {
	Hash         string                `json:"hash"`   // what made the digest: sha256, sha1, ripemd160 or keccak256
	Digest       string                `json:"digest"` // of the file that the proof is for
	Status       string                `json:"status"`
	Time         *Time                 `json:"time"` // the digest existed then: the time of the earliest verified block
	Network      string                `json:"network"`
	TestNetwork  bool                  `json:"test_network"` // then nothing here proves anything
	Attestations []VerifiedAttestation `json:"attestations"`
	NotChecked   []string              `json:"not_checked"` // sentences
}

// VerifiedAttestation is one attestation of a proof.
type VerifiedAttestation struct {
	Kind       string  `json:"kind"`             // pending, bitcoin, litecoin, ethereum or unknown
	URI        string  `json:"uri,omitempty"`    // of the calendar that promises to complete the proof
	Height     *uint64 `json:"height,omitempty"` // of the block
	MerkleRoot string  `json:"merkle_root,omitempty"`
	Result     string  `json:"result"` // verified, false or not-checked
	Reason     string  `json:"reason,omitempty"`
	Time       *Time   `json:"time,omitempty"` // of the block
}

// What a VerifiedAttestation's result is.
const (
	AttestationVerified   = "verified"
	AttestationFalse      = "false"
	AttestationNotChecked = "not-checked"
)

// Targets are what the service anchors in.
type Targets struct {
	Data []Target `json:"data"`
}

// Target is one of them, and how it is.
type Target struct {
	Name          string `json:"name"`
	Network       string `json:"network"`
	TestNetwork   bool   `json:"test_network"`
	Status        string `json:"status"`        // ok, or a code for what keeps it from anchoring
	Message       string `json:"message"`       // a sentence
	Height        int64  `json:"height"`        // of the best block that it followed; -1 before the first
	Confirmations int    `json:"confirmations"` // that it waits for
	UpdatedAt     *Time  `json:"updated_at"`
}
