package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/notify"
)

// Notices of signed digests are walked like those of stamps, with a cursor of their own: first the keys that have a
// callback, one after the other, then the digests whose proof is sent by e-mail. In the cursor account is the key, or
// byEmail, and created is the leaf. A digest's nonce stands for it where a notice names a stamp.

const byEmail = math.MaxInt64

// walkSigned writes some of the notices of signed digests that a counted attestation of a target covers. After a
// withdrawal it goes back, and tells again of those that another attestation covers then.
func (t tx) walkSigned(ctx context.Context, now time.Time, w walk) error {
	c, err := t.cursor(ctx, w.target, notify.Attested, w.epoch)
	if err != nil {
		return err
	}
	var size int64
	var ref string
	err = t.row(ctx, `SELECT size, ref FROM attestation WHERE purpose = 'log' AND target = $1 AND epoch = $2 AND state = 1 AND size > $3
		ORDER BY size, id LIMIT 1`, w.target, w.epoch, c.size).Scan(&size, &ref)
	if errors.Is(err, sql.ErrNoRows) {
		err = t.row(ctx, `SELECT COALESCE(MAX(size), 0) FROM attestation WHERE purpose = 'log' AND target = $1 AND epoch = $2 AND state = 1`, w.target, w.epoch).Scan(&size)
		c = cursor{size: min(c.size, size)}
		c.upto = c.size
		return errors.Join(err, t.setCursor(ctx, w.target, notify.Attested, w.epoch, c))
	} else if err != nil {
		return err
	}
	if size != c.upto {
		c.begin(size)
	}
	base, err := logtree.At(w.epoch, 0)
	if err != nil {
		return err
	}
	n := notice{now: now, target: w.target, kind: notify.Attested, ref: ref}
	done, err := t.sweepSigned(ctx, &c, int64(base)+c.size, int64(base)+c.upto, n)
	if err != nil {
		return err
	}
	if done {
		c = cursor{size: c.upto, upto: c.upto}
	}
	return t.setCursor(ctx, w.target, notify.Attested, w.epoch, c)
}

// sweepSigned goes on with the awaited digests at positions from first to before, and says whether it has seen all.
func (t tx) sweepSigned(ctx context.Context, c *cursor, first, before int64, n notice) (done bool, err error) {
	left := walkStamps
	for range walkAccounts {
		if c.position == sweepDone {
			if c.account == byEmail {
				return true, nil
			}
			if err := t.row(ctx, `SELECT COALESCE(MIN(id), $2) FROM signer WHERE id > $1 AND endpoint <> 0`, c.account, int64(byEmail)).Scan(&c.account); err != nil {
				return false, err
			}
			c.position, c.created = first-1, math.MaxInt64
		}
		text := `SELECT ` + signedColumns + ` FROM signed WHERE signer = $1 AND position < $4 AND (position, leaf) > ($2, $3) ORDER BY position, leaf LIMIT $5`
		tell := func(s account.Signed) error { return t.tellByEmail(ctx, n, s) }
		args := []any{c.account, c.position, c.created, before, left}
		if c.account == byEmail {
			text = `SELECT ` + signedColumns + ` FROM signed WHERE email <> '' AND position < $3 AND (position, leaf) > ($1, $2) ORDER BY position, leaf LIMIT $4`
			args = args[1:]
		} else {
			endpoint, err := t.callbackOf(ctx, c.account)
			if err != nil {
				return false, err
			}
			if endpoint == 0 {
				c.position = sweepDone
				continue
			}
			tell = func(s account.Signed) error { return t.tellCallback(ctx, n, s, endpoint) }
		}
		rows, err := t.rows(ctx, text, args...)
		if err != nil {
			return false, err
		}
		all, err := scanSigned(rows)
		if err != nil {
			return false, err
		}
		for _, s := range all {
			if err := tell(s); err != nil {
				return false, err
			}
			c.position, c.created = int64(s.Position), int64(s.Leaf)
		}
		if len(all) == left {
			return false, nil
		}
		left -= len(all)
		c.position, c.created = sweepDone, 0
	}
	return false, nil
}

// callbackOf is the active endpoint of a key, 0 without one. It stays until the transaction ends.
func (t tx) callbackOf(ctx context.Context, signer int64) (endpoint int64, err error) {
	err = t.row(ctx, `SELECT id FROM endpoint WHERE id = (SELECT endpoint FROM signer WHERE id = $1) AND state = 0`+t.db.engine.forUpdate, signer).Scan(&endpoint)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return endpoint, err
}

// tellCallback makes it due to a callback that a digest has an attestation, once for each.
func (t tx) tellCallback(ctx context.Context, n notice, s account.Signed, endpoint int64) error {
	id, fresh, err := t.addNotice(ctx, notify.Notice{
		UID: account.NewID(), Account: s.Account, Stamp: s.Nonce, Target: n.target, Kind: notify.Attested, Ref: n.ref, Position: s.Position, Created: n.now,
	}, 0)
	if err != nil || !fresh {
		return err
	}
	return t.addDeliveries(ctx, n.now, id, []int64{endpoint})
}

// tellByEmail makes the e-mail with a digest's proof due, once.
func (t tx) tellByEmail(ctx context.Context, n notice, s account.Signed) error {
	id, fresh, err := t.addNotice(ctx, notify.Notice{
		UID: account.NewID(), Account: s.Account, Stamp: s.Nonce, Kind: notify.Complete, Position: s.Position, Created: n.now,
	}, 0)
	if err != nil || !fresh {
		return err
	}
	endpoint, err := t.addSignedEndpoint(ctx, n.now, s.Account, notify.Receipt, s.Email)
	if err != nil {
		return err
	}
	return t.addDeliveries(ctx, n.now, id, []int64{endpoint})
}

// addSignedEndpoint keeps an endpoint of the authenticated calendar. No kind is heard by it: the walk above names it.
func (t tx) addSignedEndpoint(ctx context.Context, now time.Time, owner int64, channel, address string) (id int64, err error) {
	uid := account.NewID()
	err = t.row(ctx, `INSERT INTO endpoint (uid, account, channel, address, kinds, secret, old_secret, old_until, state, created, slow, next, failures, failing)
		VALUES ($1, $2, $3, $4, 0, $5, $5, 0, 0, $6, 0, 0, 0, 0) RETURNING id`, uid[:], owner, channel, address, []byte{}, micros(now)).Scan(&id)
	return id, err
}

// setCallback has a key's notices go to an address from now on, or nowhere.
func (t tx) setCallback(ctx context.Context, now time.Time, s account.Signer) error {
	var endpoint int64
	if err := t.row(ctx, `SELECT endpoint FROM signer WHERE id = $1`, s.ID).Scan(&endpoint); err != nil {
		return err
	}
	if endpoint != 0 {
		var address string
		var state notify.EndpointState
		if err := t.row(ctx, `SELECT address, state FROM endpoint WHERE id = $1`+t.db.engine.forUpdate, endpoint).Scan(&address, &state); err != nil {
			return err
		}
		if address == s.Callback && state == notify.Active {
			return nil
		}
		if err := t.deleteEndpoint(ctx, endpoint); err != nil {
			return err
		}
		endpoint = 0
	}
	if s.Callback != "" {
		var err error
		if endpoint, err = t.addSignedEndpoint(ctx, now, s.Account, notify.Callback, s.Callback); err != nil {
			return err
		}
	}
	_, err := t.exec(ctx, `UPDATE signer SET endpoint = $2 WHERE id = $1`, s.ID, endpoint)
	return err
}

// SignedOf is the signed digest that a notice is about, and the key that signed it, or account.ErrUnsigned.
func (db *DB) SignedOf(ctx context.Context, n notify.Notice) (account.Signed, account.Signer, error) {
	var s signedRow
	var k signerRow
	err := db.queryRow(ctx, `SELECT `+signedColumns+`, `+signerColumns+` FROM signer JOIN signed ON signed.signer = signer.id
		WHERE signer.account = $1 AND signed.position = $2 AND signed.nonce = $3`, []any{n.Account, int64(n.Position), n.Stamp[:]}, slices.Concat(s.into(), k.into())...)
	if errors.Is(err, sql.ErrNoRows) {
		return account.Signed{}, account.Signer{}, account.ErrUnsigned
	} else if err != nil {
		return account.Signed{}, account.Signer{}, fmt.Errorf("reading a signed digest: %w", err)
	}
	signed, err := s.signed()
	if err != nil {
		return account.Signed{}, account.Signer{}, err
	}
	key, err := k.signer()
	return signed, key, err
}
