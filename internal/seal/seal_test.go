package seal

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSeal(t *testing.T) {
	k, err := New(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	text, belongs := []byte("whsec_abc"), []byte("endpoint 1")
	sealed := k.Seal(text, belongs)
	if got, err := k.Open(sealed, belongs); err != nil || !bytes.Equal(got, text) {
		t.Fatalf("%q, %v", got, err)
	}
	if bytes.Contains(sealed, text) || bytes.Equal(sealed, k.Seal(text, belongs)) {
		t.Error("what is sealed shows its text, or that two are the same")
	}
	other, _ := New(bytes.Repeat([]byte{8}, 32))
	for name, open := range map[string]func() ([]byte, error){
		"another key":   func() ([]byte, error) { return other.Open(sealed, belongs) },
		"another owner": func() ([]byte, error) { return k.Open(sealed, []byte("endpoint 2")) },
		"damaged":       func() ([]byte, error) { b := bytes.Clone(sealed); b[len(b)-1] ^= 1; return k.Open(b, belongs) },
		"cut":           func() ([]byte, error) { return k.Open(sealed[:5], belongs) },
		"empty":         func() ([]byte, error) { return k.Open(nil, belongs) },
	} {
		if got, err := open(); !errors.Is(err, ErrOpen) || got != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := New([]byte("short")); err == nil {
		t.Error("a short key was taken")
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret.key")
	if _, err := ReadFile(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := MakeFile(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := MakeFile(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
	one, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Open(one.Seal([]byte("x"), nil), nil); err != nil || string(got) != "x" {
		t.Errorf("read twice it is two keys: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others may read: %v", err)
	}
	for _, text := range []string{"", "abc", strings.Repeat("A", 2000)} {
		bad := filepath.Join(t.TempDir(), "bad")
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(bad); err == nil || !strings.Contains(err.Error(), "openssl rand") {
			t.Errorf("a file of %d bytes: %v", len(text), err)
		}
	}
}

func TestDerive(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, 32)
	k, err := New(secret)
	if err != nil {
		t.Fatal(err)
	}
	secret[0]++ // the caller's
	same, _ := New(bytes.Repeat([]byte{7}, 32))
	other, _ := New(bytes.Repeat([]byte{8}, 32))
	links := k.Derive("links")
	if len(links) != 32 || !bytes.Equal(links, same.Derive("links")) {
		t.Errorf("two nodes with one key derive %x and %x", links, same.Derive("links"))
	}
	if bytes.Equal(links, k.Derive("other")) || bytes.Equal(links, other.Derive("links")) || bytes.Equal(links, bytes.Repeat([]byte{7}, 32)) {
		t.Error("a derived key is that of another purpose, of another key, or the key")
	}
}
