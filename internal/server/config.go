package server

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/ethereum"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/publish"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/internal/upstream"
)

// Config are the settings of the daemon. The comments are what datestoned config prints.
type Config struct {
	// The address at which the calendar is served, host:port. Put a proxy that speaks TLS before it;
	// port 0 takes a free one.
	Listen string `toml:"listen"`
	// The address that clients know, scheme://host[:port] without a path, for example
	// "https://calendar.example.org". It is written into every receipt for ever, and clients ask there
	// for the complete proof: choose a name that you can keep. There is no default.
	URI string `toml:"uri"`
	// The calendars that are served: "open", which takes digests of everybody, "authenticated", which takes those
	// that its customers signed with a Bitcoin key, or "both".
	Calendars string `toml:"calendars"`
	// The address that clients of the authenticated calendar know, as uri is for the open one. The default is uri:
	// both then share a host, and a signature makes the difference. With a host of its own it answers there by its
	// own contract alone.
	AuthenticatedURI string `toml:"authenticated_uri"`
	// The folder that holds the database file and the high-water mark. Each node has its own.
	Data string `toml:"data"`
	// The database: a file, or PostgreSQL at postgres://user:password@host:port/name, which several
	// nodes may share. Keep a password out of here with PGPASSWORD or a .pgpass file. The default is the
	// file datestone.db in the data folder.
	Database string `toml:"database"`
	// The number of connections that this node may have to PostgreSQL, at least 4. The max_connections
	// of the server must have room for those of all nodes. A file needs none.
	DatabaseConnections int `toml:"database_connections"`
	// What happens to a database that an older version of this program made: "auto" brings its schema up
	// to date at start, "manual" refuses it until datestoned migrate up was run.
	Migrate string `toml:"migrate"`
	// The high-water mark: a small file that remembers the newest acknowledged entry. The default is
	// high-water-mark in the data folder. Keep it out of backups, or on another disk: it is what notices
	// that a restored database is older than what was acknowledged.
	Mark string `toml:"mark"`
	// The number of entries after which a new epoch of the log begins, at most 67108864. A calendar
	// whose parent is another Datestone uses 262144.
	EpochEntries int64 `toml:"epoch_entries"`
	// The number of entries that may be appended without a delay. An entry holds up to 4096 digests.
	Burst int `toml:"burst"`
	// The number of entries a second at which the burst refills, at least 50. It bounds how fast the log
	// grows under endless load: a batch then waits at most a second divided by it, and none is refused.
	Rate int `toml:"rate"`
	// The number of connections that may be open at a time. When all are taken, a new one takes the
	// place of the one that has been idle longest.
	Connections int `toml:"connections"`
	// What anchors the log: "configured" means the targets that have a table below, and the public calendars
	// where none has; "none" means that nothing does and no proof will ever be complete.
	Targets string `toml:"targets"`
	// Where Prometheus finds /metrics: an address host:port of its own, "same" for the address of the
	// calendar, or empty for nowhere.
	Metrics string `toml:"metrics"`
	// The least important log lines to write: "debug", "info", "warn" or "error".
	LogLevel string `toml:"log_level"`
	// The form of log lines on standard error: "text" or "json".
	LogFormat string `toml:"log_format"`
	// What every API key begins with. Keys that were made with another beginning are refused once it is
	// changed.
	KeyPrefix string `toml:"key_prefix"`
	// The proxies that the address of a client is believed from, in X-Forwarded-For: addresses and
	// networks, for example ["10.0.0.0/8", "::1"]. Without them a proxy counts as the client, with the
	// limits of one.
	TrustedProxies []string `toml:"trusted_proxies"`
	// How many requests that create stamps one client address may make in a minute, whatever its keys.
	// What a key may do is its plan's.
	CreatesPerAddress int `toml:"creates_per_address"`

	// The file with the key that encrypts the secrets of webhooks in the database: 32 bytes in base64, mode
	// 0600. The default is secret.key in the data folder, made at the first start over a database file.
	// Nodes that share a database need the same. Keep a copy with your backups.
	SecretKeyFile string `toml:"secret_key_file"`
	// The ports that the URL of a webhook may name. The default is 80 and 443.
	EgressPorts []string `toml:"egress_ports"`
	// The hosts inside your network that the URL of a webhook may name all the same, as host or host:port.
	// All other addresses inside are refused.
	EgressAllow []string `toml:"egress_allow"`
	// The addresses and networks of yours that look public, and that no webhook may reach either.
	EgressDeny []string `toml:"egress_deny"`
	// Where the operator hears of a target whose state has changed for longer than two minutes: a URL that
	// gets a webhook of the type target.status.
	OperatorWebhook string `toml:"operator_webhook"`
	// The secret that signs what is sent to operator_webhook, whsec_ and base64. Without it the webhooks
	// are not signed.
	OperatorWebhookSecret string `toml:"operator_webhook_secret"`
	// Where the operator hears of the same by e-mail. It needs a mail server.
	OperatorMail string `toml:"operator_mail"`
	// The mail server that sends notices, host:port. Without one no e-mail is sent.
	SMTPAddress string `toml:"smtp_address"`
	// How TLS begins at the mail server: "starttls", usual at port 587, or "implicit", usual at port
	// 465. The certificate is always checked.
	SMTPTLS string `toml:"smtp_tls"`
	// The user at the mail server, if it wants one, and the file whose one line is the password. Nobody
	// else may read the file.
	SMTPUser         string `toml:"smtp_user"`
	SMTPPasswordFile string `toml:"smtp_password_file"`
	// The file with the certificates, in PEM, that the mail server's is checked by instead of the
	// system's.
	SMTPCA string `toml:"smtp_ca"`
	// Whom e-mail comes from: an address, or a name and an address, for example
	// "Datestone <stamps@example.org>". The mail server should sign for its domain (DKIM).
	MailFrom string `toml:"mail_from"`
	// How long e-mail to an account that asked for it waits for more to say: what happens within this time
	// comes in one.
	MailWait bitcoin.Duration `toml:"mail_wait"`

	// The plans that accounts may have: a table [plans.NAME] for each. Once one is written, those
	// below are not there any more. They are set in this file alone, without flags and variables. A plan
	// that an account has must stay.
	Plans account.Plans `toml:"plans"`

	Bitcoin bitcoin.Config `toml:"bitcoin"`
	// The settings of a Litecoin target, beside that of Bitcoin or alone. They are those of [bitcoin], with a wallet,
	// limits and a node (Litecoin Core) of their own. Only Bitcoin makes a stamp confirmed; what Litecoin attests is in
	// the same proofs.
	Litecoin bitcoin.Config `toml:"litecoin"`

	// The Ethereum-like chains: a table [[ethereum]] for each. They are set in this file alone, without flags and
	// variables. Their attestations are in the proofs of those only who ask for them.
	Ethereum []ethereum.Config `toml:"ethereum"`

	Publication publish.Config  `toml:"publication"`
	Upstream    upstream.Config `toml:"upstream"`
	OriginStamp OriginStamp     `toml:"originstamp"`
}

// Defaults are the settings that apply where nothing is said.
func Defaults() Config {
	return Config{
		Listen:              "127.0.0.1:14788",
		Calendars:           "both",
		Data:                "/var/lib/datestone",
		DatabaseConnections: store.DefaultConnections,
		Migrate:             "auto",
		EpochEntries:        logtree.MaxEpochEntries,
		Burst:               10_000,
		Rate:                50,
		Connections:         8192,
		Targets:             "configured",
		LogLevel:            "info",
		LogFormat:           "text",
		KeyPrefix:           defaultKeyPrefix,
		TrustedProxies:      []string{},
		CreatesPerAddress:   defaultCreatesPerAddress,
		EgressPorts:         []string{},
		EgressAllow:         []string{},
		EgressDeny:          []string{},
		SMTPTLS:             "starttls",
		MailWait:            bitcoin.Duration(10 * time.Minute),
		Plans:               account.DefaultPlans(),
		Publication:         publish.DefaultConfig(),
		OriginStamp:         defaultOriginStamp(),
	}
}

// DatabasePlace is the path of the database, or the address of PostgreSQL, which may hold a password.
func (c Config) DatabasePlace() string {
	if c.Database != "" {
		return c.Database
	}
	return filepath.Join(c.Data, "datestone.db")
}

// storeOptions are how a node opens the database.
func (c Config) storeOptions(mark *store.Mark) store.Options {
	o := store.Options{EpochEntries: c.EpochEntries, Mark: mark, Connections: c.DatabaseConnections}
	if c.Migrate == "manual" {
		o.Migrate = store.MigrateNever
	}
	return o
}

// MarkFile is the path of the high-water mark.
func (c Config) MarkFile() string {
	if c.Mark != "" {
		return c.Mark
	}
	return filepath.Join(c.Data, "high-water-mark")
}

const (
	// clientOps is what clients may put before our part of a proof: a tree over their own files.
	clientOps = 48
	// targetOps is what a target may put after it, down to a block header.
	targetOps = 100
	// parserOps is the number of operations in a row that the reference parser takes.
	parserOps = 255
	// maxURI is the longest address that a pending attestation can carry.
	maxURI = 1000

	minDatabaseConnections = 4
	maxDatabaseConnections = 1000
)

// CheckStore refuses what would make a wrong log. It is all that commands need that only read.
func (c Config) CheckStore() error {
	if c.Data == "" && (c.Database == "" || c.Mark == "") {
		return errors.New(`data: name the folder that holds the database file and the high-water mark, for example data = "/var/lib/datestone"`)
	}
	if scheme, _, ok := strings.Cut(c.Database, "://"); ok && !store.IsPostgres(c.Database) {
		return fmt.Errorf(`database is an address that begins with %s://: write the path of a file, or "postgres://user:password@host:port/name"`, scheme)
	}
	if c.DatabaseConnections < minDatabaseConnections || c.DatabaseConnections > maxDatabaseConnections {
		return fmt.Errorf("database_connections is %d: write a number from %d to %d", c.DatabaseConnections, minDatabaseConnections, maxDatabaseConnections)
	}
	if c.Migrate != "auto" && c.Migrate != "manual" {
		return fmt.Errorf(`migrate is %q: write "auto" or "manual"`, c.Migrate)
	}
	if c.EpochEntries < 1 || c.EpochEntries > logtree.MaxEpochEntries {
		return fmt.Errorf("epoch_entries is %d: write a number from 1 to %d", c.EpochEntries, logtree.MaxEpochEntries)
	}
	if sum := clientOps + logtree.MaxPathOps(calendar.MaxBatch, c.EpochEntries) + targetOps; sum > parserOps {
		return fmt.Errorf("epoch_entries is %d: proofs could have %d operations in a row, and clients read %d; write a smaller number", c.EpochEntries, sum, parserOps)
	}
	return nil
}

// Check refuses what is ambiguous or cannot work, and says what to write instead.
func (c Config) Check() error {
	if err := c.CheckAccounts(); err != nil {
		return err
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf(`listen is %q: write an address and a port, for example listen = "127.0.0.1:14788"`, c.Listen)
	}
	if err := checkURI("uri", c.URI); err != nil {
		return err
	}
	if err := c.checkCalendars(); err != nil {
		return err
	}
	switch {
	case c.Burst < 1:
		return fmt.Errorf("burst is %d: write a number from 1 on", c.Burst)
	case c.Rate < 50:
		return fmt.Errorf("rate is %d: write a number from 50 on, or digests would wait longer than 20 ms for their batch", c.Rate)
	case c.Connections < 1:
		return fmt.Errorf("connections is %d: write a number from 1 on", c.Connections)
	}
	if c.Metrics != "" && c.Metrics != "same" {
		if _, _, err := net.SplitHostPort(c.Metrics); err != nil {
			return fmt.Errorf(`metrics is %q: write an address and a port, "same", or nothing`, c.Metrics)
		}
		if c.Metrics == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
			return fmt.Errorf(`metrics and listen are both %q: write metrics = "same" if everybody may read them`, c.Metrics)
		}
	}
	if _, err := newLogger(discard{}, c.LogLevel, c.LogFormat); err != nil {
		return err
	}
	if _, err := proxies(c.TrustedProxies); err != nil {
		return err
	}
	if err := c.checkNotices(); err != nil {
		return err
	}
	if err := c.checkPublication(); err != nil {
		return err
	}
	if err := c.checkTargets(); err != nil {
		return err
	}
	return c.checkOriginStamp()
}

// checkURI accepts an address that every client turns into the right requests: they differ in how they
// join a path to one that has a path already.
func checkURI(key, text string) error {
	example := fmt.Sprintf(`write the address that clients know, for example %s = "https://calendar.example.org"`, key)
	if text == "" {
		return errors.New(key + " is missing: " + example)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Hostname() == "":
		return fmt.Errorf("%s is %q: %s", key, text, example)
	case u.Path != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") || u.User != nil:
		return fmt.Errorf("%s is %q: write only scheme://host[:port], here %q; clients disagree about the rest", key, text, u.Scheme+"://"+u.Host)
	case len(text) > maxURI:
		return fmt.Errorf("%s has %d bytes and receipts can carry %d: write a shorter one", key, len(text), maxURI)
	}
	for _, r := range text {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-._/:", r):
		default:
			return fmt.Errorf("%s is %q: receipts cannot carry %q; letters, digits and -._ can be in it", key, text, r)
		}
	}
	return nil
}
