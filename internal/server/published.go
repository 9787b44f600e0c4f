package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/datestone/datestone/internal/publish"
	"github.com/datestone/datestone/internal/publish/delivery"
	"github.com/datestone/datestone/internal/store"
)

// Published is a notice as the operator sees it.
type Published struct {
	ID         int64             `json:"id"`
	UID        string            `json:"uid"` // in mail and requests
	Paper      string            `json:"paper"`
	Period     string            `json:"period"`
	Purpose    string            `json:"purpose"`
	Name       string            `json:"name"`
	Date       string            `json:"date"`
	Epoch      int               `json:"epoch"`
	Size       int64             `json:"size"`
	Root       string            `json:"root"`
	Made       time.Time         `json:"made"`
	Deliveries []PublishedWay    `json:"deliveries"`
	Place      *PublicationPlace `json:"place"` // null until it is confirmed
	Text       string            `json:"text"`
}

// PublishedWay is how far a notice has come by one channel.
type PublishedWay struct {
	Channel string     `json:"channel"`
	State   string     `json:"state"`
	Tries   int        `json:"tries"`
	Tried   *time.Time `json:"last_tried,omitempty"`
	Due     time.Time  `json:"due"`
	Code    string     `json:"code,omitempty"`
	Error   string     `json:"last_error,omitempty"`
}

// PublicationPlace is where a notice appeared, and who said so.
type PublicationPlace struct {
	Issue string    `json:"issue"`
	Page  string    `json:"page,omitempty"`
	URL   string    `json:"url,omitempty"`
	By    string    `json:"confirmed_by"`
	At    time.Time `json:"confirmed_at"`
}

// Publications are the notices of the configured database, for the operator's commands. A server may run meanwhile.
type Publications struct {
	db     *store.DB
	config Config
}

// OpenPublications opens the configured database, to read alone or to change what is said of notices. It makes none.
func OpenPublications(ctx context.Context, c Config, readOnly bool) (*Publications, error) {
	if err := c.CheckStore(); err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, c.DatabasePlace(), store.Options{ReadOnly: readOnly, Accounts: !readOnly, Connections: minDatabaseConnections})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no database %s yet: datestoned serve makes it, and datestoned migrate up", c.DatabasePlace())
	} else if err != nil {
		return nil, err
	}
	return &Publications{db, c}, nil
}

// Close closes the database.
func (a *Publications) Close() error { return a.db.Close() }

// List reads the newest notices, at most so many.
func (a *Publications) List(ctx context.Context, limit int) ([]Published, error) {
	found, err := a.db.Publications(ctx, "", limit)
	all := []Published{}
	for _, p := range found {
		all = append(all, published(p))
	}
	return all, err
}

// Find reads one notice.
func (a *Publications) Find(ctx context.Context, id int64) (Published, error) {
	p, err := a.find(ctx, id)
	if err != nil {
		return Published{}, err
	}
	return published(p), nil
}

func (a *Publications) find(ctx context.Context, id int64) (publish.Publication, error) {
	p, err := a.db.PublicationByID(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("there is no notice %d: datestoned publish list shows them all", id)
	}
	return p, err
}

// PDF is a notice as a page.
func (a *Publications) PDF(ctx context.Context, id int64) ([]byte, error) {
	p, err := a.find(ctx, id)
	if err != nil {
		return nil, err
	}
	return delivery.PDF(p)
}

// loop is what makes notices and knows the configured ways to the publisher.
func (a *Publications) loop() (*publish.Loop, error) {
	if !a.config.Publication.Configured() {
		return nil, errors.New("no publication is configured: add a table [publication]")
	}
	if err := a.config.checkPublication(); err != nil {
		return nil, err
	}
	if err := checkURI("uri", a.config.URI); err != nil {
		return nil, err
	}
	o, err := a.config.publicationOptions(slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return publish.New(a.db, o), nil
}

// Send has a notice sent again by every way that is configured now.
func (a *Publications) Send(ctx context.Context, id int64) (Published, error) {
	if _, err := a.find(ctx, id); err != nil {
		return Published{}, err
	}
	loop, err := a.loop()
	if err != nil {
		return Published{}, err
	}
	now, err := a.db.Clock(ctx)
	if err != nil {
		return Published{}, err
	}
	if err := a.db.SendPublication(ctx, id, loop.Fresh(now)); err != nil {
		return Published{}, err
	}
	return a.Find(ctx, id)
}

// SendNew makes a notice of the newest root now, beside those of periods.
func (a *Publications) SendNew(ctx context.Context) (Published, error) {
	loop, err := a.loop()
	if err != nil {
		return Published{}, err
	}
	now, err := a.db.Clock(ctx)
	if err != nil {
		return Published{}, err
	}
	p, err := loop.Newest(ctx, now)
	if err != nil {
		return Published{}, err
	}
	if p == nil {
		return Published{}, errors.New("there is nothing new since the last notice: datestoned publish list shows it, and datestoned publish send ID sends it again")
	}
	p.Period = "extra " + now.UTC().Format(time.RFC3339Nano)
	if err := a.db.AddPublication(ctx, p); err != nil {
		return Published{}, err
	}
	return a.Find(ctx, p.ID)
}

// Confirm keeps where a notice appeared.
func (a *Publications) Confirm(ctx context.Context, id int64, issue, page, address, by string) (Published, error) {
	now, err := a.db.Clock(ctx)
	if err != nil {
		return Published{}, err
	}
	place := publish.Place{Issue: issue, Page: page, URL: address, By: by, At: now}
	if err := place.Check(now); err != nil {
		return Published{}, err
	}
	p, err := a.find(ctx, id)
	if err != nil {
		return Published{}, err
	}
	if issue < p.Notice.Root.Date {
		return Published{}, fmt.Errorf("the issue of %s is older than notice %d, which was made on %s", issue, id, p.Notice.Root.Date)
	}
	err = a.db.ConfirmPublication(ctx, id, place)
	if errors.Is(err, store.ErrConfirmed) {
		err = fmt.Errorf("notice %d is confirmed with another place already: datestoned publish show %d, and datestoned publish withdraw %d first if that one is wrong", id, id, id)
	}
	if err != nil {
		return Published{}, err
	}
	return a.Find(ctx, id)
}

// Withdraw takes a wrong confirmation back.
func (a *Publications) Withdraw(ctx context.Context, id int64, by string) (Published, error) {
	if _, err := a.find(ctx, id); err != nil {
		return Published{}, err
	}
	now, err := a.db.Clock(ctx)
	if err != nil {
		return Published{}, err
	}
	err = a.db.WithdrawPublication(ctx, now, id, by)
	if errors.Is(err, store.ErrUnconfirmed) {
		err = fmt.Errorf("notice %d is not confirmed", id)
	}
	if err != nil {
		return Published{}, err
	}
	return a.Find(ctx, id)
}

func published(p publish.Publication) Published {
	r := p.Notice.Root
	out := Published{
		ID: p.ID, UID: p.UID.String(), Paper: p.Paper, Period: p.Period, Purpose: r.Purpose, Name: r.Name, Date: r.Date, Epoch: p.Head.Epoch, Size: p.Head.Size,
		Root: fmt.Sprintf("%x", r.Hash), Made: p.Created, Deliveries: []PublishedWay{}, Text: p.Text,
	}
	for _, d := range p.Deliveries {
		way := PublishedWay{Channel: string(d.Channel), State: d.State.String(), Tries: d.Tries, Due: d.Due, Code: string(d.Code), Error: d.Error}
		if !d.Tried.IsZero() {
			way.Tried = &d.Tried
		}
		out.Deliveries = append(out.Deliveries, way)
	}
	if p.Place != nil {
		out.Place = &PublicationPlace{p.Place.Issue, p.Place.Page, p.Place.URL, p.Place.By, p.Place.At}
	}
	return out
}
