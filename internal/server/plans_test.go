package server

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/account"
)

func TestCheckAccounts(t *testing.T) {
	plans := func(name string, p account.Plan) func(*Config) {
		return func(c *Config) { c.Plans = account.Plans{name: p} }
	}
	good := account.Plan{Quota: 1, Requests: 1, Creates: 1}
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string // in the error; empty is none
	}{
		{"defaults", func(*Config) {}, ""},
		{"one plan", plans("only-1", good), ""},
		{"no plan", func(c *Config) { c.Plans = nil }, "add a table [plans.NAME]"},
		{"capitals", plans("Pro", good), `the plan "Pro": write a name of up to 32 small letters`},
		{"no name", plans("", good), `the plan ""`},
		{"long name", plans(strings.Repeat("a", 33), good), "up to 32"},
		{"no quota", plans("pro", account.Plan{Requests: 1, Creates: 1}), "plans.pro.quota is 0: write how many"},
		{"no requests", plans("pro", account.Plan{Quota: 1, Creates: 1}), "plans.pro: requests is 0 and creates is 1"},
		{"a commitment", plans("pro", account.Plan{Quota: 1, Requests: 1, Creates: 1, Commitment: time.Minute, MaxFee: 1}), ""},
		{"a hasty commitment", plans("pro", account.Plan{Quota: 1, Requests: 1, Creates: 1, Commitment: time.Second}), "from 1m on"},
		{"a fee for nothing", plans("pro", account.Plan{Quota: 1, Requests: 1, Creates: 1, MaxFee: 1}), "keeps a commitment"},
		{"negative creates", plans("pro", account.Plan{Quota: 1, Requests: 1, Creates: -1}), "creates is -1"},
		{"another prefix", func(c *Config) { c.KeyPrefix = "acme-test_" }, ""},
		{"no prefix", func(c *Config) { c.KeyPrefix = "" }, `key_prefix is "": write`},
		{"prefix with a space", func(c *Config) { c.KeyPrefix = "a b" }, `key_prefix is "a b"`},
		{"long prefix", func(c *Config) { c.KeyPrefix = strings.Repeat("a", 65) }, "up to 64"},
		{"a proxy", func(c *Config) { c.TrustedProxies = []string{"10.0.0.0/8", "192.0.2.1", "::1", "fd00::/8"} }, ""},
		{"a proxy by name", func(c *Config) { c.TrustedProxies = []string{"proxy.example.org"} }, `trusted_proxies has "proxy.example.org": write addresses or networks`},
		{"an address in a network", func(c *Config) { c.TrustedProxies = []string{"10.1.2.3/8"} }, `write "10.0.0.0/8" for the network`},
		{"a mapped address", func(c *Config) { c.TrustedProxies = []string{"::ffff:10.0.0.1"} }, "write addresses or networks"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := sound(t)
			c.change(&config)
			err := config.Check()
			if c.want == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	got, err := proxies([]string{"10.0.0.0/8", "192.0.2.1", "fe80::1%eth0"})
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("fe80::1/128")}
	if err != nil || cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })) != "" {
		t.Errorf("proxies are %v, %v, want %v", got, err, want)
	}
}

func TestLoadPlans(t *testing.T) {
	path := filepath.Join(t.TempDir(), "datestone.toml")
	for _, c := range []struct {
		name, text string
		given      Given
		plans      account.Plans
		want       string
	}{
		{name: "none", text: "burst = 5", plans: account.DefaultPlans()},
		{name: "a commitment", text: "[plans.gold]\nquota = 7\ncommitment = \"15m\"\nmax_fee = 90000", plans: account.Plans{"gold": {Quota: 7, Requests: 120, Creates: 30, Commitment: 15 * time.Minute, MaxFee: 90_000}}},
		{name: "an empty table", text: "[plans]", plans: account.DefaultPlans()},
		{name: "one replaces the defaults", text: "[plans.gold]\nquota = 7\napi = true\ncreates = 9", plans: account.Plans{"gold": {Quota: 7, API: true, Requests: 120, Creates: 9}}},
		{name: "one of the defaults begins anew", text: "[plans.pro]\nquota = 7", plans: account.Plans{"pro": {Quota: 7, Requests: 120, Creates: 30}}},
		{name: "unknown key", text: "[plans.gold]\nqota = 7", want: `"plans.gold.qota" is no setting, did you mean "plans.gold.quota"`},
		{name: "unknown table", text: "[plan.gold]\nquota = 7", want: "did you mean a table [plans.NAME]"},
		{name: "a deep table", text: "[plans.gold.more]\nquota = 7", want: `"plans.gold.more`},
		{name: "no table", text: "plans = 5", want: "plans is no table: write a table [plans.NAME]"},
		{name: "a plan that is no table", text: "[plans]\ngold = 5", want: "plans.gold"},
		{name: "wrong type", text: "[plans.gold]\nquota = \"many\"", want: "line 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := Load(path, c.given)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want an error with %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.plans, got.Plans); d != "" {
				t.Errorf("plans (-want +got):\n%s", d)
			}
		})
	}
	c, err := Load("", Given{"trusted_proxies": "10.0.0.0/8, ::1", "key_prefix": "x_"})
	if err != nil || cmp.Diff([]string{"10.0.0.0/8", "::1"}, c.TrustedProxies) != "" || c.KeyPrefix != "x_" {
		t.Errorf("given: %v, %+v", err, c)
	}
	for _, s := range Settings() {
		if strings.HasPrefix(s.Key, "plans") {
			t.Errorf("%s is a flag", s.Key)
		}
	}
}

// TestPlansInUseMustStay: a server whose configuration lacks the plan of an account does not start, and says what
// to write.
func TestPlansInUseMustStay(t *testing.T) {
	c := sound(t)
	c.Listen, c.LogLevel = "127.0.0.1:0", "error"
	db, mark, err := openStore(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.CreateAccount(t.Context(), time.Now(), "a@example.org", "pro")
	db.Close()
	mark.Close()
	if err != nil {
		t.Fatal(err)
	}
	c.Plans = account.Plans{"gold": {Quota: 1, Requests: 1, Creates: 1}}
	_, err = Open(t.Context(), c, Options{Log: testLog{t}})
	if err == nil || !strings.Contains(err.Error(), `plan "pro", which is not defined: add a table [plans.pro]`) {
		t.Fatalf("got %v", err)
	}
	c.Plans["pro"] = c.Plans["gold"]
	s, err := Open(t.Context(), c, Options{Log: testLog{t}})
	if err != nil {
		t.Fatal(err)
	}
	over, stop := context.WithCancel(t.Context())
	stop()
	if err := s.Run(over); err != nil {
		t.Error(err)
	}
}
