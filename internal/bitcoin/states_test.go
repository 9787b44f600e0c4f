package bitcoin_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/devchain"
	"github.com/datestone/datestone/internal/logtree"
)

// Whatever the node says or does not say is a state with a name, and passes.
func TestNodeStates(t *testing.T) {
	pruned := &devchain.Error{Code: -1, Message: "Block not available (pruned data)"}
	for _, c := range []struct {
		name string
		hook func(method string) error
		want anchor.Code
	}{
		{"down", func(string) error { return errors.New("down") }, anchor.NodeDown},
		{"warm-up", func(string) error { return &devchain.Error{Code: -28, Message: "Loading block index…"} }, anchor.NodeWarmup},
		{"down while a block is read", func(m string) error { return failing(m, "getblock", errors.New("down")) }, anchor.NodeDown},
		{"pruned", func(m string) error { return failing(m, "getblock", pruned) }, anchor.NodePruned},
		{"no such call", func(m string) error {
			return failing(m, "getblockchaininfo", &devchain.Error{Code: -32601, Message: "Method not found"})
		}, anchor.NodeError},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, a := funded(t, nil)
			r.mine(1)
			r.intercept(c.hook)
			r.want(c.want)
			r.wantAttempts(1)
			if s := r.status(); s.LastError == "" || s.LastErrorAt.IsZero() || s.Height != 111 {
				t.Fatalf("the status is %+v, want the error, and what is known from before", s)
			}
			r.intercept(nil)
			r.step()
			r.wantState(a.Ref, logtree.Mined)
			if s := r.status(); s.Code != anchor.OK {
				t.Fatalf("the state stays %q", s.Code)
			}
		})
	}
}

func failing(method, want string, err error) error {
	if method == want {
		return err
	}
	return nil
}

// A node that lets nobody in, or is not the one that was meant, is named before anything is written.
func TestWrongNode(t *testing.T) {
	t.Run("password", func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.config.RPCPassword = "wrong" })
		if err := r.try(); anchor.CodeOf(err) != anchor.NodeAuth || strings.Contains(err.Error(), "wrong") {
			t.Fatalf("the step ends with %v", err)
		}
	})
	t.Run("network", func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.config.Network = "testnet4" })
		if err := r.try(); anchor.CodeOf(err) != anchor.WrongNetwork {
			t.Fatalf("the step ends with %v", err)
		}
	})
	t.Run("pinned", func(t *testing.T) {
		r := newRig(t, nil)
		if _, err := r.db.PinTarget(t.Context(), r.now, name, strings.Repeat("00", 32)); err != nil {
			t.Fatal(err)
		}
		r.want(anchor.WrongNetwork)
	})
	t.Run("cookie", func(t *testing.T) {
		r := newRig(t, func(r *rig) {
			r.config.RPCUser, r.config.RPCPassword = "", ""
			r.config.RPCCookie = filepath.Join(filepath.Dir(r.path), ".cookie")
		})
		if err := r.try(); anchor.CodeOf(err) != anchor.NodeDown {
			t.Fatalf("without a cookie file the step ends with %v", err)
		}
		for _, c := range []struct {
			text string
			want anchor.Code
		}{{"no colon", anchor.NodeAuth}, {"user:old", anchor.NodeAuth}, {"user:secret", anchor.OK}, {"user:other", anchor.OK}} {
			if err := os.WriteFile(r.config.RPCCookie, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := r.try(); anchor.CodeOf(err) != c.want {
				t.Fatalf("with the cookie %q the step ends with %v, want %q", c.text, err, c.want)
			}
		}
	})
}

// Settings that cannot be, or are ambiguous, are refused with what to write instead.
func TestConfig(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if err := bitcoin.GenerateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	if err := bitcoin.GenerateKeyFile(key); err == nil {
		t.Fatal("a key file was replaced")
	}
	open := filepath.Join(dir, "open")
	if err := os.WriteFile(open, []byte(strings.Repeat("00", 32)), 0o644); err != nil {
		t.Fatal(err)
	}
	good := bitcoin.Config{Network: "regtest", RPCUser: "u", KeyFile: key}
	if _, err := bitcoin.New(name, good, nil, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change func(*bitcoin.Config)
		want   string
	}{
		{func(c *bitcoin.Config) { c.Network = "" }, "write mainnet"},
		{func(c *bitcoin.Config) { c.Network = "testnet3" }, "write mainnet"},
		{func(c *bitcoin.Config) { c.RPCUser = "" }, "cookie"},
		{func(c *bitcoin.Config) { c.RPCCookie = "x" }, "cookie"},
		{func(c *bitcoin.Config) { c.RPCURL = "127.0.0.1:8332" }, "http://"},
		{func(c *bitcoin.Config) { c.RPCURL = "http://a:b@localhost" }, "twice"},
		{func(c *bitcoin.Config) { c.KeyFile = "" }, "key_file"},
		{func(c *bitcoin.Config) { c.KeyFile = open }, "chmod 600"},
		{func(c *bitcoin.Config) { c.KeyFile = filepath.Join(dir, "none") }, "no such file"},
		{func(c *bitcoin.Config) { c.Wallet = "node:x" }, "leave one out"},
		{func(c *bitcoin.Config) { c.Wallet = "theirs" }, "write own"},
		{func(c *bitcoin.Config) { c.Script = "pkh" }, "write wpkh or tr"},
		{func(c *bitcoin.Config) { c.Confirmations = -1 }, "confirmations"},
		{func(c *bitcoin.Config) { c.MinFeeRate = -1 }, "min_fee_rate"},
		{func(c *bitcoin.Config) { c.MinFeeRate, c.FallbackFeeRate = 5, 4 }, "fallback_fee_rate"},
		{func(c *bitcoin.Config) { c.MaxFee = 200_000 }, "max_fee_day"},
		{func(c *bitcoin.Config) { c.ConfTarget = 2000 }, "conf_target"},
		{func(c *bitcoin.Config) { c.Birth = -1 }, "birth"},
		{func(c *bitcoin.Config) { c.Interval = -1 }, "interval"},
	} {
		bad := good
		c.change(&bad)
		if _, err := bitcoin.New(name, bad, nil, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
	}
}

// The status says what a page shows.
func TestStatus(t *testing.T) {
	r, a := funded(t, nil)
	s := r.status()
	if s.Network != "regtest" || !s.TestNetwork || s.Code != anchor.OK || s.Height != 111 || len(s.Block) != 64 || s.Confirmations != 6 ||
		s.Balance != 100_000 || s.FeeRate != 2 || s.FeesDay != a.Fee || s.FeesWeek != a.Fee || s.Ref != a.Ref || len(s.Tip) != 64 || s.NodeHeight != 111 {
		t.Errorf("status %+v", s)
	}
	if len(s.Waiting) != 1 || s.Waiting[0] != (anchor.Waiting{Ref: a.Ref}) {
		t.Errorf("waiting %+v", s.Waiting)
	}
	if len(s.Attested) != 1 || s.Attested[0] != (anchor.Attested{Size: 3, Sent: 3}) {
		t.Errorf("attested %+v", s.Attested)
	}
	r.mine(2)
	r.step()
	s = r.status()
	if len(s.Waiting) != 1 || s.Waiting[0] != (anchor.Waiting{Ref: a.Ref, Height: 112, Confirmations: 2}) || s.Tip != "" || s.Balance != 100_000-a.Fee {
		t.Errorf("status %+v", s)
	}
	if s.Attested[0] != (anchor.Attested{Size: 3, Mined: 3, Sent: 3}) {
		t.Errorf("attested %+v", s.Attested)
	}
	r.mine(4)
	r.step()
	s = r.status()
	if len(s.Waiting) != 0 || s.Attested[0] != (anchor.Attested{Size: 3, Counted: 3, Mined: 3, Sent: 3}) || s.FeesDay != a.Fee {
		t.Errorf("status %+v", s)
	}
	r.now = r.now.Add(25 * time.Hour)
	r.step()
	if s = r.status(); s.FeesDay != 0 || s.FeesWeek != a.Fee {
		t.Errorf("a day later the fees are %d and %d", s.FeesDay, s.FeesWeek)
	}
}

// Every epoch gets its last head attested, the oldest first.
func TestEpochs(t *testing.T) {
	r := newRig(t, func(r *rig) { r.epochs = 4 })
	r.fund(100_000)
	r.append(6) // epoch 0 has 4 entries; epoch 1 began with one of its own
	for range 3 {
		r.later()
		r.calm(false)
		r.mine(6)
		r.calm(false)
	}
	r.covered()
	all := r.wantAttempts(2)
	if all[0].Head.Epoch != 0 || all[0].Head.Size != 4 || all[1].Head.Epoch != 1 {
		t.Fatalf("attempts %+v, want the last head of epoch 0 first", all)
	}
}
