package testnode

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// MainnetHeaders returns the first 14132 headers of Bitcoin's main chain, 80 bytes each,
// from the blocks in the tests of btcd, whose source script/setup has fetched for the
// program. The difficulty could have changed seven times in them, and was kept by its limit.
func MainnetHeaders(t testing.TB) []byte {
	t.Helper()
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/btcsuite/btcd")
	cmd.Dir = filepath.Join(Root(t), "tools")
	out, err := cmd.Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		t.Fatalf("btcd's source is not here, run script/setup: %v", err)
	}
	blocks, err := os.ReadFile(filepath.Join(dir, "blockchain", "testdata", "blk_0_to_14131.dat"))
	if err != nil {
		t.Fatal(err)
	}
	// Each block comes after the network's number and its own length; zeros follow the last.
	const magic, count = 0xd9b4bef9, 14132
	raw := make([]byte, 0, 80*count)
	for len(blocks) > 88 && binary.LittleEndian.Uint32(blocks) == magic {
		size := int(binary.LittleEndian.Uint32(blocks[4:]))
		raw = append(raw, blocks[8:88]...)
		blocks = blocks[min(8+size, len(blocks)):]
	}
	if len(raw) != 80*count {
		t.Fatalf("%d headers, want %d", len(raw)/80, count)
	}
	return raw
}
