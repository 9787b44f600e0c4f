-- One text for both databases. {{key}} is a 64-bit integer primary key, {{serial}} one that counts
-- by itself, {{bytes}} is a byte string. Times are microseconds since 1970 in UTC. Hashes are 32 bytes.

-- The state of the log. One row; every append holds its lock, so positions are dense and become
-- visible in order. edge is the right edge of the epoch's tree: all that an append needs to read.
CREATE TABLE head (
	id    {{key}},
	epoch BIGINT NOT NULL,
	size  BIGINT NOT NULL,
	edge  {{bytes}} NOT NULL
);

-- The entries. position is epoch * 2^48 + index. nodes are the interior nodes of the epoch's tree
-- that the entry completed, lowest level first.
CREATE TABLE entry (
	position {{key}},
	tip      {{bytes}} NOT NULL,
	nodes    {{bytes}} NOT NULL,
	at       BIGINT NOT NULL
);

-- The leaf hashes of each whole run of 64 entries, beside the last of which it was inserted: what the tree
-- has below its seventh level in one row, so that a look-up reads one row. It could be derived; fsck does.
CREATE TABLE tile (
	position {{key}}, -- of the first entry
	leaves   {{bytes}} NOT NULL
);

-- The epochs that have ended, each with its last known head.
CREATE TABLE epoch (
	epoch  {{key}},
	size   BIGINT NOT NULL,
	root   {{bytes}} NOT NULL,
	ended  BIGINT NOT NULL,
	reason TEXT NOT NULL
);

-- The targets as they were last seen: status is what the target says of itself, as JSON. genesis is the
-- hash of its chain's first block, for good, and empty until the node was reached once.
CREATE TABLE target (
	name    TEXT PRIMARY KEY,
	genesis TEXT NOT NULL,
	height  BIGINT NOT NULL,
	status  TEXT NOT NULL,
	updated BIGINT NOT NULL
);

-- What targets said of heads. proof is a bare OpenTimestamps timestamp on the head's root. purpose is
-- the tree whose head it is: log. state: 0 mined, 1 counted, 2 superseded, 3 withdrawn.
CREATE TABLE attestation (
	id         {{serial}},
	target     TEXT NOT NULL,
	purpose    TEXT NOT NULL,
	epoch      BIGINT NOT NULL,
	size       BIGINT NOT NULL,
	root       {{bytes}} NOT NULL,
	proof      {{bytes}} NOT NULL,
	height     BIGINT NOT NULL,
	block      {{bytes}} NOT NULL,
	block_time BIGINT NOT NULL,
	ref        TEXT NOT NULL,
	state      BIGINT NOT NULL,
	changed    BIGINT NOT NULL,
	UNIQUE (target, purpose, ref)
);
CREATE INDEX attestation_used ON attestation (purpose, target, epoch, state, size);
CREATE INDEX attestation_height ON attestation (target, height);
