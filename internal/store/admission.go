package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/ots"
)

// maxLeaves is how many stamps share an entry.
const maxLeaves = 1 << 12

// AppendStamps decides each request in its turn and adds the stamps of those that are admitted to the log, with
// the quota that they use and their idempotency keys, all in one transaction. It returns a result for each
// request, and only after all is on disk. After an error none is acknowledged.
func (db *DB) AppendStamps(ctx context.Context, now time.Time, creates []account.Create) ([]account.Result, error) {
	var results []account.Result
	var head logtree.Head
	appended := false
	err := db.append(ctx, func(tx tx) error {
		a := admission{tx: tx, now: now, owners: make(map[int64]*owner)}
		results = make([]account.Result, len(creates))
		if err := a.lock(ctx, creates); err != nil {
			return err
		}
		if err := a.findSigned(ctx, creates); err != nil {
			return err
		}
		if err := a.findSubmitted(ctx, creates); err != nil {
			return err
		}
		for i, c := range creates {
			created, err := a.admit(ctx, c)
			if refusal(err) {
				results[i].Err = err
			} else if err != nil {
				return err
			}
			results[i].Created = created
		}
		leaves := a.leaves()
		if appended = len(leaves) > 0; appended {
			var err error
			if head, err = a.appendTo(ctx, db.epochMax, leaves); err != nil {
				return err
			}
		}
		if err := a.keep(ctx); err != nil {
			return err
		}
		// What was admitted has its positions and certificates now.
		for i := range results {
			if s := results[i].Signed; s != nil {
				results[i].Tree = a.trees[s.Position]
			}
			if slices.Contains(results[i].Fresh, true) {
				results[i].Seeds = a.seeds.seedsOf(creates[i])
			}
			for j, s := range results[i].Submitted {
				results[i].Submitted[j] = a.seeds.known[s.Hash]
			}
			for j, s := range results[i].Stamps {
				if k, ok := a.index[s.ID]; ok {
					results[i].Stamps[j] = a.stamps[k]
				}
			}
		}
		return nil
	})
	if lockTimedOut(err) {
		err = fmt.Errorf("%w: %w", account.ErrInProgress, err)
	}
	if err != nil {
		return nil, fmt.Errorf("keeping stamps: %w", err)
	}
	if appended {
		err = db.advance(head)
	}
	return results, err
}

// refusal says that an error is the answer to one request, and not a fault.
func refusal(err error) bool {
	for _, e := range []error{account.ErrItem, account.ErrSuspended, account.ErrMismatch, account.ErrDuplicate, account.ErrQuota, seed.ErrPreprint, notify.ErrLimit} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// The statements of an admission.
const (
	selectOwner = `SELECT id, suspended, branding, stamps, last_stamp FROM account WHERE id = $1`
	selectUsed  = `SELECT account, used FROM quota_use WHERE account = $1 AND month = $2`
	selectKey   = `SELECT account, name, payload, existing FROM idempotency WHERE account = $1 AND name = $2`
	updateKey   = `UPDATE idempotency SET payload = $3, existing = $4 WHERE account = $1 AND name = $2`
	deleteKey   = `DELETE FROM idempotency WHERE account = $1 AND name = $2`
	sumStamps   = `SELECT CAST(COALESCE(SUM(stamps), 0) AS BIGINT) FROM account`

	// A stamp whose certificate's id is taken is left out.
	insertStamp = `INSERT INTO stamp (number, ` + stampColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
		ON CONFLICT (certificate) DO NOTHING`
	insertKept  = `INSERT INTO kept (position, leaves) VALUES ($1, $2)`
	updateOwner = `UPDATE account SET stamps = $2, last_stamp = $3 WHERE id = $1`
	upsertUsed  = `INSERT INTO quota_use (account, month, used) VALUES ($1, $2, $3)
		ON CONFLICT (account, month) DO UPDATE SET used = EXCLUDED.used`
	// A key that is in use stays, and is not counted as changed.
	reserveKey = `INSERT INTO idempotency (account, name, payload, existing, expires) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (account, name) DO UPDATE SET payload = EXCLUDED.payload, existing = EXCLUDED.existing, expires = EXCLUDED.expires
		WHERE idempotency.expires <= $6`
)

// askedAtOnce is how many digests one question has: SQLite copies all of them for each.
const askedAtOnce = 256

// selectWanted returns $4 and which of $3 digests, packed in $2, an account has a stamp of. The inner SELECT keeps PostgreSQL
// from reading all stamps of an account.
func selectWanted(e *engine) string {
	return `WITH RECURSIVE wanted(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM wanted WHERE i + 1 < $3)
		SELECT CAST($4 AS BIGINT), i FROM (
			SELECT i, (SELECT created FROM stamp WHERE digest = substr(CAST($2 AS ` + e.bytes + `), i * 32 + 1, 32) AND account + 0 = $1) AS created FROM wanted
		) asked WHERE created IS NOT NULL`
}

// admission decides requests within one transaction.
type admission struct {
	tx       tx
	now      time.Time
	owners   map[int64]*owner
	stamps   []account.Stamp // admitted, in order
	number   []int64         // of each stamp within its account
	index    map[account.ID]int
	reserved []keyUse                       // the keys of requests that were not used before
	signed   []*account.Signed              // admitted, in order
	known    map[signedKey]*account.Signed  // kept before, or admitted
	trees    map[logtree.Position]*ots.Tree // of the batches that were added
	seeds    *submissions                   // nil where nothing is submitted

	head *logtree.Head // once its lock is held
	edge logtree.Edge
}

// owner is an account whose row is locked.
type owner struct {
	id        int64
	suspended bool
	branding  *account.Branding
	brandText string // branding as it is stored
	stamps    int64
	last      int64 // microseconds
	month     int64
	used      int64
	changed   bool
	keys      map[string]keyUse          // those of the requests that were used
	stored    map[[32]byte]account.Stamp // those of the requests' digests that have a stamp
	fresh     map[[32]byte]int           // digests of admitted stamps, by their index in admission.stamps
	addresses int                        // it had, if any are new in submissions.addresses
}

// keyUse is an idempotency key that was used. existing has a byte for each item: 1 if its stamp was there before.
type keyUse struct {
	account  int64
	name     string
	payload  [32]byte
	existing []byte
}

// lock locks the rows of all accounts in the order of their ids, so that two nodes never wait for each other, and
// then reads what the requests may repeat.
func (a *admission) lock(ctx context.Context, creates []account.Create) error {
	var ids []int64
	keyed := make([]account.Create, 0, len(creates))
	digests := make(map[int64][]byte)
	for _, c := range creates {
		ids = append(ids, c.Account)
		if c.Key != "" && c.Signed == nil {
			keyed = append(keyed, c)
		}
		for _, item := range c.Items {
			digests[c.Account] = append(digests[c.Account], item.SHA256[:]...)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	a.index = make(map[account.ID]int)
	month := account.Month(a.now)
	err := a.tx.queryEach(ctx, selectOwner+a.tx.db.engine.forUpdate, len(ids),
		func(i int) []any { return []any{ids[i]} },
		func(row row) error {
			o := &owner{month: month, keys: make(map[string]keyUse), stored: make(map[[32]byte]account.Stamp), fresh: make(map[[32]byte]int)}
			var suspended int64
			if err := row.Scan(&o.id, &suspended, &o.brandText, &o.stamps, &o.last); err != nil {
				return err
			}
			o.suspended = suspended != 0
			a.owners[o.id] = o
			var err error
			o.branding, err = parseBranding(o.brandText)
			return err
		})
	if err != nil {
		return err
	}
	err = a.tx.queryEach(ctx, selectUsed, len(ids),
		func(i int) []any { return []any{ids[i], month} },
		func(row row) error {
			var id, used int64
			err := row.Scan(&id, &used)
			if o := a.owners[id]; o != nil {
				o.used = used
			}
			return err
		})
	if err != nil {
		return err
	}
	if err := a.reserve(ctx, keyed); err != nil {
		return err
	}
	return a.find(ctx, digests)
}

// reserve writes the keys of the requests as if each request made new stamps, which most do, and reads those that were
// used before. keep corrects what turned out to be otherwise.
func (a *admission) reserve(ctx context.Context, keyed []account.Create) error {
	type name struct {
		account int64
		key     string
	}
	seen := make(map[name]bool, len(keyed))
	a.reserved = make([]keyUse, 0, len(keyed))
	for _, c := range keyed {
		n := name{c.Account, c.Key}
		if a.owners[c.Account] == nil || seen[n] {
			continue
		}
		seen[n] = true
		a.reserved = append(a.reserved, keyUse{c.Account, c.Key, c.Payload, make([]byte, len(c.Items))})
	}
	now := micros(a.now)
	changed, err := a.tx.execEach(ctx, reserveKey, len(a.reserved), func(i int) []any {
		k := a.reserved[i]
		return []any{k.account, k.name, k.payload[:], k.existing, a.expires(), now}
	})
	if err != nil {
		return err
	}
	var free, used []keyUse
	for i, k := range a.reserved {
		if changed[i] == 0 {
			used = append(used, k)
		} else {
			free = append(free, k)
		}
	}
	a.reserved = free
	return a.tx.queryEach(ctx, selectKey, len(used),
		func(i int) []any { return []any{used[i].account, used[i].name} },
		func(row row) error {
			var k keyUse
			var payload []byte
			if err := row.Scan(&k.account, &k.name, &payload, &k.existing); err != nil {
				return err
			}
			var err error
			if k.payload, err = hash32(payload); err != nil {
				return err
			}
			a.owners[k.account].keys[k.name] = k
			return nil
		})
}

// expires is when the keys of these requests do, in microseconds.
func (a *admission) expires() int64 { return micros(a.now.Add(account.IdempotencyKept)) }

// find reads the stamps of the owners' digests, which are packed. Few of them have one, so first it asks which.
func (a *admission) find(ctx context.Context, digests map[int64][]byte) error {
	type asked struct {
		account int64
		digests []byte
	}
	var questions []asked
	for id, o := range a.owners {
		if o.stamps == 0 {
			continue
		}
		for chunk := range slices.Chunk(digests[id], 32*askedAtOnce) {
			questions = append(questions, asked{id, chunk})
		}
	}
	var found []asked
	err := a.tx.queryEach(ctx, selectWanted(a.tx.db.engine), len(questions),
		func(i int) []any {
			q := questions[i]
			return []any{q.account, q.digests, len(q.digests) / 32, i}
		},
		func(row row) error {
			var question, i int
			err := row.Scan(&question, &i)
			q := questions[question]
			found = append(found, asked{q.account, q.digests[32*i : 32*i+32]})
			return err
		})
	if err != nil {
		return err
	}
	return a.tx.queryEach(ctx, selectByDigest, len(found),
		func(i int) []any { return []any{found[i].account, found[i].digests} },
		func(row row) error {
			s, err := scanStamp(row)
			if err == nil {
				a.owners[s.Account].stored[s.SHA256] = s
			}
			return err
		})
}

// admit decides one request: its order of checks is the contract's.
func (a *admission) admit(ctx context.Context, c account.Create) (account.Created, error) {
	var none account.Created
	o := a.owners[c.Account]
	if o == nil || o.suspended {
		return none, account.ErrSuspended
	}
	if c.Signed != nil {
		return a.admitSigned(o, c)
	}
	if err := c.Check(); err != nil {
		return none, err
	}
	if k, used := o.keys[c.Key]; used && c.Key != "" {
		return a.replay(o, c, k)
	}
	for _, item := range c.Items {
		if err := item.Check(); err != nil {
			return none, err
		}
	}
	created := account.Created{Stamps: make([]account.Stamp, len(c.Items)), Existing: make([]bool, len(c.Items))}
	fresh := make(map[[32]byte]bool)
	for i, item := range c.Items {
		if item.Submission != nil && a.seeds.known[item.SHA256].Number > 0 {
			created.Existing[i] = true // nothing is made, whoever submitted it
			continue
		}
		_, before := o.stored[item.SHA256]
		_, now := o.fresh[item.SHA256]
		created.Existing[i] = before || now || fresh[item.SHA256]
		fresh[item.SHA256] = fresh[item.SHA256] || !created.Existing[i]
	}
	count := 0
	for _, e := range created.Existing {
		if !e {
			count++
		}
	}
	if c.Whole && count < len(c.Items) {
		return none, account.ErrDuplicate
	}
	if o.used+int64(count) > c.Quota {
		return none, account.ErrQuota
	}
	if c.Submits() {
		if err := a.checkSubmissions(ctx, o, c); err != nil {
			return none, err
		}
	}
	for i, item := range c.Items {
		if !created.Existing[i] {
			a.add(o, c, item)
		}
	}
	for i, item := range c.Items {
		created.Stamps[i], _ = a.stamp(o, item.SHA256)
	}
	if c.Submits() {
		a.submit(o, c, &created)
	}
	if c.Key != "" {
		k := keyUse{c.Account, c.Key, c.Payload, make([]byte, len(c.Items))}
		for i, existing := range created.Existing {
			if existing {
				k.existing[i] = 1
			}
		}
		o.keys[k.name] = k
	}
	return created, nil
}

// stamp is an owner's stamp of a digest among those of the requests, stored or admitted just now.
func (a *admission) stamp(o *owner, digest [32]byte) (account.Stamp, bool) {
	if i, ok := o.fresh[digest]; ok {
		return a.stamps[i], true
	}
	s, ok := o.stored[digest]
	return s, ok
}

// replay is the answer to an earlier request with the same idempotency key.
func (a *admission) replay(o *owner, c account.Create, k keyUse) (account.Created, error) {
	created := account.Created{Replayed: true}
	if k.payload != c.Payload {
		return created, account.ErrMismatch
	}
	if len(k.existing) != len(c.Items) {
		return created, fmt.Errorf("an idempotency key of account %d is for %d stamps, its request has %d: %w", o.id, len(k.existing), len(c.Items), logtree.ErrInconsistent)
	}
	for i, item := range c.Items {
		s, ok := a.stamp(o, item.SHA256)
		if !ok {
			return created, fmt.Errorf("a stamp of account %d is gone: %w", o.id, logtree.ErrInconsistent)
		}
		created.Stamps = append(created.Stamps, s)
		created.Existing = append(created.Existing, k.existing[i] == 1)
	}
	return created, nil
}

// add admits one stamp.
func (a *admission) add(o *owner, c account.Create, item account.Item) {
	o.last = max(micros(a.now), o.last+1)
	o.stamps++
	o.used++
	o.changed = true
	s := account.Stamp{
		ID: account.NewID(), Account: o.id, SHA256: item.SHA256, File: item.File,
		Created: fromMicros(o.last), Thumbnail: item.Thumbnail, Nonce: item.Nonce,
	}
	if c.Branding {
		s.Branding = o.branding
	}
	o.fresh[s.SHA256] = len(a.stamps)
	a.index[s.ID] = len(a.stamps)
	a.stamps = append(a.stamps, s)
	a.number = append(a.number, o.stamps)
}

const (
	certificatePrefix   = "TS-"
	certificateAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	certificateLength   = 6
)

// certificateLength is one character more than the contract's six for each time that one in a hundred of the shorter
// ids is in use.
func (a *admission) certificateLength(ctx context.Context) (int, error) {
	var used int64
	if err := a.tx.row(ctx, sumStamps).Scan(&used); err != nil {
		return 0, err
	}
	n := certificateLength
	for math.Pow(float64(len(certificateAlphabet)), float64(n)) < 100*float64(used) {
		n++
	}
	return n, nil
}

// certificate is a random id of a certificate.
func certificate(length int) string {
	b := make([]byte, length)
	rand.Read(b)
	for i := range b {
		for b[i] >= 252 { // the largest multiple of 36 in a byte
			rand.Read(b[i : i+1])
		}
		b[i] = certificateAlphabet[int(b[i])%len(certificateAlphabet)]
	}
	return certificatePrefix + string(b)
}

// leaves are those of the admitted stamps, then those of the admitted signed digests, then those of submissions whose stamps
// are older.
func (a *admission) leaves() [][32]byte {
	all := make([][32]byte, 0, len(a.stamps)+len(a.signed))
	for _, s := range a.stamps {
		all = append(all, s.LeafHash())
	}
	for _, s := range a.signed {
		all = append(all, s.LeafHash())
	}
	if a.seeds != nil {
		for _, i := range a.seeds.own {
			all = append(all, account.Leaf(a.seeds.fresh[i].Hash, a.seeds.fresh[i].Nonce))
		}
	}
	return all
}

// place is where a leaf is.
type place struct {
	position logtree.Position
	leaf     int
}

// lockHead reads the head and keeps every other append out, unless it did already.
func (a *admission) lockHead(ctx context.Context) error {
	if a.head != nil {
		return nil
	}
	h, edge, err := a.tx.lockHead(ctx)
	if err != nil {
		return err
	}
	a.head, a.edge = &h, edge
	return a.tx.checkMark(ctx, h)
}

// appendTo adds what was admitted to the log, and gives it its places.
func (a *admission) appendTo(ctx context.Context, epochMax int64, all [][32]byte) (h logtree.Head, err error) {
	if err := a.lockHead(ctx); err != nil {
		return h, err
	}
	h, edge := *a.head, a.edge
	var own []place
	a.trees = make(map[logtree.Position]*ots.Tree)
	for first := 0; first < len(all); first += maxLeaves {
		leaves := all[first:min(first+maxLeaves, len(all))]
		packed := make([]byte, 0, 32*len(leaves))
		for _, l := range leaves {
			packed = append(packed, l[:]...)
		}
		if h.Size >= epochMax {
			if h, edge, err = a.tx.beginEpoch(ctx, a.now, h, edge, h.Epoch+1, epochFull); err != nil {
				return h, err
			}
		}
		var entry logtree.Entry
		tree := ots.MerkleTree(leaves)
		if entry, edge, err = a.tx.add(ctx, a.now, h, edge, tree.Root()); err != nil {
			return h, err
		}
		a.trees[entry.Position()] = tree
		h.Size++
		for i := range leaves {
			switch n := first + i; {
			case n < len(a.stamps):
				a.stamps[n].Position, a.stamps[n].Leaf = entry.Position(), i
			case n < len(a.stamps)+len(a.signed):
				s := a.signed[n-len(a.stamps)]
				s.Position, s.Leaf = entry.Position(), i
			default:
				own = append(own, place{entry.Position(), i})
			}
		}
		if _, err := a.tx.exec(ctx, insertKept, int64(entry.Position()), packed); err != nil {
			return h, err
		}
	}
	a.place(own)
	return h, a.tx.setHead(ctx, &h, edge)
}

// keep writes the admitted stamps and what they used.
func (a *admission) keep(ctx context.Context) error {
	if err := a.insertStamps(ctx); err != nil {
		return err
	}
	if err := a.insertSigned(ctx); err != nil {
		return err
	}
	if err := a.keepSubmissions(ctx); err != nil {
		return err
	}
	ids := make([]int64, 0, len(a.owners))
	for id, o := range a.owners {
		if o.changed {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	if _, err := a.tx.execEach(ctx, updateOwner, len(ids), func(i int) []any {
		o := a.owners[ids[i]]
		return []any{o.id, o.stamps, o.last}
	}); err != nil {
		return err
	}
	if _, err := a.tx.execEach(ctx, upsertUsed, len(ids), func(i int) []any {
		o := a.owners[ids[i]]
		return []any{o.id, o.month, o.used}
	}); err != nil {
		return err
	}
	return a.keepKeys(ctx)
}

// keepKeys corrects the reserved keys of requests that were refused, or found stamps that were there before.
func (a *admission) keepKeys(ctx context.Context) error {
	var used, unused []keyUse
	for _, k := range a.reserved {
		is, ok := a.owners[k.account].keys[k.name]
		switch {
		case !ok:
			unused = append(unused, k)
		case is.payload != k.payload || !bytes.Equal(is.existing, k.existing):
			used = append(used, is)
		}
	}
	if _, err := a.tx.execEach(ctx, updateKey, len(used), func(i int) []any {
		k := used[i]
		return []any{k.account, k.name, k.payload[:], k.existing}
	}); err != nil {
		return err
	}
	_, err := a.tx.execEach(ctx, deleteKey, len(unused), func(i int) []any { return []any{unused[i].account, unused[i].name} })
	return err
}

// maxDraws is how often an id of a certificate that was taken is drawn again. One in a hundred is taken.
const maxDraws = 20

// insertStamps writes the admitted stamps.
func (a *admission) insertStamps(ctx context.Context) error {
	length, err := a.certificateLength(ctx)
	if err != nil {
		return err
	}
	left := make([]int, len(a.stamps))
	for i := range left {
		left[i] = i
	}
	for range maxDraws {
		changed, err := a.insert(ctx, left, length)
		if err != nil {
			return err
		}
		var taken []int
		for n, i := range left {
			if changed[n] == 0 {
				taken = append(taken, i)
			}
		}
		if left = taken; len(left) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%d ids of certificates were taken again and again", len(left))
}

// insert writes those of the admitted stamps whose certificate's id, drawn now, is not taken.
func (a *admission) insert(ctx context.Context, which []int, length int) ([]int64, error) {
	return a.tx.execEach(ctx, insertStamp, len(which), func(n int) []any {
		i := which[n]
		s := &a.stamps[i]
		s.Certificate = a.tx.db.draw(length)
		branding := ""
		if s.Branding != nil {
			branding = a.owners[s.Account].brandText
		}
		public := 0
		if s.Public {
			public = 1
		}
		return []any{a.number[i], s.Account, s.ID[:], s.Certificate, s.SHA256[:], s.File.Name, s.File.Size, s.File.Type,
			micros(s.Created), branding, s.Thumbnail, public, s.Nonce[:], s.Leaf, int64(s.Position)}
	})
}
