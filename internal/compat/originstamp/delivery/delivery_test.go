package delivery

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/compat/originstamp"
	"github.com/datestone/datestone/internal/compat/originstamp/proof"
	"github.com/datestone/datestone/internal/egress"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/mail"
	"github.com/datestone/datestone/internal/mail/mailtest"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/seed"
)

var blockTime = time.Date(2026, 5, 1, 12, 7, 36, 0, time.UTC)

// shelf is a store with one submitted hash.
type shelf struct {
	sub        seed.Submitted
	states     []seed.State
	branch     error
	branches   int
	unknown    bool
	testTarget string
}

func (s *shelf) SeededNotice(context.Context, notify.Notice) (seed.Submitted, []seed.State, error) {
	if s.unknown {
		return seed.Submitted{}, nil, seed.ErrUnknown
	}
	return s.sub, append([]seed.State(nil), s.states...), nil
}

func (s *shelf) SeedBranch(_ context.Context, of seed.Seed, hash [32]byte) (seed.Branch, error) {
	s.branches++
	return seed.Branch{Hash: hash, Root: of.Root, Steps: []seed.Step{{Sibling: hash, Left: true}}}, s.branch
}

func (s *shelf) Targets(context.Context) ([]anchor.Status, error) {
	return []anchor.Status{{Target: "bitcoin", TestNetwork: s.testTarget == "bitcoin"}, {Target: "ethereum"}}, nil
}

func newShelf() *shelf {
	hash := sha256.Sum256([]byte("a"))
	text := hex.EncodeToString(hash[:])
	root := sha256.Sum256([]byte(text + text))
	state := func(target string, status seed.Status, kind logtree.Kind) seed.State {
		return seed.State{Seed: seed.Seed{UID: seed.UUID{1}, Target: target, Root: root}, Status: status, Ref: strings.Repeat("cd", 32), Time: blockTime, Attestation: logtree.Attestation{Kind: kind}}
	}
	return &shelf{
		sub:    seed.Submitted{Number: 1, Hash: hash, Created: blockTime.Add(-time.Hour), Comment: "build <17>\u202e & more"},
		states: []seed.State{state("aion", seed.Final, logtree.Ethereum), state("ethereum", seed.Mined, logtree.Ethereum), state("bitcoin", seed.Final, logtree.Bitcoin)},
	}
}

var notice = notify.Notice{UID: account.NewID(), Target: "bitcoin", Kind: notify.Seeded, Created: blockTime}

// listed writes the targets that are told of.
func listed(sub seed.Submitted, final []seed.State) ([]byte, error) {
	var targets []string
	for _, s := range final {
		targets = append(targets, s.Target)
	}
	return fmt.Appendf(nil, "%x %s", sub.Hash[:2], strings.Join(targets, " ")), nil
}

// TestHook: the body is posted as it is, to the address as it is, once the proofs are there; any 2xx is a success.
func TestHook(t *testing.T) {
	status, waits := 200, false
	var asked *http.Request
	var body string
	release := make(chan struct{})
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		asked, body = r, string(b)
		if waits {
			<-release
		}
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(status)
	}))
	defer receiver.Close()
	defer close(release)
	client, err := egress.New(egress.Config{Allow: []string{strings.TrimPrefix(receiver.URL, "http://")}})
	if err != nil {
		t.Fatal(err)
	}
	s := newShelf()
	h := &Hook{Store: s, Client: client, Payload: listed}
	send := func(address string, n notify.Notice) notify.Outcome {
		asked = nil
		return h.Send(t.Context(), notify.Endpoint{Account: 1, Address: address}, n)
	}
	const query = "/hook?id=17&z=%20a+b&&empty=&%C3%A4=1"
	if o := send(receiver.URL+query, notice); o.Err != nil || o.Status != 200 || asked == nil {
		t.Fatalf("%+v", o)
	}
	if asked.Method != http.MethodPost || asked.URL.String() != query || asked.Header.Get("Content-Type") != "application/json" || asked.Header.Get("X-Signature") != "" || asked.Header.Get("Authorization") != "" {
		t.Errorf("%s %s %v", asked.Method, asked.URL, asked.Header)
	}
	if body != "ca97 bitcoin aion" {
		t.Errorf("the body is %q", body)
	}
	if s.branches != 2 {
		t.Errorf("%d proofs were read before, want 2", s.branches)
	}
	h.Secret = "a secret"
	send(receiver.URL, notice)
	mac := hmac.New(sha256.New, []byte("a secret"))
	mac.Write([]byte(body))
	if got := asked.Header.Get("X-Signature"); got != hex.EncodeToString(mac.Sum(nil)) {
		t.Errorf("the signature is %s", got)
	}
	for _, status = range []int{201, 204, 302, 404, 410, 500, 503} {
		good := status < 300
		if o := send(receiver.URL, notice); o.Status != status || (o.Err == nil) != good || o.Gone || !good && o.RetryAfter != 2*time.Minute {
			t.Errorf("answered %d: %+v", status, o)
		}
	}
	// Nothing inside is asked, and nothing of it is told.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, address := range []string{"http://" + ln.Addr().String(), "http://169.254.169.254/latest", "http://[::1]:80/", "::"} {
		if o := send(address, notice); o.Err == nil || o.Status != 0 || strings.Contains(o.Err.Error(), "127.0.0.1") || errors.Is(o.Err, notify.ErrOurFault) {
			t.Errorf("%s: %+v", address, o)
		}
	}
	// While there is no proof nobody is called, and it is our fault.
	s.branch = errors.New("not readable")
	if o := send(receiver.URL, notice); !errors.Is(o.Err, notify.ErrOurFault) || asked != nil {
		t.Errorf("without a proof: %+v", o)
	}
	s.branch = nil
	other := notice
	other.Target = "ethereum"
	if o := send(receiver.URL, other); o.Err == nil || errors.Is(o.Err, notify.ErrOurFault) || asked != nil {
		t.Errorf("a currency that is not final any more: %+v", o)
	}
	s.unknown = true
	if o := send(receiver.URL, notice); !errors.Is(o.Err, notify.ErrOurFault) || asked != nil {
		t.Errorf("a notice about nothing: %+v", o)
	}
	s.unknown, waits = false, true
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if o := h.Send(ctx, notify.Endpoint{Account: 1, Address: receiver.URL}, notice); o.Err == nil || o.Status != 0 {
		t.Errorf("no answer: %+v", o)
	}
}

// TestPayload: the body is to the letter the one that a receiver published, whose second currency was not final.
func TestPayload(t *testing.T) {
	const published = `{"created":false,"date_created":1541203188245,"comment":null,"hash_string":"2c5d36be542f8f0e7345d77753a5d7ea61a443ba6a9a86bb060332ad56dba38e","timestamps":[{"seed_id":"f98a61e8-22bd-4ea5-ab9e-02723ff78c40","currency_id":0,"transaction":"aed3db9ef94953f65e93d56a4e5bcf234d43e27a1b3e7ce0f274cc7ed750d0e2","private_key":"5e92ec09501a5d39e251a151f84b5e2228312c445eb23b4e1de6360e27bad54b","timestamp":1541203656000,"submit_status":3}]}`
	digest := func(text string) [32]byte {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return [32]byte(b)
	}
	uid, err := account.ParseID("f98a61e8-22bd-4ea5-ab9e-02723ff78c40")
	if err != nil {
		t.Fatal(err)
	}
	s := newShelf()
	s.sub = seed.Submitted{Number: 1, Hash: digest("2c5d36be542f8f0e7345d77753a5d7ea61a443ba6a9a86bb060332ad56dba38e"), Created: time.UnixMilli(1541203188245)}
	s.states = []seed.State{{
		Seed:   seed.Seed{UID: uid, Target: "bitcoin", Root: digest("5e92ec09501a5d39e251a151f84b5e2228312c445eb23b4e1de6360e27bad54b")},
		Status: seed.Final, Ref: "aed3db9ef94953f65e93d56a4e5bcf234d43e27a1b3e7ce0f274cc7ed750d0e2", Time: time.UnixMilli(1541203656000),
	}, {Seed: seed.Seed{Target: "ethereum"}, Status: seed.Mined}}
	var body string
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body = string(b)
	}))
	defer receiver.Close()
	client, err := egress.New(egress.Config{Allow: []string{strings.TrimPrefix(receiver.URL, "http://")}})
	if err != nil {
		t.Fatal(err)
	}
	currencies := []seed.Currency{{ID: 0, Name: "BITCOIN", Target: "bitcoin"}, {ID: 1, Name: "ETHEREUM", Target: "ethereum"}}
	h := &Hook{Store: s, Client: client, Payload: func(sub seed.Submitted, final []seed.State) ([]byte, error) {
		return originstamp.JSON(originstamp.Payload(sub, final, currencies))
	}}
	if o := h.Send(t.Context(), notify.Endpoint{Account: 1, Address: receiver.URL}, notice); o.Err != nil || body != published {
		t.Errorf("%+v\n%s", o, body)
	}
}

// TestLetter: the e-mail arrives at a mail server with what is known and both proofs.
func TestLetter(t *testing.T) {
	office := mailtest.New(t)
	client, err := mail.New(mail.Config{Address: office.Address, TLS: "implicit", From: "stamps@example.org", RootCAs: office.RootCAs})
	if err != nil {
		t.Fatal(err)
	}
	s := newShelf()
	ots := []byte("an OpenTimestamps proof")
	l := &Letter{
		Store: s, Mail: client, Service: "https://stamp.example",
		Currencies: []seed.Currency{{ID: 0, Name: "BITCOIN", Target: "bitcoin"}, {ID: 1, Name: "ETHEREUM", Target: "ethereum"}},
		Proof:      func(context.Context, seed.Submitted) ([]byte, error) { return ots, nil },
	}
	send := func(n notify.Notice) notify.Outcome {
		return l.Send(t.Context(), notify.Endpoint{Account: 1, Address: "ops@example.org"}, n)
	}
	if o := send(notice); o.Err != nil {
		t.Fatalf("%+v", o)
	}
	hash := hex.EncodeToString(s.sub.Hash[:])
	root := hex.EncodeToString(s.states[2].Root[:])
	branch, _ := s.SeedBranch(t.Context(), s.states[2].Seed, s.sub.Hash)
	got := office.Letters()[0]
	if subject := got.Header.Get("Subject"); got.To != "ops@example.org" || subject != "Timestamp of "+hash[:16]+" is tamper-proof" || !strings.Contains(got.Header.Get("Message-ID"), notice.UID.String()) {
		t.Errorf("to %s: %v", got.To, got.Header)
	}
	for _, want := range []string{hash, "Bitcoin", strings.Repeat("cd", 32), "1 May 2026, 12:07:36 UTC", root, "https://stamp.example/s/" + hash} {
		if !strings.Contains(got.Text, want) || !strings.Contains(got.HTML, want) {
			t.Errorf("%q is not in both forms of\n%s\n%s", want, got.Text, got.HTML)
		}
	}
	if !strings.Contains(got.Text, "build <17>[U+202E] & more") || !strings.Contains(got.HTML, "build &lt;17&gt;[U&#43;202E] &amp; more") {
		t.Errorf("the comment:\n%s\n%s", got.Text, got.HTML)
	}
	if string(got.Files[hash+".xml"]) != string(proof.XML(branch)) || string(got.Files[hash+".ots"]) != string(ots) || len(got.Files) != 2 {
		t.Errorf("files %q", got.Files)
	}
	// In print, without an .ots file, from a test network.
	ots, s.testTarget, s.sub.Comment = nil, "bitcoin", ""
	s.states[2].Attestation, s.states[2].Ref = logtree.Attestation{}, "2021-03-16"
	if o := send(notice); o.Err != nil {
		t.Fatalf("%+v", o)
	}
	got = office.Letters()[1]
	if subject := got.Header.Get("Subject"); !strings.HasPrefix(subject, "TEST NETWORK: Timestamp of ") || len(got.Files) != 1 || got.Files["TEST-NETWORK-"+hash+".xml"] == nil {
		t.Errorf("%s %q", subject, got.Files)
	}
	if !strings.Contains(got.Text, "Issue\n2021-03-16") || strings.Contains(got.Text, "Comment") || !strings.HasPrefix(got.Text, "TEST NETWORK") || strings.Contains(got.Text, ".ots") {
		t.Error(got.Text)
	}
	// A mail server that refuses is no fault of ours; all else is.
	office.Refuse(550)
	if o := send(notice); o.Err == nil || o.Status != 550 || errors.Is(o.Err, notify.ErrOurFault) {
		t.Errorf("refused: %+v", o)
	}
	other := notice
	other.Target = "ethereum"
	if o := send(other); o.Err == nil || errors.Is(o.Err, notify.ErrOurFault) {
		t.Errorf("not final any more: %+v", o)
	}
	other.Target = "aion"
	if o := send(other); !errors.Is(o.Err, notify.ErrOurFault) {
		t.Errorf("no currency: %+v", o)
	}
	l.Proof = func(context.Context, seed.Submitted) ([]byte, error) { return nil, errors.New("not readable") }
	if o := send(notice); !errors.Is(o.Err, notify.ErrOurFault) {
		t.Errorf("without a proof: %+v", o)
	}
	if n := len(office.Letters()); n != 2 {
		t.Errorf("%d letters", n)
	}
}
