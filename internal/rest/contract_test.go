package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/store"
)

// resourceText is the contract's resource, byte for byte.
func resourceText(st account.Stamp, status, tx, block, at, thumbnail, branding string) string {
	created := st.Created.UTC().Format("2006-01-02T15:04:05.000Z")
	return fmt.Sprintf(`{"id":"%s","certificate_id":"%s","sha256_hash":"%x","filename":"%s","file_size_bytes":%d,"file_type":"%s",`+
		`"status":"%s","blockchain_tx":%s,"bitcoin_block":%s,"confirmed_at":%s,"created_at":"%s","thumbnail_url":%s,"branding_snapshot":%s,`+
		`"certificate_url":"https://stamps.test/cert/%s","verify_url":"https://stamps.test/verify/%x","ots_url":"/api/v1/timestamps/%s/ots"}`,
		st.ID, st.Certificate, st.SHA256, st.File.Name, st.File.Size, st.File.Type, status, tx, block, at, created, thumbnail, branding,
		st.Certificate, st.SHA256, st.ID)
}

func TestSuccesses(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		r.a.Branding = &account.Branding{Name: "A & Co", LogoURL: "https://a.test/logo.png", Color: "#102030"}
		if err := r.db.SetBranding(t.Context(), r.a.ID, r.a.Branding); err != nil {
			t.Fatal(err)
		}
		var ts api.Timestamp
		created := r.must(&ts, 201, "POST", "/api/v1/timestamps", r.aKey, createBody(0), "X-Request-Id", "mine")
		st := r.stored(ts.ID)
		branding := `{"name":"A & Co","logo_url":"https://a.test/logo.png","color":"#102030"}`
		pending := resourceText(st, "pending", "null", "null", "null", "null", branding)
		if d := cmp.Diff(pending, created.body); d != "" {
			t.Errorf("created: %s", d)
		}
		want := http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}, "X-Content-Type-Options": {"nosniff"}, "X-Request-Id": {"mine"},
			"X-Ratelimit-Limit": {"1000000"}, "X-Ratelimit-Remaining": {"999999"}, "X-Ratelimit-Reset": created.header["X-Ratelimit-Reset"]}
		if d := cmp.Diff(want, created.header); d != "" {
			t.Errorf("header: %s", d)
		}
		path := "/api/v1/timestamps/" + ts.ID
		got := r.must(nil, 200, "GET", path, r.aKey, "")
		if d := cmp.Diff(pending, got.body); d != "" || got.header.Get("X-Request-Id") == "" {
			t.Errorf("got: %s %v", d, got.header)
		}
		list := func(query string) string { return r.must(nil, 200, "GET", "/api/v1/timestamps"+query, r.aKey, "").body }
		page := func(resource string) string {
			return fmt.Sprintf(`{"data":[%s],"total_count":1,"next_cursor":"%s"}`, resource, cursorAt(st.Created))
		}
		const empty = `{"data":[],"total_count":0,"next_cursor":null}`
		for query, want := range map[string]string{"": page(pending), "?status=all": page(pending), "?status=pending&limit=1": page(pending), "?limit=99999999999999999999": page(pending),
			"?status=confirmed": empty, "?status=failed": empty} {
			if d := cmp.Diff(want, list(query)); d != "" {
				t.Errorf("list %q: %s", query, d)
			}
		}

		tx := r.confirm()
		confirmed := resourceText(st, "confirmed", `"`+tx+`"`, "900001", `"2026-05-01T11:00:00.000Z"`, "null", branding)
		for query, want := range map[string]string{"": page(confirmed), "?status=confirmed": page(confirmed), "?status=pending": empty, "?status=failed": empty} {
			if d := cmp.Diff(want, list(query)); d != "" {
				t.Errorf("list %q after the confirmation: %s", query, d)
			}
		}
		for _, path := range []string{path, "/api/v1/hashes/" + strings.ToUpper(hashOf(0))} {
			if d := cmp.Diff(confirmed, r.must(nil, 200, "GET", path, r.aKey, "").body); d != "" {
				t.Errorf("%s after the confirmation: %s", path, d)
			}
		}
		if got := r.must(nil, 200, "HEAD", path, r.aKey, ""); got.body != "" || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("HEAD: %+v", got)
		}

		r.withdraw()
		if d := cmp.Diff(page(pending), list("?status=pending")); d != "" {
			t.Errorf("after the block left the chain: %s", d)
		}
		if got := list("?status=confirmed"); got != empty {
			t.Errorf("confirmed after the block left the chain: %s", got)
		}
	})
}

// scripted is a keeper that answers with an error.
type scripted struct{ err error }

func (s scripted) Create(context.Context, account.Create) (account.Created, error) {
	return account.Created{}, s.err
}

// failing is a store whose reads of stamps fail.
type failing struct {
	Store
	err error
}

func (f failing) Stamp(context.Context, account.ID) (account.Stamp, error) {
	return account.Stamp{}, f.err
}

func TestErrors(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		small, smallKey := r.account("small@example.org", "small")
		mine := r.create(r.aKey, 0)
		foreign := r.create(r.bKey, 0)
		r.create(smallKey, 100)
		r.must(nil, 201, "POST", "/api/v1/timestamps", r.aKey, createBody(1), "Idempotency-Key", "used")
		_ = small

		const create = "/api/v1/timestamps"
		with := func(field, value string) string {
			fields := map[string]string{"sha256_hash": `"` + hashOf(50) + `"`, "filename": `"a.pdf"`, "file_size_bytes": "1"}
			fields[field] = value
			var pairs []string
			for k, v := range fields {
				if v != "" {
					pairs = append(pairs, `"`+k+`":`+v)
				}
			}
			return "{" + strings.Join(pairs, ",") + "}"
		}
		deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
		for _, c := range []struct {
			name, method, path, key, body string
			fields                        []string
			code                          api.Code
			message                       string
			header                        http.Header // beside those of every answer
		}{
			{name: "no key", method: "GET", path: create, code: api.ErrAuthenticationRequired, message: "No Bearer token was provided.", header: http.Header{"Www-Authenticate": {"Bearer"}}},
			{name: "another scheme", method: "GET", path: create, fields: []string{"Authorization", "Basic YTpi"}, code: api.ErrAuthenticationRequired, message: "No Bearer token was provided.", header: http.Header{"Www-Authenticate": {"Bearer"}}},
			{name: "an unknown key", method: "GET", path: create, key: testPrefix + strings.Repeat("d", 64), code: api.ErrInvalidAPIKey, message: "The key does not match an active premium credential.", header: http.Header{"Www-Authenticate": {`Bearer error="invalid_token"`}}},
			{name: "a free plan", method: "POST", path: create, key: r.plainKey, body: "not read", code: api.ErrPlanNotEntitled, message: "The authenticated account is not on a premium plan with API access."},
			{name: "an empty idempotency key", method: "POST", path: create, key: r.aKey, body: "not read", fields: []string{"Idempotency-Key", ""}, code: api.ErrInvalidIdempotencyKey},
			{name: "a long idempotency key", method: "POST", path: create, key: r.aKey, body: "not read", fields: []string{"Idempotency-Key", strings.Repeat("k", 201)}, code: api.ErrInvalidIdempotencyKey},
			{name: "an idempotency key that is no text", method: "POST", path: create, key: r.aKey, body: "not read", fields: []string{"Idempotency-Key", "\xff"}, code: api.ErrInvalidIdempotencyKey, message: "The provided Idempotency-Key is empty or too long."},

			{name: "no JSON", method: "POST", path: create, key: r.aKey, body: "{", code: api.ErrInvalidJSON, message: "The request body is not valid JSON."},
			{name: "an empty body", method: "POST", path: create, key: r.aKey, fields: []string{"Content-Type", "application/json"}, code: api.ErrInvalidJSON},
			{name: "an array", method: "POST", path: create, key: r.aKey, body: "[]", code: api.ErrInvalidJSON},
			{name: "trailing data", method: "POST", path: create, key: r.aKey, body: createBody(50) + "x", code: api.ErrInvalidJSON},
			{name: "a name twice", method: "POST", path: create, key: r.aKey, body: `{"filename":"a",` + with("file_type", "")[1:], code: api.ErrInvalidJSON},
			{name: "invalid UTF-8", method: "POST", path: create, key: r.aKey, body: with("filename", "\"\xff.pdf\""), code: api.ErrInvalidJSON},
			{name: "half a surrogate pair", method: "POST", path: create, key: r.aKey, body: with("filename", `"\ud800.pdf"`), code: api.ErrInvalidJSON},
			{name: "a number that overflows", method: "POST", path: create, key: r.aKey, body: with("file_size_bytes", "1e999"), code: api.ErrInvalidJSON},
			{name: "deep", method: "POST", path: create, key: r.aKey, body: with("x", deep), code: api.ErrInvalidJSON},
			{name: "no type", method: "POST", path: create, key: r.aKey, body: createBody(50), fields: []string{"Content-Type", "-"}, code: api.ErrInvalidJSON},
			{name: "a form", method: "POST", path: create, key: r.aKey, body: createBody(50), fields: []string{"Content-Type", "application/x-www-form-urlencoded"}, code: api.ErrInvalidJSON, message: "The request body is not valid JSON: Content-Type must be application/json."},
			{name: "too large", method: "POST", path: create, key: r.aKey, body: `{"x":"` + strings.Repeat("x", maxBody) + `"}`, code: api.ErrPayloadTooLarge, message: "The request body has more than 65536 bytes.", header: http.Header{"Connection": {"close"}}},

			{name: "no hash", method: "POST", path: create, key: r.aKey, body: with("sha256_hash", ""), code: api.ErrInvalidSHA256Hash, message: "The supplied hash is not a 64-character hexadecimal SHA-256 fingerprint."},
			{name: "another name's hash", method: "POST", path: create, key: r.aKey, body: strings.Replace(createBody(50), "sha256_hash", "SHA256_HASH", 1), code: api.ErrInvalidSHA256Hash},
			{name: "a short hash", method: "POST", path: create, key: r.aKey, body: with("sha256_hash", `"abcd"`), code: api.ErrInvalidSHA256Hash},
			{name: "a hash of other characters", method: "POST", path: create, key: r.aKey, body: with("sha256_hash", `"`+strings.Repeat("g", 64)+`"`), code: api.ErrInvalidSHA256Hash},
			{name: "a hash that is a number", method: "POST", path: create, key: r.aKey, body: with("sha256_hash", "7"), code: api.ErrInvalidSHA256Hash},
			{name: "no filename", method: "POST", path: create, key: r.aKey, body: with("filename", ""), code: api.ErrInvalidFilename, message: "The payload is missing a non-empty filename."},
			{name: "an empty filename", method: "POST", path: create, key: r.aKey, body: with("filename", `""`), code: api.ErrInvalidFilename},
			{name: "a filename of spaces", method: "POST", path: create, key: r.aKey, body: with("filename", `"  "`), code: api.ErrInvalidFilename},
			{name: "a filename with NUL", method: "POST", path: create, key: r.aKey, body: with("filename", `"a\u0000b"`), code: api.ErrInvalidFilename},
			{name: "a long filename", method: "POST", path: create, key: r.aKey, body: with("filename", `"`+strings.Repeat("ä", 128)+`"`), code: api.ErrInvalidFilename},
			{name: "no size", method: "POST", path: create, key: r.aKey, body: with("file_size_bytes", ""), code: api.ErrInvalidFileSize, message: "The payload is missing a positive byte size."},
			{name: "a size of 0", method: "POST", path: create, key: r.aKey, body: with("file_size_bytes", "0"), code: api.ErrInvalidFileSize},
			{name: "a size below 0", method: "POST", path: create, key: r.aKey, body: with("file_size_bytes", "-1"), code: api.ErrInvalidFileSize},
			{name: "half a byte", method: "POST", path: create, key: r.aKey, body: with("file_size_bytes", "1.5"), code: api.ErrInvalidFileSize},
			{name: "a size in text", method: "POST", path: create, key: r.aKey, body: with("file_size_bytes", `"1"`), code: api.ErrInvalidFileSize},
			{name: "a size above all", method: "POST", path: create, key: r.aKey, body: with("file_size_bytes", "9223372036854775808"), code: api.ErrInvalidFileSize},
			{name: "a type that is a number", method: "POST", path: create, key: r.aKey, body: with("file_type", "7"), code: api.ErrInvalidFileType, message: "The optional MIME type is not a string."},
			{name: "a type that is null", method: "POST", path: create, key: r.aKey, body: with("file_type", "null"), code: api.ErrInvalidFileType},
			{name: "a long type", method: "POST", path: create, key: r.aKey, body: with("file_type", `"`+strings.Repeat("a", 128)+`"`), code: api.ErrInvalidFileType},
			{name: "a thumbnail that is text", method: "POST", path: create, key: r.aKey, body: with("thumbnail", `"aGVsbG8="`), code: api.ErrInvalidThumbnail},
			{name: "the order of fields", method: "POST", path: create, key: r.aKey, body: `{"file_type":7,"filename":""}`, code: api.ErrInvalidSHA256Hash},

			{name: "another payload", method: "POST", path: create, key: r.aKey, body: createBody(51), fields: []string{"Idempotency-Key", "used"}, code: api.ErrIdempotencyMismatch, message: "The same Idempotency-Key was reused for a different create payload."},
			{name: "a duplicate", method: "POST", path: create, key: r.aKey, body: createBody(0), code: api.ErrDuplicateTimestamp, message: "The same owner already timestamped this hash."},
			{name: "a duplicate of a keyed one", method: "POST", path: create, key: r.aKey, body: createBody(1), code: api.ErrDuplicateTimestamp},
			{name: "over the quota", method: "POST", path: create + "/batch", key: smallKey, body: `{"items":[` + createBody(1) + "," + createBody(2) + `]}`, code: api.ErrMonthlyLimitReached, message: "The account exhausted its current monthly timestamp allowance."},
			{name: "a duplicate before the quota", method: "POST", path: create, key: smallKey, body: createBody(100), code: api.ErrDuplicateTimestamp},

			{name: "an unknown status", method: "GET", path: create + "?status=done", key: r.aKey, code: api.ErrInvalidStatus, message: "The list filter includes an unsupported status."},
			{name: "an empty status", method: "GET", path: create + "?status=", key: r.aKey, code: api.ErrInvalidStatus},
			{name: "two statuses", method: "GET", path: create + "?status=pending&status=failed", key: r.aKey, code: api.ErrInvalidStatus},
			{name: "limit 0", method: "GET", path: create + "?limit=0", key: r.aKey, code: api.ErrInvalidLimit, message: "The list limit is not a positive integer."},
			{name: "limit -1", method: "GET", path: create + "?limit=-1", key: r.aKey, code: api.ErrInvalidLimit},
			{name: "limit 1.5", method: "GET", path: create + "?limit=1.5", key: r.aKey, code: api.ErrInvalidLimit},
			{name: "limit ten", method: "GET", path: create + "?limit=ten", key: r.aKey, code: api.ErrInvalidLimit},
			{name: "no limit", method: "GET", path: create + "?limit=", key: r.aKey, code: api.ErrInvalidLimit},
			{name: "a cursor that is no time", method: "GET", path: create + "?before=yesterday", key: r.aKey, code: api.ErrInvalidCursor, message: "The `before` query parameter is not a valid ISO-8601 timestamp."},
			{name: "a cursor on no day", method: "GET", path: create + "?before=2026-02-30T00:00:00Z", key: r.aKey, code: api.ErrInvalidCursor},
			{name: "a cursor that is badly escaped", method: "GET", path: create + "?before=2026-02-01%zz", key: r.aKey, code: api.ErrInvalidCursor},

			{name: "no UUID", method: "GET", path: create + "/1", key: r.aKey, code: api.ErrInvalidID, message: "The timestamp path parameter is not a UUID."},
			{name: "the proof of no UUID", method: "GET", path: create + "/1/ots", key: r.aKey, code: api.ErrInvalidID},
			{name: "a change of no UUID", method: "PATCH", path: create + "/1", key: r.aKey, body: "{}", code: api.ErrInvalidID},
			{name: "no such stamp", method: "GET", path: create + "/" + account.NewID().String(), key: r.aKey, code: api.ErrTimestampNotFound, message: "The referenced timestamp does not exist for the authenticated owner."},
			{name: "a foreign stamp", method: "GET", path: create + "/" + foreign.ID, key: r.aKey, code: api.ErrTimestampNotFound, message: "The referenced timestamp does not exist for the authenticated owner."},
			{name: "no such hash", method: "GET", path: "/api/v1/hashes/" + hashOf(99), key: r.aKey, code: api.ErrTimestampNotFound},
			{name: "no hash in the path", method: "GET", path: "/api/v1/hashes/abc", key: r.aKey, code: api.ErrInvalidSHA256Hash},
			{name: "no thumbnail", method: "GET", path: create + "/" + mine.ID + "/thumbnail", key: r.aKey, code: api.ErrNotFound},
			{name: "a batch of nothing", method: "POST", path: create + "/batch", key: r.aKey, body: `{"items":[]}`, code: api.ErrInvalidBatch, message: "The payload needs items, a list of 1 to 10000 objects."},
			{name: "a batch of too many", method: "POST", path: create + "/batch", key: r.aKey, body: `{"items":[` + strings.Repeat("1,", api.MaxBatch) + `1]}`, code: api.ErrInvalidBatch},
			{name: "a batch with a bad item", method: "POST", path: create + "/batch", key: r.aKey, body: `{"items":[` + createBody(60) + "," + with("file_size_bytes", "0") + `]}`, code: api.ErrInvalidFileSize, message: "Item 1: The payload is missing a positive byte size."},
			{name: "a change to nonsense", method: "PATCH", path: create + "/" + mine.ID, key: r.aKey, body: `{"certificate_public":"yes"}`, code: api.ErrInvalidJSON},
			{name: "a change to no picture", method: "PATCH", path: create + "/" + mine.ID, key: r.aKey, body: `{"thumbnail":"aGVsbG8="}`, code: api.ErrInvalidThumbnail},
			{name: "no proof to verify", method: "POST", path: "/api/v1/verify", key: r.aKey, body: "hello", code: api.ErrInvalidProof},
			{name: "a proof of anything", method: "POST", path: "/api/v1/verify", key: r.aKey, body: strings.Repeat("x", maxProofBody+1), code: api.ErrPayloadTooLarge, header: http.Header{"Connection": {"close"}}},
			{name: "no such path", method: "GET", path: "/api/v1/", code: api.ErrNotFound, message: "There is nothing at this path."},
			{name: "a separator that is escaped", method: "GET", path: create + "%2f" + mine.ID, key: r.aKey, code: api.ErrNotFound},
			{name: "another one", method: "GET", path: create + "/" + mine.ID + "%2Fots", key: r.aKey, code: api.ErrInvalidID},
			{name: "no such path either", method: "GET", path: create + "/", code: api.ErrNotFound},
			{name: "no such method", method: "DELETE", path: create, code: api.ErrMethodNotAllowed, header: http.Header{"Allow": {"GET, HEAD, POST"}}},
			{name: "no such method of a batch", method: "GET", path: create + "/batch", code: api.ErrMethodNotAllowed, header: http.Header{"Allow": {"POST"}}},
		} {
			t.Run(c.name, func(t *testing.T) {
				got := r.do(c.method, c.path, c.key, c.body, append(c.fields, "X-Request-Id", "req-7")...)
				checkError(t, got, c.code, c.message, c.header)
			})
		}
		if used, err := r.db.QuotaUsed(t.Context(), r.a.ID, account.Month(time.Now())); err != nil || used != 2 {
			t.Errorf("%d of the quota used, want 2: what is refused is free; %v", used, err)
		}
	})
}

// checkError compares a whole answer.
func checkError(t *testing.T, got answer, code api.Code, message string, header http.Header) {
	t.Helper()
	if got.status != code.Status() {
		t.Errorf("status %d, want %d", got.status, code.Status())
	}
	begin, end := fmt.Sprintf(`{"error":{"code":"%s","message":"`, code), `","request_id":"req-7"}}`
	if message != "" && got.body != begin+message+end || !strings.HasPrefix(got.body, begin) || !strings.HasSuffix(got.body, end) {
		t.Errorf("body %s, want %s%s%s", got.body, begin, message, end)
	}
	want := http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}, "X-Content-Type-Options": {"nosniff"}, "X-Request-Id": {"req-7"}}
	for name, values := range header {
		want[name] = values
	}
	have := got.header.Clone()
	for name := range have {
		if strings.HasPrefix(name, "X-Ratelimit-") && want[name] == nil {
			delete(have, name)
		}
	}
	if d := cmp.Diff(want, have); d != "" {
		t.Errorf("header: %s", d)
	}
}

// What the parts below the surface report, in the contract's words. None of the private causes is in an answer.
func TestFaults(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		retry := http.Header{"Retry-After": {"1"}}
		for name, c := range map[string]struct {
			err    error
			code   api.Code
			header http.Header
		}{
			"another node is at it": {account.ErrInProgress, api.ErrIdempotencyInProgress, retry},
			"the append failed":     {fmt.Errorf("%w: the private cause", calendar.ErrUnavailable), api.ErrOTSProvider, retry},
			"suspended meanwhile":   {account.ErrSuspended, api.ErrInvalidAPIKey, http.Header{"Www-Authenticate": {`Bearer error="invalid_token"`}}},
			"unexpected":            {errors.New("the private cause"), api.ErrInternal, nil},
		} {
			t.Run(name, func(t *testing.T) {
				r.restart(func(c2 *Config) { c2.Keeper = scripted{c.err} })
				checkError(t, r.do("POST", "/api/v1/timestamps", r.aKey, createBody(0), "X-Request-Id", "req-7"), c.code, "", c.header)
			})
		}
		for name, c := range map[string]struct {
			err    error
			code   api.Code
			header http.Header
		}{
			"busy":       {fmt.Errorf("reading: %w", store.ErrBusy), api.ErrServiceUnavailable, retry},
			"no server":  {fmt.Errorf("reading: %w", store.ErrUnreachable), api.ErrServiceUnavailable, retry},
			"slow":       {context.DeadlineExceeded, api.ErrServiceUnavailable, retry},
			"unexpected": {errors.New("the private cause"), api.ErrInternal, nil},
		} {
			t.Run("read "+name, func(t *testing.T) {
				r.restart(func(c2 *Config) { c2.Store = failing{r.db, c.err} })
				got := r.do("GET", "/api/v1/timestamps/"+account.NewID().String(), r.aKey, "", "X-Request-Id", "req-7")
				checkError(t, got, c.code, "", c.header)
				if strings.Contains(got.body, "private") {
					t.Error("the cause is in the answer")
				}
			})
		}
		// A stamp whose batch is not in this database, as while one is being restored.
		r.restart(func(c *Config) { c.Store = withoutBatches{r.db} })
		ts := r.create(r.aKey, 1)
		checkError(t, r.do("GET", "/api/v1/timestamps/"+ts.ID+"/ots", r.aKey, "", "X-Request-Id", "req-7"), api.ErrOTSNotFound,
			"No OTS payload is currently available for the referenced timestamp.", nil)
		r.restart(func(c *Config) {
			c.Evidence = func(context.Context, account.Stamp) (string, []byte, error) {
				return "", nil, fmt.Errorf("private: %w", store.ErrNotFound)
			}
		})
		checkError(t, r.do("GET", "/api/v1/timestamps/"+ts.ID+"/evidence.zip", r.aKey, "", "X-Request-Id", "req-7"), api.ErrOTSNotFound,
			"No OTS payload is currently available for the referenced timestamp.", nil)
	})
}

// TestMatrix: every route and every wrong way to ask.
func TestMatrix(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		mine := r.create(r.aKey, 0)
		revoked := r.aKey
		old := account.NewKey(testPrefix)
		if err := r.db.SetKey(t.Context(), time.Now(), r.a.ID, account.KeyHash(old), ""); err != nil {
			t.Fatal(err)
		}
		r.aKey = old
		id := "/api/v1/timestamps/" + mine.ID
		r.withWebhooks()
		var hook api.Webhook
		r.must(&hook, 201, "POST", "/api/v1/webhooks", r.aKey, hookBody)
		hooks := "/api/v1/webhooks/" + hook.ID
		for _, route := range []struct {
			method, path, body string
			foreign            int // what another tenant gets
		}{
			{"POST", "/api/v1/timestamps", createBody(0), 201},
			{"GET", "/api/v1/timestamps", "", 200},
			{"POST", "/api/v1/timestamps/batch", `{"items":[` + createBody(1) + `]}`, 201},
			{"GET", id, "", 404},
			{"PATCH", id, `{"certificate_public":true}`, 404},
			{"GET", id + "/ots", "", 404},
			{"GET", id + "/evidence.zip", "", 404},
			{"GET", id + "/publications", "", 404},
			{"GET", id + "/thumbnail", "", 404},
			{"GET", "/api/v1/hashes/" + hashOf(2), "", 404},
			{"GET", "/api/v1/usage", "", 200},
			{"POST", "/api/v1/verify", "not a proof", 400},
			{"GET", "/api/v1/targets", "", 200},
			{"PUT", "/api/v1/notifications/email", `{}`, 200},
			{"GET", "/api/v1/notifications/email", "", 200},
			{"DELETE", "/api/v1/notifications/email", "", 204},
			{"POST", "/api/v1/webhooks", hookBody, 201},
			{"GET", "/api/v1/webhooks", "", 200},
			{"GET", hooks, "", 404},
			{"POST", hooks + "/rotate", "", 404},
			{"POST", hooks + "/test", "", 404},
			{"GET", hooks + "/deliveries", "", 404},
			{"DELETE", hooks, "", 404},
		} {
			t.Run(route.method+" "+route.path, func(t *testing.T) {
				for name, c := range map[string]struct {
					key  string
					code api.Code
				}{
					"no key":          {"", api.ErrAuthenticationRequired},
					"a malformed key": {testPrefix + "short", api.ErrInvalidAPIKey},
					"another prefix":  {"live_" + strings.Repeat("d", 64), api.ErrInvalidAPIKey},
					"a revoked key":   {revoked, api.ErrInvalidAPIKey},
					"suspended":       {r.sKey, api.ErrInvalidAPIKey},
					"without API":     {r.plainKey, api.ErrPlanNotEntitled},
				} {
					got := r.do(route.method, route.path, c.key, route.body)
					if got.status != c.code.Status() || !strings.Contains(got.body, `"`+string(c.code)+`"`) || got.header.Get("X-Request-Id") == "" ||
						(got.status == 401) != (got.header.Get("Www-Authenticate") != "") {
						t.Errorf("%s: %d %s %v", name, got.status, got.body, got.header)
					}
				}
				got := r.do(route.method, route.path, r.bKey, route.body)
				if got.status != route.foreign || strings.Contains(got.body, mine.ID) || strings.Contains(got.body, hook.ID) {
					t.Errorf("another tenant: %d %s", got.status, got.body)
				}
			})
		}
		if st := r.stored(mine.ID); st.Public {
			t.Error("another tenant made the certificate public")
		}
		var after api.Webhook
		if r.must(&after, 200, "GET", hooks, r.aKey, ""); after.OldSecretUntil != nil || after.NextAttemptAt != nil {
			t.Errorf("another tenant rotated or tested the webhook: %+v", after)
		}
		var list api.List
		r.must(&list, 200, "GET", "/api/v1/timestamps", r.aKey, "")
		if len(list.Data) != 1 {
			t.Errorf("%d stamps, want 1", len(list.Data))
		}
	})
}

type withoutBatches struct{ Store }

func (w withoutBatches) BatchLeaves(context.Context, logtree.Position) ([][32]byte, error) {
	return nil, store.ErrNotFound
}
