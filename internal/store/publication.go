package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/publish"
)

var (
	// ErrConfirmed says that a publication is confirmed already.
	ErrConfirmed = errors.New("it is confirmed already")
	// ErrUnconfirmed says that a publication is not confirmed.
	ErrUnconfirmed = errors.New("it is not confirmed")
)

// Clock is the database's.
func (db *DB) Clock(ctx context.Context) (time.Time, error) {
	var now int64
	if err := db.queryRow(ctx, `SELECT `+db.engine.now, nil, &now); err != nil {
		return time.Time{}, fmt.Errorf("reading the database's clock: %w", err)
	}
	return fromMicros(now), nil
}

// PublicationPeriod is the newest period that was decided for a target, or empty before the first.
func (db *DB) PublicationPeriod(ctx context.Context, target string) (string, error) {
	var period string
	err := db.queryRow(ctx, `SELECT period FROM publication_period WHERE target = $1`, []any{target}, &period)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("reading the newest period of target %s: %w", target, err)
	}
	return period, nil
}

// DecidePublication makes a period the newest of a target, with its notice unless that is nil. It reports false, and does
// nothing, when that period or a later one was decided already.
func (db *DB) DecidePublication(ctx context.Context, target, period string, p *publish.Publication) (made bool, err error) {
	err = db.update(ctx, func(tx tx) error {
		r, err := tx.exec(ctx, `INSERT INTO publication_period (target, period) VALUES ($1, $2)
			ON CONFLICT (target) DO UPDATE SET period = EXCLUDED.period WHERE publication_period.period < EXCLUDED.period`, target, period)
		if err != nil {
			return err
		}
		n, err := r.RowsAffected()
		if made = n > 0; err != nil || !made || p == nil {
			return err
		}
		return tx.addPublication(ctx, p)
	})
	if err != nil {
		return false, fmt.Errorf("deciding period %s of target %s: %w", period, target, err)
	}
	return made, nil
}

// AddPublication keeps a notice beside those of periods. It sets the notice's id. It may be called beside a server.
func (db *DB) AddPublication(ctx context.Context, p *publish.Publication) error {
	err := db.updateAccounts(ctx, func(tx tx) error { return tx.addPublication(ctx, p) })
	if err != nil {
		return fmt.Errorf("adding a publication: %w", err)
	}
	return nil
}

func (t tx) addPublication(ctx context.Context, p *publish.Publication) error {
	n, r := p.Notice, p.Notice.Root
	if err := t.row(ctx, `INSERT INTO publication (uid, target, paper, purpose, period, name, day, epoch, size, root, title, service, explains, language, text, created)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) RETURNING id`,
		p.UID[:], p.Target, p.Paper, r.Purpose, p.Period, r.Name, r.Date, p.Head.Epoch, p.Head.Size, r.Hash[:],
		n.Title, n.Service, n.Explains, string(n.Language), p.Text, micros(p.Created)).Scan(&p.ID); err != nil {
		return err
	}
	for _, d := range p.Deliveries {
		if err := t.putDelivery(ctx, p.ID, d); err != nil {
			return err
		}
	}
	return nil
}

func (t tx) putDelivery(ctx context.Context, publication int64, d publish.Delivery) error {
	_, err := t.exec(ctx, `INSERT INTO publication_delivery (publication, channel, state, due, tries, tried, code, error)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (publication, channel) DO UPDATE SET state = EXCLUDED.state, due = EXCLUDED.due, tries = EXCLUDED.tries,
			tried = EXCLUDED.tried, code = EXCLUDED.code, error = EXCLUDED.error`,
		publication, string(d.Channel), int(d.State), micros(d.Due), d.Tries, tried(d), string(d.Code), d.Error)
	return err
}

func tried(d publish.Delivery) int64 {
	if d.Tried.IsZero() {
		return 0
	}
	return micros(d.Tried)
}

// SaveDelivery keeps a delivery that is due, if nobody changed it since it had so many tries.
func (db *DB) SaveDelivery(ctx context.Context, publication int64, tries int, d publish.Delivery) (saved bool, err error) {
	err = db.update(ctx, func(tx tx) error {
		r, err := tx.exec(ctx, `UPDATE publication_delivery SET state = $4, due = $5, tries = $6, tried = $7, code = $8, error = $9
			WHERE publication = $1 AND channel = $2 AND tries = $3 AND state = 0`,
			publication, string(d.Channel), tries, int(d.State), micros(d.Due), d.Tries, tried(d), string(d.Code), d.Error)
		if err != nil {
			return err
		}
		n, err := r.RowsAffected()
		saved = n > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("saving the delivery of publication %d: %w", publication, err)
	}
	return saved, nil
}

// SendPublication has a publication sent again by these deliveries, from the first try on. It may be called beside a
// server.
func (db *DB) SendPublication(ctx context.Context, id int64, deliveries []publish.Delivery) error {
	err := db.updateAccounts(ctx, func(tx tx) error {
		if err := tx.lockPublication(ctx, id); err != nil {
			return err
		}
		for _, d := range deliveries {
			if err := tx.putDelivery(ctx, id, d); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("sending publication %d: %w", id, err)
	}
	return nil
}

func (t tx) lockPublication(ctx context.Context, id int64) error {
	err := t.row(ctx, `SELECT id FROM publication WHERE id = $1`+t.db.engine.forUpdate, id).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// ConfirmPublication keeps where a publication appeared. The same place again changes nothing; another one is
// ErrConfirmed. It may be called beside a server.
func (db *DB) ConfirmPublication(ctx context.Context, id int64, p publish.Place) error {
	err := db.updateAccounts(ctx, func(tx tx) error {
		if err := tx.lockPublication(ctx, id); err != nil {
			return err
		}
		var have publish.Place
		err := tx.row(ctx, `SELECT issue, page, url FROM publication_place WHERE publication = $1 AND withdrawn = 0`, id).Scan(&have.Issue, &have.Page, &have.URL)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return err
		case have.Issue == p.Issue && have.Page == p.Page && have.URL == p.URL:
			return nil
		default:
			return ErrConfirmed
		}
		_, err = tx.exec(ctx, `INSERT INTO publication_place (publication, issue, page, url, confirmer, confirmed, withdrawer, withdrawn)
			VALUES ($1, $2, $3, $4, $5, $6, '', 0)`, id, p.Issue, p.Page, p.URL, p.By, micros(p.At))
		return err
	})
	if err != nil {
		return fmt.Errorf("confirming publication %d: %w", id, err)
	}
	return nil
}

// WithdrawPublication takes a confirmation back, or returns ErrUnconfirmed. It may be called beside a server.
func (db *DB) WithdrawPublication(ctx context.Context, now time.Time, id int64, by string) error {
	err := db.updateAccounts(ctx, func(tx tx) error {
		if err := tx.lockPublication(ctx, id); err != nil {
			return err
		}
		r, err := tx.exec(ctx, `UPDATE publication_place SET withdrawer = $2, withdrawn = $3 WHERE publication = $1 AND withdrawn = 0`, id, by, micros(now))
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return ErrUnconfirmed
	})
	if err != nil {
		return fmt.Errorf("withdrawing the confirmation of publication %d: %w", id, err)
	}
	return nil
}

// PublicationByID reads one publication, or returns ErrNotFound.
func (db *DB) PublicationByID(ctx context.Context, id int64) (publish.Publication, error) {
	all, err := db.publications(ctx, `WHERE p.id = $1 ORDER BY p.id`, id)
	if err == nil && len(all) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return publish.Publication{}, fmt.Errorf("publication %d: %w", id, err)
	}
	return all[0], nil
}

// Publications are up to limit publications of a target, or of all when it is empty, newest first.
func (db *DB) Publications(ctx context.Context, target string, limit int) ([]publish.Publication, error) {
	if target == "" {
		return db.publications(ctx, `WHERE p.id IN (SELECT id FROM publication ORDER BY id DESC LIMIT $1) ORDER BY p.id DESC`, limit)
	}
	return db.publications(ctx, `WHERE p.id IN (SELECT id FROM publication WHERE target = $1 ORDER BY id DESC LIMIT $2) ORDER BY p.id DESC`, target, limit)
}

// AllPublications are up to limit publications with ids above after, in order of id, for those who check them.
func (db *DB) AllPublications(ctx context.Context, after int64, limit int) ([]publish.Publication, error) {
	return db.publications(ctx, `WHERE p.id IN (SELECT id FROM publication WHERE id > $1 ORDER BY id LIMIT $2) ORDER BY p.id`, after, limit)
}

// DuePublications are up to limit publications of a target with a delivery that is due, oldest first. What is due later
// than the longest pause was put off by a clock that has gone back, and is among them.
func (db *DB) DuePublications(ctx context.Context, target string, now time.Time, limit int) ([]publish.Publication, error) {
	const farOff = 12 * time.Hour
	return db.publications(ctx, `WHERE p.id IN (SELECT q.id FROM publication q JOIN publication_delivery e ON e.publication = q.id
		WHERE q.target = $1 AND e.state = 0 AND (e.due <= $2 OR e.due >= $3) ORDER BY q.id LIMIT $4) ORDER BY p.id`,
		target, micros(now), micros(now.Add(farOff)), limit)
}

// Printed are up to limit confirmed publications whose heads cover a position, the smallest head first. A head covers the
// epochs before its own.
func (db *DB) Printed(ctx context.Context, p logtree.Position, limit int) ([]publish.Publication, error) {
	return db.publications(ctx, `WHERE p.id IN (SELECT q.id FROM publication q JOIN publication_place w ON w.publication = q.id AND w.withdrawn = 0
		WHERE q.purpose = 'log' AND (q.epoch = $1 AND q.size > $2 OR q.epoch > $1) ORDER BY q.epoch, q.size, q.id LIMIT $3)
		ORDER BY p.epoch, p.size, p.id`, p.Epoch(), p.Index(), limit)
}

// publications reads whole publications, in an order that keeps the rows of each together.
func (db *DB) publications(ctx context.Context, which string, args ...any) ([]publish.Publication, error) {
	rows, err := db.query(ctx, `SELECT p.id, p.uid, p.target, p.paper, p.purpose, p.period, p.name, p.day, p.epoch, p.size, p.root, p.title, p.service, p.explains,
			p.language, p.text, p.created, COALESCE(d.channel, ''), COALESCE(d.state, 0), COALESCE(d.due, 0), COALESCE(d.tries, 0), COALESCE(d.tried, 0),
			COALESCE(d.code, ''), COALESCE(d.error, ''), COALESCE(w.issue, ''), COALESCE(w.page, ''), COALESCE(w.url, ''), COALESCE(w.confirmer, ''), COALESCE(w.confirmed, 0)
		FROM publication p LEFT JOIN publication_delivery d ON d.publication = p.id LEFT JOIN publication_place w ON w.publication = p.id AND w.withdrawn = 0 `+which+`, d.channel`, args...)
	if err != nil {
		return nil, fmt.Errorf("reading publications: %w", err)
	}
	defer rows.Close()
	var all []publish.Publication
	for rows.Next() {
		p, err := scanPublication(rows)
		if err != nil {
			return nil, fmt.Errorf("reading publications: %w", err)
		}
		if n := len(all); n > 0 && all[n-1].ID == p.ID {
			all[n-1].Deliveries = append(all[n-1].Deliveries, p.Deliveries...)
		} else {
			all = append(all, p)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading publications: %w", err)
	}
	return all, nil
}

func scanPublication(rows *sql.Rows) (p publish.Publication, err error) {
	var uid, root []byte
	var language, channel, code string
	var created, due, tried, confirmed int64
	var d publish.Delivery
	var w publish.Place
	n := &p.Notice
	if err := rows.Scan(&p.ID, &uid, &p.Target, &p.Paper, &n.Root.Purpose, &p.Period, &n.Root.Name, &n.Root.Date, &p.Head.Epoch, &p.Head.Size, &root, &n.Title, &n.Service, &n.Explains,
		&language, &p.Text, &created, &channel, &d.State, &due, &d.Tries, &tried, &code, &d.Error, &w.Issue, &w.Page, &w.URL, &w.By, &confirmed); err != nil {
		return p, err
	}
	if n.Root.Hash, err = hash32(root); err != nil {
		return p, err
	}
	if len(uid) != len(account.ID{}) {
		return p, fmt.Errorf("the uid of publication %d has %d bytes", p.ID, len(uid))
	}
	p.UID, p.Created, n.Language = account.ID(uid), fromMicros(created), publish.Language(language)
	if n.Root.Purpose == publish.PurposeLog || n.Root.Purpose == publish.PurposeSeed {
		p.Head.Root = n.Root.Hash
	}
	if channel != "" {
		d.Channel, d.Code, d.Due = publish.Channel(channel), anchor.Code(code), fromMicros(due)
		if tried != 0 {
			d.Tried = fromMicros(tried)
		}
		p.Deliveries = []publish.Delivery{d}
	}
	if confirmed != 0 {
		w.At = fromMicros(confirmed)
		p.Place = &w
	}
	return p, nil
}

// PublishedSizes say for each epoch how far a target's notices reach, and confirmed ones.
func (db *DB) PublishedSizes(ctx context.Context, target string) (map[int]publish.Sizes, error) {
	rows, err := db.query(ctx, `SELECT p.epoch, MAX(p.size), MAX(CASE WHEN w.id IS NULL THEN 0 ELSE p.size END)
		FROM publication p LEFT JOIN publication_place w ON w.publication = p.id AND w.withdrawn = 0
		WHERE p.target = $1 AND p.purpose = 'log' GROUP BY p.epoch`, target)
	if err != nil {
		return nil, fmt.Errorf("reading how far target %s is printed: %w", target, err)
	}
	defer rows.Close()
	all := map[int]publish.Sizes{}
	for rows.Next() {
		var epoch int
		var s publish.Sizes
		if err := rows.Scan(&epoch, &s.Made, &s.Confirmed); err != nil {
			return nil, fmt.Errorf("reading how far target %s is printed: %w", target, err)
		}
		all[epoch] = s
	}
	return all, rows.Err()
}

// Unconfirmed are how many notices of a target nobody has confirmed, and since when the oldest waits. One below a
// confirmed head waits for nothing.
func (db *DB) Unconfirmed(ctx context.Context, target string) (n int, since time.Time, err error) {
	var created int64
	err = db.queryRow(ctx, `SELECT COUNT(*), COALESCE(MIN(p.created), 0) FROM publication p WHERE p.target = $1
		AND NOT EXISTS (SELECT 1 FROM publication_place w WHERE w.publication = p.id AND w.withdrawn = 0)
		AND NOT EXISTS (SELECT 1 FROM publication q JOIN publication_place v ON v.publication = q.id AND v.withdrawn = 0
			WHERE q.target = p.target AND q.purpose = p.purpose AND p.purpose = 'log' AND q.id > p.id)`, []any{target}, &n, &created)
	if err != nil {
		return 0, since, fmt.Errorf("reading what waits to be confirmed: %w", err)
	}
	if n > 0 {
		since = fromMicros(created)
	}
	return n, since, nil
}
