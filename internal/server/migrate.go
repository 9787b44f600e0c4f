package server

import (
	"context"
	"errors"

	"github.com/datestone/datestone/internal/store"
)

// Schema is the version of a database's schema.
type Schema struct {
	UpToDate bool   `json:"up_to_date"`
	Version  int    `json:"version,omitempty"` // where it is up to date
	Problem  string `json:"problem,omitempty"` // which versions there are, and what to do
}

// ReadSchema looks at the schema of the configured database, which may be in use.
func ReadSchema(ctx context.Context, c Config) (Schema, error) {
	return openSchema(ctx, c, store.Options{ReadOnly: true})
}

// MigrateUp brings the schema of the configured database up to date. Nodes over PostgreSQL may run meanwhile.
func MigrateUp(ctx context.Context, c Config) (Schema, error) {
	return openSchema(ctx, c, store.Options{Migrate: store.MigrateUp, Connections: minDatabaseConnections})
}

func openSchema(ctx context.Context, c Config, o store.Options) (Schema, error) {
	if err := c.CheckStore(); err != nil {
		return Schema{}, err
	}
	db, err := store.Open(ctx, c.DatabasePlace(), o)
	if errors.Is(err, store.ErrSchema) {
		return Schema{Problem: err.Error()}, nil
	} else if err != nil {
		return Schema{}, err
	}
	defer db.Close()
	have, known, err := db.Schema(ctx)
	return Schema{UpToDate: have == known, Version: have}, err
}
