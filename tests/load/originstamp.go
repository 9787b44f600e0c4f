package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
)

// bulk is how many hashes a request of OriginStamp's clients has at most.
const bulk = 100

func bulkRequest(_, _ int, b []byte) []byte {
	body := []byte(`{"timestamps":[`)
	for i := range bulk {
		if i > 0 {
			body = append(body, ',')
		}
		var digest [32]byte
		rand.Read(digest[:])
		body = append(hex.AppendEncode(append(body, `{"hash":"`...), digest[:]), `","comment":"build 17"}`...)
	}
	body = append(body, "]}"...)
	b = fmt.Appendf(b, "POST /v4/timestamp/bulk/create HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", loadKey, len(body))
	return append(b, body...)
}

// bulks measures OriginStamp's bulk requests against the native batches of the same server, in turn.
func (l *lab) bulks(ctx context.Context, connections []int) error {
	folder, err := os.MkdirTemp("", "datestone-load-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	// A publication carries seeds and asks no node.
	s, err := serveAccounts(ctx, l, fmt.Sprintf("[originstamp]\nenabled = true\n[publication]\nname = \"Load\"\nfolder = %q\n", folder))
	if err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	defer s.stop()
	for _, n := range connections {
		var rates, natives, ratios, micros, nativeMicros []float64
		for range l.rounds {
			native, err := driveWith(ctx, s, 2, l.round, true, batchRequest)
			if err != nil {
				return err
			}
			r, err := driveWith(ctx, s, n, l.round, true, bulkRequest)
			if err != nil {
				return err
			}
			rate, beside := r.perSecond()*bulk, native.perSecond()*batch
			rates, natives, ratios = append(rates, rate), append(natives, beside), append(ratios, rate/beside)
			micros, nativeMicros = append(micros, r.serverMicros()/bulk), append(nativeMicros, native.serverMicros()/batch)
		}
		fmt.Printf("%-34s %8.0f hashes/s, native batches %8.0f/s, ratio %.2f; processor time %.0f µs a hash, native %.0f µs\n",
			fmt.Sprintf("bulks of %d, %d connections", bulk, n), median(rates), median(natives), median(ratios), median(micros), median(nativeMicros))
	}
	return nil
}
