package rest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/httpkit"
)

const (
	// maxBody has room for the largest thumbnail.
	maxBody = 64 << 10
	// maxBatchBody has room for api.MaxBatch items of the usual kind: 1,600 bytes for each.
	maxBatchBody = 16 << 20
	// batchMemory bounds the bodies of batches that are being worked on at a time. Others wait up to batchWait.
	batchMemory = 4 * maxBatchBody
	batchWait   = 3 * time.Second
)

func (s *Server) create(w http.ResponseWriter, r *http.Request, c *caller) error {
	body, fields, err := readObject(r, maxBody)
	if err != nil {
		return err
	}
	item, err := parseItem(fields)
	if err != nil {
		return err
	}
	rand.Read(item.Nonce[:])
	created, err := s.keep(r, c, sha256.Sum256(body), true, []account.Item{item})
	if errors.Is(err, account.ErrDuplicate) {
		return failure(api.ErrDuplicateTimestamp, "The same owner already timestamped this hash.")
	} else if err != nil {
		return notKept(err)
	}
	st := created.Stamps[0]
	c.note = append(c.note, "stamp", st.ID.String(), "replayed", created.Replayed)
	return answerJSON(w, r, http.StatusCreated, s.fresh(st, item.Thumbnail != nil))
}

// keep asks the keeper. The payload is what an idempotency key stands for.
func (s *Server) keep(r *http.Request, c *caller, payload [32]byte, whole bool, items []account.Item) (account.Created, error) {
	return s.config.Keeper.Create(r.Context(), account.Create{
		Account: c.account.ID, Items: items, Whole: whole, Quota: c.plan.Quota, Branding: c.plan.Branding,
		Key: c.key, Payload: payload,
	})
}

func (s *Server) batch(w http.ResponseWriter, r *http.Request, c *caller) error {
	weight := r.ContentLength
	if weight < 0 || weight > maxBatchBody {
		weight = maxBatchBody
	}
	wait, cancel := context.WithTimeout(r.Context(), batchWait)
	defer cancel()
	if err := s.batches.Acquire(wait, weight); err != nil {
		return because(err, api.ErrServiceUnavailable, "Too many batches are being worked on. Retry after a short delay.", "Retry-After", "1")
	}
	defer s.batches.Release(weight)

	body, fields, err := readObject(r, maxBatchBody)
	if err != nil {
		return err
	}
	list, ok := fields["items"].([]any)
	if !ok || len(list) == 0 || len(list) > api.MaxBatch {
		return failure(api.ErrInvalidBatch, fmt.Sprintf("The payload needs items, a list of 1 to %d objects.", api.MaxBatch))
	}
	items := make([]account.Item, len(list))
	nonces := make([]byte, 16*len(list))
	rand.Read(nonces)
	for i, v := range list {
		if items[i], err = parseBatchItem(v); err != nil {
			return inItem(i, err)
		}
		items[i].Nonce = [16]byte(nonces[16*i:])
	}
	// A key that was used for one stamp is not a batch's, even if the body would do for both.
	payload := sha256.New()
	payload.Write([]byte("batch\n"))
	payload.Write(body)
	created, err := s.keep(r, c, [32]byte(payload.Sum(nil)), false, items)
	if err != nil {
		return notKept(err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), readWithin)
	defer cancel()
	answer, err := s.batchAnswer(ctx, created)
	if err != nil {
		return refused(err)
	}
	c.note = append(c.note, "created", answer.Created, "existing", answer.Existing, "replayed", created.Replayed)
	return answerJSON(w, r, http.StatusCreated, answer)
}

// batchAnswer has what was made as it was made, and what was there before as it is.
func (s *Server) batchAnswer(ctx context.Context, created account.Created) (api.BatchAnswer, error) {
	answer := api.BatchAnswer{Data: make([]api.BatchResult, len(created.Stamps))}
	made := make(map[account.ID]bool)
	for i, st := range created.Stamps {
		if !created.Existing[i] {
			made[st.ID] = true
		}
	}
	var before []account.Stamp
	var at []int
	for i, st := range created.Stamps {
		result := &answer.Data[i]
		result.Result = api.ResultCreated
		if created.Existing[i] {
			result.Result = api.ResultExisting
			answer.Existing++
		} else {
			answer.Created++
		}
		if made[st.ID] { // also of a hash that is there twice
			result.Timestamp = s.fresh(st, false)
		} else {
			before, at = append(before, st), append(at, i)
		}
	}
	resources, err := s.resources(ctx, before)
	if err != nil {
		return answer, err
	}
	for i, t := range resources {
		answer.Data[at[i]].Timestamp = t
	}
	return answer, nil
}

// inItem says which item of a batch an error is about.
func inItem(i int, err error) error {
	var e *httpkit.Error
	if !errors.As(err, &e) {
		return err
	}
	in := *e
	in.Message = fmt.Sprintf("Item %d: %s", i, e.Message)
	return &in
}
