package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/devchain"
	"github.com/datestone/datestone/internal/httpkit"
)

// What lets clients into the RPC of a development chain.
const (
	DevUser     = "datestone"
	DevPassword = "datestone"
)

// DevOptions are the settings of a development server.
type DevOptions struct {
	Dir       string        // keeps the chain, the log and the wallet's key; empty is a folder that goes away
	Listen    string        // the calendar's address
	RPCListen string        // the chain's RPC
	Every     time.Duration // between two blocks
	Allow     []string      // hosts on this machine or inside that webhooks may be sent to, as host:port
	Version   string
	Log       io.Writer
}

// Dev is a server with a regtest chain of its own, which mines by itself and pays for the server's
// transactions. Make one with OpenDev.
type Dev struct {
	*Server
	Dir string

	chain     *devchain.Chain
	every     time.Duration
	rpc       *httpkit.Server
	temporary bool
}

// OpenDev opens the chain and the server in a folder. It starts nothing until Run.
func OpenDev(ctx context.Context, o DevOptions) (_ *Dev, err error) {
	d := &Dev{Dir: o.Dir, every: o.Every}
	var listeners []net.Listener
	defer func() {
		if err != nil {
			for _, ln := range listeners {
				ln.Close()
			}
			err = errors.Join(err, d.close())
		}
	}()
	if d.Dir == "" {
		if d.Dir, err = os.MkdirTemp("", "datestone-dev-"); err != nil {
			return nil, fmt.Errorf("making a temporary folder: %w", err)
		}
		d.temporary = true
	} else if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder: %w", err)
	}
	for _, addr := range []string{o.Listen, o.RPCListen} {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("%w; --listen and --rpc-listen choose other addresses", err)
		}
		listeners = append(listeners, ln)
	}
	if d.chain, err = devchain.Open(filepath.Join(d.Dir, "chain")); err != nil {
		return nil, err
	}
	key := filepath.Join(d.Dir, "wallet.key")
	if err := bitcoin.GenerateKeyFile(key); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	c := Defaults()
	c.Listen = o.Listen
	c.URI = "http://" + reachable(listeners[0].Addr())
	c.Data = filepath.Join(d.Dir, "calendar")
	c.Metrics = "same"
	c.EgressAllow = o.Allow
	c.Bitcoin = bitcoin.Config{
		Network: "regtest", RPCURL: "http://" + reachable(listeners[1].Addr()), RPCUser: DevUser, RPCPassword: DevPassword,
		KeyFile: key, Interval: bitcoin.Duration(max(o.Every/2, time.Millisecond)), MaxFeeDay: 100_000_000,
	}
	c.OriginStamp.Enabled = true
	c.OriginStamp.BitcoinPeriod = bitcoin.Duration(max(5*o.Every, minPeriod))
	if err := makeDemo(ctx, c); err != nil {
		return nil, err
	}
	calendarListener := listeners[0]
	listeners = listeners[1:] // Open closes the other one
	if d.Server, err = Open(ctx, c, Options{Version: o.Version, Log: o.Log, Listener: calendarListener}); err != nil {
		return nil, err
	}
	d.rpc = httpkit.NewServer(listeners[0], d.chain.Handler(DevUser, DevPassword), httpkit.Limits{Connections: 256}, d.log)
	return d, nil
}

// reachable is the address at which this machine reaches a listener, in a form that receipts can carry.
func reachable(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	switch {
	case !ok:
		return a.String()
	case tcp.IP.IsUnspecified():
		return fmt.Sprintf("127.0.0.1:%d", tcp.Port)
	case tcp.IP.To4() == nil:
		return fmt.Sprintf("localhost:%d", tcp.Port)
	}
	return tcp.String()
}

// URI is the calendar's address as receipts name it.
func (d *Dev) URI() string { return d.config.URI }

// RPC is the address of the chain's RPC.
func (d *Dev) RPC() string { return d.config.Bitcoin.RPCURL }

// Run serves and mines until ctx is done, and stops the server before its chain. A temporary folder is
// removed.
func (d *Dev) Run(ctx context.Context) error {
	outer, stopChain := context.WithCancel(context.WithoutCancel(ctx))
	defer stopChain()
	inner, stopServer := context.WithCancel(ctx)
	defer stopServer()

	var g errgroup.Group
	g.Go(func() error {
		defer stopChain()
		return d.Server.Run(inner)
	})
	for _, run := range []func(context.Context) error{d.rpc.Run, d.mine, d.fund} {
		g.Go(func() error {
			defer stopServer() // without its chain the server has no purpose
			return run(outer)
		})
	}
	return errors.Join(g.Wait(), d.close())
}

// maturity is how many blocks the miner's coins wait before they can be spent.
const maturity = 100

// mine gives the chain a beginning in which the miner has coins, and then a block from time to time.
func (d *Dev) mine(ctx context.Context) error {
	if _, height := d.chain.Tip(); height <= maturity {
		if _, err := d.chain.Mine(maturity + 1 - height); err != nil {
			return fmt.Errorf("mining the first blocks: %w", err)
		}
	}
	return d.chain.Run(ctx, d.every)
}

const (
	fundBelow = 10_000_000  // satoshi
	fundWith  = 100_000_000 // satoshi
	// fundBlocks is how many blocks a payment is given to arrive.
	fundBlocks = 10
)

// fund pays the wallet when it runs low.
func (d *Dev) fund(ctx context.Context) error {
	next := 0 // height at which a payment may be made
	for {
		changed := d.chain.Changed()
		if _, height := d.chain.Tip(); height > maturity && height >= next {
			if address, low := d.runsLow(ctx); low {
				if _, err := d.chain.Faucet(address, fundWith); err != nil {
					d.log.Warn("the wallet was not funded", "err", err)
				}
				next = height + fundBlocks
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(time.Second):
		}
	}
}

// runsLow says whether the wallet has little left, and its address once that is known.
func (d *Dev) runsLow(ctx context.Context) (address string, low bool) {
	all, err := d.db.Targets(ctx)
	if err != nil {
		return "", false // the store is closing
	}
	for _, t := range all {
		if t.Target == bitcoinName && t.Address != "" && t.Height >= 0 && t.Balance < fundBelow {
			return t.Address, true
		}
	}
	return "", false
}

// close closes the chain and removes a temporary folder.
func (d *Dev) close() error {
	var errs []error
	if d.chain != nil {
		errs = append(errs, d.chain.Close())
	}
	if d.temporary {
		errs = append(errs, os.RemoveAll(d.Dir))
	}
	return errors.Join(errs...)
}
