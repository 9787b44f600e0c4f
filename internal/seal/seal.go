// Package seal encrypts what the database keeps and must be able to read again: secrets that sign webhooks.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

const (
	keySize = 32
	maxFile = 1 << 10
)

// ErrOpen says that a text was sealed with another key, for something else, or is damaged.
var ErrOpen = errors.New("what was encrypted cannot be read with this key")

// Key seals texts with AES-256-GCM and a random nonce each.
type Key struct {
	aead   cipher.AEAD
	secret []byte
}

// New makes a key of 32 bytes.
func New(secret []byte) (*Key, error) {
	if len(secret) != keySize {
		return nil, fmt.Errorf("a key for secrets has %d bytes, not %d", keySize, len(secret))
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Key{aead, slices.Clone(secret)}, nil
}

// Seal encrypts a text that belongs to something: only what is opened for the same thing opens.
func (k *Key) Seal(text, belongs []byte) []byte { return k.aead.Seal(nil, nil, text, belongs) }

// Open decrypts what Seal made, or returns ErrOpen.
func (k *Key) Open(sealed, belongs []byte) ([]byte, error) {
	text, err := k.aead.Open(nil, nil, sealed, belongs)
	if err != nil {
		return nil, ErrOpen
	}
	return text, nil
}

// Derive is a key of 32 bytes for a purpose. It says nothing of the key, nor of what is derived for other purposes.
func (k *Key) Derive(purpose string) []byte {
	derived, err := hkdf.Key(sha256.New, k.secret, nil, purpose, keySize)
	if err != nil {
		panic(err) // of lengths alone
	}
	return derived
}

// ReadFile reads a key from a file: 32 bytes in base64. It refuses a file that others may read.
func ReadFile(path string) (*Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the key for secrets: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading the key for secrets: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("the key for secrets %s may be read by others (%v): chmod 600 it", path, mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, fmt.Errorf("reading the key for secrets: %w", err)
	}
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(secret) != keySize {
		return nil, fmt.Errorf("the key for secrets %s is not %d bytes in base64: restore it, or make one with openssl rand -base64 %[2]d", path, keySize)
	}
	return New(secret)
}

// MakeFile makes a file with a new key. It returns fs.ErrExist when there is a file. When it returns nil the file
// is on disk.
func MakeFile(path string) error {
	secret := make([]byte, keySize)
	rand.Read(secret)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("making the key for secrets: %w", err)
	}
	_, err = fmt.Fprintln(f, base64.StdEncoding.EncodeToString(secret))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("making the key for secrets: %w", err), os.Remove(path))
	}
	return nil
}
