package server

import (
	"context"
	"log/slog"

	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/internal/upstream"
)

// upstreamName is the name of the target that other calendars make up.
const upstreamName = "upstream"

// hasUpstream says whether heads are given to other calendars: that is so where nothing else is configured.
func (c Config) hasUpstream() bool {
	return c.Targets == "configured" && (len(c.coins()) == 0 || c.Upstream.Given())
}

// own are the addresses that calendars know this service by.
func (c Config) own() []string { return []string{c.URI, c.AuthenticatedURI} }

func (c Config) upstreamBuilder(log *slog.Logger) builder {
	return func(db *store.DB) (loop, error) {
		if err := c.Upstream.CheckLoop(c.own()...); err != nil {
			return nil, err
		}
		return upstream.New(upstreamName, c.Upstream, db, upstream.Options{Log: log, Lost: isLost, Own: c.own()})
	}
}

// upstreamAudit compares what calendars attested with the configured node. Public explorers are not asked for every
// block that was ever attested: it is nil without a node.
func (c Config) upstreamAudit(ctx context.Context) (*upstream.Audit, error) {
	if !c.hasUpstream() || c.Upstream.RPCURL == "" {
		return nil, nil
	}
	audit, err := upstream.NewAudit(c.Upstream)
	if err != nil {
		return nil, err
	}
	_, err = audit.Tip(ctx)
	return audit, err
}
