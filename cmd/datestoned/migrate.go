package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/datestone/datestone/internal/server"
)

type migrateCmd struct {
	Status migrateStatusCmd `cmd:"" help:"Show the version of the database's schema, and whether it is this program's."`
	Up     migrateUpCmd     `cmd:"" help:"Bring the schema up to date. Nodes may run meanwhile."`
}

type migrateStatusCmd struct {
	settings
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *migrateStatusCmd) Run(p *program) error {
	return c.settings.migrate(p, c.JSON, server.ReadSchema)
}

type migrateUpCmd struct {
	settings
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *migrateUpCmd) Run(p *program) error { return c.settings.migrate(p, c.JSON, server.MigrateUp) }

// migrate does what a command does to the schema and says how it is then.
func (s *settings) migrate(p *program, asJSON bool, do func(context.Context, server.Config) (server.Schema, error)) error {
	config, err := s.load(p)
	if err != nil {
		return err
	}
	schema, err := do(p.ctx, config)
	if err != nil {
		return err
	}
	if schema.UpToDate {
		return p.print(asJSON, schema, fmt.Sprintf("the schema has version %d and is up to date", schema.Version))
	}
	if asJSON {
		if err := p.print(true, schema, ""); err != nil {
			return err
		}
	}
	return foundError{errors.New(schema.Problem)}
}
