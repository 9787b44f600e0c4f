package rest

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/apidoc"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/ots"
)

// exampleRequest is a request that a curl command of the reference sends.
type exampleRequest struct {
	method, path, key, body string
	fields                  []string // names and values of further header fields
	upload                  bool     // the body is a file
}

// field sets a header field.
func (e *exampleRequest) field(name, value string) {
	for i := 0; i < len(e.fields); i += 2 {
		if e.fields[i] == name {
			e.fields[i+1] = value
			return
		}
	}
	e.fields = append(e.fields, name, value)
}

// shellWords splits a command as a shell does that knows '…', "…" with variables in it, and a backslash before a new line.
func shellWords(t *testing.T, command string, variables *strings.Replacer) []string {
	t.Helper()
	var words []string
	var word, inQuotes strings.Builder
	quote, begun := rune(0), false
	end := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	for _, c := range strings.ReplaceAll(command, "\\\n", "") {
		switch {
		case quote != 0 && c == quote:
			text := inQuotes.String()
			if quote == '"' {
				text = variables.Replace(text)
			}
			word.WriteString(text)
			inQuotes.Reset()
			quote = 0
		case quote != 0:
			inQuotes.WriteRune(c)
		case c == '\'' || c == '"':
			quote, begun = c, true
		case c == ' ':
			end()
		case strings.ContainsRune("$`\\&|;<>()*?[]#~\n", c):
			t.Fatalf("the command has %q outside of quotes: %s", c, command)
		default:
			word.WriteRune(c)
			begun = true
		}
	}
	if quote != 0 {
		t.Fatalf("the command has a quote without an end: %s", command)
	}
	end()
	return words
}

// readCommand makes a curl command into the request that it sends.
func readCommand(t *testing.T, command, key, stamp, webhook string) (e exampleRequest) {
	t.Helper()
	words := shellWords(t, command, strings.NewReplacer("$DATESTONE_API_KEY", key, "$TIMESTAMP_ID", stamp, "$WEBHOOK_ID", webhook))
	if words[0] != "curl" {
		t.Fatalf("not curl: %s", command)
	}
	for i := 1; i < len(words); i++ {
		option := words[i]
		if option == "--remote-name" || option == "--remote-header-name" {
			continue
		}
		i++
		if i == len(words) {
			t.Fatalf("%s without a value: %s", option, command)
		}
		switch value := words[i]; option {
		case "--request":
			e.method = value
		case "--url":
			path, ok := strings.CutPrefix(value, testURI)
			if !ok {
				t.Fatalf("%s is not at %s", value, testURI)
			}
			e.path = path
		case "--header":
			name, text, _ := strings.Cut(value, ": ")
			if name == "Authorization" {
				e.key = strings.TrimPrefix(text, "Bearer ")
			} else {
				e.field(name, text)
			}
		case "--data":
			e.body = value
		case "--data-binary":
			e.upload = true
		case "--output":
		default:
			t.Fatalf("curl's %s is not known here: %s", option, command)
		}
	}
	return e
}

// exampleCase is an operation's example about to be sent, for an account of its own.
type exampleCase struct {
	*rig
	o       *apidoc.Operation
	account account.Account
	key     string
	request exampleRequest
}

var exampleAccounts int

// exampleCase prepares what an operation's example speaks of.
func (r *rig) exampleCase(d *apidoc.Document, method, path string, o *apidoc.Operation) *exampleCase {
	r.t.Helper()
	r.restart(nil) // with all of the limits
	exampleAccounts++
	c := &exampleCase{rig: r, o: o}
	c.account, c.key = r.account(fmt.Sprintf("%d@example.org", exampleAccounts), "business")
	command, err := d.Curl(method, path)
	if err != nil {
		r.t.Fatal(err)
	}
	var made api.Timestamp
	if o.ID == "createTimestamp" {
		c.request = readCommand(r.t, command, c.key, "", "")
		return c
	}
	if o.Tags[0] == "Webhooks" {
		c.request = readCommand(r.t, command, c.key, "", c.prepareWebhook(d))
		return c
	}
	create := d.Paths.Get("/api/v1/timestamps").Post.RequestBody.Content[0].Value.Example
	body, err := json.Marshal(create)
	if err != nil {
		r.t.Fatal(err)
	}
	r.must(&made, 201, "POST", "/api/v1/timestamps", c.key, string(body))
	c.request = readCommand(r.t, command, c.key, made.ID, "")
	switch o.ID {
	case "listPublications":
		r.print(made.ID)
	case "downloadThumbnail":
		r.must(nil, 200, "PATCH", "/api/v1/timestamps/"+made.ID, c.key, `{"thumbnail":"iVBORw0KGgo="}`)
	case "getTimestamp", "updateTimestamp", "findTimestamp", "verifyProof":
		r.confirm()
	}
	status := anchor.Status{Target: "bitcoin", Network: "mainnet", Code: anchor.OK, Message: "Everything is in order.", Height: 900_100, Confirmations: 6, Updated: blockTime}
	if err := r.db.SaveStatus(r.t.Context(), time.Now(), status); err != nil {
		r.t.Fatal(err)
	}
	if c.request.upload {
		c.request.body = r.must(nil, 200, "GET", made.OTSURL, c.key, "").body
	}
	return c
}

func (c *exampleCase) send() answer {
	e := c.request
	return c.do(e.method, e.path, e.key, e.body, e.fields...)
}

// resourcePattern is a timestamp in an answer.
var resourcePattern = regexp.MustCompile(`\{"id":"[^{}]*(\{[^{}]*\})?[^{}]*"ots_url":"[^"]*"\}`)

// normalized is an answer with the document's ids, times and blocks in the place of its own.
func (c *exampleCase) normalized(body, example string) string {
	c.t.Helper()
	if c.o.Tags[0] == "Webhooks" {
		return likeExample(body, example)
	}
	documented := resourcePattern.FindAllString(example, -1)
	n := 0
	var pairs []string
	body = resourcePattern.ReplaceAllStringFunc(body, func(text string) string {
		if n == len(documented) {
			return text
		}
		var own, theirs api.Timestamp
		for text, into := range map[string]*api.Timestamp{text: &own, documented[n]: &theirs} {
			if err := json.Unmarshal([]byte(text), into); err != nil {
				c.t.Fatalf("%v in %s", err, text)
			}
		}
		n++
		pairs := []string{own.ID, theirs.ID, own.CertificateID, theirs.CertificateID, `"created_at":"` + own.CreatedAt.String(), `"created_at":"` + theirs.CreatedAt.String()}
		if own.BlockchainTx != nil && theirs.BlockchainTx != nil {
			pairs = append(pairs, *own.BlockchainTx, *theirs.BlockchainTx, fmt.Sprintf(`"bitcoin_block":%d,`, *own.BitcoinBlock), fmt.Sprintf(`"bitcoin_block":%d,`, *theirs.BitcoinBlock),
				`"confirmed_at":"`+own.ConfirmedAt.String(), `"confirmed_at":"`+theirs.ConfirmedAt.String())
		}
		return strings.NewReplacer(pairs...).Replace(text)
	})
	switch c.o.ID {
	case "listTimestamps":
		stamps, err := c.db.Stamps(c.t.Context(), c.account.ID, nil, time.Now().Add(time.Hour), 1)
		if err != nil || len(stamps) != 1 {
			c.t.Fatalf("%d stamps, want 1; %v", len(stamps), err)
		}
		pairs = []string{`"next_cursor":"` + cursorAt(stamps[0].Created), `"next_cursor":"2026-04-13T18:42:11.000Z`}
	case "getEmailNotifications", "enableEmailNotifications":
		pairs = []string{c.account.Email, "ann@example.org"}
	case "getUsage":
		now := time.Now().UTC()
		next := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		pairs = []string{`"month":"` + now.Format("2006-01"), `"month":"2026-04`, next.Format(time.DateOnly), "2026-05-01"}
	case "listPublications":
		return likePublication(c.t, body, example)
	case "listTargets":
		pairs = []string{`"height":900100`, `"height":945130`, "2026-05-01T11:00:00.000Z", "2026-04-13T20:15:09.000Z"}
	case "verifyProof":
		var own, theirs api.Verification
		for text, into := range map[string]*api.Verification{body: &own, example: &theirs} {
			if err := json.Unmarshal([]byte(text), into); err != nil {
				c.t.Fatalf("%v in %s", err, text)
			}
		}
		if len(own.Attestations) == 1 && own.Attestations[0].Height != nil && own.Time != nil {
			a, b := own.Attestations[0], theirs.Attestations[0]
			pairs = []string{fmt.Sprintf(`"height":%d,`, *a.Height), fmt.Sprintf(`"height":%d,`, *b.Height), a.MerkleRoot, b.MerkleRoot, own.Time.String(), theirs.Time.String()}
		}
	}
	return strings.NewReplacer(pairs...).Replace(body)
}

// alwaysSent are the fields of an answer's header that HTTP or every answer has, and the document does not list.
var alwaysSent = []string{"Content-Type", "Content-Length", "Cache-Control", "X-Content-Type-Options", "Connection"}

// checkDocumented holds the status, the type and the header of an answer against the document.
func (c *exampleCase) checkDocumented(t *testing.T, got answer) {
	t.Helper()
	response := c.o.Responses.Get(strconv.Itoa(got.status))
	if response.Description == "" {
		t.Fatalf("status %d is not documented: %s", got.status, got.body)
	}
	media, _, err := mime.ParseMediaType(got.header.Get("Content-Type"))
	if len(response.Content) == 0 {
		if got.body != "" || got.header.Get("Content-Type") != "" {
			t.Errorf("a body of type %q is not documented: %s", got.header.Get("Content-Type"), got.body)
		}
	} else if err != nil || !slices.Contains(response.Content.Names(), media) {
		t.Errorf("type %q, documented are %v", got.header.Get("Content-Type"), response.Content.Names())
	}
	documented := make(map[string]bool)
	for _, h := range response.Headers {
		documented[http.CanonicalHeaderKey(h.Name)] = true
		if h.Value.Required && got.header.Get(h.Name) == "" {
			t.Errorf("status %d has no %s", got.status, h.Name)
		}
	}
	for name := range got.header {
		if !documented[name] && !slices.Contains(alwaysSent, name) {
			t.Errorf("status %d: the header field %s is not documented", got.status, name)
		}
	}
}

// TestDocumentedExamples sends the command of each operation on the reference page, and compares what comes back with
// the example of the document, byte for byte but for ids, times and blocks.
func TestDocumentedExamples(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		d := document(t)
		eachOperation(d, func(method, path string, p apidoc.Path, o *apidoc.Operation) {
			t.Run(o.ID, func(t *testing.T) {
				c := r.exampleCase(d, method, path, o)
				got := c.send()
				c.checkDocumented(t, got)
				status, success := o.Success()
				if strconv.Itoa(got.status) != status {
					t.Fatalf("%d %s, want %s", got.status, got.body, status)
				}
				for _, h := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} {
					if got.header.Get(h) == "" {
						t.Errorf("there is no %s", h)
					}
				}
				name := certificatePattern.ReplaceAllString(got.header.Get("Content-Disposition"), "TS-0K7M6X")
				if want := success.Headers.Get("Content-Disposition").Example.Text(); name != want {
					t.Errorf("Content-Disposition: %s, want %s", name, want)
				}
				if len(success.Content) == 0 {
					return
				}
				media := success.Content[0].Value
				if media.Schema == nil {
					checkDownload(t, o.ID, got.body)
					return
				}
				text, err := json.Marshal(media.Example)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(text), c.normalized(got.body, string(text))); diff != "" {
					t.Errorf("-document +answer:\n%s", diff)
				}
			})
		})
	})
}

// checkDownload checks what the document cannot show.
func checkDownload(t *testing.T, id, body string) {
	t.Helper()
	switch id {
	case "downloadProof":
		if f, err := ots.ParseFile([]byte(body)); err != nil || fmt.Sprintf("%x", f.Digest) != "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" {
			t.Errorf("not the proof: %+v %v", f, err)
		}
	case "downloadEvidence":
		if z, err := zip.NewReader(strings.NewReader(body), int64(len(body))); err != nil || len(z.File) != 3 {
			t.Errorf("not the evidence: %+v %v", z, err)
		}
	case "downloadThumbnail":
		if body != "\x89PNG\r\n\x1a\n" {
			t.Errorf("%q is not the thumbnail", body)
		}
	default:
		t.Errorf("nothing says what %s downloads", id)
	}
}

// unreachable is a store that knows no keys.
type unreachable struct {
	Store
	err error
}

func (u unreachable) KeyHolder(context.Context, [32]byte) (account.KeyHolder, error) {
	return account.KeyHolder{}, u.err
}

const exampleHash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// provocations turn an operation's example into a request that is answered with a code.
var provocations = map[api.Code]func(*exampleCase){
	api.ErrAuthenticationRequired: func(c *exampleCase) { c.request.key = "" },
	api.ErrInvalidAPIKey:          func(c *exampleCase) { c.request.key = account.NewKey(testPrefix) },
	api.ErrPlanNotEntitled:        func(c *exampleCase) { c.request.key = c.plainKey },
	api.ErrRateLimited: func(c *exampleCase) {
		for range requestsPerKey {
			c.server.requests.Take(c.account.ID, requestsPerKey, time.Now())
		}
	},
	api.ErrInternal: func(c *exampleCase) {
		c.restart(func(config *Config) { config.Store = unreachable{c.db, errors.New("the private cause")} })
	},
	api.ErrServiceUnavailable: func(c *exampleCase) {
		c.restart(func(config *Config) { config.Store = unreachable{c.db, store.ErrBusy} })
	},
	api.ErrOTSProvider: func(c *exampleCase) {
		c.restart(func(config *Config) { config.Keeper = scripted{calendar.ErrUnavailable} })
	},
	api.ErrIdempotencyInProgress: func(c *exampleCase) {
		c.restart(func(config *Config) { config.Keeper = scripted{account.ErrInProgress} })
	},
	api.ErrOTSNotFound: func(c *exampleCase) {
		c.restart(func(config *Config) {
			config.Store = withoutBatches{c.db}
			config.Evidence = func(context.Context, account.Stamp) (string, []byte, error) { return "", nil, store.ErrNotFound }
		})
	},
	api.ErrIdempotencyMismatch: func(c *exampleCase) {
		c.send()
		c.request.body += " "
	},
	api.ErrDuplicateTimestamp: func(c *exampleCase) {
		c.send()
		c.request.field("Idempotency-Key", "another")
	},
	api.ErrMonthlyLimitReached: func(c *exampleCase) {
		exampleAccounts++
		_, c.request.key = c.rig.account(fmt.Sprintf("%d@example.org", exampleAccounts), "small")
		c.create(c.request.key, 1)
		c.create(c.request.key, 2)
	},
	api.ErrInvalidID: func(c *exampleCase) {
		if c.o.ID == "createWebhook" {
			c.change(`"url"`, `"timestamp_id":"1","url"`)
		}
		c.request.path = idPattern.ReplaceAllString(c.request.path, "1")
	},
	api.ErrInvalidIdempotencyKey: func(c *exampleCase) { c.request.field("Idempotency-Key", "") },
	api.ErrTimestampNotFound: func(c *exampleCase) {
		if c.o.ID == "createWebhook" {
			c.change(`"url"`, `"timestamp_id":"`+account.NewID().String()+`","url"`)
		}
		c.request.path = idPattern.ReplaceAllString(strings.ReplaceAll(c.request.path, exampleHash, hashOf(7)), account.NewID().String())
	},
	api.ErrInvalidSHA256Hash: func(c *exampleCase) {
		c.request.path, c.request.body = strings.ReplaceAll(c.request.path, exampleHash, "abc"), strings.ReplaceAll(c.request.body, exampleHash, "abc")
	},
	api.ErrInvalidJSON:     func(c *exampleCase) { c.request.body = "{" },
	api.ErrInvalidBatch:    func(c *exampleCase) { c.request.body = `{"items":[]}` },
	api.ErrInvalidFilename: func(c *exampleCase) { c.change(`"msa-v3.pdf"`, `""`) },
	api.ErrInvalidFileSize: func(c *exampleCase) { c.change("248331", "0") },
	api.ErrInvalidFileType: func(c *exampleCase) { c.change(`"application/pdf"`, "7") },
	api.ErrInvalidThumbnail: func(c *exampleCase) {
		if c.o.ID == "updateTimestamp" {
			c.request.body = `{"thumbnail":"aGVsbG8="}`
		} else {
			c.change(`"application/pdf"`, `"application/pdf","thumbnail":"aGVsbG8="`)
		}
	},
	api.ErrInvalidProof:    func(c *exampleCase) { c.request.body = "hello" },
	api.ErrPayloadTooLarge: func(c *exampleCase) { c.request.body += string(bytes.Repeat([]byte(" "), maxBatchBody)) },
	api.ErrInvalidStatus:   func(c *exampleCase) { c.request.path = "/api/v1/timestamps?status=done" },
	api.ErrInvalidLimit:    func(c *exampleCase) { c.query("limit=0") },
	api.ErrInvalidCursor:   func(c *exampleCase) { c.query("before=yesterday") },
	api.ErrNotFound: func(c *exampleCase) {
		c.must(nil, 200, "PATCH", strings.TrimSuffix(c.request.path, "/thumbnail"), c.key, `{"thumbnail":null}`)
	},
	api.ErrInvalidURL:    func(c *exampleCase) { c.change("https://", "ftp://") },
	api.ErrInvalidEvents: func(c *exampleCase) { c.change("timestamp.withdrawn", "timestamp.eaten") },
	api.ErrWebhookNotFound: func(c *exampleCase) {
		c.request.path = idPattern.ReplaceAllString(c.request.path, account.NewID().String())
	},
	api.ErrWebhookLimit: func(c *exampleCase) {
		for range webhookLimits.Wide {
			c.send()
		}
	},
	api.ErrWebhookGone: func(c *exampleCase) {
		c.send()
		c.deliver(&receiver{status: http.StatusGone})
	},
}

var certificatePattern = regexp.MustCompile(`TS-[0-9A-Z]{6,}`)

var idPattern = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

func (c *exampleCase) change(old, new string) {
	c.t.Helper()
	if !strings.Contains(c.request.body, old) {
		c.t.Fatalf("%s: %s is not in the example %s", c.o.ID, old, c.request.body)
	}
	c.request.body = strings.Replace(c.request.body, old, new, 1)
}

// query replaces that of the example.
func (c *exampleCase) query(text string) {
	path, _, _ := strings.Cut(c.request.path, "?")
	c.request.path = path + "?" + text
}

// otherMessages are those of an operation that are not the code's usual one.
var otherMessages = map[string]string{
	"createTimestampBatch INVALID_THUMBNAIL":  "A batch has no thumbnails. Set them one by one with PATCH.",
	"createTimestampBatch PAYLOAD_TOO_LARGE":  "The request body has more than 16777216 bytes.",
	"downloadThumbnail NOT_FOUND":             "The timestamp has no thumbnail.",
	"enableEmailNotifications INVALID_EVENTS": "events must be a list with some of timestamp.confirmed, timestamp.withdrawn.",
	"createWebhook INVALID_ID":                "timestamp_id is not a UUID.",
	"getWebhook INVALID_ID":                   "The webhook path parameter is not a UUID.",
	"deleteWebhook INVALID_ID":                "The webhook path parameter is not a UUID.",
	"rotateWebhookSecret INVALID_ID":          "The webhook path parameter is not a UUID.",
	"testWebhook INVALID_ID":                  "The webhook path parameter is not a UUID.",
	"listWebhookDeliveries INVALID_ID":        "The webhook path parameter is not a UUID.",
	"listWebhookDeliveries INVALID_CURSOR":    "The `before` query parameter is not the id of a delivery.",
}

// TestDocumentedErrors provokes each error code that is documented for an operation, and compares the answer with the
// document's example, so that no code is there that the operation does not answer.
func TestDocumentedErrors(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		d := document(t)
		id := d.Components.Examples[0].Value.Value
		var e api.ErrorAnswer
		if text, err := json.Marshal(id); err != nil || json.Unmarshal(text, &e) != nil {
			t.Fatalf("the example of an error: %s", text)
		}
		expect := func(code, operation string) string {
			text, err := json.Marshal(d.Components.Examples.Get(code).Value)
			if err != nil {
				t.Fatal(err)
			}
			if other := otherMessages[operation+" "+code]; other != "" {
				return fmt.Sprintf(`{"error":{"code":"%s","message":"%s","request_id":"%s"}}`, code, other, e.Error.RequestID)
			}
			return string(text)
		}
		eachOperation(d, func(method, path string, p apidoc.Path, o *apidoc.Operation) {
			for _, code := range o.Codes() {
				t.Run(o.ID+" "+code, func(t *testing.T) {
					provoke := provocations[api.Code(code)]
					if provoke == nil {
						t.Fatalf("nothing provokes %s: say here what does", code)
					}
					c := r.exampleCase(d, method, path, o)
					c.request.field("X-Request-Id", e.Error.RequestID)
					provoke(c)
					got := c.send()
					c.checkDocumented(t, got)
					if got.status != api.Code(code).Status() {
						t.Fatalf("status %d, want %d: %.200q", got.status, api.Code(code).Status(), got.body)
					}
					body := strings.Replace(got.body, `"message":"Item 0: `, `"message":"`, 1)
					if diff := cmp.Diff(expect(code, o.ID), body); diff != "" {
						t.Errorf("-document +answer:\n%s", diff)
					}
				})
			}
		})
		r.restart(nil)
		for code, path := range map[api.Code]string{api.ErrMethodNotAllowed: "/api/v1/timestamps", api.ErrNotFound: "/api/v1/other"} {
			got := r.do("DELETE", path, "", "", "X-Request-Id", e.Error.RequestID)
			if diff := cmp.Diff(expect(string(code), ""), got.body); diff != "" || got.status != code.Status() {
				t.Errorf("%s: status %d, -document +answer:\n%s", code, got.status, diff)
			}
		}
	})
}
