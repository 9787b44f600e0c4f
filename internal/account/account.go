// Package account says who may keep stamps, and how many: accounts, their API keys, plans and quotas, as
// values. It knows no SQL and no HTTP.
package account

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"
)

var (
	// ErrUnknown says that there is no such account.
	ErrUnknown = errors.New("no such account")
	// ErrExists says that an account with this e-mail address exists.
	ErrExists = errors.New("an account with this e-mail address exists")
	// ErrKey says that a key is not the active one of an account.
	ErrKey = errors.New("not an active API key")
)

// Account is who keeps stamps.
type Account struct {
	ID        int64
	Email     string
	Plan      string // the name of a Plan
	Suspended bool
	Created   time.Time
	Branding  *Branding // nil without
	// KeyHint is the last characters of the active key, for people; empty without a key.
	KeyHint    string
	KeyCreated time.Time
}

// KeyHolder is what of an account every request with its API key asks for.
type KeyHolder struct {
	ID        int64
	Plan      string // the name of a Plan
	Suspended bool
}

// Branding is what an owner shows on certificates. It is frozen into each stamp that is made.
type Branding struct {
	Name    string `json:"name"`
	LogoURL string `json:"logo_url"`
	Color   string `json:"color"`
}

// Plan is what an account may do.
type Plan struct {
	// Quota is the number of new stamps in a calendar month (UTC).
	Quota int64 `toml:"quota"`
	// API says whether keys of the plan may ask the REST surface.
	API bool `toml:"api"`
	// Branding says whether branding is frozen into stamps.
	Branding bool `toml:"branding"`
	// Requests and Creates are how many there may be in a minute with one key.
	Requests int `toml:"requests"`
	Creates  int `toml:"creates"`
	// Commitment is the time after which a transaction with a stamp is sent at the latest, whatever the
	// interval between transactions; 0 leaves it to that.
	Commitment time.Duration `toml:"commitment"`
	// MaxFee is what such a transaction may cost, in satoshi, where that is more than what any may.
	MaxFee int64 `toml:"max_fee"`
}

// Plans are the plans that exist, by name.
type Plans map[string]Plan

// DefaultPlans apply where the configuration names none.
func DefaultPlans() Plans {
	return Plans{
		"free":     {Quota: 10, Requests: 120, Creates: 30},
		"pro":      {Quota: 1_000, API: true, Branding: true, Requests: 120, Creates: 30},
		"business": {Quota: 100_000, API: true, Branding: true, Requests: 120, Creates: 30},
	}
}

// Month is the calendar month in UTC that quotas count by, as year*100 + month: 202611.
func Month(t time.Time) int64 {
	t = t.UTC()
	return int64(t.Year())*100 + int64(t.Month())
}

const (
	keySecret = 64
	keyHint   = 4
	// An alphabet of 32: each character is 5 bits of the 320 in a key.
	keyAlphabet = "abcdefghijkmnpqrstuvwxyz23456789"
)

// NewKey makes an API key: the prefix and 64 random characters.
func NewKey(prefix string) string {
	random := make([]byte, keySecret)
	rand.Read(random)
	for i, b := range random {
		random[i] = keyAlphabet[b%32]
	}
	return prefix + string(random)
}

// KeyHash is what is stored of a key: SHA-256, for the key is 320 random bits.
func KeyHash(key string) [32]byte { return sha256.Sum256([]byte(key)) }

// KeyHint is what may be shown of a key later.
func KeyHint(key string) string { return key[max(0, len(key)-keyHint):] }

// CheckKey returns ErrKey for what cannot be a key with this prefix.
func CheckKey(prefix, key string) error {
	secret, ok := strings.CutPrefix(key, prefix)
	if !ok || len(secret) != keySecret {
		return ErrKey
	}
	for _, r := range secret {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') {
			return ErrKey
		}
	}
	return nil
}

// CheckEmail refuses what cannot be an e-mail address.
func CheckEmail(email string) error {
	local, domain, ok := strings.Cut(email, "@")
	if !ok || local == "" || domain == "" || len(email) > 254 || strings.ContainsAny(email, " \t\r\n<>,;\"") || strings.Contains(domain, "@") || !printable(email) {
		return fmt.Errorf("%q is not an e-mail address", email)
	}
	return nil
}

// MonthlyUse is how many stamps an account made in a month, as Month gives it.
type MonthlyUse struct {
	Month int64 `json:"month"`
	Used  int64 `json:"used"`
}
