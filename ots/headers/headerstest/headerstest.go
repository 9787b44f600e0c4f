// Package headerstest is a Bitcoin regtest chain for tests of what reads block headers:
// its blocks hold nothing but a Merkle root that the test chooses, and it answers as a
// node's RPC, as an Esplora server and as a headers file.
package headerstest

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/datestone/datestone/ots"
)

// Chain is a regtest chain. It is safe for concurrent use.
type Chain struct {
	mu     sync.Mutex // guards blocks
	blocks [][ots.HeaderSize]byte
}

// GenesisTime is the time of block 0; each block comes ten minutes after the one before.
var GenesisTime = time.Unix(1296688602, 0).UTC()

// New makes a chain that consists of regtest's genesis block.
func New() *Chain {
	root, _ := hex.DecodeString("3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a")
	var raw [ots.HeaderSize]byte
	binary.LittleEndian.PutUint32(raw[0:], 1)
	copy(raw[36:], root)
	binary.LittleEndian.PutUint32(raw[68:], uint32(GenesisTime.Unix()))
	binary.LittleEndian.PutUint32(raw[72:], 0x207fffff)
	binary.LittleEndian.PutUint32(raw[76:], 2)
	return &Chain{blocks: [][ots.HeaderSize]byte{raw}}
}

// Mine adds a block with a Merkle root and returns its height.
func (c *Chain) Mine(root [32]byte) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	height := len(c.blocks)
	prev := hash(c.blocks[height-1])
	var raw [ots.HeaderSize]byte
	binary.LittleEndian.PutUint32(raw[0:], 0x20000000)
	copy(raw[4:], prev[:])
	copy(raw[36:], root[:])
	binary.LittleEndian.PutUint32(raw[68:], uint32(GenesisTime.Unix()+int64(height)*600))
	binary.LittleEndian.PutUint32(raw[72:], 0x207fffff)
	// Regtest's target lets every other hash pass.
	for nonce := uint32(0); ; nonce++ {
		binary.LittleEndian.PutUint32(raw[76:], nonce)
		if h := hash(raw); h[31] < 0x7f {
			break
		}
	}
	c.blocks = append(c.blocks, raw)
	return uint64(height)
}

// Cut drops the blocks from a height on, as a reorganization does.
func (c *Chain) Cut(height uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocks = c.blocks[:height:height]
}

// Tip is the height of the last block.
func (c *Chain) Tip() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return uint64(len(c.blocks) - 1)
}

// Header is the header of a block that exists.
func (c *Chain) Header(height uint64) ots.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, err := ots.ParseHeader(c.blocks[height][:])
	if err != nil {
		panic(err)
	}
	return h
}

// File is the chain as a full headers file.
func (c *Chain) File() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []byte
	for _, b := range c.blocks {
		out = append(out, b[:]...)
	}
	return out
}

func hash(raw [ots.HeaderSize]byte) [32]byte {
	h, err := ots.ParseHeader(raw[:])
	if err != nil {
		panic(err)
	}
	return h.Hash()
}

func display(h [32]byte) string {
	for i := range 16 {
		h[i], h[31-i] = h[31-i], h[i]
	}
	return hex.EncodeToString(h[:])
}

// find returns a block by its height or hash; both miss with ok false.
func (c *Chain) byHash(name string) (raw [ots.HeaderSize]byte, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.blocks {
		if display(hash(b)) == name {
			return b, true
		}
	}
	return raw, false
}

func (c *Chain) hashAt(height uint64) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if height >= uint64(len(c.blocks)) {
		return "", false
	}
	return display(hash(c.blocks[height])), true
}

// Dialect is how a node words its answers.
type Dialect int

// The dialects: what is out of range has another code, and btcd says nothing at all to a
// request without a version.
const (
	Core Dialect = iota
	Btcd
)

// Node answers as a node's RPC does. With a password it wants user and password.
func (c *Chain) Node(d Dialect, user, password string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); password != "" && (u != user || p != password) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var req struct {
			Version string            `json:"jsonrpc"`
			ID      any               `json:"id"`
			Method  string            `json:"method"`
			Params  []json.RawMessage `json:"params"`
		}
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if d == Btcd && req.Version == "" {
			return
		}
		result, code, msg := c.rpc(d, req.Method, req.Params)
		answer := map[string]any{"result": result, "error": nil, "id": req.ID}
		if code != 0 {
			answer = map[string]any{"result": nil, "error": map[string]any{"code": code, "message": msg}, "id": req.ID}
			if d == Core {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}
		json.NewEncoder(w).Encode(answer)
	})
}

func (c *Chain) rpc(d Dialect, method string, params []json.RawMessage) (result any, code int, msg string) {
	arg := func(i int, v any) bool { return i < len(params) && json.Unmarshal(params[i], v) == nil }
	switch method {
	case "getblockcount":
		return c.Tip(), 0, ""
	case "getblockhash":
		var height uint64
		if !arg(0, &height) {
			return nil, -32602, "want a height"
		}
		h, ok := c.hashAt(height)
		if !ok {
			return nil, map[Dialect]int{Core: -8, Btcd: -1}[d], "Block height out of range"
		}
		return h, 0, ""
	case "getblockheader":
		var name string
		verbose := true
		if !arg(0, &name) || len(params) > 1 && !arg(1, &verbose) {
			return nil, -32602, "want a hash and a boolean"
		}
		raw, ok := c.byHash(name)
		if !ok {
			return nil, -5, "Block not found"
		}
		if verbose {
			return nil, -32602, "only serialized headers here"
		}
		return hex.EncodeToString(raw[:]), 0, ""
	}
	return nil, -32601, "Method not found"
}

// Esplora answers as an Esplora server's API does.
func (c *Chain) Esplora() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /blocks/tip/height", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, c.Tip())
	})
	mux.HandleFunc("GET /block-height/{height}", func(w http.ResponseWriter, r *http.Request) {
		height, err := strconv.ParseUint(r.PathValue("height"), 10, 64)
		h, ok := c.hashAt(height)
		if err != nil || !ok {
			http.Error(w, "Block not found", http.StatusNotFound)
			return
		}
		fmt.Fprint(w, h)
	})
	mux.HandleFunc("GET /block/{hash}/header", func(w http.ResponseWriter, r *http.Request) {
		raw, ok := c.byHash(strings.ToLower(r.PathValue("hash")))
		if !ok {
			http.Error(w, "Block not found", http.StatusNotFound)
			return
		}
		fmt.Fprint(w, hex.EncodeToString(raw[:]))
	})
	return mux
}
