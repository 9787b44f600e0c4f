package originstamp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/seed"
)

const (
	// maxBulk is how many hashes a bulk request may have.
	maxBulk = 100
	// maxBody has room for a comment in escapes and as many long addresses as there may be, maxBulkBody for maxBulk hashes
	// with comments and a notification each.
	maxBody     = 64 << 10
	maxBulkBody = 1 << 20
)

func (s *Server) create(w http.ResponseWriter, r *http.Request, c *caller) error {
	fields, err := readObject(r, maxBody)
	if err != nil {
		return err
	}
	item, err := s.parseItem(fields)
	if err != nil {
		return err
	}
	made, err := s.submit(r, c, []account.Item{item})
	if err != nil {
		return err
	}
	if made[0].err != nil {
		return made[0].err
	}
	c.note = append(c.note, "created", made[0].response.Created)
	return succeed(w, r, made[0].response)
}

// bulk answers with an array of envelopes, one for each hash in its order.
func (s *Server) bulk(w http.ResponseWriter, r *http.Request, c *caller) error {
	fields, err := readObject(r, maxBulkBody)
	if err != nil {
		return err
	}
	list, ok := fields["timestamps"].([]any)
	if !ok || len(list) == 0 || len(list) > maxBulk {
		return failure(CodeCount, fmt.Sprintf("timestamps must be an array of 1 to %d objects; this one has %d.", maxBulk, len(list)))
	}
	answers := make([]envelope, len(list))
	var items []account.Item
	var at []int
	for i, v := range list {
		fields, _ := v.(map[string]any) // what is no object has no hash
		item, err := s.parseItem(fields)
		if err != nil {
			answers[i] = errorOf(err)
			continue
		}
		items, at = append(items, item), append(at, i)
	}
	created := 0
	if len(items) > 0 {
		made, err := s.submit(r, c, items)
		if err != nil {
			return err
		}
		for i, m := range made {
			if m.err != nil {
				answers[at[i]] = errorOf(m.err)
				continue
			}
			if m.response.Created {
				created++
			}
			answers[at[i]].Data = m.response
		}
	}
	c.note = append(c.note, "created", created, "of", len(list))
	return answer(w, r, http.StatusOK, answers)
}

func (s *Server) parseItem(fields map[string]any) (item account.Item, err error) {
	if item.SHA256, item.Submission, err = s.parseSubmission(fields); err == nil {
		rand.Read(item.Nonce[:])
	}
	return item, err
}

// made is what became of one hash.
type made struct {
	response TimestampResponse
	err      error
}

// submit has hashes submitted: together, or one by one in their order when some are refused. The error is one that
// all of them have.
func (s *Server) submit(r *http.Request, c *caller, items []account.Item) ([]made, error) {
	results := make([]made, len(items))
	kept, err := s.keep(r, c, items)
	switch {
	case err == nil:
		if err := s.describe(r, results, kept, c.v4); err != nil {
			return nil, refused(err)
		}
	case errors.Is(err, account.ErrQuota), errors.Is(err, seed.ErrPreprint), errors.Is(err, notify.ErrLimit):
		for i := range items {
			if len(items) > 1 {
				kept, err = s.keep(r, c, items[i:i+1])
			}
			if err == nil {
				err = s.describe(r, results[i:i+1], kept, c.v4)
			}
			if err != nil {
				results[i].err = refused(err)
			}
		}
	default:
		return nil, refused(err)
	}
	return results, nil
}

// describe fills in the responses to what was kept. The seeds of hashes that are new are known without a question.
func (s *Server) describe(r *http.Request, results []made, kept account.Created, v4 bool) error {
	ctx, cancel := context.WithTimeout(r.Context(), readWithin)
	defer cancel()
	var open []seed.State
	for _, o := range kept.Seeds {
		open = append(open, seed.State{Seed: o})
	}
	for i, sub := range kept.Submitted {
		states := open
		if !kept.Fresh[i] {
			var err error
			if states, err = s.config.Store.SeedStates(ctx, sub.Number); err != nil {
				return err
			}
		}
		results[i].response = responseOf(sub, states, s.config.Currencies, kept.Fresh[i], v4)
	}
	return nil
}

func (s *Server) keep(r *http.Request, c *caller, items []account.Item) (account.Created, error) {
	return s.config.Keeper.Create(r.Context(), account.Create{
		Account: c.account.ID, Items: items, Quota: c.plan.Quota, Branding: c.plan.Branding, Currencies: s.config.Currencies,
	})
}
