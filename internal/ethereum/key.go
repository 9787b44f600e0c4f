package ethereum

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/btcsuite/btcd/btcec/v2"
)

// private says whether the system has permissions that keep others from reading a file.
const private = runtime.GOOS != "windows"

// readKeyFile reads a private key of 64 hexadecimal digits. Its errors never hold what the file holds.
func readKeyFile(path string) (*btcec.PrivateKey, error) {
	text, err := readSecret(path)
	if err != nil {
		return nil, fmt.Errorf("reading the key file: %w", err)
	}
	raw, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
	if err != nil || len(raw) != 32 {
		return nil, fmt.Errorf("the key file %s does not hold a private key of 64 hexadecimal digits", path)
	}
	var scalar btcec.ModNScalar
	if overflow := scalar.SetByteSlice(raw); overflow || scalar.IsZero() {
		return nil, fmt.Errorf("what the key file %s holds is no private key; make another", path)
	}
	return btcec.PrivKeyFromScalar(&scalar), nil
}

// GenerateKeyFile makes a file with a new key that only this user can read. It never replaces a file. It returns the
// key's address, which needs coins of the chain.
func GenerateKeyFile(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("making a key file: %w", err)
	}
	var key *btcec.PrivateKey
	for key == nil {
		var raw [32]byte
		rand.Read(raw[:])
		var scalar btcec.ModNScalar
		if overflow := scalar.SetByteSlice(raw[:]); !overflow && !scalar.IsZero() {
			key = btcec.PrivKeyFromScalar(&scalar)
		}
	}
	_, err = fmt.Fprintf(f, "%x\n", key.Serialize())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("making a key file: %w", err), os.Remove(path))
	}
	return addressOf(key.PubKey()).String(), nil
}

// Address is the account of the key in a file.
func Address(path string) (string, error) {
	key, err := readKeyFile(path)
	if err != nil {
		return "", err
	}
	return addressOf(key.PubKey()).String(), nil
}
