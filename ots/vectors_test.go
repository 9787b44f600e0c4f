package ots_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testdata reads a file of hexadecimal digits in lines.
func testdata(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return unhex(tb, strings.Join(strings.Fields(string(text)), ""))
}

// unhex reads hexadecimal digits; spaces are for the reader.
func unhex(tb testing.TB, digits string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
