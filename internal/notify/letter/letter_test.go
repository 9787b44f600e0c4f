package letter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/mail"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/notify/webhook"
	"github.com/datestone/datestone/internal/store"
)

// fake is a mail server, a store and what describes stamps.
type fake struct {
	sent   []mail.Message
	err    error
	away   error                               // of the store
	states map[string]logtree.AttestationState // by transaction
	above  map[logtree.Position]string         // transactions that count, by position
	gone   map[account.ID]bool
}

func (f *fake) Send(_ context.Context, m mail.Message) error {
	f.sent = append(f.sent, m)
	return f.err
}

func (f *fake) Targets(context.Context) ([]anchor.Status, error) {
	return []anchor.Status{{Target: "bitcoin", Network: "regtest", TestNetwork: true}}, f.away
}

func (f *fake) AttestationOf(_ context.Context, target, ref string) (logtree.Attestation, error) {
	state, ok := f.states[ref]
	if !ok {
		return logtree.Attestation{}, store.ErrNotFound
	}
	return logtree.Attestation{Target: target, Ref: ref, State: state}, f.away
}

func (f *fake) Attestations(_ context.Context, p logtree.Position) ([]logtree.Attestation, error) {
	if ref := f.above[p]; ref != "" {
		return []logtree.Attestation{{Target: "litecoin", Ref: "l", State: logtree.Counted}, {Target: "bitcoin", Ref: ref, State: logtree.Counted}}, f.away
	}
	return nil, f.away
}

func (f *fake) describe(_ context.Context, n notify.Notice) (api.EventData, error) {
	if f.gone[n.Stamp] {
		return api.EventData{}, webhook.ErrNothing
	}
	return api.EventData{
		Timestamp:   &api.Timestamp{Filename: fmt.Sprintf("plan %d.pdf", int64(n.Position)), SHA256Hash: strings.Repeat("ab", 32)},
		Attestation: &api.EventAttestation{Network: "mainnet", BlockHeight: 900000, Transaction: "in " + n.Ref},
	}, f.away
}

func (f *fake) proof(context.Context, notify.Notice) ([]byte, error) { return []byte("proof"), nil }

func (f *fake) sender() *Sender {
	return &Sender{Client: f, Service: mail.Service{URI: "https://stamps.test"}, Store: f, Describe: f.describe, Proof: f.proof}
}

func TestTrouble(t *testing.T) {
	f := &fake{}
	s := f.sender()
	e := notify.Endpoint{Channel: notify.Mail, Address: "operator@example.org"}
	n := notify.Notice{UID: account.NewID(), Target: "bitcoin", Kind: notify.Trouble, Ref: "no_funds", Message: "Send coins.", Created: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}
	if told, o := s.SendTogether(t.Context(), e, []notify.Notice{n, n}); told != 1 || o.Err != nil || len(f.sent) != 1 {
		t.Fatalf("%d, %+v, %v", told, o, f.sent)
	}
	m := f.sent[0]
	if m.To != e.Address || m.ID != n.UID.String() || !m.Date.Equal(n.Created) || !strings.Contains(m.Subject, "no_funds") || !strings.Contains(m.Text, "Send coins.") ||
		!strings.Contains(m.Text, "TEST NETWORK") || m.Unsubscribe != "" || strings.Contains(m.Text, "unsubscribe") {
		t.Errorf("%+v", m)
	}
	f.err = &mail.Error{Fault: mail.Refused, Code: 550, Message: "no such user"}
	if o := s.Send(t.Context(), e, n); o.Err == nil || o.Status != 550 || errors.Is(o.Err, notify.ErrOurFault) {
		t.Errorf("refused: %+v", o)
	}
	n.Kind = notify.Anchored
	if o := s.Send(t.Context(), e, n); o.Err == nil || len(f.sent) != 2 {
		t.Errorf("another kind: %+v", o)
	}
	n.Kind = notify.Trouble
	f.away = errors.New("the database is away")
	if o := s.Send(t.Context(), e, n); !errors.Is(o.Err, notify.ErrOurFault) {
		t.Errorf("%+v", o)
	}
}

// What goes together, and that it says what is true when it is sent.
func TestTogether(t *testing.T) {
	notices := func(text string) (all []notify.Notice) {
		for _, word := range strings.Fields(text) { // kind, position and transaction
			var kind byte
			var position logtree.Position
			var ref string
			if _, err := fmt.Sscanf(strings.ReplaceAll(word, "/", " "), "%c%d %s", &kind, &position, &ref); err != nil {
				t.Fatal(err)
			}
			n := notify.Notice{UID: account.NewID(), Stamp: account.ID{0: byte(position), 1: byte(position >> 8)}, Position: position, Target: "bitcoin", Kind: notify.Confirmed, Ref: ref}
			if kind == 'w' {
				n.Kind = notify.Withdrawn
			}
			all = append(all, n)
		}
		return all
	}
	many := ""
	for i := range 10_000 {
		many += fmt.Sprintf("c%d/a ", i)
	}
	for name, c := range map[string]struct {
		notices  string
		told     int
		subject  string // empty is none sent
		attached int
		words    []string
	}{
		"one":                           {"c1/a", 1, "Timestamp confirmed: plan 1.pdf", 1, []string{"in a"}},
		"one twice":                     {"c1/a c1/b", 2, "Timestamp confirmed: plan 1.pdf", 1, nil},
		"two":                           {"c1/a c2/b", 2, "2 timestamps confirmed", 2, []string{"plan 1.pdf", "plan 2.pdf"}},
		"superseded":                    {"c1/old", 1, "Timestamp confirmed: plan 1.pdf", 1, nil},
		"withdrawn":                     {"w1/x", 1, "Timestamp no longer confirmed: plan 1.pdf", 0, nil},
		"withdrawn since":               {"c1/x c2/y w1/x", 3, "2 timestamps no longer confirmed", 0, nil},
		"forgotten since":               {"c1/none", 1, "Timestamp no longer confirmed: plan 1.pdf", 0, nil},
		"counts again since":            {"w1/a", 1, "Timestamp confirmed: plan 1.pdf", 1, nil},
		"another confirms it since":     {"w7/x", 1, "Timestamp confirmed: plan 7.pdf", 1, []string{"in other"}},
		"some withdrawn":                {"c1/a c2/a w3/x c4/a", 2, "2 timestamps confirmed", 2, nil},
		"a stamp that is not there":     {"c99/a", 1, "", 0, nil},
		"with one that is not there":    {"c99/a c1/a", 2, "2 timestamps confirmed", 1, []string{"And 1 more"}},
		"ten thousand":                  {many, 10_000, "10000 timestamps confirmed", Listed, []string{"And 9980 more"}},
		"as many as are listed":         {strings.Join(strings.Fields(many)[:Listed], " "), Listed, "20 timestamps confirmed", Listed, nil},
		"not what another target says":  {"c1/a", 1, "Timestamp confirmed: plan 1.pdf", 1, nil},
		"the confirmation of many once": {"c1/a c1/a c1/a", 3, "Timestamp confirmed: plan 1.pdf", 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{
				states: map[string]logtree.AttestationState{"a": logtree.Counted, "b": logtree.Counted, "old": logtree.Superseded, "x": logtree.Withdrawn, "y": logtree.Mined, "other": logtree.Counted},
				above:  map[logtree.Position]string{7: "other"}, gone: map[account.ID]bool{{0: 99}: true},
			}
			all := notices(c.notices)
			if name == "not what another target says" {
				other := all[0]
				other.Target = "litecoin"
				all = append(all, other)
			}
			e := notify.Endpoint{UID: account.NewID(), Account: 1, Channel: notify.Mail, Address: "a@example.org", Secret: make([]byte, notify.MailSecretBytes)}
			told, o := f.sender().SendTogether(t.Context(), e, all)
			if told != c.told || o.Err != nil {
				t.Fatalf("%d were told, want %d; %+v", told, c.told, o)
			}
			if c.subject == "" {
				if len(f.sent) != 0 {
					t.Errorf("%+v", f.sent)
				}
				return
			}
			m := f.sent[0]
			if len(f.sent) != 1 || m.Subject != c.subject || len(m.Attachments) != c.attached || m.To != e.Address || m.Unsubscribe != "https://stamps.test"+offPath(e) {
				t.Errorf("%d sent, the first %q with %d files to %s, %s", len(f.sent), m.Subject, len(m.Attachments), m.To, m.Unsubscribe)
			}
			for _, w := range append(c.words, m.Unsubscribe) {
				if !strings.Contains(m.Text, w) || !strings.Contains(m.HTML, w) {
					t.Errorf("%q is missing in\n%s\n%s", w, m.Text, m.HTML)
				}
			}
			if uid, secret, ok := parseOff(offPath(e)); !ok || uid != e.UID || string(secret) != string(e.Secret) {
				t.Errorf("%s is not read back", offPath(e))
			}
			// Sent again it is the same message, and with one more another.
			f.sender().SendTogether(t.Context(), e, all)
			f.sender().SendTogether(t.Context(), e, append(all[:told:told], notices("c50/a w50/x")...))
			if f.sent[1].ID != m.ID || len(f.sent) != 3 || told == len(all) && c.attached > 0 && f.sent[2].ID == m.ID {
				t.Errorf("the ids are %s, %s and %s", m.ID, f.sent[1].ID, f.sent[2].ID)
			}
			f.away = errors.New("the database is away")
			if n, o := f.sender().SendTogether(t.Context(), e, all); n != 1 || !errors.Is(o.Err, notify.ErrOurFault) || len(f.sent) != 3 {
				t.Errorf("without a database: %d, %+v", n, o)
			}
		})
	}
}
