package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/ots"
)

var accountKey = "datestone_live_" + strings.Repeat("d", 64)

// service keeps stamps of one account and makes real proofs, unless it is told to misbehave:
//
//	busy     answers every second request with 503
//	limited  answers what it was not asked before with 429
//	quota    has nothing left
//	other    gives the proof of other data
//	garbage  gives what is no proof
//	hostile  gives names that lead elsewhere
//	echo     refuses with the key in its words
type service struct {
	behaviour string
	calendar  *calendar

	mu       sync.Mutex // guards what is below
	requests int
	asked    map[string]bool
	stamps   []*api.Timestamp
	proofs   map[string]*ots.File
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	refuse := func(code api.Code, message string) {
		w.WriteHeader(code.Status())
		json.NewEncoder(w).Encode(api.ErrorAnswer{Error: &api.Error{Code: code, Message: message, RequestID: fmt.Sprintf("r-%d", s.requests)}})
	}
	switch {
	case s.behaviour == "busy" && s.requests%2 == 1:
		refuse(api.ErrServiceUnavailable, "come back")
		return
	case s.behaviour == "limited" && !s.asked[r.URL.Path]:
		s.asked[r.URL.Path] = true
		w.Header().Set("Retry-After", "3")
		refuse(api.ErrRateLimited, "too many requests")
		return
	case s.behaviour == "echo":
		refuse(api.ErrInvalidAPIKey, "no account has "+r.Header.Get("Authorization"))
		return
	case r.Header.Get("Authorization") != "Bearer "+accountKey:
		refuse(api.ErrInvalidAPIKey, "not an active key")
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/api/v1/")
	switch {
	case r.Method == http.MethodPost && path == "timestamps/batch":
		if s.behaviour == "quota" {
			refuse(api.ErrMonthlyLimitReached, "nothing left this month")
			return
		}
		var in api.BatchRequest
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.Header.Get("Idempotency-Key") == "" {
			refuse(api.ErrInvalidJSON, "no batch")
			return
		}
		var out api.BatchAnswer
		for _, item := range in.Items {
			result := api.BatchResult{Result: api.ResultExisting}
			ts := s.find(item.SHA256Hash)
			if ts == nil {
				ts = s.create(item)
				result.Result = api.ResultCreated
			}
			result.Timestamp = *ts
			out.Data = append(out.Data, result)
		}
		json.NewEncoder(w).Encode(out)
	case path == "timestamps":
		s.list(w, r)
	case strings.HasPrefix(path, "hashes/"), strings.HasPrefix(path, "timestamps/"):
		name, proof := strings.CutSuffix(path, "/ots")
		ts := s.find(name[strings.IndexByte(name, '/')+1:])
		if ts == nil {
			refuse(api.ErrTimestampNotFound, "no such stamp")
			return
		}
		s.complete(ts)
		if proof {
			w.Write(s.proof(ts))
			return
		}
		json.NewEncoder(w).Encode(ts)
	default:
		refuse(api.ErrNotFound, "no such route")
	}
}

func (s *service) find(name string) *api.Timestamp {
	for _, ts := range s.stamps {
		if ts.ID == name || ts.SHA256Hash == name {
			return ts
		}
	}
	return nil
}

func (s *service) create(item api.CreateRequest) *api.Timestamp {
	n := len(s.stamps) + 1
	ts := &api.Timestamp{
		ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", n), CertificateID: fmt.Sprintf("TS-%06d", n),
		SHA256Hash: item.SHA256Hash, Filename: item.Filename, FileSizeBytes: item.FileSizeBytes, Status: api.StatusPending,
		CreatedAt:      api.Time{Time: time.Date(2026, 5, 1, 10, 0, n, 0, time.UTC)},
		CertificateURL: fmt.Sprintf("%s/cert/TS-%06d", s.calendar.url, n), VerifyURL: s.calendar.url + "/verify/" + item.SHA256Hash,
	}
	if s.behaviour == "hostile" {
		ts.Filename = "../../\x1b[31m.profile"
	}
	digest, err := hex.DecodeString(item.SHA256Hash)
	if err != nil {
		panic(err)
	}
	if s.behaviour == "other" {
		digest[0]++
	}
	s.calendar.mu.Lock()
	defer s.calendar.mu.Unlock()
	t, err := ots.ParseTimestamp(s.calendar.accept(digest), len(digest))
	if err != nil {
		panic(err)
	}
	s.proofs[ts.ID] = &ots.File{HashOp: ots.OpSHA256, Digest: digest, Timestamp: t}
	s.stamps = append(s.stamps, ts)
	return ts
}

// complete puts what was mined into the stamp and its proof.
func (s *service) complete(ts *api.Timestamp) {
	s.calendar.mu.Lock()
	defer s.calendar.mu.Unlock()
	f := s.proofs[ts.ID]
	err := f.Timestamp.Walk(f.Digest, func(n *ots.Timestamp, msg []byte) error {
		wire, ok := s.calendar.known[hex.EncodeToString(msg)]
		if !ok {
			return nil
		}
		t, err := ots.ParseTimestamp(wire, len(msg))
		if err == nil {
			block, now := int64(7), api.Time{Time: ts.CreatedAt.Add(time.Hour)}
			ts.Status, ts.BitcoinBlock, ts.ConfirmedAt = api.StatusConfirmed, &block, &now
			n.Merge(t)
		}
		return err
	})
	if err != nil {
		panic(err)
	}
}

func (s *service) proof(ts *api.Timestamp) []byte {
	if s.behaviour == "garbage" {
		return []byte("<html>")
	}
	b, err := s.proofs[ts.ID].AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return b
}

// list gives pages of two.
func (s *service) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	list := api.List{Data: []api.Timestamp{}, TotalCount: int64(len(s.stamps))}
	for i := len(s.stamps) - 1; i >= 0 && len(list.Data) < 2; i-- {
		ts := s.stamps[i]
		s.complete(ts)
		if before := q.Get("before"); before != "" && ts.CreatedAt.String() >= before || q.Get("status") != "" && q.Get("status") != string(ts.Status) {
			continue
		}
		list.Data = append(list.Data, *ts)
		cursor := ts.CreatedAt.String()
		list.NextCursor = &cursor
	}
	json.NewEncoder(w).Encode(list)
}

// service NAME [behaviour] starts a service and puts its URL in $NAME, its key in $KEY.
func cmdService(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: service NAME [behaviour]")
	}
	s := &service{
		behaviour: strings.Join(args[1:], ""), calendar: &calendar{known: map[string][]byte{}},
		asked: map[string]bool{}, proofs: map[string]*ots.File{},
	}
	server := httptest.NewServer(s)
	s.mu.Lock()
	s.calendar.mu.Lock()
	s.calendar.url = server.URL
	s.calendar.mu.Unlock()
	s.mu.Unlock()
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.URL)
	ts.Setenv("KEY", accountKey)
	w := worldOf(ts)
	w.calendars = append(w.calendars, s.calendar)
}

func TestSafeName(t *testing.T) {
	tests := map[string]string{
		"plan.pdf": "plan.pdf", "": "hash", "../../x": "_._.._x", "/etc/passwd": "_etc_passwd", `a\b:c`: "a_b_c", ".profile": "_profile", "-rf": "_rf",
		"a\nb\x1b[31m": "a_b_[31m", "\u202egnp": "_gnp", "grün 漢字.pdf": "grün 漢字.pdf", "\xff": "_", ".": "_", "..": "_.",
		strings.Repeat("ä", 200): strings.Repeat("ä", 120),
	}
	for in, want := range tests {
		if got := safeName(in, "hash"); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestDisplayName(t *testing.T) {
	for in, want := range map[string]string{
		"a/b/plan.pdf": "plan.pdf", "x\n": "x_", "\xff.bin": "_.bin", "grün": "grün", strings.Repeat("a", 254) + "ä": strings.Repeat("a", 254),
	} {
		if got := displayName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestKeptProof(t *testing.T) {
	att, err := ots.PendingAttestation("https://stamps.example.org")
	if err != nil {
		t.Fatal(err)
	}
	make := func(op ots.Tag, n int) []byte {
		b, err := (&ots.File{HashOp: op, Digest: bytes.Repeat([]byte{0xab}, n), Timestamp: ots.New(ots.Path{}.SHA256(), att)}).AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := make(ots.OpSHA256, 32)
	if f, err := keptProof(good, strings.Repeat("ab", 32)); err != nil || proofStatus(f) != "pending" {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"other digest": second(keptProof(good, strings.Repeat("cd", 32))),
		"other hash":   second(keptProof(make(ots.OpKeccak256, 32), strings.Repeat("ab", 32))),
		"cut":          second(keptProof(good[:len(good)-1], strings.Repeat("ab", 32))),
		"more":         second(keptProof(append(good, 0), strings.Repeat("ab", 32))),
	} {
		if err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }
