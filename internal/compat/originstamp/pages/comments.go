package pages

import (
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/page"
	"github.com/datestone/datestone/internal/seed"
)

//go:embed comments.html
var commentsText string

var commentsPage = page.Parse("comments", commentsText, funcs)

const (
	commentsShown = 20
	maxComments   = 100
	// maxQuery is the longest search, in characters.
	maxQuery = 200

	errInvalidQuery api.Code = "INVALID_QUERY"
)

// query is a search.
type query struct {
	words  string
	before int64
	limit  int
}

func parseQuery(values url.Values) (q query, err error) {
	q.words = strings.Join(strings.Fields(values.Get("q")), " ")
	if !utf8.ValidString(q.words) || strings.ContainsRune(q.words, 0) || utf8.RuneCountInString(q.words) > maxQuery {
		return q, failure(http.StatusBadRequest, errInvalidQuery, "a search has at most 200 characters of text")
	}
	if text := values.Get("before"); text != "" {
		if q.before, err = strconv.ParseInt(text, 10, 64); err != nil || q.before < 1 {
			return q, failure(http.StatusBadRequest, api.ErrInvalidCursor, "before is not a cursor that a search gave")
		}
	}
	q.limit = commentsShown
	if text := values.Get("limit"); text != "" {
		if q.limit, err = strconv.Atoi(text); err != nil || q.limit < 1 || q.limit > maxComments {
			return q, failure(http.StatusBadRequest, api.ErrInvalidLimit, "limit is a number from 1 to 100")
		}
	}
	return q, nil
}

// find searches, and returns the cursor of what follows, or 0.
func (s *Server) find(r *http.Request, q query) (found []seed.Submitted, next int64, err error) {
	if err := s.admit(r, &s.askSites, searchesPerSite); err != nil {
		return nil, 0, err
	}
	if err := s.searches.Acquire(r.Context(), 1); err != nil {
		return nil, 0, err
	}
	defer s.searches.Release(1)
	found, err = s.config.Store.SearchComments(r.Context(), q.words, q.before, q.limit+1)
	if err == nil && len(found) > q.limit {
		found = found[:q.limit]
		next = found[q.limit-1].Number
	}
	return found, next, err
}

// shownComment is one that was found.
type shownComment struct {
	Hash, Comment string
	Created       time.Time
}

func (s *Server) getComments(w http.ResponseWriter, r *http.Request) error {
	if !s.config.Comments {
		return errMissing()
	}
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		return err
	}
	view := struct {
		Title       string
		TestNetwork bool
		Words       string
		Later       bool // not the first page
		Comments    []shownComment
		Next        string // of the page that follows, or empty
	}{Title: "Comments", Words: page.Visible(q.words), Later: q.before > 0}
	if q.words != "" {
		found, next, err := s.find(r, q)
		if err != nil {
			return err
		}
		for _, sub := range found {
			view.Comments = append(view.Comments, shownComment{hex.EncodeToString(sub.Hash[:]), page.Visible(sub.Comment), sub.Created})
		}
		if next > 0 {
			view.Next = "comments?" + url.Values{"q": {q.words}, "before": {strconv.FormatInt(next, 10)}}.Encode()
		}
	}
	if view.TestNetwork, err = s.testNetwork(r.Context()); err != nil {
		return err
	}
	return write(w, r, commentsPage, view)
}

// comment is one that was found, for programs.
type comment struct {
	HashString  string `json:"hash_string"`
	DateCreated int64  `json:"date_created"` // milliseconds
	Comment     string `json:"comment"`
	URL         string `json:"url"` // of its page
}

// list is a page of comments, newest first.
type list struct {
	Data       []comment `json:"data"`
	NextCursor *string   `json:"next_cursor"` // the before of the next page; null if there is none
}

func (s *Server) getSearch(w http.ResponseWriter, r *http.Request) error {
	if !s.config.Comments {
		return errMissing()
	}
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		return err
	}
	if q.words == "" {
		return failure(http.StatusBadRequest, errInvalidQuery, "q has no words to search for")
	}
	found, next, err := s.find(r, q)
	if err != nil {
		return err
	}
	answer := list{Data: []comment{}}
	for _, sub := range found {
		hash := hex.EncodeToString(sub.Hash[:])
		answer.Data = append(answer.Data, comment{hash, sub.Created.UnixMilli(), sub.Comment, s.config.URI + hashPrefix + hash})
	}
	if next > 0 {
		cursor := strconv.FormatInt(next, 10)
		answer.NextCursor = &cursor
	}
	return writeJSON(w, r, http.StatusOK, answer)
}

// writeJSON writes a value with the escapes that are for HTML, as what is in it comes from strangers.
func writeJSON(w http.ResponseWriter, r *http.Request, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	header := w.Header()
	page.Secure(header)
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	return httpkit.WriteBody(w, r, status, b)
}

// writeError writes an error as the API of this service does.
func writeError(w http.ResponseWriter, r *http.Request, e *httpkit.Error) {
	answer := api.Error{Code: api.ErrInternal, Message: "The platform failed while serving the request.", RequestID: w.Header().Get("X-Request-Id")}
	if c, ok := errors.AsType[*coded](e); ok {
		answer.Code = c.code
		answer.Message = strings.ToUpper(e.Message[:1]) + e.Message[1:] + "."
	}
	writeJSON(w, r, e.Status, api.ErrorAnswer{Error: &answer})
}
