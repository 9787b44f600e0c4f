package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/otshttp"
)

// accountFlags say whose account stamps are kept in. The service's address makes the mode: a key alone that is
// in the environment sends nothing anywhere.
type accountFlags struct {
	API        string `name:"api" placeholder:"URL" help:"The service, such as https://stamps.example.org. Default: $DATESTONE_API." group:"acc"`
	APIKey     string `name:"api-key" placeholder:"KEY" xor:"key" help:"The account's API key. Other users of this machine may see it here; $DATESTONE_API_KEY or a file keeps it from them." group:"acc"`
	APIKeyFile string `name:"api-key-file" placeholder:"FILE" xor:"key" help:"A file with the API key in it." group:"acc"`
}

const (
	envAPI    = "DATESTONE_API"
	envAPIKey = "DATESTONE_API_KEY"

	// slow is a pause between tries that people are told of.
	slow = 3 * time.Second
)

func (f *accountFlags) given() bool { return f.API != "" || f.APIKey != "" || f.APIKeyFile != "" }

// account makes the client of the account that the options or the environment name.
func (a *app) account() (*api.Client, error) {
	address := a.API
	if address == "" {
		address = os.Getenv(envAPI)
	}
	if address == "" {
		return nil, usagef("with --api URL, or in "+envAPI, "name the service that has the account")
	}
	key, err := a.apiKey()
	if err != nil {
		return nil, err
	}
	client, err := api.New(address, key, api.Options{
		HTTP:      a.client(seconds(api.DefaultTimeout)),
		UserAgent: "datestone/" + version(),
		Retrying: func(err error, wait time.Duration) {
			say := a.detailf
			if wait >= slow {
				say = a.notef
			}
			say("%s; trying again in %s", err, wait.Round(time.Second/10))
		},
	})
	if err != nil {
		return nil, usage(err, "see 'datestone --help'")
	}
	if u, err := url.Parse(address); err == nil && u.Scheme == "http" && !isLocal(u.Hostname()) {
		a.warnf("the API key goes to %s unencrypted", u.Host)
	}
	return client, nil
}

func (a *app) apiKey() (string, error) {
	switch {
	case a.APIKey != "":
		return a.APIKey, nil
	case a.APIKeyFile != "":
		f, err := os.Open(a.APIKeyFile)
		if err != nil {
			return "", openError(a.APIKeyFile, err)
		}
		defer f.Close()
		text, err := io.ReadAll(io.LimitReader(f, 4096))
		if err != nil {
			return "", fmt.Errorf("reading the API key: %w", err)
		}
		key := strings.TrimSpace(string(text))
		if key == "" {
			return "", usagef("", "%s has no API key in it", a.APIKeyFile)
		}
		return key, nil
	}
	if key := strings.TrimSpace(os.Getenv(envAPIKey)); key != "" {
		return key, nil
	}
	return "", usagef("in "+envAPIKey+", or with --api-key-file FILE", "give the account's API key")
}

// accountError gives a service's refusal its exit code and what to do about it.
func accountError(err error) error {
	hints := map[api.Code]string{
		api.ErrInvalidAPIKey:          "it may have been rotated; ask for the present one",
		api.ErrAuthenticationRequired: "it may be that a proxy takes the key away",
		api.ErrPlanNotEntitled:        "the account's plan has no API access",
		api.ErrMonthlyLimitReached:    "nothing of this request was stamped; wait for the next month, or change the plan",
		api.ErrTimestampNotFound:      "'datestone list' shows what the account has",
		api.ErrInvalidID:              "a stamp is named by its id or by the 64 digits of the file's SHA-256",
		api.ErrNotFound:               "the service may be older than this tool",
		api.ErrOTSNotFound:            "try again later",
	}
	for code, hint := range hints {
		if errors.Is(err, code) {
			if code == api.ErrOTSNotFound {
				return &toolError{err, hint, exitUnreached}
			}
			return usage(err, hint)
		}
	}
	if e, ok := errors.AsType[*api.Error](err); ok && !api.Temporary(err) && e.Status < http.StatusInternalServerError {
		return usage(err, "")
	}
	return err
}

// keptProof parses a proof that a service gave, which must be of that digest.
func keptProof(raw []byte, digest string) (*ots.File, error) {
	f, err := ots.ParseFile(raw)
	if err != nil {
		return nil, fmt.Errorf("the service gave no valid proof: %w", err)
	}
	want, err := hex.DecodeString(digest)
	if err != nil || f.HashOp != ots.OpSHA256 || !bytes.Equal(f.Digest, want) {
		return nil, errors.New("the service gave the proof of other data")
	}
	return f, nil
}

func proofStatus(f *ots.File) string {
	if otshttp.Complete(f.Timestamp) {
		return "complete"
	}
	return "pending"
}
