package headers

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// DefaultDataDir is where Bitcoin Core keeps its data and bitcoin.conf when it is told
// nothing: $HOME/.bitcoin, or what macOS and Windows have instead.
func DefaultDataDir() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding Bitcoin's data folder: %w", err)
	}
	switch runtime.GOOS {
	case "darwin":
		return filepath.Join(home, "Library", "Application Support", "Bitcoin"), nil
	case "windows":
		dir, err := os.UserConfigDir()
		if err != nil {
			return "", fmt.Errorf("finding Bitcoin's data folder: %w", err)
		}
		return filepath.Join(dir, "Bitcoin"), nil
	}
	return filepath.Join(home, ".bitcoin"), nil
}

// LocalNode reads from a data folder's bitcoin.conf how to reach the node that uses it,
// as the reference client does: rpcconnect (or rpchost), rpcport, rpcuser and
// rpcpassword, else the cookie file. The network's own section goes before the lines
// above all sections. A missing bitcoin.conf is no error: a node without one listens at
// its default port and writes a cookie.
func LocalNode(network *Network, dataDir string) (NodeConfig, error) {
	conf, err := readConf(filepath.Join(dataDir, "bitcoin.conf"))
	if err != nil {
		return NodeConfig{}, fmt.Errorf("reading bitcoin.conf: %w", err)
	}
	get := func(key string) string {
		if v, ok := conf[network.Section+"."+key]; ok {
			return v
		}
		return conf[key]
	}
	host, port := get("rpcconnect"), get("rpcport")
	if host == "" {
		host = get("rpchost")
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if h, p, err := net.SplitHostPort(host); err == nil {
		host = h
		if port == "" {
			port = p
		}
	}
	if port == "" {
		port = network.RPCPort
	}
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(strings.Trim(host, "[]"), port)}
	cfg := NodeConfig{}
	if pass := get("rpcpassword"); pass != "" {
		u.User = url.UserPassword(get("rpcuser"), pass)
	} else {
		if d := get("datadir"); d != "" {
			dataDir = d
		}
		cfg.Cookie = filepath.Join(dataDir, network.Dir, ".cookie")
		if c := get("rpccookiefile"); c != "" {
			cfg.Cookie = c
			if !filepath.IsAbs(c) {
				cfg.Cookie = filepath.Join(dataDir, network.Dir, c)
			}
		}
	}
	cfg.URL = u.String()
	return cfg, nil
}

// readConf reads key=value lines. Keys below [section] become section.key; the first of
// several equal keys counts, as in Bitcoin Core.
func readConf(path string) (map[string]string, error) {
	conf := make(map[string]string)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return conf, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	section := ""
	const maxLines = 10_000
	sc := bufio.NewScanner(f)
	for line := 1; sc.Scan(); line++ {
		if line > maxLines {
			return nil, fmt.Errorf("%s has more than %d lines", path, maxLines)
		}
		text, _, _ := strings.Cut(sc.Text(), "#")
		text = strings.TrimSpace(text)
		if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
			section = strings.TrimSpace(text[1:len(text)-1]) + "."
			continue
		}
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			continue
		}
		key = section + strings.TrimSpace(key)
		if _, ok := conf[key]; !ok {
			conf[key] = strings.TrimSpace(value)
		}
	}
	return conf, sc.Err()
}
