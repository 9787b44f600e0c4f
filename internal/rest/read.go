package rest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/store"
)

// pageSize is the most that a page has, and what it has unless the client asks for less.
const pageSize = 50

func (s *Server) list(w http.ResponseWriter, r *http.Request, c *caller) error {
	q, err := parseListQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	answer := api.List{Data: []api.Timestamp{}}
	ranges, some, err := s.ranges(r.Context(), q.status)
	if err != nil {
		return refused(err)
	}
	if !some {
		return answerJSON(w, r, http.StatusOK, answer)
	}
	if answer.TotalCount, err = s.config.Store.CountStamps(r.Context(), c.account.ID, ranges); err != nil {
		return refused(err)
	}
	stamps, err := s.config.Store.Stamps(r.Context(), c.account.ID, ranges, q.before, q.limit)
	if err != nil {
		return refused(err)
	}
	if len(stamps) > 0 {
		if answer.Data, err = s.resources(r.Context(), stamps); err != nil {
			return refused(err)
		}
		cursor := cursorAt(stamps[len(stamps)-1].Created)
		answer.NextCursor = &cursor
	}
	return answerJSON(w, r, http.StatusOK, answer)
}

// ranges are the positions of the stamps with a status, nil for all, and whether there can be any.
func (s *Server) ranges(ctx context.Context, status string) ([]store.Range, bool, error) {
	switch status {
	case "all":
		return nil, true, nil
	case string(api.StatusFailed):
		return nil, false, nil
	}
	confirmed, err := s.config.Store.Confirmed(ctx)
	if err != nil {
		return nil, false, err
	}
	if status == string(api.StatusConfirmed) {
		return confirmed, len(confirmed) > 0, nil
	}
	var pending []store.Range
	gap := store.Range{To: math.MaxInt64}
	for _, c := range confirmed {
		gap.To = c.From
		if gap.From < gap.To {
			pending = append(pending, gap)
		}
		gap = store.Range{From: c.To, To: math.MaxInt64}
	}
	return append(pending, gap), true, nil
}

type listQuery struct {
	status string
	before time.Time
	limit  int
}

func parseListQuery(raw string) (listQuery, error) {
	q := listQuery{status: "all", before: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), limit: pageSize}
	text, has, ok := parameter(raw, "status")
	switch text {
	case "all", string(api.StatusConfirmed), string(api.StatusPending), string(api.StatusFailed):
		q.status = text
	default:
		ok = !has
	}
	if !ok {
		return q, failure(api.ErrInvalidStatus, "The list filter includes an unsupported status.")
	}
	if text, has, ok = parameter(raw, "limit"); has {
		if q.limit, ok = parseLimit(text, ok); !ok {
			return q, failure(api.ErrInvalidLimit, "The list limit is not a positive integer.")
		}
	}
	if text, has, ok = parameter(raw, "before"); has {
		if q.before, ok = parseCursor(text, ok); !ok {
			return q, failure(api.ErrInvalidCursor, "The `before` query parameter is not a valid ISO-8601 timestamp.")
		}
	}
	return q, nil
}

// parameter is the value of a query's parameter and whether it is there. It is not ok when it is there twice or
// not well formed.
func parameter(raw, name string) (value string, has, ok bool) {
	ok = true
	for pair := range strings.SplitSeq(raw, "&") {
		key, text, _ := strings.Cut(pair, "=")
		if key, err := url.QueryUnescape(key); err != nil || key != name {
			continue
		}
		unescaped, err := url.QueryUnescape(text)
		ok = ok && err == nil && !has
		value, has = unescaped, true
	}
	return value, has, ok
}

// parseLimit reads a whole number above 0 of any size.
func parseLimit(text string, ok bool) (int, bool) {
	if !ok || strings.Trim(text, "0123456789") != "" || strings.Trim(text, "0") == "" {
		return 0, false
	}
	if n, err := strconv.Atoi(text); err == nil {
		return min(n, pageSize), true
	}
	return pageSize, true
}

// cursorLayouts are the forms of ISO 8601 that are read. Go reads a fraction of a second in each.
var cursorLayouts = []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"}

// parseCursor reads a time; without a zone it is UTC. It is rounded up to the microseconds of stamps, so that a
// stamp before it stays before it.
func parseCursor(text string, ok bool) (time.Time, bool) {
	text = strings.ReplaceAll(text, " ", "+") // a plus sign that was not escaped
	for _, layout := range cursorLayouts {
		if t, err := time.Parse(layout, text); ok && err == nil {
			return t.Add(time.Microsecond - 1).Truncate(time.Microsecond).UTC(), true
		}
	}
	return time.Time{}, false
}

// cursorAt is a time with milliseconds, and with microseconds when they are not zero.
func cursorAt(t time.Time) string {
	if t.Nanosecond()%int(time.Millisecond) == 0 {
		return api.Time{Time: t}.String()
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000Z")
}

// stamp is the caller's stamp with the id in the path. Another owner's looks like one that is not there.
func (s *Server) stamp(r *http.Request, c *caller) (account.Stamp, error) {
	id, err := account.ParseID(r.PathValue(argumentName))
	if err != nil {
		return account.Stamp{}, errID()
	}
	st, err := s.config.Store.Stamp(r.Context(), id)
	if errors.Is(err, store.ErrNotFound) || err == nil && st.Account != c.account.ID {
		return account.Stamp{}, errNotFound()
	} else if err != nil {
		return account.Stamp{}, refused(err)
	}
	return st, nil
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, c *caller) error {
	st, err := s.stamp(r, c)
	if err != nil {
		return err
	}
	return s.answerStamp(w, r, st)
}

func (s *Server) answerStamp(w http.ResponseWriter, r *http.Request, st account.Stamp) error {
	t, err := s.one(r.Context(), st)
	if err != nil {
		return refused(err)
	}
	return answerJSON(w, r, http.StatusOK, t)
}

func (s *Server) hash(w http.ResponseWriter, r *http.Request, c *caller) error {
	digest, ok := parseDigest(r.PathValue(argumentName))
	if !ok {
		return errDigest()
	}
	st, err := s.config.Store.StampByDigest(r.Context(), c.account.ID, digest)
	if errors.Is(err, store.ErrNotFound) {
		return errNotFound()
	} else if err != nil {
		return refused(err)
	}
	return s.answerStamp(w, r, st)
}

func (s *Server) patch(w http.ResponseWriter, r *http.Request, c *caller) error {
	id, err := account.ParseID(r.PathValue(argumentName))
	if err != nil {
		return errID()
	}
	_, fields, err := readObject(r, maxBody)
	if err != nil {
		return err
	}
	var change account.Change
	if v, has := fields["certificate_public"]; has {
		public, ok := v.(bool)
		if !ok {
			return failure(api.ErrInvalidJSON, "certificate_public is neither true nor false.")
		}
		change.Public = &public
	}
	if v, has := fields["thumbnail"]; has {
		var picture []byte
		if v != nil {
			if picture, err = parseThumbnail(v); err != nil {
				return err
			}
		}
		change.Thumbnail = &picture
	}
	if change != (account.Change{}) {
		err := s.config.Store.ChangeStamp(r.Context(), c.account.ID, id, change)
		if errors.Is(err, store.ErrNotFound) {
			return errNotFound()
		} else if err != nil {
			return refused(err)
		}
	}
	st, err := s.stamp(r, c)
	if err != nil {
		return err
	}
	c.note = append(c.note, "stamp", st.ID.String(), "public", st.Public)
	return s.answerStamp(w, r, st)
}

func (s *Server) thumbnail(w http.ResponseWriter, r *http.Request, c *caller) error {
	st, err := s.stamp(r, c)
	if err != nil {
		return err
	}
	if st.Thumbnail == nil {
		return failure(api.ErrNotFound, "The timestamp has no thumbnail.")
	}
	w.Header().Set("Content-Type", pictureType(st.Thumbnail))
	return httpkit.WriteBody(w, r, http.StatusOK, st.Thumbnail)
}

// monthsShown is how far back the usage goes.
const monthsShown = 24

func (s *Server) usage(w http.ResponseWriter, r *http.Request, c *caller) error {
	months, err := s.config.Store.Usage(r.Context(), c.account.ID, monthsShown)
	if err != nil {
		return refused(err)
	}
	now := c.now.UTC()
	current := account.Month(now)
	if len(months) == 0 || months[0].Month < current {
		months = append([]account.MonthlyUse{{Month: current}}, months...)
	}
	answer := api.Usage{
		Plan: c.account.Plan, Month: monthText(current), Quota: c.plan.Quota,
		ResetsAt: api.Time{Time: time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC)},
	}
	for _, m := range months {
		if m.Month == current {
			answer.Used = m.Used
		}
		answer.Months = append(answer.Months, api.MonthUsage{Month: monthText(m.Month), Used: m.Used})
	}
	answer.Remaining = max(0, answer.Quota-answer.Used)
	return answerJSON(w, r, http.StatusOK, answer)
}

func monthText(month int64) string { return fmt.Sprintf("%04d-%02d", month/100, month%100) }

func (s *Server) targets(w http.ResponseWriter, r *http.Request, _ *caller) error {
	statuses, err := s.config.Store.Targets(r.Context())
	if err != nil {
		return refused(err)
	}
	answer := api.Targets{Data: []api.Target{}}
	for _, t := range statuses {
		target := api.Target{
			Name: t.Target, Network: t.Network, TestNetwork: t.TestNetwork, Status: string(t.Code), Message: t.Message,
			Height: t.Height, Confirmations: t.Confirmations,
		}
		if !t.Updated.IsZero() {
			target.UpdatedAt = &api.Time{Time: t.Updated}
		}
		answer.Data = append(answer.Data, target)
	}
	return answerJSON(w, r, http.StatusOK, answer)
}
