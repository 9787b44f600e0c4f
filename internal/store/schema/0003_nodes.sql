-- What several nodes over one database need. The words are those of 0001.

-- Rights to run a loop that must run once. token grows each time the lease is taken; expires is in
-- microseconds since 1970 by the database's clock.
CREATE TABLE lease (
	name    TEXT PRIMARY KEY,
	holder  TEXT NOT NULL,
	token   BIGINT NOT NULL,
	expires BIGINT NOT NULL
);
