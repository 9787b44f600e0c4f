package main

import (
	"os"
	"runtime"
	"runtime/debug"

	"github.com/datestone/datestone/internal/server"
)

type serveCmd struct {
	settings
	JSON bool `name:"json" help:"Print the addresses as JSON when ready."`
}

func (c *serveCmd) Run(p *program) error {
	config, err := c.load(p)
	if err != nil {
		return err
	}
	if err := config.Check(); err != nil {
		return usageError{err}
	}
	tuneMemory()
	tuneScheduler()
	s, err := server.Open(p.ctx, config, server.Options{Version: version(), Log: p.stderr})
	if err != nil {
		return err
	}
	if c.JSON {
		ready := map[string]string{"listen": s.Addr().String(), "uri": config.URI}
		if a := s.MetricsAddr(); a != nil {
			ready["metrics"] = a.String()
		}
		if err := p.print(true, ready, ""); err != nil {
			return err
		}
	}
	return s.Run(p.ctx)
}

// tuneScheduler adds a processor to those that there are: the goroutine that comes back from the disk with
// a commit would else wait behind every request that is being served. GOMAXPROCS wins.
func tuneScheduler() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
}

// tuneMemory lets the heap, which has a few MB that live, grow further between two collections: under
// load there would otherwise be dozens a second. GOGC and GOMEMLIMIT win.
func tuneMemory() {
	const percent, limit = 400, 200 << 20
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
}
