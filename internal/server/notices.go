package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/compat/eternity"
	"github.com/datestone/datestone/internal/egress"
	"github.com/datestone/datestone/internal/mail"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/notify/letter"
	"github.com/datestone/datestone/internal/notify/webhook"
	"github.com/datestone/datestone/internal/rest"
	"github.com/datestone/datestone/internal/seal"
	"github.com/datestone/datestone/internal/store"
)

// SecretKeyPath is the path of the key for secrets; empty when nothing says where it is.
func (c Config) SecretKeyPath() string {
	if c.SecretKeyFile != "" || c.Data == "" {
		return c.SecretKeyFile
	}
	return filepath.Join(c.Data, "secret.key")
}

// secretCheck is what the key for secrets is recognised by.
var secretCheck = []byte("datestone key for secrets")

// openSecrets reads the key for secrets, and refuses one that does not open what the database has. A database of
// one node's own gets a key when there is none yet; of a shared one every node needs the same, so without it, and
// while the database needs none, it is nil and there are no webhooks.
func openSecrets(ctx context.Context, c Config, db *store.DB, log *slog.Logger) (*seal.Key, error) {
	path := c.SecretKeyPath()
	check, err := db.SecretCheck(ctx, nil)
	if err != nil {
		return nil, err
	}
	var key *seal.Key
	if err = fs.ErrNotExist; path != "" {
		key, err = seal.ReadFile(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		switch {
		case check != nil:
			return nil, fmt.Errorf("the database has secrets that are encrypted with a key which is not at %q: copy secret.key from another node or from your backup, or name it in secret_key_file", path)
		case db.Shared() || path == "":
			log.Warn("there are no webhooks without a key for secrets: make one with openssl rand -base64 32, mode 0600, give every node the same and name it in secret_key_file", "file", path)
			return nil, nil
		}
		if err := seal.MakeFile(path); err != nil {
			return nil, err
		}
		log.Info("made the key that encrypts the secrets of webhooks: keep a copy of it with your backups", "file", path)
		key, err = seal.ReadFile(path)
	}
	if err != nil {
		return nil, err
	}
	if check, err = db.SecretCheck(ctx, key.Seal(secretCheck, nil)); err != nil {
		return nil, err
	}
	if _, err := key.Open(check, nil); err != nil {
		return nil, fmt.Errorf("the key for secrets %s is not the one that the database's secrets are encrypted with: copy secret.key from another node or from your backup", path)
	}
	return key, nil
}

// egressConfig is where requests to customers' URLs may go.
func (c Config) egressConfig() (egress.Config, error) {
	e := egress.Config{Allow: c.EgressAllow, Timeout: webhookTimeout}
	for _, text := range c.EgressPorts {
		n, err := strconv.Atoi(text)
		if err != nil {
			return e, fmt.Errorf(`egress_ports has %q: write numbers, for example egress_ports = ["443", "8443"]`, text)
		}
		e.Ports = append(e.Ports, n)
	}
	var err error
	e.Deny, err = networks("egress_deny", c.EgressDeny)
	return e, err
}

const (
	webhookTimeout = 15 * time.Second
	// tryWithin bounds a try by any channel; a mail server may take longer than a webhook.
	tryWithin = 70 * time.Second
	// maxMailWait bounds how late an account hears of something.
	maxMailWait = 7 * 24 * time.Hour
)

// checkNotices refuses settings of notices that cannot work.
func (c Config) checkNotices() error {
	e, err := c.egressConfig()
	if err != nil {
		return err
	}
	if _, err := egress.New(e); err != nil {
		return fmt.Errorf("egress_ports or egress_allow: %w", err)
	}
	if c.OperatorWebhook != "" {
		if _, err := operatorClient("operator_webhook", c.OperatorWebhook); err != nil {
			return err
		}
	}
	if c.OperatorWebhookSecret != "" {
		if err := api.SignWebhook(make(http.Header), []string{c.OperatorWebhookSecret}, "check", time.Unix(0, 0), nil); err != nil {
			return fmt.Errorf("operator_webhook_secret: %w", err)
		}
	}
	if wait := time.Duration(c.MailWait); wait < 0 || wait > maxMailWait {
		return fmt.Errorf("mail_wait is %v: write a time up to %v", wait, maxMailWait)
	}
	client, err := c.newMail()
	if err != nil || c.OperatorMail == "" {
		return err
	}
	if client == nil {
		return errors.New(`operator_mail is set and smtp_address is not: write the mail server's address, for example smtp_address = "mail.example.org:587"`)
	}
	if err := mail.CheckAddress(c.OperatorMail); err != nil {
		return fmt.Errorf("operator_mail: %w", err)
	}
	return nil
}

// operatorClient asks the operator's own host, wherever it is, and no other.
func operatorClient(key, address string) (*egress.Client, error) {
	const example = `write an address, for example "https://alerts.example.org/datestone"`
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("%s is %q: %s", key, address, example)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	client, err := egress.New(egress.Config{Allow: []string{net.JoinHostPort(u.Hostname(), port)}, Timeout: webhookTimeout})
	if err == nil {
		err = client.Check(address)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is %q: %w; %s", key, address, err, example)
	}
	return client, nil
}

// notices are what writes and delivers notices, and what the REST surface needs of them.
type notices struct {
	secrets *seal.Key
	client  *egress.Client
	loop    loop
}

// openNotices opens what notices need. The loop is made by start, once there is a surface that describes stamps.
func (s *Server) openNotices(ctx context.Context) (n notices, err error) {
	if n.secrets, err = openSecrets(ctx, s.config, s.db, s.log); err != nil {
		return n, err
	}
	e, err := s.config.egressConfig()
	if err != nil {
		return n, err
	}
	if n.client, err = egress.New(e); err != nil {
		return n, err
	}
	var operator []notify.Endpoint
	if s.config.OperatorWebhook != "" {
		operator = append(operator, notify.Endpoint{Channel: notify.Webhook, Address: s.config.OperatorWebhook})
	}
	if s.config.OperatorMail != "" {
		operator = append(operator, notify.Endpoint{Channel: notify.Mail, Address: s.config.OperatorMail})
	}
	return n, s.db.SetOperator(ctx, time.Now(), operator)
}

// start makes the loop. Over a store that other nodes have open as well it runs on one node at a time.
func (n *notices) start(s *Server, surface *rest.Server, numbers *metrics) error {
	sender := &webhook.Sender{
		Client: n.client, Secrets: n.secrets, OperatorSecret: s.config.OperatorWebhookSecret, Describe: surface.Describe, Now: time.Now,
	}
	if s.config.OperatorWebhook != "" {
		operator, err := operatorClient("operator_webhook", s.config.OperatorWebhook)
		if err != nil {
			return err
		}
		sender.Operator = operator
	}
	senders := map[string]notify.Sender{
		notify.Webhook:  sender,
		notify.Callback: &eternity.Callback{Store: s.db, Client: n.client, Types: s.config.callbackTypes()},
	}
	post, err := s.config.newMail()
	if err != nil {
		return err
	}
	if post != nil {
		senders[notify.Mail] = &letter.Sender{Client: post, Service: mail.Service{URI: s.config.URI}, Store: s.db, Describe: surface.Describe, Proof: surface.Proof}
		senders[notify.Receipt] = &eternity.Receipt{Store: s.db, Server: s.signed, Mail: post}
	}
	if err := s.addSeedSenders(senders, post); err != nil {
		return err
	}
	observe := observeNotices(numbers.registry)
	build := func(db *store.DB) (loop, error) {
		return notify.New(db, senders, notify.Options{Timeout: tryWithin, Observe: observe, Log: s.log, Lost: isLost}), nil
	}
	if !s.db.Shared() {
		n.loop, err = build(s.db)
		return err
	}
	const lease = "notices"
	n.loop = newSingle(lease, nodeName(), s.db, build, numbers.leases.WithLabelValues(lease), s.log)
	return nil
}

// openOff makes the page that switches e-mail off. It is there without a mail server too, for e-mail that was sent before.
func (s *Server) openOff(numbers *metrics) (*letter.Off, error) {
	trusted, err := proxies(s.config.TrustedProxies)
	if err != nil {
		return nil, err
	}
	return letter.NewOff(letter.OffConfig{Store: s.db, TrustedProxies: trusted, Log: s.log, Observe: numbers.answered("unsubscribe")}), nil
}

// observeNotices registers the numbers of tries, and returns what is told of each.
func observeNotices(registry *prometheus.Registry) func(channel string, delivered bool, took time.Duration) {
	tries := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "datestone_notice_seconds", Help: "Time that endpoints took to answer a notice.",
		Buckets: prometheus.ExponentialBuckets(0.005, 2, 13),
	}, []string{"channel", "result"})
	registry.MustRegister(tries)
	return func(channel string, delivered bool, took time.Duration) {
		result := "failed"
		if delivered {
			result = "delivered"
		}
		tries.WithLabelValues(channel, result).Observe(took.Seconds())
	}
}

// Delivery is a notice on its way to an endpoint, as the operator sees it.
type Delivery struct {
	ID       string     `json:"id"`
	Account  int64      `json:"account"` // 0 is the operator
	Endpoint string     `json:"endpoint"`
	Event    string     `json:"event"`
	Stamp    string     `json:"timestamp_id,omitempty"`
	Target   string     `json:"target,omitempty"`
	State    string     `json:"state"`
	Tries    int        `json:"tries"`
	Status   int        `json:"last_status_code,omitempty"`
	Error    string     `json:"last_error,omitempty"`
	Tried    *time.Time `json:"last_tried,omitempty"`
	Due      time.Time  `json:"due"`
}

// eventOf is the name of a kind: the API's, or for those of the authenticated calendar its own.
func eventOf(k notify.Kind) string { return cmp.Or(string(webhook.Event(k)), string(k)) }

// Notices chooses notices. Empty fields choose all.
type Notices struct {
	Account  string // an e-mail address or a number
	Endpoint string // its id
	State    string
	ID       string
}

func (a *Accounts) filter(ctx context.Context, n Notices) (f notify.Filter, err error) {
	if n.Account == "0" {
		f.Account = new(int64)
	} else if n.Account != "" {
		found, err := a.Find(ctx, n.Account)
		if err != nil {
			return f, err
		}
		f.Account = &found.ID
	}
	for _, one := range []struct {
		text string
		into **account.ID
	}{{n.Endpoint, &f.Endpoint}, {n.ID, &f.Notice}} {
		if one.text == "" {
			continue
		}
		id, err := account.ParseID(one.text)
		if err != nil {
			return f, err
		}
		*one.into = &id
	}
	if n.State != "" {
		state, err := notify.ParseState(n.State)
		if err != nil {
			return f, err
		}
		f.State = &state
	}
	return f, nil
}

// ListNotices reads the newest deliveries, at most so many.
func (a *Accounts) ListNotices(ctx context.Context, n Notices, limit int) ([]Delivery, error) {
	f, err := a.filter(ctx, n)
	if err != nil {
		return nil, err
	}
	found, endpoints, err := a.db.Deliveries(ctx, f, limit)
	if err != nil {
		return nil, err
	}
	all := []Delivery{}
	for _, d := range found {
		shown := Delivery{
			ID: d.Notice.UID.String(), Account: d.Notice.Account, Endpoint: endpoints[d.Endpoint].String(), Event: eventOf(d.Notice.Kind),
			Target: d.Notice.Target, State: d.State.String(), Tries: d.Tries, Status: d.Status, Error: d.Error, Due: d.Due,
		}
		if k := d.Notice.Kind; k != notify.Test && k != notify.Trouble && k != notify.Seeded {
			shown.Stamp = d.Notice.Stamp.String()
		}
		if !d.Tried.IsZero() {
			shown.Tried = &d.Tried
		}
		all = append(all, shown)
	}
	return all, nil
}

// RetryNotices has what is parked sent again, and what is due tried at once. It returns how many there are.
func (a *Accounts) RetryNotices(ctx context.Context, n Notices) (int, error) {
	f, err := a.filter(ctx, n)
	if err != nil {
		return 0, err
	}
	return a.db.RetryDeliveries(ctx, time.Now(), f)
}

// DropNotices has what is due or parked not be sent any more. It returns how many there were.
func (a *Accounts) DropNotices(ctx context.Context, n Notices) (int, error) {
	f, err := a.filter(ctx, n)
	if err != nil {
		return 0, err
	}
	return a.db.DropDeliveries(ctx, time.Now(), f)
}
