package rest

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/apidoc"
	"github.com/datestone/datestone/internal/egress"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/notify/letter"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/ots"
)

// schemas are the types of package api that the document's schemas describe.
var schemas = map[string]any{
	"Timestamp": api.Timestamp{}, "Branding": api.Branding{}, "TimestampList": api.List{}, "CreateRequest": api.CreateRequest{},
	"BatchRequest": api.BatchRequest{}, "BatchAnswer": api.BatchAnswer{}, "BatchResult": api.BatchResult{},
	"Verification": api.Verification{}, "VerifiedAttestation": api.VerifiedAttestation{},
	"Usage": api.Usage{}, "MonthUsage": api.MonthUsage{}, "Targets": api.Targets{}, "Target": api.Target{},
	"Publications": api.Publications{}, "Publication": api.Publication{}, "PublicationStep": api.PublicationStep{},
	"ErrorAnswer": api.ErrorAnswer{}, "Error": api.Error{},
	"EmailRequest": api.EmailRequest{}, "EmailNotifications": api.EmailNotifications{},
	"WebhookRequest": api.WebhookRequest{}, "Webhook": api.Webhook{}, "Webhooks": api.Webhooks{}, "WebhookTest": api.WebhookTest{},
	"WebhookDelivery": api.WebhookDelivery{}, "WebhookDeliveries": api.WebhookDeliveries{},
	"Event": api.Event{}, "EventData": api.EventData{}, "EventAttestation": api.EventAttestation{},
}

// property is one field of an object: its name, its type and whether it is always there.
type property struct {
	Name, Kind         string
	Required, Nullable bool
}

// objects are schemas whose objects have another name in the document than their Go type.
var objects = map[reflect.Type]string{reflect.TypeFor[api.CreateRequest](): "BatchItem"}

func goProperties(t *testing.T, v reflect.Type) []property {
	t.Helper()
	var all []property
	for f := range fieldsOf(v) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || name == "" {
			if name == "" {
				t.Errorf("%v.%s has no name in JSON", v, f.Name)
			}
			continue
		}
		optional := options == "omitempty"
		kind, nullable := goKind(f.Type)
		all = append(all, property{name, kind, !optional, nullable && !optional})
	}
	return all
}

func fieldsOf(v reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range v.NumField() {
			if !yield(v.Field(i)) {
				return
			}
		}
	}
}

// goKind is how a type is written in JSON, and whether it may be null.
func goKind(v reflect.Type) (string, bool) {
	switch {
	case v == reflect.TypeFor[api.Time]():
		return "string date-time", false
	case v == reflect.TypeFor[[]byte]():
		return "string base64", false
	case v == reflect.TypeFor[*api.Error]():
		return "Error", false // an ErrorAnswer without one is never sent
	}
	switch v.Kind() {
	case reflect.Pointer:
		kind, _ := goKind(v.Elem())
		return kind, true
	case reflect.Slice:
		kind, _ := goKind(v.Elem())
		return "array of " + kind, false
	case reflect.String:
		return "string", false
	case reflect.Bool:
		return "boolean", false
	case reflect.Int64, reflect.Uint64:
		return "integer int64", false
	case reflect.Int:
		return "integer", false
	case reflect.Struct:
		if name := objects[v]; name != "" {
			return name, false
		}
		for name, value := range schemas {
			if reflect.TypeOf(value) == v {
				return name, false
			}
		}
	}
	return "unknown " + v.String(), false
}

// schemaKind is the same of a schema. What the document says of a text beyond its Go type does not count.
func schemaKind(s *apidoc.Schema) (string, bool) {
	if s.Ref != "" {
		return s.RefName(), false
	}
	if len(s.OneOf) == 2 {
		kind, _ := schemaKind(s.OneOf[0])
		null, _ := schemaKind(s.OneOf[1])
		return kind, null == "null"
	}
	types := slices.DeleteFunc(slices.Clone(s.Type), func(t string) bool { return t == "null" })
	nullable := len(types) > 0 && len(types) < len(s.Type)
	switch {
	case len(s.Type) == 1 && s.Type[0] == "null":
		return "null", false
	case len(types) != 1:
		return "unknown", nullable
	case types[0] == "array":
		kind, _ := schemaKind(s.Items)
		return "array of " + kind, nullable
	case types[0] == "string" && s.ContentEncoding != "":
		return "string " + s.ContentEncoding, nullable
	case types[0] == "integer" && s.Format != "", s.Format == "date-time":
		return types[0] + " " + s.Format, nullable
	}
	return types[0], nullable
}

func documentProperties(t *testing.T, s *apidoc.Schema) []property {
	t.Helper()
	var all []property
	for _, p := range s.Properties {
		kind, nullable := schemaKind(p.Value)
		all = append(all, property{p.Name, kind, slices.Contains(s.Required, p.Name), nullable})
	}
	for _, name := range s.Required {
		if s.Properties.Get(name) == nil {
			t.Errorf("%s is required and no property", name)
		}
	}
	return all
}

// TestDocumentedSchemas: each object has the fields of its Go type in their order, of the same types, required unless
// they may be left out, and null only where they can be.
func TestDocumentedSchemas(t *testing.T) {
	d := document(t)
	patch := reflect.TypeFor[api.PatchRequest]()
	for _, s := range d.Components.Schemas {
		got := documentProperties(t, s.Value)
		var want []property
		switch s.Name {
		case "PatchRequest":
			want = patchProperties(t, patch)
		case "BatchItem":
			want = slices.DeleteFunc(goProperties(t, reflect.TypeFor[api.CreateRequest]()), func(p property) bool { return p.Name == "thumbnail" })
		default:
			v, is := schemas[s.Name]
			if !is {
				t.Errorf("%s is not held against a type: add it to the table", s.Name)
				continue
			}
			want = goProperties(t, reflect.TypeOf(v))
		}
		for i := range want {
			switch s.Name + "." + want[i].Name {
			case "CreateRequest.thumbnail":
				want[i].Nullable = true // null is as none
			case "TimestampList.next_cursor":
				want[i].Kind = "string date-time" // a time that may have microseconds
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-type +document):\n%s", s.Name, diff)
		}
	}
	for name := range schemas {
		if d.Components.Schemas.Get(name) == nil {
			t.Errorf("%s is not in the document", name)
		}
	}
}

// patchProperties reads the fields of a PatchRequest off what it is written as.
func patchProperties(t *testing.T, v reflect.Type) []property {
	t.Helper()
	public := true
	for value, want := range map[*api.PatchRequest]string{
		{CertificatePublic: &public, Thumbnail: []byte{1}}: `{"certificate_public":true,"thumbnail":"AQ=="}`,
		{RemoveThumbnail: true}:                            `{"thumbnail":null}`,
		{}:                                                 `{}`,
	} {
		if text, err := json.Marshal(value); err != nil || string(text) != want || reflect.TypeOf(*value) != v {
			t.Errorf("a PatchRequest is written as %s, want %s; %v", text, want, err)
		}
	}
	return []property{{"certificate_public", "boolean", false, false}, {"thumbnail", "string base64", false, true}}
}

// TestDocumentedValues: what the document lists or bounds is what the code has.
func TestDocumentedValues(t *testing.T) {
	d := document(t)
	values := func(prefix string) []string {
		_, all := constants(t, "../../api", prefix)
		return all
	}
	kinds := []string{ots.KindPending.String(), ots.KindBitcoin.String(), ots.KindLitecoin.String(), ots.KindEthereum.String(), ots.KindUnknown.String()}
	hashes := []string{ots.OpSHA256.String(), ots.OpSHA1.String(), ots.OpRIPEMD160.String(), ots.OpKeccak256.String()}
	var events []string
	for _, e := range api.EventTypes() {
		events = append(events, string(e))
	}
	for place, want := range map[string][]string{
		"Timestamp.status":           values("Status"),
		"BatchResult.result":         values("Result"),
		"Verification.status":        values("Proof"),
		"Verification.hash":          hashes,
		"VerifiedAttestation.kind":   kinds,
		"VerifiedAttestation.result": values("Attestation"),
		"EmailRequest.events":        {string(api.EventConfirmed), string(api.EventWithdrawn)},
		"EmailNotifications.events":  {string(api.EventConfirmed), string(api.EventWithdrawn)},
		"WebhookRequest.events":      events,
		"Webhook.events":             events,
		"Webhook.status":             values("Webhook"),
		"WebhookDelivery.event":      append(slices.Clone(events), string(api.EventTest)),
		"WebhookDelivery.status":     values("Delivery"),
		"Event.type":                 values("Event"),
	} {
		schema, name, _ := strings.Cut(place, ".")
		property := d.Components.Schemas.Get(schema).Properties.Get(name)
		if property.Items != nil {
			property = property.Items
		}
		if diff := cmp.Diff(want, property.Enum); diff != "" {
			t.Errorf("%s (-code +document):\n%s", place, diff)
		}
	}
	for place, want := range map[string]int{
		"CreateRequest.filename": account.MaxName, "CreateRequest.file_type": account.MaxType,
		"BatchItem.filename": account.MaxName, "BatchItem.file_type": account.MaxType, "WebhookRequest.url": egress.MaxURL,
	} {
		schema, name, _ := strings.Cut(place, ".")
		if got := d.Components.Schemas.Get(schema).Properties.Get(name).MaxLength; got == nil || *got != want {
			t.Errorf("%s: the greatest length is %v, want %d", place, got, want)
		}
	}
	if got := d.Components.Schemas.Get("BatchRequest").Properties.Get("items").MaxItems; got == nil || *got != api.MaxBatch {
		t.Errorf("a batch has up to %v items, want %d", got, api.MaxBatch)
	}
	create := d.Paths.Get("/api/v1/timestamps").Post
	if got := create.Parameters[0].Schema.MaxLength; got == nil || *got != maxIdempotencyID {
		t.Errorf("an idempotency key has up to %v characters, want %d", got, maxIdempotencyID)
	}
	text := strings.Join(strings.Fields(d.Info.Description), " ")
	for _, words := range []string{
		"a key has 120 requests a minute, of which 30 may create; an address has 60 creates a minute", "up to 10,000 hashes",
		"Keys are kept for 24 hours",
		"up to 20 webhooks for all of its timestamps, 10 for one of them, and 1,000 in all", "signs beside the new one for 24 hours",
		"more than 5 minutes from your clock", "names the first 20 with their proofs attached",
	} {
		if !strings.Contains(text, words) {
			t.Errorf("the description does not say %q", words)
		}
	}
	if requestsPerKey != 120 || createsPerKey != 30 || createsPerSite != 60 || api.MaxBatch != 10_000 || account.IdempotencyKept.Hours() != 24 || pageSize != 50 ||
		account.MaxThumbnail != 32<<10 || maxBody != 64<<10 || maxProofBody != 64<<10 || maxBatchBody != 16<<20 || monthsShown != 24 ||
		webhookLimits != (store.EndpointLimits{Wide: 20, Stamp: 10, All: 1000}) || oldSecretSigns.Hours() != 24 || api.WebhookTolerance.Minutes() != 5 ||
		notify.KeptFor.Hours() != 90*24 || letter.Listed != 20 {
		t.Error("a limit has changed: change it in internal/apidoc/openapi.yaml, and then here")
	}
}
