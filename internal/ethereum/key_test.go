package ethereum

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func keyFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made")
	made, err := GenerateKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if read, err := Address(path); err != nil || read != made {
		t.Errorf("the address read is %s, %v; want %s", read, err, made)
	}
	if _, err := GenerateKeyFile(path); err == nil {
		t.Error("a key file was replaced")
	}
	if got, err := Address(keyFile(t, testKey)); err != nil || got != "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266" {
		t.Errorf("anvil's first account: %s, %v", got, err)
	}
	readable := keyFile(t, testKey)
	if err := os.Chmod(readable, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, want string }{
		"readable by others": {readable, "chmod 600"},
		"zero":               {keyFile(t, strings.Repeat("0", 64)), "no private key"},
		"the group's order":  {keyFile(t, "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"), "no private key"},
		"short":              {keyFile(t, "abcd"), "64 hexadecimal digits"},
		"words":              {keyFile(t, "test test test junk"), "64 hexadecimal digits"},
		"missing":            {filepath.Join(t.TempDir(), "none"), "no such file"},
	} {
		_, err := Address(c.path)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "test test") {
			t.Errorf("%s: the error shows the file: %v", name, err)
		}
	}
}
