package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Create makes a timestamp and returns when it is durable; its proof can be downloaded then. The request is sent
// again after failures with its idempotency key, which is a random one if it has none, so that it counts once.
//
// A hash that the account has a timestamp of gives [ErrDuplicateTimestamp]; [Client.ByHash] finds it.
func (c *Client) Create(ctx context.Context, r CreateRequest) (Timestamp, error) {
	ts, err := c.create(ctx, r)
	if err != nil {
		return Timestamp{}, c.failed("creating a timestamp", err)
	}
	return ts, nil
}

func (c *Client) create(ctx context.Context, r CreateRequest) (ts Timestamp, err error) {
	body, err := jsonBody(r)
	if err != nil {
		return ts, err
	}
	err = c.call(ctx, request{
		method: http.MethodPost, path: []string{"timestamps"}, limit: maxAnswer,
		body: body, contentType: "application/json", idempotency: orRandom(r.IdempotencyKey),
	}, &ts)
	if err != nil {
		return ts, err
	}
	return ts, same(ts, r.SHA256Hash)
}

// CreateBatch makes timestamps of at most [MaxBatch] hashes, all or none, in one request. The result of a hash
// that the account had a timestamp of is that one.
func (c *Client) CreateBatch(ctx context.Context, r BatchRequest) (BatchAnswer, error) {
	answer, err := c.createBatch(ctx, r)
	if err != nil {
		return BatchAnswer{}, c.failed("creating a batch of timestamps", err)
	}
	return answer, nil
}

func (c *Client) createBatch(ctx context.Context, r BatchRequest) (answer BatchAnswer, err error) {
	if len(r.Items) == 0 || len(r.Items) > MaxBatch {
		return answer, fmt.Errorf("%w: a batch has 1 to %d items, not %d", ErrInvalidBatch, MaxBatch, len(r.Items))
	}
	for i, item := range r.Items {
		switch {
		case item.IdempotencyKey != "":
			return answer, fmt.Errorf("%w: item %d has an idempotency key; a batch has one as a whole", ErrInvalidBatch, i)
		case len(item.Thumbnail) > 0:
			return answer, fmt.Errorf("%w: item %d has a thumbnail; set it with Patch", ErrInvalidThumbnail, i)
		}
	}
	body, err := jsonBody(r)
	if err != nil {
		return answer, err
	}
	err = c.call(ctx, request{
		method: http.MethodPost, path: []string{"timestamps", "batch"}, limit: maxBatchAnswer,
		body: body, contentType: "application/json", idempotency: orRandom(r.IdempotencyKey),
	}, &answer)
	if err != nil {
		return answer, err
	}
	if len(answer.Data) != len(r.Items) {
		return answer, fmt.Errorf("the server answered %d items of %d", len(answer.Data), len(r.Items))
	}
	for i, item := range r.Items {
		if err := same(answer.Data[i].Timestamp, item.SHA256Hash); err != nil {
			return answer, fmt.Errorf("item %d: %w", i, err)
		}
	}
	return answer, nil
}

func orRandom(key string) string {
	if key == "" {
		return rand.Text()
	}
	return key
}

// same refuses an answer to another question.
func same(ts Timestamp, hash string) error {
	if !strings.EqualFold(ts.SHA256Hash, hash) {
		return errors.New("the server answered with a timestamp of another hash")
	}
	return checkID(ts.ID)
}

// Get returns a timestamp of the account.
func (c *Client) Get(ctx context.Context, id string) (Timestamp, error) {
	var ts Timestamp
	err := checkID(id)
	if err == nil {
		err = c.call(ctx, request{method: http.MethodGet, path: []string{"timestamps", id}, limit: maxAnswer}, &ts)
	}
	if err == nil && !strings.EqualFold(ts.ID, id) {
		err = errors.New("the server answered with another timestamp")
	}
	if err != nil {
		return Timestamp{}, c.failed("getting a timestamp", err)
	}
	return ts, nil
}

// ByHash returns the account's timestamp of a hash, or [ErrTimestampNotFound].
func (c *Client) ByHash(ctx context.Context, sha256Hash string) (Timestamp, error) {
	var ts Timestamp
	var err error
	if b, err2 := hex.DecodeString(sha256Hash); err2 != nil || len(b) != 32 {
		err = fmt.Errorf("%w: a SHA-256 has 64 hexadecimal digits", ErrInvalidSHA256Hash)
	}
	if err == nil {
		err = c.call(ctx, request{method: http.MethodGet, path: []string{"hashes", strings.ToLower(sha256Hash)}, limit: maxAnswer}, &ts)
	}
	if err == nil {
		err = same(ts, sha256Hash)
	}
	if err != nil {
		return Timestamp{}, c.failed("looking up a hash", err)
	}
	return ts, nil
}

// Patch changes a timestamp.
func (c *Client) Patch(ctx context.Context, id string, r PatchRequest) (Timestamp, error) {
	var ts Timestamp
	err := checkID(id)
	var body []byte
	if err == nil {
		body, err = jsonBody(r)
	}
	if err == nil {
		err = c.call(ctx, request{
			method: http.MethodPatch, path: []string{"timestamps", id}, limit: maxAnswer,
			body: body, contentType: "application/json",
		}, &ts)
	}
	if err != nil {
		return Timestamp{}, c.failed("changing a timestamp", err)
	}
	return ts, nil
}

// OTS returns a timestamp's proof: the bytes of an .ots file. Until the timestamp is confirmed it holds a promise
// that any OpenTimestamps client can redeem later.
func (c *Client) OTS(ctx context.Context, id string) ([]byte, error) {
	return c.download(ctx, "downloading a proof", id, "ots", maxProof)
}

// Evidence returns a ZIP file with a timestamp's proof, its certificate and how to verify them.
func (c *Client) Evidence(ctx context.Context, id string) ([]byte, error) {
	return c.download(ctx, "downloading the evidence", id, "evidence.zip", maxEvidence)
}

// Publications are where roots that a timestamp is in were printed, the first one first, each with the steps that lead
// there. There may be none.
func (c *Client) Publications(ctx context.Context, id string) (Publications, error) {
	var p Publications
	err := checkID(id)
	if err == nil {
		err = c.call(ctx, request{method: http.MethodGet, path: []string{"timestamps", id, "publications"}, limit: maxAnswer}, &p)
	}
	if err != nil {
		return Publications{}, c.failed("asking for the publications", err)
	}
	return p, nil
}

func (c *Client) download(ctx context.Context, what, id, name string, limit int64) ([]byte, error) {
	err := checkID(id)
	var body []byte
	if err == nil {
		body, err = c.do(ctx, request{method: http.MethodGet, path: []string{"timestamps", id, name}, limit: limit})
	}
	if err == nil && len(body) == 0 {
		err = errors.New("the server's answer is empty")
	}
	if err != nil {
		return nil, c.failed(what, err)
	}
	return body, nil
}

// ListOptions say which timestamps are listed.
type ListOptions struct {
	// Status lists those with this status only; empty means all.
	Status Status
	// Before lists those that were made before; it is a next_cursor or a time as ISO 8601 writes it.
	Before string
	// Limit is how many timestamps a page has; 0 means as many as the server gives, and it gives at most 50.
	Limit int
}

// Page returns one page of the account's timestamps, newest first.
func (c *Client) Page(ctx context.Context, o ListOptions) (List, error) {
	list, err := c.page(ctx, o)
	if err != nil {
		return List{}, c.failed("listing timestamps", err)
	}
	return list, nil
}

func (c *Client) page(ctx context.Context, o ListOptions) (List, error) {
	query := url.Values{}
	if o.Status != "" {
		query.Set("status", string(o.Status))
	}
	if o.Before != "" {
		query.Set("before", o.Before)
	}
	if o.Limit != 0 {
		query.Set("limit", strconv.Itoa(o.Limit))
	}
	var list List
	err := c.call(ctx, request{method: http.MethodGet, path: []string{"timestamps"}, query: query, limit: maxAnswer}, &list)
	return list, err
}

// List goes through the account's timestamps, newest first, and asks for another page when one is used up. After
// an error it ends. Timestamps that are made meanwhile are not in it.
func (c *Client) List(ctx context.Context, o ListOptions) iter.Seq2[Timestamp, error] {
	return func(yield func(Timestamp, error) bool) {
		fail := func(err error) { yield(Timestamp{}, c.failed("listing timestamps", err)) }
		var last time.Time
		for o := o; ; {
			list, err := c.page(ctx, o)
			if err != nil {
				fail(err)
				return
			}
			for _, ts := range list.Data {
				if !yield(ts, nil) {
					return
				}
			}
			if len(list.Data) == 0 || list.NextCursor == nil {
				return
			}
			at, err := time.Parse(time.RFC3339, *list.NextCursor)
			if err != nil {
				fail(fmt.Errorf("the server's cursor is not a time: %w", err))
				return
			}
			// Without this a confused server would keep its client for ever.
			if !last.IsZero() && !at.Before(last) {
				fail(errors.New("the server's pages do not go on"))
				return
			}
			last, o.Before = at, *list.NextCursor
		}
	}
}

// Usage returns how much of its quota the account has used.
func (c *Client) Usage(ctx context.Context) (Usage, error) {
	var u Usage
	if err := c.call(ctx, request{method: http.MethodGet, path: []string{"usage"}, limit: maxAnswer}, &u); err != nil {
		return Usage{}, c.failed("asking for the usage", err)
	}
	return u, nil
}

// Verify lets the server look at a proof, the bytes of an .ots file. The status is [ProofMismatch] when the proof
// is not for sha256Hash, unless that is empty.
func (c *Client) Verify(ctx context.Context, proof []byte, sha256Hash string) (Verification, error) {
	var v Verification
	query := url.Values{}
	if sha256Hash != "" {
		query.Set("sha256_hash", sha256Hash)
	}
	err := c.call(ctx, request{
		method: http.MethodPost, path: []string{"verify"}, query: query, limit: maxAnswer,
		body: proof, contentType: "application/octet-stream",
	}, &v)
	if err != nil {
		return Verification{}, c.failed("verifying a proof", err)
	}
	return v, nil
}

// Targets returns what the service anchors in, and how it is.
func (c *Client) Targets(ctx context.Context) ([]Target, error) {
	var t Targets
	if err := c.call(ctx, request{method: http.MethodGet, path: []string{"targets"}, limit: maxAnswer}, &t); err != nil {
		return nil, c.failed("asking for the targets", err)
	}
	return t.Data, nil
}

// Wait asks for a timestamp, less and less often, until it is confirmed. That takes as long as the blockchain
// does, an hour or several; ctx bounds it. Failures that may pass do not end it.
func (c *Client) Wait(ctx context.Context, id string) (Timestamp, error) {
	for pause := firstPoll; ; pause = min(pause*3/2, longestPoll) {
		ts, err := c.Get(ctx, id)
		switch {
		case ctx.Err() != nil:
			return Timestamp{}, c.failed("waiting for a timestamp", context.Cause(ctx))
		case err != nil && !Temporary(err):
			return Timestamp{}, err
		case err == nil && ts.Status == StatusConfirmed:
			return ts, nil
		case err == nil && ts.Status == StatusFailed:
			return ts, c.failed("waiting for a timestamp", errors.New("the service has given up on it"))
		}
		if sleep(ctx, jitter(pause)) != nil {
			return Timestamp{}, c.failed("waiting for a timestamp", context.Cause(ctx))
		}
	}
}

// checkID refuses what is no UUID, such as a path.
func checkID(id string) error {
	digits := strings.ReplaceAll(id, "-", "")
	if b, err := hex.DecodeString(digits); err != nil || len(b) != 16 || len(id) != 36 {
		return fmt.Errorf("%w: a timestamp's id is a UUID", ErrInvalidID)
	}
	return nil
}
