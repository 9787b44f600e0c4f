package otshttp_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/otshttp"
)

// Stamping: the digest goes to the public calendars, of which two
// must promise to commit it.
func Example_stamp() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()

	digest := sha256.Sum256([]byte("what I know today"))
	var client otshttp.Client
	replies, err := client.SubmitAll(ctx, otshttp.DefaultCalendars, digest[:], otshttp.Quorum{Need: 2})
	if err != nil {
		fmt.Println("not stamped:", err)
		return
	}
	proof := &ots.File{HashOp: ots.OpSHA256, Digest: digest[:], Timestamp: &ots.Timestamp{}}
	for _, r := range replies {
		if r.Err == nil {
			proof.Timestamp.Merge(r.Timestamp)
		}
	}
	b, err := proof.AppendBinary(nil)
	fmt.Println(len(b), err)
}

// Completing a proof some hours later.
func ExampleUpgrade() {
	var proof *ots.File // read with ots.ReadFile
	allowed, err := otshttp.NewAllowlist(otshttp.DefaultAllowed...)
	if err != nil {
		panic(err)
	}
	up := otshttp.Upgrade{Allowed: allowed}
	answers, err := up.File(context.Background(), proof)
	if err != nil {
		fmt.Println("not a proof to work on:", err)
		return
	}
	for _, a := range answers {
		fmt.Println(a.Calendar, a.Changed, a.Err)
	}
	fmt.Println("complete:", otshttp.Complete(proof.Timestamp))
}
