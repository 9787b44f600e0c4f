package store

import "errors"

// ErrUnfinished says that a copy into this database has begun and did not end.
var ErrUnfinished = errors.New("a copy into this database was not finished: run datestoned store copy again")
