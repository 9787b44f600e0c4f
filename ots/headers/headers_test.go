package headers_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/datestone/datestone/ots/headers"
	"github.com/datestone/datestone/ots/headers/headerstest"
)

func chain(blocks int) *headerstest.Chain {
	c := headerstest.New()
	for i := range blocks {
		c.Mine([32]byte{byte(i), 1})
	}
	return c
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func node(t *testing.T, net *headers.Network, cfg headers.NodeConfig) headers.Source {
	t.Helper()
	n, err := headers.NewNode(net, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func esplora(t *testing.T, net *headers.Network, url string) headers.Source {
	t.Helper()
	e, err := headers.NewEsplora(net, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func file(t *testing.T, net *headers.Network, data []byte) headers.Source {
	t.Helper()
	name := filepath.Join(t.TempDir(), "headers")
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return headers.NewFile(net, name)
}

func sparse(c *headerstest.Chain, heights ...uint64) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# some blocks\n\n")
	for _, h := range heights {
		raw, _ := c.Header(h).AppendBinary(nil)
		fmt.Fprintf(&b, "%d %s\n", h, hex.EncodeToString(raw))
	}
	return b.Bytes()
}

func TestSources(t *testing.T) {
	c := chain(12)
	withUser := strings.Replace(serve(t, c.Node(headerstest.Core, "al", "p@ss")), "http://", "http://al:p%40ss@", 1)
	sources := map[string]headers.Source{
		"core":    node(t, headers.Regtest, headers.NodeConfig{URL: withUser}),
		"btcd":    node(t, headers.Regtest, headers.NodeConfig{URL: serve(t, c.Node(headerstest.Btcd, "", ""))}),
		"esplora": esplora(t, headers.Regtest, serve(t, c.Esplora())),
		"slash":   esplora(t, headers.Regtest, serve(t, http.StripPrefix("/api", c.Esplora()))+"/api/"),
		"full":    file(t, headers.Regtest, c.File()),
		"sparse":  file(t, headers.Regtest, sparse(c, 12, 0, 5, 6)),
	}
	for name, s := range sources {
		t.Run(name, func(t *testing.T) {
			for _, height := range []uint64{0, 5, 6, 12} {
				got, err := s.Header(t.Context(), height)
				if err != nil {
					t.Fatalf("block %d: %v", height, err)
				}
				if want := c.Header(height); got != want {
					t.Errorf("block %d: got %v, want %v", height, got, want)
				}
			}
			for _, height := range []uint64{13, 1 << 40} {
				if _, err := s.Header(t.Context(), height); !errors.Is(err, headers.ErrNoBlock) {
					t.Errorf("block %d: %v, want %v", height, err, headers.ErrNoBlock)
				}
			}
			tip, err := s.Tip(t.Context())
			if err != nil || tip != 12 {
				t.Errorf("tip %d, %v; want 12", tip, err)
			}
			if strings.Contains(s.String(), "p@ss") || s.String() == "" {
				t.Errorf("name %q", s)
			}
			if len(s.Unchecked()) == 0 {
				t.Error("claims to prove everything")
			}
		})
	}
}

func TestWrongNetwork(t *testing.T) {
	c := chain(3)
	sources := map[string]headers.Source{
		"node":    node(t, headers.Mainnet, headers.NodeConfig{URL: serve(t, c.Node(headerstest.Core, "", ""))}),
		"esplora": esplora(t, headers.Mainnet, serve(t, c.Esplora())),
		"full":    file(t, headers.Mainnet, c.File()),
		"sparse":  file(t, headers.Mainnet, sparse(c, 0)),
	}
	for name, s := range sources {
		_, err := s.Header(t.Context(), 1)
		if !errors.Is(err, headers.ErrWrongNetwork) || !strings.Contains(err.Error(), "is on regtest, not mainnet") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Without block 0 a sparse file cannot show its network, but its work does not pass.
	if _, err := file(t, headers.Mainnet, sparse(c, 2)).Header(t.Context(), 2); !errors.Is(err, headers.ErrBadHeader) {
		t.Errorf("regtest's work passed on mainnet: %v", err)
	}
}

func TestFileFaults(t *testing.T) {
	c := chain(6)
	full := c.File()
	swapped := bytes.Clone(full)
	copy(swapped[160:240], full[240:320])
	forged := bytes.Clone(full)
	forged[6*80+36] ^= 1 // its work still passes half of the time, so search for one that does not
	for forged[6*80+40] = 0; ; forged[6*80+40]++ {
		if _, err := file(t, headers.Regtest, forged).Header(t.Context(), 1); err != nil {
			break
		}
	}
	tests := []struct {
		name string
		data []byte
		want error
	}{
		{"empty", nil, headers.ErrBadHeader},
		{"cut", full[:len(full)-1], headers.ErrBadHeader},
		{"out of order", swapped, headers.ErrBadHeader},
		{"work does not pass", forged, headers.ErrBadHeader},
		{"text without a header", []byte("# nothing\n"), headers.ErrBadHeader},
		{"three fields", []byte("1 2 3\n"), headers.ErrBadHeader},
		{"no height", []byte("x " + strings.Repeat("00", 80) + "\n"), headers.ErrBadHeader},
		{"negative", []byte("-1 " + strings.Repeat("00", 80) + "\n"), headers.ErrBadHeader},
		{"short header", []byte("1 " + strings.Repeat("00", 79) + "\n"), headers.ErrBadHeader},
		{"no work", []byte("1 " + strings.Repeat("00", 80) + "\n"), headers.ErrBadHeader},
		{"endless line", bytes.Repeat([]byte("2"), 100_000), headers.ErrBadHeader},
		{"two headers for a height", append(sparse(c, 3), bytes.Replace(sparse(c, 4), []byte("\n4 "), []byte("\n3 "), 1)...), headers.ErrBadHeader},
		{"neighbours that do not fit", append(sparse(c, 3), bytes.Replace(sparse(c, 5), []byte("\n5 "), []byte("\n4 "), 1)...), headers.ErrBadHeader},
	}
	for _, tt := range tests {
		if _, err := file(t, headers.Regtest, tt.data).Header(t.Context(), 1); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	missing := headers.NewFile(headers.Regtest, filepath.Join(t.TempDir(), "none"))
	if _, err := missing.Header(t.Context(), 1); !errors.Is(err, headers.ErrUnreachable) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := headers.NewFile(headers.Regtest, t.TempDir()).Tip(t.Context()); !errors.Is(err, headers.ErrUnreachable) {
		t.Errorf("folder: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := file(t, headers.Regtest, full).Header(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// liar answers like the chain, but for what change does to an answer.
func liar(h http.Handler, change func(r *http.Request, body string) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		w.WriteHeader(rec.Code)
		fmt.Fprint(w, change(r, rec.Body.String()))
	})
}

func TestLyingSources(t *testing.T) {
	c := chain(6)
	other := chain(0)
	other.Mine([32]byte{99})
	raw, _ := other.Header(1).AppendBinary(nil)
	header := hex.EncodeToString(raw)
	esploraLie := func(text string) http.Handler {
		return liar(c.Esplora(), func(r *http.Request, body string) string {
			if strings.HasSuffix(r.URL.Path, "/header") {
				return text
			}
			return body
		})
	}
	tests := []struct {
		name   string
		source headers.Source
		want   error
	}{
		{"explorer gives another header", esplora(t, headers.Regtest, serve(t, esploraLie(header))), headers.ErrBadHeader},
		{"explorer gives half a header", esplora(t, headers.Regtest, serve(t, esploraLie(header[:80]))), headers.ErrBadHeader},
		{"explorer gives words", esplora(t, headers.Regtest, serve(t, esploraLie("<html>"))), headers.ErrBadHeader},
		{"explorer gives no end", esplora(t, headers.Regtest, serve(t, esploraLie(strings.Repeat("0", 10<<20)))), headers.ErrUnreachable},
		{"explorer gives a hash that is none", esplora(t, headers.Regtest, serve(t, liar(c.Esplora(), func(r *http.Request, body string) string {
			if r.URL.Path == "/block-height/1" {
				return "../../etc/passwd"
			}
			return body
		}))), headers.ErrBadHeader},
		{"not an explorer", esplora(t, headers.Regtest, serve(t, http.NotFoundHandler())), headers.ErrUnreachable},
		{"explorer redirects", esplora(t, headers.Regtest, serve(t, http.RedirectHandler(serve(t, c.Esplora()), http.StatusFound))), headers.ErrUnreachable},
		{"explorer is down", esplora(t, headers.Regtest, "http://127.0.0.1:1"), headers.ErrUnreachable},
		{"node gives another header", node(t, headers.Regtest, headers.NodeConfig{URL: serve(t, liar(c.Node(headerstest.Core, "", ""), func(r *http.Request, body string) string {
			if len(body) > 160 {
				return `{"result":"` + header + `"}`
			}
			return body
		}))}), headers.ErrBadHeader},
		{"node wants a password", node(t, headers.Regtest, headers.NodeConfig{URL: serve(t, c.Node(headerstest.Core, "al", "secret"))}), headers.ErrUnreachable},
		{"node is a web server", node(t, headers.Regtest, headers.NodeConfig{URL: serve(t, http.NotFoundHandler())}), headers.ErrUnreachable},
		{"node is down", node(t, headers.Regtest, headers.NodeConfig{URL: "http://127.0.0.1:1"}), headers.ErrUnreachable},
		{"node warms up", node(t, headers.Regtest, headers.NodeConfig{URL: serve(t, liar(http.NotFoundHandler(), func(*http.Request, string) string {
			return `{"result":null,"error":{"code":-28,"message":"Loading block index..."}}`
		}))}), headers.ErrUnreachable},
		{"node redirects", node(t, headers.Regtest, headers.NodeConfig{URL: serve(t, http.RedirectHandler(serve(t, c.Node(headerstest.Core, "", "")), http.StatusTemporaryRedirect))}), headers.ErrUnreachable},
	}
	for _, tt := range tests {
		if _, err := tt.source.Header(t.Context(), 1); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v shows a password", tt.name, err)
		}
	}
}

func TestCookie(t *testing.T) {
	c := chain(2)
	url := serve(t, c.Node(headerstest.Core, "__cookie__", "f00d"))
	cookie := filepath.Join(t.TempDir(), ".cookie")
	s := node(t, headers.Regtest, headers.NodeConfig{URL: url, Cookie: cookie})
	if _, err := s.Tip(t.Context()); !errors.Is(err, headers.ErrUnreachable) {
		t.Fatalf("without a cookie: %v", err)
	}
	// It is read anew at each call, for a node writes another at each start.
	if err := os.WriteFile(cookie, []byte("__cookie__:f00d"), 0o600); err != nil {
		t.Fatal(err)
	}
	if tip, err := s.Tip(t.Context()); err != nil || tip != 2 {
		t.Fatalf("tip %d, %v", tip, err)
	}
	if err := os.WriteFile(cookie, []byte("no colon"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Tip(t.Context()); !errors.Is(err, headers.ErrUnreachable) {
		t.Fatalf("with a broken cookie: %v", err)
	}
}

func TestLocalNode(t *testing.T) {
	tests := []struct {
		name, conf  string
		net         *headers.Network
		url, cookie string // cookie below the data folder
	}{
		{"no file", "", headers.Mainnet, "http://127.0.0.1:8332", ".cookie"},
		{"no file, regtest", "", headers.Regtest, "http://127.0.0.1:18443", "regtest/.cookie"},
		{"plain", "regtest=1\nrpcuser=al\nrpcpassword=s#ecret\nrpcport=1234\n", headers.Regtest, "http://al:s@127.0.0.1:1234", ""},
		{"sections", "rpcuser=al\nrpcpassword=x\nrpcport=1\n[regtest]\nrpcport=2\n[test]\nrpcport=3\n", headers.Regtest, "http://al:x@127.0.0.1:2", ""},
		{"another section", "rpcuser=al\nrpcpassword=x\n[regtest]\nrpcport=2\n", headers.Mainnet, "http://al:x@127.0.0.1:8332", ""},
		{"host", "rpcconnect=node.example\nrpcport=9\n# rpcport=7\n", headers.Testnet4, "http://node.example:9", "testnet4/.cookie"},
		{"host with a port", "rpcconnect=[::1]:77\n", headers.Signet, "http://[::1]:77", "signet/.cookie"},
		{"first counts", "rpcport=5\nrpcport=6\n", headers.Mainnet, "http://127.0.0.1:5", ".cookie"},
		{"cookie file", "rpccookiefile=c\n", headers.Regtest, "http://127.0.0.1:18443", "regtest/c"},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		if tt.conf != "" {
			if err := os.WriteFile(filepath.Join(dir, "bitcoin.conf"), []byte(tt.conf), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := headers.LocalNode(tt.net, dir)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		cookie := ""
		if tt.cookie != "" {
			cookie = filepath.Join(dir, filepath.FromSlash(tt.cookie))
		}
		if got.URL != tt.url || got.Cookie != cookie {
			t.Errorf("%s: %q and %q, want %q and %q", tt.name, got.URL, got.Cookie, tt.url, cookie)
		}
	}
}

func TestBadURLs(t *testing.T) {
	for _, url := range []string{"", "node", "ftp://x", "http://", "http://x?y", "http://a:b@%zz"} {
		if _, err := headers.NewNode(headers.Mainnet, headers.NodeConfig{URL: url}); err == nil {
			t.Errorf("node: %q accepted", url)
		}
		if _, err := headers.NewEsplora(headers.Mainnet, url, nil); err == nil {
			t.Errorf("esplora: %q accepted", url)
		}
	}
	n := node(t, headers.Signet, headers.NodeConfig{URL: "http://u:p@[::1]"})
	if got := n.String(); got != "Bitcoin node [::1]:38332" {
		t.Errorf("default port: %s", got)
	}
}
