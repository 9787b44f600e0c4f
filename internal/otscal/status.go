package otscal

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/logtree"
)

// Store knows the state of the log and of its targets. store.DB is one.
type Store interface {
	Head(ctx context.Context) (logtree.Head, error)
	// Targets is what the targets last said of themselves.
	Targets(ctx context.Context) ([]anchor.Status, error)
}

// report is the state of the service at one moment.
type report struct {
	Head    logtree.Head
	Targets []anchor.Status
	at      time.Time
}

const (
	// reportAge is how long a report is given out again, so that a crowd at the status page costs one
	// read of the store.
	reportAge = time.Second
	// readWithin bounds what a request may ask of the store.
	readWithin = 10 * time.Second
)

// reporter reads reports.
type reporter struct {
	store Store
	last  atomic.Pointer[report]
	reads singleflight.Group // a crowd waits for one reader, and shares its error
}

func (r *reporter) report(ctx context.Context, now time.Time) (report, error) {
	if last := r.last.Load(); last != nil && now.Sub(last.at) >= 0 && now.Sub(last.at) < reportAge {
		return *last, nil
	}
	read, err, _ := r.reads.Do("", func() (any, error) {
		// The one who reads does it for all who wait: it goes on when its own client leaves.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readWithin)
		defer cancel()
		head, err := r.store.Head(ctx)
		if err != nil {
			return nil, err
		}
		targets, err := r.store.Targets(ctx)
		if err != nil {
			return nil, err
		}
		read := &report{Head: head, Targets: targets, at: now}
		r.last.Store(read)
		return read, nil
	})
	if err != nil {
		return report{}, err
	}
	return *read.(*report), nil
}

// first is the target that the protocol's own words are about.
func (r report) first() (anchor.Status, bool) {
	for _, t := range r.Targets {
		if t.Printed == nil && t.Code != anchor.Removed {
			return t, true
		}
	}
	return anchor.Status{Confirmations: 0, Height: -1}, false
}

// testNetwork says whether a target is on a network without value.
func (r report) testNetwork() bool {
	for _, t := range r.Targets {
		if t.TestNetwork && t.Code != anchor.Removed {
			return true
		}
	}
	return false
}

// attested are the entries of the current epoch that the target attests to, and those of all epochs
// that still wait for it.
func (r report) attested(t anchor.Status) (current, waiting int64) {
	waiting = r.Head.Size
	for _, a := range t.Attested {
		if a.Epoch == r.Head.Epoch {
			current = min(a.Counted, r.Head.Size)
			waiting -= current
		} else {
			waiting += max(0, a.Size-a.Counted)
		}
	}
	return current, waiting
}

func (s *Server) getTip(w http.ResponseWriter, r *http.Request) error {
	report, err := s.status.report(r.Context(), time.Now())
	if err != nil {
		return unavailable(err)
	}
	for _, t := range report.Targets {
		if t.Tip == "" {
			continue
		}
		tip, err := hex.DecodeString(t.Tip)
		if err != nil {
			return fmt.Errorf("tip of %s: %w", t.Target, err)
		}
		header := w.Header()
		header["Content-Type"] = octetStream
		header["Cache-Control"] = cacheTip
		return httpkit.WriteBody(w, r, http.StatusOK, tip)
	}
	return errNoTip
}

func (s *Server) getStatus(w http.ResponseWriter, r *http.Request) error {
	now := time.Now()
	report, err := s.status.report(r.Context(), now)
	if err != nil {
		return unavailable(err)
	}
	header := w.Header()
	header["Cache-Control"] = cachePage
	header["Vary"] = []string{"Accept"}
	if r.Header.Get("Accept") == "application/json" {
		body, err := json.MarshalIndent(s.summary(report), "", "    ")
		if err != nil {
			return err
		}
		header["Content-Type"] = []string{"application/json"}
		return httpkit.WriteBody(w, r, http.StatusOK, append(body, '\n'))
	}
	var page bytes.Buffer
	if err := statusPage.Execute(&page, s.view(report, now)); err != nil {
		return err
	}
	header["Content-Type"] = []string{"text/html; charset=utf-8"}
	header["Content-Security-Policy"] = []string{pagePolicy}
	header["X-Content-Type-Options"] = []string{"nosniff"}
	header["Referrer-Policy"] = []string{"no-referrer"}
	return httpkit.WriteBody(w, r, http.StatusOK, page.Bytes())
}

// summary is the status in the reference server's keys, which monitors read, and beside them what it
// does not know. Amounts and counts that the reference writes as text are text here too.
type summary struct {
	Version          string        `json:"version"`
	Pending          string        `json:"pending_commitments"`
	Waiting          int           `json:"txs_waiting_for_confirmation"`
	MostRecent       string        `json:"most_recent_tx"`
	PriorVersions    int           `json:"prior_versions"`
	Tip              string        `json:"tip"`
	BestBlock        string        `json:"best_block"`
	BlockHeight      int64         `json:"block_height"`
	Balance          string        `json:"balance"`
	Address          string        `json:"address"`
	Transactions     []transaction `json:"transactions"`
	TimeBetween      string        `json:"time_between_transactions"`
	FeesWeek         string        `json:"fees_in_last_week"`
	LightningInvoice *string       `json:"lightning_invoice"`

	Service     string          `json:"service"`
	URI         string          `json:"uri"`
	TestNetwork bool            `json:"test_network"`
	Log         logSummary      `json:"log"`
	Targets     []anchor.Status `json:"targets"`
}

type transaction struct {
	ID            string `json:"txid"`
	Confirmations int64  `json:"confirmations"`
}

type logSummary struct {
	Epoch int    `json:"epoch"`
	Size  int64  `json:"size"`
	Root  string `json:"root"`
}

func (s *Server) summary(r report) summary {
	t, _ := r.first()
	_, pending := r.attested(t)
	out := summary{
		Version: s.config.Version, Service: "datestone", URI: s.config.URI,
		Pending: grouped(pending), MostRecent: "None", Tip: "None",
		BestBlock: t.Block, BlockHeight: t.Height, Balance: grouped(t.Balance), Address: t.Address,
		Transactions: []transaction{}, TimeBetween: "N/A", FeesWeek: grouped(t.FeesWeek),
		TestNetwork: r.testNetwork(),
		Log:         logSummary{Epoch: r.Head.Epoch, Size: r.Head.Size, Root: hex.EncodeToString(r.Head.Root[:])},
		Targets:     r.Targets,
	}
	if out.Targets == nil {
		out.Targets = []anchor.Status{}
	}
	if t.Tip != "" {
		out.Tip = t.Tip
	}
	unconfirmed := 0
	for _, w := range t.Waiting {
		if w.Height > 0 {
			out.Waiting++
			out.Transactions = append(out.Transactions, transaction{w.Ref, w.Confirmations})
		} else {
			unconfirmed++
			out.MostRecent = w.Ref
		}
	}
	out.PriorVersions = max(0, unconfirmed-1)
	return out
}

// grouped writes a number with a comma after each thousand.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	sign := ""
	if text[0] == '-' {
		sign, text = "-", text[1:]
	}
	var b strings.Builder
	for i, digit := range text {
		if i > 0 && (len(text)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return sign + b.String()
}

// ago says how long ago a moment was, in one unit.
func ago(now, then time.Time) string {
	switch d := now.Sub(then); {
	case then.IsZero():
		return "never"
	case d < 2*time.Second:
		return "just now"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return then.UTC().Format("2006-01-02 15:04 UTC")
	}
}

//go:embed status.html
var statusHTML string

var statusPage = template.Must(template.New("status").Funcs(template.FuncMap{"grouped": grouped}).Parse(statusHTML))
