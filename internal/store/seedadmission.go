package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/seed"
)

// Statements of the admission of submissions.
const (
	insertSubmitted = `INSERT INTO submitted (number, hash, account, stamp, created, comment, nonce, leaf, position) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`
	insertPreprint  = `INSERT INTO preprint (uid, account, number) VALUES ($1, $2, $3)`
	insertSeed      = `INSERT INTO seed (uid, target, opened, closes, first, before, root, made, final) VALUES ($1, $2, $3, $4, $5, 0, $6, 0, 0) RETURNING number`
	closeSeed       = `UPDATE seed SET before = $2 WHERE number = $1 AND before = 0`
	insertAwait     = `INSERT INTO seed_await (target, number, endpoint) VALUES ($1, $2, $3) ON CONFLICT (target, number, endpoint) DO NOTHING`
	newestSeed      = `SELECT ` + seedColumns + ` FROM seed s WHERE s.target = $1 ORDER BY s.first DESC LIMIT 1`
)

// submissions decides submissions within an admission. Numbers, and the seeds that they are in, are given under the lock of
// the head, so what was read is what there is until the transaction ends.
type submissions struct {
	last      int64                        // number that was given
	known     map[[32]byte]seed.Submitted  // those of the requests' hashes that were submitted before, or just now
	preprints map[seed.UUID]preprint       // those of the requests that are in use, or are just now
	newest    map[string]*seed.Seed        // by target; nil where there is none
	addresses map[int64]map[seed.UUID]bool // by account: those that are new
	fresh     []seed.Submitted
	own       []int       // those of fresh that have a leaf of their own, for their stamps are older
	pages     []seed.UUID // new in preprints, in order
	awaits    []await
	closed    []*seed.Seed
	opened    []*seed.Seed
}

// preprint is who owns the UUID of a page to print, and whose hash it shows.
type preprint struct {
	account, number int64
}

// await is a seed.Await of an account.
type await struct {
	seed.Await
	account, number int64
}

// findSubmitted locks the head and reads what the requests may repeat, if there is a submission among them.
func (a *admission) findSubmitted(ctx context.Context, creates []account.Create) error {
	var hashes [][32]byte
	var pages []seed.UUID
	targets := make(map[string]bool)
	for _, c := range creates {
		for _, item := range c.Items {
			if item.Submission == nil {
				continue
			}
			hashes = append(hashes, item.SHA256)
			if item.Submission.Preprint != nil {
				pages = append(pages, *item.Submission.Preprint)
			}
		}
		for _, currency := range c.Currencies {
			targets[currency.Target] = true
		}
	}
	if len(hashes) == 0 {
		return nil
	}
	if err := a.lockHead(ctx); err != nil {
		return err
	}
	s := &submissions{
		known: make(map[[32]byte]seed.Submitted), preprints: make(map[seed.UUID]preprint), newest: make(map[string]*seed.Seed),
		addresses: make(map[int64]map[seed.UUID]bool),
	}
	a.seeds = s
	known, err := a.whichSubmitted(ctx, hashes)
	if err != nil {
		return err
	}
	err = a.tx.queryEach(ctx, selectSubmitted, len(known),
		func(i int) []any { return []any{known[i][:]} },
		func(row row) error {
			known, err := scanSubmitted(row)
			s.known[known.Hash] = known
			return err
		})
	if err != nil {
		return err
	}
	err = a.tx.queryEach(ctx, `SELECT uid, account, number FROM preprint WHERE uid = $1`, len(pages),
		func(i int) []any { return []any{pages[i][:]} },
		func(row row) error {
			var uid []byte
			var p preprint
			if err := row.Scan(&uid, &p.account, &p.number); err != nil {
				return err
			}
			s.preprints[seed.UUID(uid)] = p
			return nil
		})
	if err != nil {
		return err
	}
	if len(s.known) == len(hashes) {
		return nil
	}
	if err := a.tx.row(ctx, `SELECT COALESCE(MAX(number), 0) FROM submitted`).Scan(&s.last); err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(targets))
	return a.tx.queryEach(ctx, newestSeed, len(names),
		func(i int) []any { return []any{names[i]} },
		func(row row) error {
			newest, err := scanSeed(row)
			s.newest[newest.Target] = &newest
			return err
		})
}

// selectAsked returns $3 and which of $2 hashes, packed in $1, were submitted, as selectWanted does for stamps.
func selectAsked(e *engine) string {
	return `WITH RECURSIVE wanted(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM wanted WHERE i + 1 < $2)
		SELECT CAST($3 AS BIGINT), i FROM (
			SELECT i, (SELECT number FROM submitted WHERE hash = substr(CAST($1 AS ` + e.bytes + `), i * 32 + 1, 32)) AS number FROM wanted
		) asked WHERE number IS NOT NULL`
}

// whichSubmitted are those of the hashes that were submitted. Few were, so many are asked for in one question.
func (a *admission) whichSubmitted(ctx context.Context, hashes [][32]byte) (known [][32]byte, err error) {
	questions := slices.Collect(slices.Chunk(hashes, askedAtOnce))
	err = a.tx.queryEach(ctx, selectAsked(a.tx.db.engine), len(questions),
		func(i int) []any {
			var packed []byte
			for _, hash := range questions[i] {
				packed = append(packed, hash[:]...)
			}
			return []any{packed, len(questions[i]), i}
		},
		func(row row) error {
			var question, i int
			err := row.Scan(&question, &i)
			known = append(known, questions[question][i])
			return err
		})
	return known, err
}

// checkSubmissions refuses a request with a page to print that is another account's or shows another hash, and one that
// awaits at too many addresses.
func (a *admission) checkSubmissions(ctx context.Context, o *owner, c account.Create) error {
	s := a.seeds
	pages := make(map[seed.UUID][32]byte)
	for _, item := range c.Items {
		if item.Submission == nil || item.Submission.Preprint == nil {
			continue
		}
		uid := *item.Submission.Preprint
		if used, ok := s.preprints[uid]; ok && (used.account != o.id || used.number != s.known[item.SHA256].Number) {
			return seed.ErrPreprint
		}
		if hash, ok := pages[uid]; ok && hash != item.SHA256 {
			return seed.ErrPreprint
		}
		pages[uid] = item.SHA256
	}
	return a.checkAddresses(ctx, o, c)
}

// checkAddresses refuses a request after which the account would have too many addresses, and else counts its new ones.
func (a *admission) checkAddresses(ctx context.Context, o *owner, c account.Create) error {
	s := a.seeds
	made := s.addresses[o.id]
	fresh := make(map[seed.UUID]bool)
	for _, item := range c.Items {
		if item.Submission == nil || s.known[item.SHA256].Number > 0 {
			continue
		}
		for _, w := range item.Submission.Awaits {
			if uid := addressID(o.id, w); !made[uid] {
				fresh[uid] = true
			}
		}
	}
	ids := slices.Collect(maps.Keys(fresh))
	err := a.tx.queryEach(ctx, `SELECT uid FROM endpoint WHERE uid = $1 AND state <> 2`, len(ids), func(i int) []any { return []any{ids[i][:]} }, func(row row) error {
		var uid []byte
		err := row.Scan(&uid)
		delete(fresh, seed.UUID(uid))
		return err
	})
	if err != nil || len(fresh) == 0 {
		return err
	}
	if made == nil {
		made = make(map[seed.UUID]bool)
		s.addresses[o.id] = made
		if o.addresses, err = a.tx.countAddresses(ctx, o.id); err != nil {
			return err
		}
	}
	if o.addresses+len(made)+len(fresh) > maxAddresses {
		return notify.ErrLimit
	}
	maps.Copy(made, fresh)
	return nil
}

// submit submits the items of a request that has its stamps, and says what became of each.
func (a *admission) submit(o *owner, c account.Create, created *account.Created) {
	s := a.seeds
	for _, item := range c.Items {
		if item.Submission == nil {
			continue
		}
		submitted, known := s.known[item.SHA256]
		if !known {
			s.last++
			stamp, _ := a.stamp(o, item.SHA256)
			submitted = seed.Submitted{
				Number: s.last, Hash: item.SHA256, Account: o.id, Stamp: seed.UUID(stamp.ID), Created: fromMicros(micros(a.now)), Comment: item.Submission.Comment, Nonce: stamp.Nonce,
			}
			if _, made := o.fresh[item.SHA256]; !made {
				submitted.Nonce = item.Nonce
				s.own = append(s.own, len(s.fresh))
			}
			s.known[item.SHA256] = submitted
			s.fresh = append(s.fresh, submitted)
			for _, currency := range c.Currencies {
				s.enter(a.now, currency)
			}
			for _, w := range item.Submission.Awaits {
				s.awaits = append(s.awaits, await{w, o.id, s.last})
			}
		}
		if uid := item.Submission.Preprint; uid != nil {
			if _, used := s.preprints[*uid]; !used {
				s.preprints[*uid] = preprint{o.id, submitted.Number}
				s.pages = append(s.pages, *uid)
			}
		}
		created.Submitted = append(created.Submitted, submitted)
		created.Fresh = append(created.Fresh, !known)
	}
}

// place gives what was submitted the places of the stamps that were made with it, and else its own, in the order of own.
func (a *admission) place(own []place) {
	s := a.seeds
	if s == nil {
		return
	}
	for n, i := range s.own {
		s.fresh[i].Position, s.fresh[i].Leaf = own[n].position, own[n].leaf
	}
	for i, f := range s.fresh {
		if n, made := a.index[account.ID(f.Stamp)]; made {
			s.fresh[i].Position, s.fresh[i].Leaf = a.stamps[n].Position, a.stamps[n].Leaf
		}
		s.known[f.Hash] = s.fresh[i]
	}
}

// seedsOf are the seeds that what a request submitted is in. They have their numbers once they are kept.
func (s *submissions) seedsOf(c account.Create) (all []seed.Seed) {
	for _, currency := range c.Currencies {
		all = append(all, *s.newest[currency.Target])
	}
	slices.SortFunc(all, func(a, b seed.Seed) int { return cmp.Compare(a.Target, b.Target) })
	return all
}

// enter has the number that was given last be in the open seed of a currency: the one that is open, unless its period has
// ended, or a new one. A new seed begins where the last one ended, also when hashes were submitted between them.
func (s *submissions) enter(now time.Time, c seed.Currency) {
	newest := s.newest[c.Target]
	if newest != nil && newest.Before == 0 {
		if !newest.Over(now) {
			return
		}
		newest.Before = s.last
		s.closed = append(s.closed, newest)
	}
	next := seed.Next(now, c, newest)
	next.UID, next.First = account.NewID(), s.last
	if newest != nil {
		next.First = newest.Before
	}
	s.newest[c.Target] = &next
	s.opened = append(s.opened, &next)
}

// keepSubmissions writes what was submitted.
func (a *admission) keepSubmissions(ctx context.Context) error {
	s := a.seeds
	if s == nil {
		return nil
	}
	if _, err := a.tx.execEach(ctx, insertSubmitted, len(s.fresh), func(i int) []any {
		f := s.fresh[i]
		return []any{f.Number, f.Hash[:], f.Account, f.Stamp[:], micros(f.Created), f.Comment, f.Nonce[:], f.Leaf, int64(f.Position)}
	}); err != nil {
		return err
	}
	if _, err := a.tx.execEach(ctx, insertPreprint, len(s.pages), func(i int) []any {
		p := s.preprints[s.pages[i]]
		return []any{s.pages[i][:], p.account, p.number}
	}); err != nil {
		return err
	}
	for _, c := range s.closed {
		if c.Number == 0 {
			return fmt.Errorf("a seed of target %s ended when it began: %w", c.Target, logtree.ErrInconsistent)
		}
		if _, err := a.tx.exec(ctx, closeSeed, c.Number, c.Before); err != nil {
			return err
		}
	}
	for _, n := range s.opened {
		if err := a.tx.row(ctx, insertSeed, n.UID[:], n.Target, micros(n.Opened), micros(n.Closes), n.First, []byte{}).Scan(&n.Number); err != nil {
			return err
		}
	}
	for _, w := range s.awaits {
		endpoint, err := a.tx.address(ctx, a.now, w.account, w.Await)
		if err != nil {
			return err
		}
		if _, err := a.tx.exec(ctx, insertAwait, w.Target, w.number, endpoint); err != nil {
			return err
		}
	}
	return nil
}

// maxAddresses is how many addresses an account may have asked to be told something at, among those that are kept: until
// all of it was told and the log of that was forgotten.
const maxAddresses = 20_000

// addressID is the id of the endpoint of an account's address: there is one for each channel.
func addressID(owner int64, a seed.Await) seed.UUID {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(owner)))
	h.Write([]byte(a.Channel + " " + a.Address))
	return seed.UUID(h.Sum(nil)[:16])
}

const isAddress = `channel IN ('seed_hook', 'seed_mail')`

// countAddresses is how many there are of an account, and at most one more than it may have.
func (t tx) countAddresses(ctx context.Context, owner int64) (n int, err error) {
	err = t.row(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM endpoint WHERE account = $1 AND `+isAddress+` AND state <> 2 LIMIT $2) e`, owner, maxAddresses+1).Scan(&n)
	return n, err
}

// address is the endpoint of an account's address, which is made unless there is one. One that was gone is asked again.
// Its created is when it was asked for last: it is forgotten long after.
func (t tx) address(ctx context.Context, now time.Time, owner int64, a seed.Await) (id int64, err error) {
	if a.Channel != notify.SeedHook && a.Channel != notify.SeedMail {
		return 0, fmt.Errorf("the channel %q has no addresses", a.Channel)
	}
	uid := addressID(owner, a)
	err = t.row(ctx, `INSERT INTO endpoint (uid, account, channel, address, kinds, secret, old_secret, old_until, state, created, slow, next, failures, failing)
		VALUES ($1, $2, $3, $4, 0, $5, $5, 0, 0, $6, 0, 0, 0, 0) ON CONFLICT (uid) DO UPDATE SET state = 0, created = EXCLUDED.created,
			next = CASE WHEN endpoint.state = 0 THEN endpoint.next
				WHEN EXISTS (SELECT 1 FROM delivery d WHERE d.endpoint = endpoint.id AND d.state = 0) THEN EXCLUDED.created ELSE 0 END RETURNING id`,
		uid[:], owner, a.Channel, a.Address, []byte{}, micros(now)).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("the address of account %d was not kept: %w", owner, logtree.ErrInconsistent)
	}
	return id, err
}
