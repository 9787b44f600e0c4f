package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/server"
)

type devCmd struct {
	Dir       string        `placeholder:"DIR" help:"Keep everything in this folder; without it everything is gone at the end."`
	Listen    string        `default:"127.0.0.1:14788" placeholder:"ADDRESS" help:"The calendar's address (${default}); port 0 takes a free one."`
	RPCListen string        `name:"rpc-listen" default:"127.0.0.1:18443" placeholder:"ADDRESS" help:"The address of the chain's RPC (${default})."`
	Every     time.Duration `default:"2s" placeholder:"TIME" help:"The time between two blocks (${default})."`
	Webhooks  []string      `name:"webhook-host" placeholder:"HOST:PORT" help:"A host of yours that webhooks may be sent to, for example localhost:8000; others inside are refused."`
	JSON      bool          `name:"json" help:"Print the addresses as JSON when ready, and nothing else."`
}

func (c *devCmd) Run(p *program) error {
	if c.Every <= 0 {
		return usageError{fmt.Errorf("--every is %v: blocks need some time between them, for example 2s", c.Every)}
	}
	d, err := server.OpenDev(p.ctx, server.DevOptions{
		Dir: c.Dir, Listen: c.Listen, RPCListen: c.RPCListen, Every: c.Every, Version: version(), Log: p.stderr, Allow: c.Webhooks,
	})
	if err != nil {
		return err
	}
	ready := map[string]string{
		"uri": d.URI(), "listen": d.Addr().String(), "rpc": d.RPC(),
		"rpc_user": server.DevUser, "rpc_password": server.DevPassword, "network": "regtest", "dir": d.Dir,
		"account": server.DevAccount, "key": server.DevKey,
	}
	if err := p.print(c.JSON, ready, welcome(d, c)); err != nil {
		return err
	}
	return d.Run(p.ctx)
}

// welcome says what there is and what to try.
func welcome(d *server.Dev, c *devCmd) string {
	host, port, _ := strings.Cut(strings.TrimPrefix(d.RPC(), "http://"), ":")
	node := "http://" + server.DevUser + ":" + server.DevPassword + "@" + host + ":" + port
	kept := d.Dir
	if c.Dir == "" {
		kept += ", removed at the end (--dir keeps one)"
	}
	// A proof waits for its transaction, that for the next block, and for five more.
	patience := strconv.Itoa(int((10*c.Every + 5*time.Second).Seconds()))
	return strings.NewReplacer("URI", d.URI(), "NODE", node, "RPCUSER", server.DevUser, "RPCPASSWORD", server.DevPassword, "RPCPORT", port, "KEPT", kept, "PATIENCE", patience, "ACCOUNT", server.DevAccount, "APIKEY", server.DevKey, "DIR", d.Dir).Replace(`
TEST NETWORK: the proofs of this calendar prove nothing.

  calendar   URI  (open it in a browser for its status)
  chain      NODE  (a regtest chain with Bitcoin Core's RPC)
  folder     KEPT
  account    ACCOUNT, on the Business plan
  key        APIKEY

Try it:

  echo hello > hello.txt
  datestone stamp -c URI hello.txt
  sleep PATIENCE
  datestone upgrade -l URI hello.txt.ots
  datestone verify --btc-regtest --bitcoin-node NODE hello.txt.ots

A stamp that is kept for the account, through the REST API that URI/developers describes:

  curl -s -w '\n' URI/api/v1/timestamps -H 'Authorization: Bearer APIKEY' \
    -H 'Content-Type: application/json' -H 'Idempotency-Key: hello-1' \
    -d '{"sha256_hash":"'$(sha256sum hello.txt | cut -c 1-64)'","filename":"hello.txt","file_size_bytes":6}'
  datestoned account usage ACCOUNT --data DIR/calendar

Where a browser shows its certificate:

  curl -s URI/api/v1/hashes/$(sha256sum hello.txt | cut -c 1-64) -H 'Authorization: Bearer APIKEY' | grep -o 'http[^"]*/cert/[^"]*'

With OriginStamp's API, versions 3 and 4; a browser shows what became of it at URI/s/ and the hash:

  curl -s -w '\n' URI/v4/timestamp/create -H 'Authorization: APIKEY' \
    -H 'Content-Type: application/json' -d '{"hash":"'$(sha256sum hello.txt | cut -c 1-64)'","comment":"hello"}'

With the Python client (package opentimestamps-client):

  ots stamp -c URI -m 1 hello.txt
  ots -l URI upgrade hello.txt.ots
  ots --btc-regtest --bitcoin-node NODE verify hello.txt.ots

With the JavaScript client (npm package opentimestamps), which finds the chain through $HOME/.bitcoin/bitcoin.conf:

  mkdir -p otshome/.bitcoin
  printf 'regtest=1\nrpcuser=RPCUSER\nrpcpassword=RPCPASSWORD\nrpcport=RPCPORT\n' > otshome/.bitcoin/bitcoin.conf
  npx ots-cli.js stamp -c URI -m 1 hello.txt
  npx ots-cli.js -l URI upgrade hello.txt.ots
  HOME=$PWD/otshome npx ots-cli.js verify hello.txt.ots

Stop it with Ctrl-C.
`)
}
