package fsck_test

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/ots/signedmsg"
)

// buildSigned is a database in which two customers have signed digests, and one has a stamp, in shared batches.
func buildSigned(t *testing.T) made {
	t.Helper()
	m := made{t: t, path: filepath.Join(t.TempDir(), "datestone.db")}
	db, err := store.Open(t.Context(), m.path, store.Options{EpochEntries: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for batch := range 3 {
		creates := []account.Create{}
		for n := range 2 {
			email := fmt.Sprintf("%d@example.org", n)
			owner, err := db.CreateAccount(t.Context(), now, email, "business")
			if batch > 0 {
				owner, err = db.Account(t.Context(), int64(n+1))
			}
			if err != nil {
				t.Fatal(err)
			}
			key, err := signedmsg.NewPrivateKey()
			if err != nil {
				t.Fatal(err)
			}
			signer, err := db.AddSigner(t.Context(), now, account.Signer{Account: owner.ID, Key: key.Public(), Version: "0.3.0"})
			if err != nil {
				t.Fatal(err)
			}
			signed := account.Signed{Signer: signer.ID, Digest: fmt.Appendf(nil, "%d of %d", batch, n)}
			signed.Signature = key.Sign(signedmsg.Digest(signed.Digest))
			rand.Read(signed.Nonce[:])
			creates = append(creates, account.Create{Account: owner.ID, Signed: &signed, Quota: 100})
		}
		if batch == 0 {
			creates = append(creates, account.Create{Account: 1, Items: []account.Item{{SHA256: [32]byte{1}, File: account.File{Name: "plan.pdf", Size: 1}}}, Quota: 100})
		}
		results, err := db.AppendStamps(t.Context(), now, creates)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	return m
}

func TestSignedDigests(t *testing.T) {
	if r := buildSigned(t).check(); !r.Clean() || r.Signed != 6 {
		t.Errorf("signed digests of two customers: %+v", r)
	}
	for name, c := range map[string]struct{ damage, want string }{
		"another's signature": {`UPDATE signed SET signature = (SELECT o.signature FROM signed o WHERE o.digest = CAST('1 of 1' AS BLOB)) WHERE digest = CAST('1 of 0' AS BLOB)`, "its signature is by the key"},
		"an invented digest":  {`UPDATE signed SET digest = CAST('invented' AS BLOB) WHERE digest = CAST('1 of 0' AS BLOB)`, "its signature"},
		"no signature":        {`UPDATE signed SET signature = zeroblob(65) WHERE digest = CAST('0 of 1' AS BLOB)`, "its signature"},
		"another's key":       {`UPDATE signed SET signer = 2 WHERE digest = CAST('0 of 0' AS BLOB)`, "its key 2 is not there"},
		"no key":              {`DELETE FROM signer WHERE id = 1`, "its key 1 is not there"},
		"nonce":               {`UPDATE signed SET nonce = zeroblob(16) WHERE digest = CAST('2 of 0' AS BLOB)`, "leaf 0 of the batch at 1/1, a signed digest of account 1: digest and nonce give"},
		"leaf":                {`UPDATE signed SET leaf = 1 WHERE digest = CAST('2 of 0' AS BLOB)`, "leaf 1 of the batch at 1/1, a signed digest of account 1: digest and nonce give"},
		"leaf out of bounds":  {`UPDATE signed SET leaf = 1000 WHERE digest = CAST('2 of 0' AS BLOB)`, "there is no such leaf"},
		"position":            {`UPDATE signed SET position = 1 WHERE digest = CAST('0 of 0' AS BLOB)`, "the batch at 0/1, a signed digest of account 1: "},
		"leaves":              {`UPDATE kept SET leaves = zeroblob(96) WHERE position = 0`, "the batch at 0/0: its leaves give"},
		"cut leaves":          {`UPDATE kept SET leaves = zeroblob(31) WHERE position = 0`, "the batch at 0/0: it has 31 bytes"},
		"no leaves":           {`DELETE FROM kept WHERE position = 0`, "there is no such leaf"},
		"a bill too high":     {`UPDATE quota_use SET used = used + 1 WHERE account = 1`, "account 1 is charged for 5 and keeps 4"},
		"one that is gone":    {`DELETE FROM signed WHERE digest = CAST('0 of 1' AS BLOB)`, "account 2 is charged for 3 and keeps 2"},
	} {
		t.Run(name, func(t *testing.T) {
			m := buildSigned(t)
			m.sql(c.damage)
			var all []string
			for _, p := range m.check().Problems {
				all = append(all, p.String())
			}
			if found := strings.Join(all, "\n"); !strings.Contains(found, c.want) {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}
