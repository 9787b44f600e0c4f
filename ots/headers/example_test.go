package headers_test

import (
	"context"
	"fmt"

	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers"
)

// Verifying the Bitcoin attestations of a proof with the node of this machine.
func Example() {
	var proof *ots.File // read with ots.ReadFile
	dir, err := headers.DefaultDataDir()
	if err != nil {
		panic(err)
	}
	cfg, err := headers.LocalNode(headers.Mainnet, dir)
	if err != nil {
		panic(err)
	}
	source, err := headers.NewNode(headers.Mainnet, cfg)
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	err = proof.Timestamp.Walk(proof.Digest, func(n *ots.Timestamp, msg []byte) error {
		for _, a := range n.Attestations() {
			height, ok := a.Height()
			if a.Kind() != ots.KindBitcoin || !ok {
				continue
			}
			h, err := source.Header(ctx, height)
			if err != nil {
				return err
			}
			at, err := a.VerifyHeader(msg, h)
			if err != nil {
				return err
			}
			fmt.Println("existed at", at, "unchecked:", source.Unchecked())
		}
		return nil
	})
	fmt.Println(err)
}
