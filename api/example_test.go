package api_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/datestone/datestone/api"
)

// Only the hash, the name and the size of a file are sent.
func Example() {
	ctx := context.Background()
	client, err := api.New("https://stamps.example.org", os.Getenv("DATESTONE_API_KEY"), api.Options{})
	if err != nil {
		log.Fatal(err)
	}
	content, err := os.ReadFile("msa-v3.pdf")
	if err != nil {
		log.Fatal(err)
	}
	sum := sha256.Sum256(content)
	hash := hex.EncodeToString(sum[:])

	ts, err := client.Create(ctx, api.CreateRequest{
		SHA256Hash: hash, Filename: "msa-v3.pdf", FileSizeBytes: int64(len(content)),
		// A job that runs again after a crash sends the same key and gets the same timestamp.
		IdempotencyKey: "contract-msa-v3",
	})
	if errors.Is(err, api.ErrDuplicateTimestamp) {
		ts, err = client.ByHash(ctx, hash)
	}
	if err != nil {
		log.Fatal(err)
	}

	proof, err := client.OTS(ctx, ts.ID)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("msa-v3.pdf.ots", proof, 0o644); err != nil {
		log.Fatal(err)
	}
	fmt.Println(ts.CertificateURL)
}

// Several files in one request, and in one decision about the quota.
func ExampleClient_CreateBatch() {
	ctx := context.Background()
	client, err := api.New("https://stamps.example.org", os.Getenv("DATESTONE_API_KEY"), api.Options{})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := client.CreateBatch(ctx, api.BatchRequest{Items: []api.CreateRequest{
		{SHA256Hash: "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", Filename: "a.txt", FileSizeBytes: 1},
		{SHA256Hash: "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d", Filename: "b.txt", FileSizeBytes: 1},
	}})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range answer.Data {
		fmt.Println(r.Timestamp.Filename, r.Result)
	}
}

func ExampleClient_Wait() {
	client, err := api.New("https://stamps.example.org", os.Getenv("DATESTONE_API_KEY"), api.Options{})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Hour)
	defer cancel()
	ts, err := client.Wait(ctx, "7b4d95f8-91cb-4e1c-b7d6-1eb9f0de4e8d")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("in block", *ts.BitcoinBlock)
}

func ExampleClient_List() {
	client, err := api.New("https://stamps.example.org", os.Getenv("DATESTONE_API_KEY"), api.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for ts, err := range client.List(context.Background(), api.ListOptions{Status: api.StatusPending}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ts.ID, ts.Filename)
	}
}

// What the server answers instead of a result has a code, and an id that its operator finds it by.
func ExampleError() {
	client, err := api.New("https://stamps.example.org", os.Getenv("DATESTONE_API_KEY"), api.Options{})
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Usage(context.Background())
	if errors.Is(err, api.ErrInvalidAPIKey) {
		fmt.Println("the key was revoked")
	} else if e, ok := errors.AsType[*api.Error](err); ok {
		fmt.Println(e.Code, e.RequestID)
	}
}

// A receiver answers 2xx once it has kept the event, and anything else to get it again.
func ExampleVerifyWebhook() {
	secrets := []string{os.Getenv("DATESTONE_WEBHOOK_SECRET")}
	http.HandleFunc("POST /datestone", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
		if err != nil {
			http.Error(w, "too long", http.StatusRequestEntityTooLarge)
			return
		}
		event, err := api.VerifyWebhook(secrets, r.Header, body)
		if err != nil {
			http.Error(w, "not signed", http.StatusUnauthorized)
			return
		}
		// event.ID is the same when an event comes again.
		if event.Type == api.EventConfirmed {
			fmt.Println(event.Data.Timestamp.Filename, "is confirmed by", event.Data.Target)
		}
	})
}
