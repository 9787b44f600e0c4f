package eternity

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/egress"
	"github.com/datestone/datestone/internal/mail"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/signedmsg"
)

// about is a notice about a kept digest.
func (r *rig) about(digest []byte, kind notify.Kind) notify.Notice {
	r.t.Helper()
	s, _, err := r.db.SignedDigest(r.t.Context(), digest)
	if err != nil {
		r.t.Fatal(err)
	}
	return notify.Notice{UID: account.NewID(), Account: s.Account, Stamp: s.Nonce, Target: "bitcoin", Kind: kind, Position: s.Position, Created: time.Now()}
}

func TestCallback(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		status := 200
		var asked []string
		customer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Method+" "+r.URL.String())
			w.Header().Set("Retry-After", "120")
			w.WriteHeader(status)
		}))
		defer customer.Close()
		host := strings.TrimPrefix(customer.URL, "http://")
		client, err := egress.New(egress.Config{Allow: []string{host}})
		if err != nil {
			t.Fatal(err)
		}
		digest := digestOf("called")
		r.must(r.post(r.key, "", digest))
		n := r.about(digest, notify.Attested)
		c := &Callback{Store: r.db, Client: client, Types: map[string]string{"bitcoin": "BTC"}}
		text := hex.EncodeToString(digest)
		for address, want := range map[string]string{
			customer.URL: "GET /?digest=" + text + "&type=BTC", customer.URL + "/called?x=a%20b": "GET /called?x=a%20b&digest=" + text + "&type=BTC",
		} {
			asked = nil
			if o := c.Send(t.Context(), notify.Endpoint{Address: address}, n); o.Err != nil || o.Status != 200 || len(asked) != 1 || asked[0] != want {
				t.Errorf("%s: %+v, asked %v, want %s", address, o, asked, want)
			}
		}
		for _, status = range []int{204, 302, 404, 410, 500, 503} {
			o := c.Send(t.Context(), notify.Endpoint{Address: customer.URL}, n)
			if bad := status != 204; o.Status != status || (o.Err != nil) != bad || o.Gone != (status == 410) || bad && o.RetryAfter != 2*time.Minute {
				t.Errorf("answered %d: %+v", status, o)
			}
		}
		// Nothing inside is asked, and nothing of it is told.
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		for _, address := range []string{"http://" + ln.Addr().String(), "http://169.254.169.254/latest", "http://[::1]:80/"} {
			if o := c.Send(t.Context(), notify.Endpoint{Address: address}, n); o.Err == nil || o.Status != 0 || strings.Contains(o.Err.Error(), "127.0.0.1") {
				t.Errorf("%s: %+v", address, o)
			}
		}
		asked = nil
		other := n
		other.Target = "newspaper"
		if o := c.Send(t.Context(), notify.Endpoint{Address: customer.URL}, other); o.Err != nil || len(asked) != 0 {
			t.Errorf("a target that is no chain: %+v, asked %v", o, asked)
		}
		other = n
		other.Stamp[0]++
		if o := c.Send(t.Context(), notify.Endpoint{Address: customer.URL}, other); !errors.Is(o.Err, notify.ErrOurFault) {
			t.Errorf("a notice about nothing: %+v", o)
		}
	})
}

// outbox keeps messages, or refuses them.
type outbox struct {
	sent []mail.Message
	err  error
}

func (b *outbox) Send(_ context.Context, m mail.Message) error {
	b.sent = append(b.sent, m)
	return b.err
}

func TestReceiptByEmail(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		r.change(func(c *Config) { c.TestNetwork = true })
		digest, short := digestOf("mailed"), []byte("short")
		r.must(r.post(r.key, "?email=to@example.org&op=keccak256", digest))
		r.must(r.post(r.key, "?email=to@example.org", short))
		var box outbox
		c := &Receipt{Store: r.db, Server: r.server, Mail: &box}
		to := notify.Endpoint{Address: "to@example.org"}
		n := r.about(digest, notify.Complete)
		if o := c.Send(t.Context(), to, n); !errors.Is(o.Err, notify.ErrOurFault) || len(box.sent) != 0 {
			t.Errorf("before it is complete: %+v", o)
		}
		height := r.confirm()
		if o := c.Send(t.Context(), to, n); o.Err != nil || len(box.sent) != 1 {
			t.Fatalf("%+v, %d messages", o, len(box.sent))
		}
		m := box.sent[0]
		hash := r.key.Public().Hash()
		signed, _, err := r.db.SignedDigest(t.Context(), digest)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{hex.EncodeToString(digest), hex.EncodeToString(hash[:]), signed.Signature.String(), r.key.Public().Address(), testURI, "TEST NETWORK"} {
			if !strings.Contains(m.Text, want) || !strings.Contains(strings.ReplaceAll(m.HTML, "&#43;", "+"), want) {
				t.Errorf("the message lacks %q:\n%s\n%s", want, m.Text, m.HTML)
			}
		}
		if m.To != to.Address || m.ID != n.UID.String() || !strings.HasPrefix(m.Subject, "TEST NETWORK") || len(m.Attachments) != 1 || !strings.HasPrefix(m.Attachments[0].Name, "TEST-NETWORK-") {
			t.Errorf("the message is %+v", m)
		}
		f, err := ots.ParseFile(m.Attachments[0].Content)
		if err != nil || f.HashOp != ots.OpKeccak256 || string(f.Digest) != string(digest) {
			t.Fatalf("attached is %v, %v", f, err)
		}
		if low, ok := f.Timestamp.Shrink(); !ok || kinds(low)[0] != fmt.Sprintf("BitcoinBlockHeaderAttestation(%d)", height) {
			t.Errorf("attached is %v", kinds(f.Timestamp))
		}
		if sig, err := signedmsg.Parse(signed.Signature.String()); err != nil || sig != r.key.Sign(signedmsg.Digest(digest)) {
			t.Errorf("the signature is %v, %v", sig, err)
		}
		// Of a digest that no hash op fits the timestamp alone is attached.
		if o := c.Send(t.Context(), to, r.about(short, notify.Complete)); o.Err != nil {
			t.Fatal(o.Err)
		}
		if ts, err := ots.ParseTimestamp(box.sent[1].Attachments[0].Content, len(short)); err != nil || len(kinds(ts)) != 2 {
			t.Errorf("attached to a short digest: %v, %v", ts, err)
		}
		box.err = &mail.Error{Fault: mail.Refused, Code: 550, Message: "no such person"}
		if o := c.Send(t.Context(), to, n); o.Err == nil || o.Status != 550 || errors.Is(o.Err, notify.ErrOurFault) {
			t.Errorf("refused: %+v", o)
		}
	})
}
