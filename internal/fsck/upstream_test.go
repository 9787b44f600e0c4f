package fsck_test

import (
	"strings"
	"testing"

	"github.com/datestone/datestone/ots"
)

func TestDamagedSubmissions(t *testing.T) {
	zero := make([]byte, 32)
	for name, c := range map[string]struct {
		damage, want string
		args         []any
	}{
		"nothing":          {"", "", nil},
		"commitment":       {`UPDATE submission SET commitment = $1`, "submission 1 to https://pool.test: its path ends at", []any{zero}},
		"path":             {`UPDATE submission SET path = $1`, "submission 1 to https://pool.test: its path cannot be read", []any{[]byte{1}}},
		"root":             {`UPDATE submission SET root = $1`, "submission 1 to https://pool.test: it has the root", []any{zero}},
		"size":             {`UPDATE submission SET size = 99`, "submission 1 to https://pool.test: it names a head", nil},
		"calendar":         {`UPDATE submission SET uri = 'https://a.test/?x'`, "its calendar cannot be named", nil},
		"answer":           {`UPDATE submission SET proof = $1`, "submission 1 to https://pool.test: its proof cannot be read", []any{zero}},
		"height":           {`UPDATE submission SET height = 99`, "its answer is for block 100 and its row for block 99", nil},
		"attested by none": {`UPDATE submission SET ref = 'other'`, "it is attested by other, which is no attestation of bitcoin", nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := build(t)
			path := ots.Path{}.Append([]byte("nonce")).SHA256()
			root := m.chain.roots[100]
			commitment, err := path.Apply(root[:])
			if err != nil {
				t.Fatal(err)
			}
			proof, err := ots.New(path, ots.BitcoinAttestation(100)).AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			m.sql(`INSERT INTO submission (id, target, epoch, size, root, calendar, uri, path, commitment, proof, height, ref, state, created, changed, next, tries)
				SELECT 1, 'bitcoin', epoch, size, root, 'https://pool.test', 'https://a.test', $1, $2, $3, 100, 'tx', 2, 0, 0, 0, 0 FROM attestation`, path.Bytes(), commitment, proof)
			if c.damage != "" {
				m.sql(c.damage, c.args...)
			}
			r := m.check()
			var all []string
			for _, p := range r.Problems {
				all = append(all, p.String())
			}
			if found := strings.Join(all, "\n"); r.Submissions != 1 || !strings.Contains(found, c.want) || (found == "") != (c.want == "") {
				t.Errorf("found %q of %d submissions, want %q", found, r.Submissions, c.want)
			}
		})
	}
}
