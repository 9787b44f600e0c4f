package server

import (
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/testpg"
	"github.com/datestone/datestone/internal/upstream"
	"github.com/datestone/datestone/ots/otshttp"
)

// TestUpstreamTakeOver: of two nodes one gives heads to the parent; when it stops, the other one goes on with what was
// promised to the first, and every node gives it out.
func TestUpstreamTakeOver(t *testing.T) {
	t.Parallel()
	dev, stopDev := runDev(t, t.TempDir())
	defer stopDev()
	config := Config{Database: testpg.Shared(t).NewDatabase(t), Targets: "configured", Metrics: "same", Upstream: upstream.Config{
		Calendars: []string{dev.URI()}, Network: "regtest", Interval: upstream.Duration(time.Second),
		RPCURL: dev.RPC(), RPCUser: DevUser, RPCPassword: DevPassword,
	}}
	holder, stopHolder := startServer(t, config)
	defer stopHolder()
	uri := func(s *Server) string { return "http://" + s.Addr().String() }
	holds := func(s *Server) bool {
		_, body := get(t, uri(s)+"/metrics")
		return strings.Contains(body, "\ndatestone_lease_held{name=\"target/upstream\"} 1\n")
	}
	until(t, "the first node has the lease", func() bool { return holds(holder) })
	other := runServer(t, config)
	if _, page := get(t, uri(other)+"/"); !strings.Contains(page, "TEST NETWORK") {
		t.Error("the first page of the other node does not name the network")
	}
	first := submit(t, uri(other), "first")
	client := &otshttp.Client{Promises: true}
	until(t, "both nodes give out what the parent promised", func() bool {
		_, err := client.Timestamp(t.Context(), uri(holder), first)
		_, err2 := client.Timestamp(t.Context(), uri(other), first)
		return err == nil && err2 == nil
	})
	if err := stopHolder(); err != nil {
		t.Error(err)
	}
	until(t, "the other node has the lease", func() bool { return holds(other) })
	second := submit(t, uri(other), "second")
	for _, commitment := range [][]byte{first, second} {
		verify(t, dev, complete(t, uri(other), commitment), commitment)
	}
	until(t, "the status says that all is in order", func() bool {
		_, page := get(t, uri(other)+"/")
		return strings.Contains(page, "1 of 1 calendars accept heads") && strings.Contains(page, dev.URI())
	})
	read := Defaults()
	read.Database, read.Data, read.Targets, read.Upstream = config.Database, other.config.Data, config.Targets, config.Upstream
	report, err := Fsck(t.Context(), read, false, nil)
	if err != nil || !report.Clean() || report.Attestations == 0 || len(report.Unchecked) > 0 {
		t.Errorf("fsck: %+v, %v", report, err)
	}
}
