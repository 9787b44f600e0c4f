package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/apidoc"
	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/internal/testpg"
)

// A webhook is registered, tested, told of a stamp's way into the chain, rotated and deleted.
func TestWebhooks(t *testing.T) {
	type received struct {
		header http.Header
		body   []byte
	}
	events := make(chan received, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		events <- received{r.Header, body}
	}))
	defer receiver.Close()
	dir := t.TempDir()
	dev, err := OpenDev(t.Context(), DevOptions{
		Dir: dir, Listen: "127.0.0.1:0", RPCListen: "127.0.0.1:0", Every: 500 * time.Millisecond, Version: "test", Log: testLog{t},
		Allow: []string{strings.TrimPrefix(receiver.URL, "http://")},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- dev.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	client, err := api.New(dev.URI(), DevKey, api.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateWebhook(ctx, api.WebhookRequest{URL: "http://127.0.0.1:1/", Events: api.EventTypes()}); !errors.Is(err, api.ErrInvalidURL) {
		t.Errorf("an address inside: %v", err)
	}
	hook, err := client.CreateWebhook(ctx, api.WebhookRequest{URL: receiver.URL + "/hook", Events: api.EventTypes()})
	if err != nil {
		t.Fatal(err)
	}
	next := func(secrets ...string) api.Event {
		t.Helper()
		select {
		case r := <-events:
			e, err := api.VerifyWebhook(secrets, r.header, r.body)
			if err != nil {
				t.Fatalf("%v in %s", err, r.body)
			}
			return e
		case <-time.After(2 * time.Minute):
			t.Fatal("no webhook came")
			return api.Event{}
		}
	}
	test, err := client.TestWebhook(ctx, hook.ID)
	if err != nil {
		t.Fatal(err)
	}
	if e := next(hook.Secret); e.Type != api.EventTest || e.ID != test.ID {
		t.Errorf("%+v, want the test %s", e, test.ID)
	}
	ts, err := client.Create(ctx, api.CreateRequest{SHA256Hash: strings.Repeat("ab", 32), Filename: "plan.pdf", FileSizeBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, want := range []api.EventType{api.EventAnchored, api.EventConfirmed, api.EventProofUpgraded} {
		e := next(hook.Secret)
		a := e.Data.Attestation
		if e.Type != want || ids[e.ID] || e.Data.Timestamp == nil || e.Data.Timestamp.ID != ts.ID || e.Data.Target != "bitcoin" || a == nil {
			t.Fatalf("%+v, want %s", e, want)
		}
		ids[e.ID] = true
		if !a.TestNetwork || a.Network != "regtest" || a.Confirmations < 1 || len(a.BlockHash) != 64 || len(a.Transaction) != 64 {
			t.Errorf("attestation %+v", a)
		}
		if confirmed := e.Data.Timestamp.Status == api.StatusConfirmed; want != api.EventAnchored && (!confirmed || *e.Data.Timestamp.BlockchainTx != a.Transaction) {
			t.Errorf("%s with the timestamp %+v", want, e.Data.Timestamp)
		}
	}
	rotated, err := client.RotateWebhook(ctx, hook.ID)
	if err != nil || rotated.Secret == hook.Secret || rotated.OldSecretUntil == nil {
		t.Fatalf("%+v, %v", rotated, err)
	}
	if _, err := client.TestWebhook(ctx, hook.ID); err != nil {
		t.Fatal(err)
	}
	r := <-events
	for _, secret := range []string{hook.Secret, rotated.Secret} {
		if _, err := api.VerifyWebhook([]string{secret}, r.header, r.body); err != nil {
			t.Errorf("while two secrets sign: %v", err)
		}
	}
	log, err := client.WebhookDeliveries(ctx, hook.ID, "")
	for deadline := time.Now().Add(time.Minute); err == nil && len(log.Data) == 5 && log.Data[0].Status != api.DeliveryDelivered && time.Now().Before(deadline); {
		log, err = client.WebhookDeliveries(ctx, hook.ID, "")
	}
	if err != nil || len(log.Data) != 5 {
		t.Fatalf("%+v, %v", log, err)
	}
	for _, d := range log.Data {
		if d.Status != api.DeliveryDelivered || d.Tries != 1 || d.LastStatusCode == nil || *d.LastStatusCode != 200 {
			t.Errorf("%+v", d)
		}
	}
	if err := client.DeleteWebhook(ctx, hook.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Webhook(ctx, hook.ID); !errors.Is(err, api.ErrWebhookNotFound) {
		t.Errorf("after it was deleted: %v", err)
	}
	file, err := os.ReadFile(filepath.Join(dir, "calendar", "datestone.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{hook.Secret, rotated.Secret} {
		if bytes.Contains(file, []byte(secret)) {
			t.Error("the database has a secret in the open")
		}
	}
}

func TestDocumentedTimeout(t *testing.T) {
	d, err := apidoc.Load("https://stamps.test", "test_live_")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("within %.0f seconds", webhookTimeout.Seconds()); !strings.Contains(d.Info.Description, want) {
		t.Errorf("the guide to webhooks does not say %q", want)
	}
}

func TestSecretKey(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	open := func(t *testing.T, where string) *store.DB {
		db, err := store.Open(t.Context(), where, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	t.Run("a file", func(t *testing.T) {
		c := Defaults()
		c.Data = t.TempDir()
		db := open(t, c.DatabasePlace())
		key, err := openSecrets(t.Context(), c, db, log)
		if err != nil || key == nil {
			t.Fatal(key, err)
		}
		if _, err := openSecrets(t.Context(), c, db, log); err != nil {
			t.Errorf("a second start: %v", err)
		}
		if err := os.Remove(c.SecretKeyPath()); err != nil {
			t.Fatal(err)
		}
		if _, err := openSecrets(t.Context(), c, db, log); err == nil || !strings.Contains(err.Error(), "secret_key_file") {
			t.Errorf("without the key: %v", err)
		}
		if _, err := os.Stat(c.SecretKeyPath()); err == nil {
			t.Error("another key was made")
		}
		other := Defaults()
		other.Data = t.TempDir()
		if _, err := openSecrets(t.Context(), other, open(t, other.DatabasePlace()), log); err != nil {
			t.Fatal(err)
		}
		c.SecretKeyFile = other.SecretKeyPath()
		if _, err := openSecrets(t.Context(), c, db, log); err == nil || !strings.Contains(err.Error(), "is not the one") {
			t.Errorf("with another key: %v", err)
		}
	})
	t.Run("a shared database", func(t *testing.T) {
		where := testpg.Shared(t).NewDatabase(t)
		db := open(t, where)
		c := Defaults()
		c.Data, c.Database = t.TempDir(), where
		if key, err := openSecrets(t.Context(), c, db, log); err != nil || key != nil {
			t.Fatalf("no key: %v, %v", key, err)
		}
		if err := os.WriteFile(c.SecretKeyPath(), fmt.Appendln(nil, strings.Repeat("A", 43)+"="), 0o600); err != nil {
			t.Fatal(err)
		}
		if key, err := openSecrets(t.Context(), c, db, log); err != nil || key == nil {
			t.Fatalf("with a key: %v", err)
		}
		c.Data = t.TempDir()
		if _, err := openSecrets(t.Context(), c, db, log); err == nil || !strings.Contains(err.Error(), "another node") {
			t.Errorf("another node without it: %v", err)
		}
	})
}

func TestSettingsOfNotices(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"the defaults": {func(*Config) {}, ""},
		"ports and hosts": {func(c *Config) {
			c.EgressPorts, c.EgressAllow = []string{"443", "8443"}, []string{"hooks.internal", "10.0.0.7:9000"}
		}, ""},
		"no port":               {func(c *Config) { c.EgressPorts = []string{"https"} }, "egress_ports"},
		"a port too large":      {func(c *Config) { c.EgressPorts = []string{"70000"} }, "egress_ports"},
		"no host":               {func(c *Config) { c.EgressAllow = []string{"http://hooks.internal/"} }, "egress_allow"},
		"networks denied":       {func(c *Config) { c.EgressDeny = []string{"203.0.113.0/24", "2001:db8::7"} }, ""},
		"no network denied":     {func(c *Config) { c.EgressDeny = []string{"hooks.internal"} }, "egress_deny"},
		"an operator inside":    {func(c *Config) { c.OperatorWebhook = "http://127.0.0.1:9093/alerts" }, ""},
		"no URL":                {func(c *Config) { c.OperatorWebhook = "alerts.example.org" }, "operator_webhook"},
		"no secret":             {func(c *Config) { c.OperatorWebhookSecret = "hunter2" }, "operator_webhook_secret"},
		"mail without a server": {func(c *Config) { c.OperatorMail = "op@example.org" }, "smtp_address"},
		"mail to nobody": {func(c *Config) {
			c.OperatorMail, c.SMTPAddress, c.MailFrom = "op", "mail.example.org:587", "stamps@example.org"
		}, "operator_mail"},
		"too long a wait": {func(c *Config) { c.MailWait = bitcoin.Duration(8 * 24 * time.Hour) }, "mail_wait"},
		"mail": {func(c *Config) {
			c.OperatorMail, c.SMTPAddress, c.MailFrom = "op@example.org", "mail.example.org:587", "stamps@example.org"
		}, ""},
	} {
		config := Defaults()
		c.change(&config)
		err := config.checkNotices()
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error has the secret: %v", name, err)
		}
	}
}
