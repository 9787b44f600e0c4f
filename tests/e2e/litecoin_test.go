package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/testnode"
)

// litecoinWithin bounds what needs no block.
const litecoinWithin = 60 * time.Second

// litecoinTable is the part of a service's configuration about a Litecoin node.
func (s *service) litecoinTable(t *testing.T, n *testnode.Node) string {
	t.Helper()
	key := filepath.Join(s.Dir, "litecoin.key")
	write(t, key, strings.Repeat("17", 32)+"\n")
	return fmt.Sprintf("[litecoin]\nnetwork = \"regtest\"\nrpc_url = %q\nrpc_cookie = %q\nkey_file = %q\ninterval = \"1s\"\nresend = \"1s\"\nconfirmations = 4\n", n.URL, n.Cookie(), key)
}

// state is a target as the status page tells programs.
type targetState struct {
	Target  string `json:"target"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Unit    string `json:"unit"`
}

func (s *service) targets(t *testing.T) map[string]targetState {
	t.Helper()
	req, err := http.NewRequest("GET", s.URL+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	res, err := httpClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var st struct{ Targets []targetState }
	if err := json.NewDecoder(res.Body).Decode(&st); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]targetState)
	for _, one := range st.Targets {
		all[one.Target] = one
	}
	return all
}

func withLogin(t *testing.T, rpc testnode.RPC) string {
	t.Helper()
	u, err := url.Parse(rpc.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(rpc.User, rpc.Pass)
	return u.String()
}

// One log in Bitcoin and in a real Litecoin: the proof has both attestations and every client reads it; a target whose
// node is down delays nothing; a target can be taken out of the configuration and put back.
func TestTwoTargets(t *testing.T) {
	t.Parallel()
	c, _ := devChain(t)
	ltc := testnode.Litecoind(t)
	ltc.Mine(t, 400)
	ltc.Extend(t)
	var mu sync.Mutex
	called := make(map[string]int) // a customer of the authenticated calendar, with the type of each attestation
	customer := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		called[r.URL.Query().Get("type")]++
	}))
	t.Cleanup(customer.Close)
	s := newService(t, &c.rpc, fmt.Sprintf("egress_allow = [%q]", strings.TrimPrefix(customer.URL, "http://")), "")
	bitcoinOnly, err := os.ReadFile(s.conf)
	if err != nil {
		t.Fatal(err)
	}
	both := func() { write(t, s.conf, string(bitcoinOnly)+s.litecoinTable(t, ltc)) }
	both()
	s.start(t)
	c.funded(t, s)

	var wallet struct {
		Address string
		Unit    string
	}
	testnode.Eventually(t, litecoinWithin, "the Litecoin wallet has an address", func() bool {
		out := must(t, nil, program("datestoned"), "wallet", "litecoin", "--json", "--config", s.conf)
		return json.Unmarshal([]byte(out), &wallet) == nil && wallet.Address != ""
	})
	if !strings.HasPrefix(wallet.Address, "rltc1q") || wallet.Unit != "litoshi" {
		t.Errorf("the wallet is %+v", wallet)
	}
	if out := must(t, nil, program("datestoned"), "wallet", "--config", s.conf); !strings.Contains(out, wallet.Address) || !strings.Contains(out, "bcrt1q") {
		t.Errorf("the wallets are\n%s", out)
	}
	ltc.Fund(t, wallet.Address, 1_000_000)

	dir := t.TempDir()
	all := clients(t, s, c)
	ours := all[0]
	stamped := func(name string) string {
		file := filepath.Join(dir, name)
		write(t, file, name+"\n")
		ours.stamp(t, file)
		return file
	}
	has := func(file, what string) bool {
		command(t, nil, program("datestone"), "upgrade", "-l", s.URL, file+".ots")
		return strings.Contains(must(t, nil, program("datestone"), "info", file+".ots"), what)
	}
	const inBitcoin, inLitecoin = "BitcoinBlockHeaderAttestation", "LitecoinBlockHeaderAttestation"

	key := filepath.Join(dir, "key")
	operate := func(args ...string) string {
		return must(t, nil, program("datestoned"), append(args, "--config", s.conf)...)
	}
	var made struct {
		PublicKey string `json:"public_key"`
	}
	if err := json.Unmarshal([]byte(must(t, nil, program("datestone"), "keygen", "--json", "--private-calendar", s.URL, key)), &made); err != nil {
		t.Fatal(err)
	}
	operate("account", "create", "customer@example.org", "--plan", "pro")
	operate("key", "add", "--account", "customer@example.org", "--pubkey", made.PublicKey, "--callback", customer.URL)
	signed := filepath.Join(dir, "signed")
	write(t, signed, "signed\n")
	must(t, nil, program("datestone"), "stamp", "--private-calendar", s.URL, "--key-file", key, signed)

	// A proof of both. The tool asks no more for one that is complete in Bitcoin, so it waits until both count.
	first := stamped("first")
	for _, cl := range all[1:] {
		file := filepath.Join(dir, cl.name)
		write(t, file, cl.name+"\n")
		cl.stamp(t, file)
	}
	chains := *c
	chains.mine = func(n int) {
		c.mine(n)
		ltc.Mine(t, n)
	}
	attested := func() bool {
		_, metrics := get(s.URL + "/metrics")
		return strings.Contains(metrics, `datestone_target_lag_entries{target="bitcoin"} 0`) && strings.Contains(metrics, `datestone_target_lag_entries{target="litecoin"} 0`)
	}
	chains.until(t, "both targets have attested everything", attested)
	testnode.Eventually(t, litecoinWithin, "the customer is told of both", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return called["BTC"] == 1 && called["LTC"] == 1 && len(called) == 2
	})
	if !has(first, inBitcoin) || !has(first, inLitecoin) {
		t.Fatalf("the proof is\n%s", must(t, nil, program("datestone"), "info", first+".ots"))
	}
	for _, cl := range all {
		file := filepath.Join(dir, cl.name)
		if cl.name == ours.name {
			file = first
		} else if !cl.upgrade(t, file) {
			t.Errorf("%s does not get a complete proof", cl.name)
			continue
		}
		cl.verify(t, file)
	}
	_, page := get(s.URL + "/")
	for _, want := range []string{"<h2>bitcoin <small>regtest", "<h2>litecoin <small>regtest", "litoshi</dd>", " sat</dd>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the status page has no %q", want)
		}
	}

	// What the tool says of each.
	home := []string{"HOME=" + t.TempDir()}
	verify := func(want string, args ...string) {
		t.Helper()
		out, _ := command(t, home, program("datestone"), append([]string{"verify", "--offline", first + ".ots"}, args...)...)
		for line := range strings.Lines(want) {
			if !strings.Contains(out, strings.TrimSpace(line)) {
				t.Errorf("%v says\n%s\nwithout %s", args, out, line)
			}
		}
	}
	bitcoinNode := []string{"--btc-regtest", "--bitcoin-node", withLogin(t, c.rpc)}
	litecoinNode := []string{"--ltc-regtest", "--litecoin-node", withLogin(t, ltc.RPC)}
	verify("existed at\n  block:   TEST NETWORK regtest\n no Litecoin node was named to check it with", bitcoinNode...)
	verify("existed at\n  block:   TEST NETWORK Litecoin regtest\n  source:  Litecoin node", append(litecoinNode, "--no-bitcoin")...)
	verify("existed at\n  block:   TEST NETWORK regtest\n  block:   TEST NETWORK Litecoin regtest", append(litecoinNode, bitcoinNode...)...)
	verify("hint: add --ltc-regtest", "--no-bitcoin", "--litecoin-node", withLogin(t, ltc.RPC))
	s.fsck(t)

	// The Litecoin node is gone: Bitcoin goes on.
	ltc.Must(t, nil, "gettxoutsetinfo") // which writes the chain to disk
	ltc.Kill()
	second := stamped("second")
	c.until(t, "Bitcoin attests without Litecoin", func() bool { return has(second, inBitcoin) })
	testnode.Eventually(t, litecoinWithin, "the status says which node is down", func() bool {
		now := s.targets(t)
		return now["litecoin"].Code == "node_down" && strings.Contains(now["litecoin"].Message, "Litecoin node") && now["bitcoin"].Code == "ok"
	})
	if out, err := command(t, nil, program("datestoned"), "fsck", "--config", s.conf); err == nil || !strings.Contains(out, "target litecoin") {
		t.Errorf("fsck without the node says\n%s", out)
	}

	// Out of the configuration, and in again.
	restart := func() {
		t.Helper()
		if err := s.Terminate(t, litecoinWithin); err != nil {
			t.Fatal(err)
		}
		s.start(t)
	}
	write(t, s.conf, string(bitcoinOnly))
	restart()
	if now := s.targets(t)["litecoin"]; now.Code != "removed" {
		t.Errorf("a target that is not configured is %+v", now)
	}
	if _, metrics := get(s.URL + "/metrics"); !strings.Contains(metrics, `datestone_target_state{state="removed",target="litecoin"} 1`) || strings.Contains(metrics, `datestone_target_lag_entries{target="litecoin"}`) {
		t.Error("the metrics do not say that Litecoin is not configured, or tell its lag all the same")
	}
	s.fsck(t)
	third := stamped("third")
	c.until(t, "Bitcoin attests alone", func() bool { return has(third, inBitcoin) })
	if has(third, inLitecoin) {
		t.Error("a target that is not configured attests")
	}

	ltc.Start(t)
	both()
	restart()
	fourth := stamped("fourth")
	chains.until(t, "both targets have attested everything again", attested)
	if !has(fourth, inBitcoin) || !has(fourth, inLitecoin) {
		t.Errorf("the proof is\n%s", must(t, nil, program("datestone"), "info", fourth+".ots"))
	}
	if now := s.targets(t); now["litecoin"].Code != "ok" || now["bitcoin"].Code != "ok" {
		t.Errorf("the targets are %+v", now)
	}
	s.fsck(t)
}
