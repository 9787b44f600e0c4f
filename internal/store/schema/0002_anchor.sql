-- What a target is given, and what is followed of its chain. The words are those of 0001.

-- Attempts: bytes that may bring a head to a target. A row is committed before its bytes are sent. Of
-- the attempts with the same conflict at most one can succeed. state: 0 live, 1 mined, 2 settled (mined
-- at the required depth), 3 dead. height and block are where it was mined, or for a dead one the
-- height of what killed it. fee is in the target's smallest unit, vsize in virtual bytes.
CREATE TABLE attempt (
	id       {{serial}},
	target   TEXT NOT NULL,
	purpose  TEXT NOT NULL,
	epoch    BIGINT NOT NULL,
	size     BIGINT NOT NULL,
	root     {{bytes}} NOT NULL,
	conflict TEXT NOT NULL,
	raw      {{bytes}} NOT NULL,
	ref      TEXT NOT NULL,
	fee      BIGINT NOT NULL,
	vsize    BIGINT NOT NULL,
	created  BIGINT NOT NULL,
	sent     BIGINT NOT NULL,
	state    BIGINT NOT NULL,
	height   BIGINT NOT NULL,
	changed  BIGINT NOT NULL,
	UNIQUE (target, ref)
);
CREATE INDEX attempt_state ON attempt (target, state, changed);
CREATE INDEX attempt_conflict ON attempt (target, conflict);
CREATE INDEX attempt_height ON attempt (target, height);
CREATE INDEX attempt_newest ON attempt (target, purpose, id);

-- What an attempt uses up and no other can use as well: outpoints, as txid:output.
CREATE TABLE attempt_use (
	attempt BIGINT NOT NULL,
	name    TEXT NOT NULL,
	PRIMARY KEY (attempt, name)
);
CREATE INDEX attempt_use_name ON attempt_use (name);

-- The chain of a target: most_work is the most cumulative work ever seen (32 bytes, big-endian),
-- counted, like block.work, from the genesis block on; base is the first block that is followed.
CREATE TABLE chain (
	target    TEXT PRIMARY KEY,
	base      BIGINT NOT NULL,
	most_work {{bytes}} NOT NULL
);

-- The target's best chain as it was followed, from the first block on.
CREATE TABLE block (
	target TEXT NOT NULL,
	height BIGINT NOT NULL,
	hash   {{bytes}} NOT NULL,
	work   {{bytes}} NOT NULL,
	PRIMARY KEY (target, height)
);

-- Outputs that pay to us. height is 0 while no block of the best chain has it; lost is the height of
-- the best block when it left the chain. spent_by is the transaction in the best chain that spends
-- it, or empty.
CREATE TABLE coin (
	target       TEXT NOT NULL,
	outpoint     TEXT NOT NULL,
	value        BIGINT NOT NULL,
	script       {{bytes}} NOT NULL,
	branch       BIGINT NOT NULL,
	coinbase     BIGINT NOT NULL,
	height       BIGINT NOT NULL,
	lost         BIGINT NOT NULL,
	spent_by     TEXT NOT NULL,
	spent_height BIGINT NOT NULL,
	PRIMARY KEY (target, outpoint)
);
CREATE INDEX coin_height ON coin (target, height);
CREATE INDEX coin_spent ON coin (target, spent_height, outpoint);

CREATE INDEX attestation_state ON attestation (target, state, height);

-- When an attestation was counted first; 0 while it never was.
ALTER TABLE attestation ADD COLUMN first_counted BIGINT NOT NULL DEFAULT 0;
