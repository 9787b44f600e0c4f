-- Hashes that OriginStamp's clients submitted, and the seeds that they are in. The words are those of 0001.

-- The hashes, once each, whoever submits them. number counts from 1 without a gap, in the order of positions. stamp is
-- the account's stamp of the hash. comment is what everybody may search for.
CREATE TABLE submitted (
	number  {{key}},
	hash    {{bytes}} NOT NULL UNIQUE,
	account BIGINT NOT NULL,
	stamp   {{bytes}} NOT NULL,
	created BIGINT NOT NULL,
	comment TEXT NOT NULL
);
CREATE INDEX submitted_comment ON submitted (number) WHERE comment <> '';

-- Pages to print before there is a hash: the first account that uses a UUID owns it.
CREATE TABLE preprint (
	uid     {{bytes}} PRIMARY KEY,
	account BIGINT NOT NULL,
	number  BIGINT NOT NULL
);

-- The seeds: of a target those of one period each. A seed has the submitted hashes from first up to before; while before
-- is 0 it is open, and it is its target's newest. Once made is not 0, root is that of its tree and seed_tile has that.
CREATE TABLE seed (
	number {{serial}},
	uid    {{bytes}} NOT NULL UNIQUE,
	target TEXT NOT NULL,
	opened BIGINT NOT NULL,
	closes BIGINT NOT NULL,
	first  BIGINT NOT NULL,
	before BIGINT NOT NULL,
	root   {{bytes}} NOT NULL,
	made   BIGINT NOT NULL,
	UNIQUE (target, first)
);
CREATE INDEX seed_unmade ON seed (target, number) WHERE made = 0;

-- The leaves of a seed in their order, 1024 in a row: smallest is the first of them, node the root of their part of the tree.
CREATE TABLE seed_tile (
	seed     BIGINT NOT NULL,
	tile     BIGINT NOT NULL,
	smallest {{bytes}} NOT NULL,
	leaves   {{bytes}} NOT NULL,
	node     {{bytes}} NOT NULL,
	PRIMARY KEY (seed, tile)
);

-- Who is told when the seed of a target that has a hash is final.
CREATE TABLE seed_await (
	target   TEXT NOT NULL,
	number   BIGINT NOT NULL,
	endpoint BIGINT NOT NULL,
	PRIMARY KEY (target, number, endpoint)
);
