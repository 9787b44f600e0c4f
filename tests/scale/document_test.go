package main

import (
	"os"
	"strings"
	"testing"

	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/logtree"
)

// docs/scale.md quotes the tables as they are printed.
func TestDocument(t *testing.T) {
	page, err := os.ReadFile("../../docs/scale.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables() {
		if !strings.Contains(string(page), table) {
			t.Errorf("docs/scale.md does not have this table; copy it from go run ./tests/scale:\n%s", table)
		}
	}
}

// The operations of a proof through a region and its parent are what docs/scale.md says, and no more than clients
// read in a row.
func TestNestedPath(t *testing.T) {
	const (
		clients = 48
		bitcoin = 4 + 3*13 // the transaction, and a block of 2^13 of them
		most    = 255
	)
	region, parent := logtree.MaxPathOps(calendar.MaxBatch, regionEpoch), logtree.MaxPathOps(calendar.MaxBatch, parentEpoch)
	if region != 83 || parent != 80 || clients+region+parent+bitcoin != 254 {
		t.Errorf("a region needs %d operations and its parent %d, with the rest %d", region, parent, clients+region+parent+bitcoin)
	}
	if sum := clients + 2*region + bitcoin; sum <= most {
		t.Errorf("with %d operations the parent could have epochs as large as its regions'", sum)
	}
}
