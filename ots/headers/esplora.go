package headers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/datestone/datestone/ots"
)

// Esplora asks a block explorer that speaks the Esplora HTTP API: /block-height/<height>,
// /block/<hash>/header and /blocks/tip/height below its base URL.
type Esplora struct {
	net  *Network
	url  *url.URL
	http *http.Client

	mu      sync.Mutex // guards genesis
	genesis bool       // block 0 was seen to be right
}

// NewEsplora makes a source of an explorer's headers. The URL is the API's base, such as
// https://blockstream.info/api. A nil client means one with [DefaultTimeout].
func NewEsplora(net *Network, base string, c *http.Client) (*Esplora, error) {
	u, err := baseURL(base)
	if err != nil {
		return nil, fmt.Errorf("esplora: %w", err)
	}
	return &Esplora{net: net, url: u, http: client(c)}, nil
}

func (e *Esplora) String() string { return "Esplora server " + e.url.Host }

// Unchecked implements [Source].
func (e *Esplora) Unchecked() []string {
	s := "that the block is in the best chain: taken from the Esplora server"
	switch {
	case !e.net.Test():
		s += "; only the header's own hash and proof of work were checked"
	default:
		s += "; on " + e.net.Name + " a header's own proof of work is cheap to make"
	}
	if e.url.Scheme == "http" && !isLoopback(e.url.Hostname()) {
		return []string{s, "the connection to the Esplora server: it is not encrypted"}
	}
	return []string{s}
}

func isLoopback(host string) bool {
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
}

// Header implements [Source].
func (e *Esplora) Header(ctx context.Context, height uint64) (ots.Header, error) {
	if err := e.checkGenesis(ctx); err != nil {
		return ots.Header{}, err
	}
	if height > maxHeight {
		return ots.Header{}, fmt.Errorf("%w: %d", ErrNoBlock, height)
	}
	hash, err := e.blockHash(ctx, height)
	if err != nil {
		return ots.Header{}, err
	}
	text, err := e.get(ctx, "block", hash, "header")
	if err != nil {
		return ots.Header{}, err
	}
	return parseNamed(e.net, height, hash, text)
}

// Tip implements [Source].
func (e *Esplora) Tip(ctx context.Context) (uint64, error) {
	text, err := e.get(ctx, "blocks", "tip", "height")
	if err != nil {
		return 0, err
	}
	tip, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil || tip > maxHeight {
		return 0, fmt.Errorf("%w: %s: the height of the tip is not a height", ErrUnreachable, e)
	}
	return tip, nil
}

func (e *Esplora) checkGenesis(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.genesis {
		return nil
	}
	hash, err := e.blockHash(ctx, 0)
	if err != nil {
		return err
	}
	if err := e.net.checkGenesis(hash, "the Esplora server"); err != nil {
		return err
	}
	e.genesis = true
	return nil
}

func (e *Esplora) blockHash(ctx context.Context, height uint64) (string, error) {
	text, err := e.get(ctx, "block-height", strconv.FormatUint(height, 10))
	if errors.Is(err, errAbsent) {
		if height == 0 {
			return "", fmt.Errorf("%w: %s does not answer as Esplora does; is the URL the base of its API, such as https://blockstream.info/api", ErrUnreachable, e)
		}
		return "", fmt.Errorf("%w: the Esplora server has no block %d yet", ErrNoBlock, height)
	}
	if err != nil {
		return "", err
	}
	return checkHash(text)
}

var errAbsent = errors.New("not there")

func (e *Esplora) get(ctx context.Context, elem ...string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url.JoinPath(elem...).String(), nil)
	if err != nil {
		return "", fmt.Errorf("asking %s: %w", e, err)
	}
	req.Header.Set("Accept", "text/plain")
	resp, err := e.http.Do(req)
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrUnreachable, e, plainError(err))
	}
	defer resp.Body.Close()
	text, err := readAll(resp.Body)
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrUnreachable, e, err)
	}
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return "", fmt.Errorf("%s: %w", e, errAbsent)
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%w: %s: status %d: %s", ErrUnreachable, e, resp.StatusCode, clean(string(text)))
	}
	return string(text), nil
}
