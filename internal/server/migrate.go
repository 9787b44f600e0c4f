package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/datestone/datestone/internal/store"
)

// Schema is the version of a database's schema.
type Schema struct {
	UpToDate bool   `json:"up_to_date"`
	Version  int    `json:"version"`           // 0 in an empty database
	Known    int    `json:"known"`             // what this program makes
	Problem  string `json:"problem,omitempty"` // which versions there are, and what to do
}

// ReadSchema looks at the schema of the configured database, which may be in use.
func ReadSchema(ctx context.Context, c Config) (Schema, error) {
	if err := c.CheckStore(); err != nil {
		return Schema{}, err
	}
	have, known, err := store.SchemaAt(ctx, c.DatabasePlace())
	if err != nil {
		return Schema{}, err
	}
	s := Schema{UpToDate: have == known, Version: have, Known: known}
	switch {
	case have == 0:
		s.Problem = "this is not a Datestone database yet: datestoned migrate up makes it one, and so does the first start"
	case have > known:
		s.Problem = fmt.Sprintf("the schema has version %d and this program knows versions up to %d: use the newer datestoned that made it", have, known)
	case have < known:
		s.Problem = fmt.Sprintf("the schema has version %d and this program needs %d: bring it up to date with datestoned migrate up", have, known)
	}
	return s, nil
}

// MigrateUp brings the schema of the configured database up to date. Nodes over PostgreSQL may run meanwhile.
func MigrateUp(ctx context.Context, c Config) (Schema, error) {
	if err := c.CheckStore(); err != nil {
		return Schema{}, err
	}
	db, err := store.Open(ctx, c.DatabasePlace(), store.Options{Migrate: store.MigrateUp, Connections: minDatabaseConnections})
	if errors.Is(err, store.ErrSchema) {
		return Schema{Problem: err.Error()}, nil
	} else if err != nil {
		return Schema{}, err
	}
	defer db.Close()
	have, known, err := db.Schema(ctx)
	return Schema{UpToDate: have == known, Version: have, Known: known}, err
}
