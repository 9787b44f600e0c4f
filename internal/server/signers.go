package server

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/compat/eternity"
	"github.com/datestone/datestone/internal/egress"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/signedmsg"
)

// PublicKey is a customer's key of the authenticated calendar, as its operator sees it.
type PublicKey struct {
	Account  int64      `json:"account"`
	Email    string     `json:"email"`
	Key      string     `json:"public_key"`
	Address  string     `json:"address"`
	Version  string     `json:"api_version"`
	Callback string     `json:"callback,omitempty"`
	Created  time.Time  `json:"created"`
	Removed  *time.Time `json:"removed,omitempty"`
}

// SignedDigest is a digest that a customer signed: what an account is billed for, in a form that everybody can
// check without this service. The message of Signature is the text of Digest.
type SignedDigest struct {
	Digest    string    `json:"digest"`
	Signature string    `json:"signature"`
	PublicKey string    `json:"public_key"` // of the point that signed, in the form that the signature means
	Address   string    `json:"address"`    // of that key
	Created   time.Time `json:"created"`
	Month     string    `json:"month"` // in which it counts: 2026-11
	Op        string    `json:"op,omitempty"`
	Email     string    `json:"email,omitempty"`
}

const maxCallback = 2000

// CheckCallback refuses what cannot be called.
func CheckCallback(text string) error {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return nil
	case len(text) > maxCallback:
		return fmt.Errorf("the callback has more than %d bytes", maxCallback)
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return fmt.Errorf("the callback is %q: write an address that begins with https:// or http://", text)
	case u.User != nil || u.Fragment != "":
		return fmt.Errorf("the callback is %q: leave the login and the fragment out", text)
	}
	return nil
}

// AddPublicKey makes a key one whose signatures an account pays for. One that it has, or had, is changed.
func (a *Accounts) AddPublicKey(ctx context.Context, who, key, callback, version string) (PublicKey, error) {
	owner, err := a.Find(ctx, who)
	if err != nil {
		return PublicKey{}, err
	}
	public, err := signedmsg.ParsePublicKey(key)
	if err != nil {
		return PublicKey{}, err
	}
	if _, err := eternity.ParseVersion(version); err != nil {
		return PublicKey{}, err
	}
	if err := CheckCallback(callback); err != nil {
		return PublicKey{}, err
	}
	if callback != "" {
		e, err := a.config.egressConfig()
		if err != nil {
			return PublicKey{}, err
		}
		client, err := egress.New(e)
		if err != nil {
			return PublicKey{}, err
		}
		if err := client.Check(callback); err != nil {
			return PublicKey{}, fmt.Errorf("the callback is %q: %w", callback, err)
		}
	}
	made, err := a.db.AddSigner(ctx, time.Now(), account.Signer{Account: owner.ID, Key: public, Version: version, Callback: callback})
	if err != nil {
		return PublicKey{}, err
	}
	return shownKey(made, owner.Email), nil
}

// PublicKeys reads the keys of an account, or of all when who is empty, with those that were removed.
func (a *Accounts) PublicKeys(ctx context.Context, who string) ([]PublicKey, error) {
	var owner int64
	if who != "" {
		found, err := a.Find(ctx, who)
		if err != nil {
			return nil, err
		}
		owner = found.ID
	}
	const page = 1000
	all, emails := []PublicKey{}, make(map[int64]string)
	for after := int64(0); ; {
		some, err := a.db.Signers(ctx, owner, after, page)
		if err != nil {
			return nil, err
		}
		for _, s := range some {
			if _, known := emails[s.Account]; !known {
				found, err := a.db.Account(ctx, s.Account)
				if err != nil {
					return nil, err
				}
				emails[s.Account] = found.Email
			}
			all = append(all, shownKey(s, emails[s.Account]))
		}
		if len(some) < page {
			return all, nil
		}
		after = some[len(some)-1].ID
	}
}

// RemovePublicKey refuses a key from now on.
func (a *Accounts) RemovePublicKey(ctx context.Context, key string) error {
	public, err := signedmsg.ParsePublicKey(key)
	if err != nil {
		return err
	}
	err = a.db.RemoveSigner(ctx, time.Now(), public.Point())
	if errors.Is(err, account.ErrSigner) {
		return fmt.Errorf("no account has the public key %s: datestoned key list shows them all", key)
	}
	return err
}

// Signed reads what an account's customers signed, oldest first, and gives each to f.
func (a *Accounts) Signed(ctx context.Context, of Account, f func(SignedDigest) error) error {
	const page = 1000
	for after := time.Unix(0, 0); ; {
		some, err := a.db.SignedBy(ctx, of.ID, after, page)
		if err != nil {
			return err
		}
		for _, s := range some {
			shown, err := shownSigned(s)
			if err != nil {
				return err
			}
			if err := f(shown); err != nil {
				return err
			}
		}
		if len(some) < page {
			return nil
		}
		after = some[len(some)-1].Created
	}
}

func shownSigned(s account.Signed) (SignedDigest, error) {
	key, err := s.Signature.Recover(signedmsg.Digest(s.Digest))
	if err != nil {
		return SignedDigest{}, fmt.Errorf("the signature of the digest %x that is kept: %w", s.Digest, err)
	}
	shown := SignedDigest{
		Digest: hex.EncodeToString(s.Digest), Signature: s.Signature.String(), PublicKey: key.String(), Address: key.Address(),
		Created: s.Created, Month: monthText(account.Month(s.Created)), Email: s.Email,
	}
	if s.HashOp != 0 {
		shown.Op = ots.Op{Tag: s.HashOp}.String()
	}
	return shown, nil
}

func shownKey(s account.Signer, email string) PublicKey {
	k := PublicKey{
		Account: s.Account, Email: email, Key: s.Key.String(), Address: s.Key.Address(), Version: s.Version, Callback: s.Callback, Created: s.Created,
	}
	if !s.Removed.IsZero() {
		k.Removed = &s.Removed
	}
	return k
}
