package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers/headerstest"
	"github.com/datestone/datestone/ots/signedmsg"
)

// calendar is a calendar that makes real proofs, unless it is told to misbehave:
//
//	slow      never answers
//	huge      answers 10 MB
//	garbage   answers what is no timestamp
//	broken    answers with status 500 and hostile words
//	redirect  sends clients to another scheme
//	deep      answers with 250 operations
//	false     proves something else in the end
//	replay    answers every digest as it did the first
//	elsewhere names another calendar in its promise
//	signed    takes only what some Bitcoin key signed
type calendar struct {
	behaviour string
	gone      chan struct{}

	mu      sync.Mutex // guards what is below
	url     string
	waiting [][]byte // commitments that no block holds yet
	known   map[string][]byte
	first   []byte // what replay answers
	signers []string
}

// signedBy is the public key that signed a digest.
func signedBy(text string, digest []byte) (string, error) {
	sig, err := signedmsg.Parse(text)
	if err != nil {
		return "", err
	}
	key, err := sig.Recover(signedmsg.Digest(digest))
	return key.String(), err
}

func (c *calendar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 100))
	switch c.behaviour {
	case "slow":
		select {
		case <-c.gone:
		case <-r.Context().Done():
		}
		return
	case "huge":
		for range 1000 {
			if _, err := w.Write(make([]byte, 10_000)); err != nil {
				return
			}
		}
		return
	case "garbage":
		fmt.Fprint(w, "<html>we are closed</html>")
		return
	case "broken":
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, "\x1b[2Jgone\ndatestone: all is well")
		return
	case "redirect":
		http.Redirect(w, r, "gopher://127.0.0.1/", http.StatusTemporaryRedirect)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.behaviour == "signed" && r.Method == http.MethodPost {
		key, err := signedBy(r.Header.Get("X-Signature"), body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		c.signers = append(c.signers, key)
	} else if r.Header["X-Signature"] != nil {
		http.Error(w, "a signature that nobody asked for", http.StatusBadRequest)
		return
	}
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/digest":
		b := c.accept(body)
		if c.behaviour == "replay" {
			if c.first == nil {
				c.first = b
			}
			b = c.first
		}
		w.Write(b)
	case strings.HasPrefix(r.URL.Path, "/timestamp/"):
		name := strings.TrimPrefix(r.URL.Path, "/timestamp/")
		if b, ok := c.known[name]; ok {
			w.Write(b)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		for _, m := range c.waiting {
			if hex.EncodeToString(m) == name {
				fmt.Fprint(w, "Pending confirmation in Bitcoin blockchain")
				return
			}
		}
		fmt.Fprint(w, "Not found\x1b[31m")
	default:
		http.NotFound(w, r)
	}
}

// accept takes a digest the way the reference server does, but for its 44-byte
// commitment.
func (c *calendar) accept(digest []byte) []byte {
	var nonce [16]byte
	rand.Read(nonce[:])
	path := ots.Path{}.Append(nonce[:]).SHA256().Prepend([]byte("time"))
	if c.behaviour == "deep" {
		for range 250 {
			path = path.SHA256()
		}
	}
	commitment, err := path.Apply(digest)
	if err != nil {
		panic(err)
	}
	c.waiting = append(c.waiting, commitment)
	uri := c.url
	if c.behaviour == "elsewhere" {
		uri = "https://elsewhere.example"
	}
	att, err := ots.PendingAttestation(uri)
	if err != nil {
		panic(err)
	}
	b, err := ots.New(path, att).AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return b
}

// mine puts all that the calendars wait for into the Merkle root of one block.
func mine(chain *headerstest.Chain, calendars []*calendar) error {
	type place struct {
		c          *calendar
		commitment []byte
	}
	var places []place
	var leaves [][32]byte
	for _, c := range calendars {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, m := range c.waiting {
			places = append(places, place{c, m})
			leaves = append(leaves, sha256.Sum256(m))
		}
		c.waiting = nil
	}
	if len(leaves) == 0 {
		chain.Mine([32]byte{0xff, byte(chain.Tip())})
		return nil
	}
	tree := ots.MerkleTree(leaves)
	height := chain.Mine(tree.Root())
	for i, p := range places {
		path := ots.Path{}.SHA256().Concat(tree.Path(i))
		if p.c.behaviour == "false" {
			path = path.SHA256()
		}
		b, err := ots.New(path, ots.BitcoinAttestation(height)).AppendBinary(nil)
		if err != nil {
			return err
		}
		p.c.known[hex.EncodeToString(p.commitment)] = b
	}
	return nil
}
