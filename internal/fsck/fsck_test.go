package fsck_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/fsck"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/ots"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// chain is a best chain whose blocks have hashes made from their height, and the Merkle roots that the
// test wants.
type chain struct {
	tip   int64
	fork  map[int64]bool     // heights at which other blocks stand now
	roots map[int64][32]byte // by height
}

func (c chain) Tip(context.Context) (int64, error) { return c.tip, nil }
func (c chain) Confirmations() int64               { return 6 }
func (c chain) Block(_ context.Context, height int64) (hash, root [32]byte, err error) {
	if height > c.tip {
		return hash, root, errors.New("no such block")
	}
	if c.fork[height] {
		return blockHash("other", height), c.roots[height], nil
	}
	return blockHash("best", height), c.roots[height], nil
}

func (c chain) CheckAttempt(a anchor.Attempt) error {
	if string(a.Raw) != "transaction of "+a.Ref {
		return errors.New("its bytes are another transaction")
	}
	return nil
}

func blockHash(branch string, height int64) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%s %d", branch, height))
}

// made is a database of two epochs, with an attempt and an attestation at block 100, its chain, and the
// means to damage them.
type made struct {
	t     *testing.T
	path  string
	mark  logtree.Head
	chain chain
}

func build(t *testing.T) made {
	t.Helper()
	m := made{t: t, path: filepath.Join(t.TempDir(), "datestone.db")}
	db, err := store.Open(t.Context(), m.path, store.Options{EpochEntries: 80})
	if err != nil {
		t.Fatal(err)
	}
	var tips [][32]byte
	for i := range 93 {
		tips = append(tips, sha256.Sum256([]byte{byte(i)}))
	}
	if _, err := db.Append(t.Context(), now, tips[:10]); err != nil {
		t.Fatal(err)
	}
	head, err := db.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Append(t.Context(), now, tips[10:]); err != nil {
		t.Fatal(err)
	}
	if m.mark, err = db.Head(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	m.chain = chain{tip: 105, roots: map[int64][32]byte{100: head.Root}}
	proof, err := ots.New(ots.Path{}, ots.BitcoinAttestation(100)).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	hash := blockHash("best", 100)
	m.sql(`INSERT INTO target (name, genesis, height, status, updated) VALUES ('bitcoin', '', 105, '{}', 0)`)
	m.sql(`INSERT INTO attestation (id, target, purpose, epoch, size, root, proof, height, block, block_time, ref, state, changed)
		VALUES (1, 'bitcoin', 'log', $1, $2, $3, $4, 100, $5, 0, 'tx', 1, 0)`, head.Epoch, head.Size, head.Root[:], proof, hash[:])
	m.sql(`INSERT INTO attempt (id, target, purpose, epoch, size, root, conflict, raw, ref, fee, vsize, created, sent, state, height, changed)
		VALUES (1, 'bitcoin', 'log', $1, $2, $3, 'coin', $4, 'tx', 100, 100, 1, 1, 2, 100, 1)`, head.Epoch, head.Size, head.Root[:], []byte("transaction of tx"))
	m.sql(`INSERT INTO attempt_use (attempt, name) VALUES (1, 'coin')`)
	return m
}

func (m made) sql(text string, args ...any) {
	m.t.Helper()
	raw, err := sql.Open("sqlite", m.path)
	if err != nil {
		m.t.Fatal(err)
	}
	defer raw.Close()
	result, err := raw.Exec(text, args...)
	if err != nil {
		m.t.Fatal(err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		m.t.Fatalf("%s changed %d rows, %v", text, n, err)
	}
}

func (m made) check() *fsck.Report {
	m.t.Helper()
	db, err := store.Open(m.t.Context(), m.path, store.Options{ReadOnly: true})
	if err != nil {
		m.t.Fatal(err)
	}
	defer db.Close()
	r, err := fsck.Check(m.t.Context(), db, fsck.Options{Mark: m.mark, Chains: map[string]fsck.Chain{"bitcoin": m.chain}})
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

func TestCleanLog(t *testing.T) {
	m := build(t)
	r := m.check()
	if !r.Clean() || r.Entries != 94 || r.Epochs != 2 || r.Attestations != 1 || r.Attempts != 1 || len(r.Unchecked) != 0 {
		t.Errorf("a log of two epochs: %+v", r)
	}
}

// An epoch that an operator ended before its first entry is as it should be.
func TestEmptyEpoch(t *testing.T) {
	m := made{t: t, path: filepath.Join(t.TempDir(), "datestone.db")}
	db, err := store.Open(t.Context(), m.path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.BeginEpoch(t.Context(), now, 1, "a drill")
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if r := m.check(); !r.Clean() || r.Epochs != 2 {
		t.Errorf("a log whose first epoch is empty: %+v", r)
	}
	m.sql(`UPDATE epoch SET root = $1`, bytes.Repeat([]byte{1}, 32))
	if m.check().Clean() {
		t.Error("a false root of an empty epoch passed")
	}
}

// Each row damages one thing; the check must name it.
func TestDamage(t *testing.T) {
	zero := make([]byte, 32)
	for name, c := range map[string]struct {
		damage func(m *made)
		want   string
	}{
		"tip": {func(m *made) { m.sql(`UPDATE entry SET tip = $1 WHERE position = 5`, zero) }, "entry 0/5"},
		"nodes": {func(m *made) {
			m.sql(`UPDATE entry SET nodes = $1 WHERE position = 7`, append(zero, append(zero, zero...)...))
		}, "entry 0/7: its 3 stored nodes"},
		"nodes are missing":      {func(m *made) { m.sql(`UPDATE entry SET nodes = $1 WHERE position = 7`, zero) }, "entry 0/7: its 1 stored nodes"},
		"missing entry":          {func(m *made) { m.sql(`DELETE FROM entry WHERE position = 6`) }, "entry 0/6: it is missing"},
		"missing last entry":     {func(m *made) { m.sql(`DELETE FROM entry WHERE position = (SELECT MAX(position) FROM entry)`) }, "entry 1/13"},
		"leaves":                 {func(m *made) { m.sql(`UPDATE tile SET leaves = $1`, make([]byte, 64*32)) }, "the leaves from entry 0/0 on"},
		"missing leaves":         {func(m *made) { m.sql(`DELETE FROM tile`) }, "the leaves from entry 0/0 on"},
		"all of an epoch":        {func(m *made) { m.sql(`DELETE FROM entry WHERE position < 100`) }, "entry 0/0"},
		"edge":                   {func(m *made) { m.sql(`UPDATE head SET edge = $1`, append(zero, append(zero, zero...)...)) }, "the head: its stored edge"},
		"link":                   {func(m *made) { m.sql(`UPDATE entry SET tip = $1 WHERE position = $2`, zero, int64(1)<<48) }, "entry 1/0: it should begin"},
		"root of an ended epoch": {func(m *made) { m.sql(`UPDATE epoch SET root = $1`, zero) }, "the end of epoch 0"},
		"mark ahead":             {func(m *made) { m.mark.Size++ }, "the high-water mark: it names a head"},
		"mark of another log":    {func(m *made) { m.mark.Root[0] ^= 1 }, "the high-water mark: it has the root"},
		"head of an attestation": {func(m *made) { m.sql(`UPDATE attestation SET root = $1`, zero) }, "attestation 1 of bitcoin: it has the root"},
		"size of an attestation": {func(m *made) { m.sql(`UPDATE attestation SET size = 99`) }, "attestation 1 of bitcoin: it names a head"},
		"proof":                  {func(m *made) { m.sql(`UPDATE attestation SET proof = $1`, zero) }, "attestation 1 of bitcoin: its proof cannot be read"},
		"height":                 {func(m *made) { m.sql(`UPDATE attestation SET height = 99`) }, "attestation 1 of bitcoin: its proof is for block 100"},
		"kind":                   {func(m *made) { m.sql(`UPDATE attestation SET kind = 'litecoin'`) }, "attestation 1 of bitcoin: its proof does not evaluate: it attests to bitcoin, and its row to litecoin"},
		"merkle root":            {func(m *made) { m.chain.roots[100] = [32]byte{1} }, "attestation 1 of bitcoin: its proof ends at"},
		"fork":                   {func(m *made) { m.chain.fork = map[int64]bool{100: true} }, "attestation 1 of bitcoin: its block at height 100 is not"},
		"shorter chain":          {func(m *made) { m.chain.tip = 99 }, "attestation 1 of bitcoin: its block at height 100 is not"},
		"too young":              {func(m *made) { m.chain.tip = 104 }, "attestation 1 of bitcoin: it is counted with 5 of 6"},
		"withdrawn for nothing":  {func(m *made) { m.sql(`UPDATE attestation SET state = 3`) }, "attestation 1 of bitcoin: it is withdrawn"},
		"head of an attempt":     {func(m *made) { m.sql(`UPDATE attempt SET root = $1`, zero) }, "attempt 1 of bitcoin: it has the root"},
		"attempt for no seed":    {func(m *made) { m.sql(`UPDATE attempt SET purpose = 'seed'`) }, "attempt 1 of bitcoin: it carries seed 0, which is not there or not made"},
		"attested for no seed":   {func(m *made) { m.sql(`UPDATE attestation SET purpose = 'seed', epoch = 7`) }, "attestation 1 of bitcoin: it carries seed 7, which is not there or not made"},
		"purpose":                {func(m *made) { m.sql(`UPDATE attestation SET purpose = 'tree'`) }, `attestation 1 of bitcoin: it carries "tree", which is nothing that is known`},
		"bytes of an attempt":    {func(m *made) { m.sql(`UPDATE attempt SET raw = $1`, zero) }, "attempt 1 of bitcoin: its bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			m := build(t)
			c.damage(&m)
			r := m.check()
			var all []string
			for _, p := range r.Problems {
				all = append(all, p.String())
			}
			if found := strings.Join(all, "\n"); !strings.Contains(found, c.want) {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}

func TestWithoutANode(t *testing.T) {
	m := build(t)
	db, err := store.Open(t.Context(), m.path, store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r, err := fsck.Check(t.Context(), db, fsck.Options{})
	if err != nil || !r.Clean() || len(r.Unchecked) == 0 {
		t.Errorf("without a node: %+v, %v; want clean, and what was not checked", r, err)
	}
}
