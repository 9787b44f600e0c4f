package rest

import (
	"context"
	"encoding/json"
	"io"
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
	"github.com/datestone/datestone/internal/egress"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/notify/webhook"
)

// receiver is the server of every webhook.
type receiver struct {
	status int
	got    []received
}

type received struct {
	method, url, body string
	header            http.Header
}

func (v *receiver) Do(_ context.Context, r *http.Request) (egress.Answer, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return egress.Answer{}, err
	}
	v.got = append(v.got, received{r.Method, r.URL.String(), string(body), r.Header})
	return egress.Answer{Status: v.status}, nil
}

// deliver writes the notices that are due, and sends them.
func (r *rig) deliver(to *receiver) {
	r.t.Helper()
	var err error
	for more := true; more && err == nil; {
		more, err = r.db.Walk(r.t.Context(), time.Now())
	}
	if err != nil {
		r.t.Fatal(err)
	}
	endpoints, err := r.db.DueEndpoints(r.t.Context(), r.config.Now(), false, 1000)
	if err != nil {
		r.t.Fatal(err)
	}
	sender := &webhook.Sender{Client: to, Secrets: r.config.Secrets, Describe: r.server.Describe, Now: r.config.Now}
	var results []notify.Result
	for _, e := range endpoints {
		due, err := r.db.DueDeliveries(r.t.Context(), e.ID, 1000)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, d := range due {
			o := sender.Send(r.t.Context(), e, d.Notice)
			if o.Err != nil && !o.Gone {
				r.t.Fatal(o.Err)
			}
			results = append(results, notify.Result{Delivery: d.ID, Endpoint: e.ID, At: r.config.Now(), Done: o.Err == nil, Status: o.Status, Gone: o.Gone})
		}
	}
	if err := r.db.SaveResults(r.t.Context(), results); err != nil {
		r.t.Fatal(err)
	}
}

// asService has URLs checked as the service does.
func (r *rig) asService() {
	r.t.Helper()
	r.withWebhooks()
	client, err := egress.New(egress.Config{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.config.CheckURL = client.Check
	r.restart(nil)
}

// register sends the document's example of a registration, with other events if there are any.
func (r *rig) register(d *apidoc.Document, key string, events ...api.EventType) (w api.Webhook) {
	r.t.Helper()
	var request api.WebhookRequest
	example, err := json.Marshal(d.Paths.Get("/api/v1/webhooks").Post.RequestBody.Content[0].Value.Example)
	if err == nil {
		err = json.Unmarshal(example, &request)
	}
	if len(events) > 0 {
		request.Events = events
	}
	body, err2 := json.Marshal(request)
	if err != nil || err2 != nil {
		r.t.Fatal(err, err2)
	}
	r.must(&w, 201, "POST", "/api/v1/webhooks", key, string(body))
	return w
}

// exampleStamp keeps the document's example for an account.
func (r *rig) exampleStamp(d *apidoc.Document, key string) (ts api.Timestamp) {
	r.t.Helper()
	body, err := json.Marshal(d.Paths.Get("/api/v1/timestamps").Post.RequestBody.Content[0].Value.Example)
	if err != nil {
		r.t.Fatal(err)
	}
	r.must(&ts, 201, "POST", "/api/v1/timestamps", key, string(body))
	return ts
}

// startTarget makes the target known, which is told of what is kept from then on.
func (r *rig) startTarget(key string) {
	r.t.Helper()
	r.create(key, 1000+exampleAccounts)
	r.confirm()
	r.deliver(&receiver{status: 200})
}

// prepareWebhook makes what the example of an operation on webhooks speaks of, and returns the webhook's id.
func (c *exampleCase) prepareWebhook(d *apidoc.Document) string {
	c.t.Helper()
	c.asService()
	switch c.o.ID {
	case "createWebhook":
		return ""
	case "listWebhookDeliveries":
		c.startTarget(c.key)
		w := c.register(d, c.key)
		c.exampleStamp(d, c.key)
		c.confirm()
		c.deliver(&receiver{status: 200})
		c.must(nil, 202, "POST", "/api/v1/webhooks/"+w.ID+"/test", c.key, "")
		return w.ID
	}
	return c.register(d, c.key).ID
}

// What differs from one service and moment to another: times by themselves, and names that refer to something.
var (
	timePattern  = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z`)
	namePatterns = []*regexp.Regexp{
		idPattern, certificatePattern, regexp.MustCompile(`whsec_[0-9A-Za-z+/=]+`), regexp.MustCompile(`"(bitcoin_block|block_height)":\d+`),
		regexp.MustCompile(`"block_hash":"[0-9a-f]{64}"`), regexp.MustCompile(`"(blockchain_tx|transaction)":"[0-9a-f]{64}"`),
	}
)

// likeExample is an answer with the example's times and names. One name always becomes the same one, so what is
// one thing in the answer is one thing in the example.
func likeExample(body, example string) string {
	replace := func(p *regexp.Regexp, known map[string]string) {
		theirs := p.FindAllString(example, -1)
		if len(p.FindAllString(body, -1)) != len(theirs) {
			return // the difference shows it
		}
		i := -1
		body = p.ReplaceAllStringFunc(body, func(own string) string {
			i++
			if known == nil {
				return theirs[i]
			}
			if known[own] == "" {
				known[own] = theirs[i]
			}
			return known[own]
		})
	}
	replace(timePattern, nil)
	for _, p := range namePatterns {
		replace(p, make(map[string]string))
	}
	return body
}

// TestDocumentedEvents: each event of the document is sent as it stands there, byte for byte but for ids, times and
// blocks, with the documented header fields, and there is no other.
func TestDocumentedEvents(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		d := document(t)
		r.asService()
		if err := r.db.SaveStatus(t.Context(), time.Now(), anchor.Status{Target: "bitcoin", Network: "mainnet", Code: anchor.OK, Message: "Everything is in order."}); err != nil {
			t.Fatal(err)
		}
		_, key := r.account("events@example.org", "business")
		r.startTarget(key)
		w := r.register(d, key, api.EventTypes()...)
		const depth = 6
		to := &receiver{status: 200}
		r.exampleStamp(d, key)
		r.mine(depth)
		r.deliver(to)
		for range depth - 1 {
			r.connect(r.nextBlock(), depth)
		}
		r.deliver(to)
		for range depth {
			r.withdraw()
		}
		r.deliver(to)
		r.must(nil, 202, "POST", "/api/v1/webhooks/"+w.ID+"/test", key, "")
		r.deliver(to)

		// The operator's own is made by the server's settings, which need not have a secret.
		operator := &webhook.Sender{Operator: to, OperatorSecret: w.Secret, Now: r.config.Now}
		trouble := notify.Notice{UID: account.NewID(), Target: "bitcoin", Kind: notify.Trouble, Ref: "no_funds", Message: "Send coins to the address that datestoned wallet shows.", Created: time.Now()}
		if o := operator.Send(t.Context(), notify.Endpoint{Channel: notify.Webhook, Address: w.URL}, trouble); o.Err != nil {
			t.Fatal(o.Err)
		}
		unsigned := &receiver{status: 200}
		operator.Operator, operator.OperatorSecret = unsigned, ""
		if o := operator.Send(t.Context(), notify.Endpoint{Channel: notify.Webhook, Address: w.URL}, trouble); o.Err != nil {
			t.Fatal(o.Err)
		}

		sent := make(map[string]received)
		for _, got := range to.got {
			event, err := api.VerifyWebhook([]string{w.Secret}, got.header, []byte(got.body))
			if err != nil {
				t.Fatalf("%v: %s", err, got.body)
			}
			if _, twice := sent[string(event.Type)]; twice || got.method != "POST" || got.url != w.URL {
				t.Errorf("%s %s: %s", got.method, got.url, got.body)
			}
			sent[string(event.Type)] = got
		}
		_, types := constants(t, "../../api", "Event")
		if diff := cmp.Diff(types, d.Webhooks.Names()); diff != "" {
			t.Errorf("the document's events (-code +document):\n%s", diff)
		}
		_, fields := constants(t, "../../api", "HeaderWebhook")
		for _, event := range d.Webhooks {
			o := event.Value.Post
			got, is := sent[event.Name]
			if !is {
				t.Errorf("%s was not sent", event.Name)
				continue
			}
			body := o.RequestBody.Content.Get("application/json")
			example, err := json.Marshal(body.Example)
			if err != nil || body.Schema.RefName() != "Event" {
				t.Fatalf("%s: %v, of %s", event.Name, err, body.Schema.RefName())
			}
			if diff := cmp.Diff(string(example), likeExample(got.body, string(example))); diff != "" {
				t.Errorf("%s: -document +sent:\n%s", event.Name, diff)
			}
			names := []string{"Content-Type"}
			for _, p := range o.Parameters {
				always := event.Name != string(api.EventTarget) || unsigned.got[0].header.Get(p.Name) != ""
				if p.In != "header" || p.Required != always || !slices.Contains(fields, p.Name) || !regexp.MustCompile(p.Schema.Pattern).MatchString(got.header.Get(p.Name)) {
					t.Errorf("%s: %s %s, required %v, is sent as %q", event.Name, p.In, p.Name, p.Required, got.header.Get(p.Name))
				}
				names = append(names, p.Name)
			}
			for name := range got.header {
				if !slices.Contains(names, name) {
					t.Errorf("%s: the header field %s is not documented", event.Name, name)
				}
			}
			if len(o.Parameters) != len(fields) || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %v, want %v of type application/json", event.Name, names, fields)
			}
		}
	})
}

// TestDocumentedSignature: what the guide has readers try their verifiers with is signed as it says.
func TestDocumentedSignature(t *testing.T) {
	d := document(t)
	event := d.Webhooks.Get(string(api.EventTest)).Post
	body, err := json.Marshal(event.RequestBody.Content[0].Value.Example)
	if err != nil {
		t.Fatal(err)
	}
	header := make(http.Header)
	for _, p := range event.Parameters {
		header.Set(p.Name, p.Example.Text())
	}
	seconds, err := strconv.ParseInt(header.Get(api.HeaderWebhookTimestamp), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	var made api.Webhook
	example, err := json.Marshal(d.Paths.Get("/api/v1/webhooks").Post.Responses.Get("201").Content[0].Value.Example)
	if err == nil {
		err = json.Unmarshal(example, &made)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.VerifyWebhookAt(time.Unix(seconds, 0), []string{made.Secret}, header, body); err != nil {
		t.Errorf("%v: %v %s", err, header, body)
	}
	text := strings.Join(strings.Fields(d.Info.Description), " ")
	if want := "the secret `" + made.Secret + "` signed the body `" + string(body) + "`"; !strings.Contains(text, want) {
		t.Errorf("the guide does not say: %s", want)
	}
}
