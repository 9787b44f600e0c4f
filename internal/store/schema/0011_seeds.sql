-- Hashes that OriginStamp's clients submitted, and the seeds that they are in. The words are those of 0001.

-- The hashes, once each, whoever submits them. number counts from 1 without a gap, in the order of submissions: it is given
-- under the lock of the head. stamp is the account's stamp of the hash. comment is what everybody may search for. nonce and
-- leaf lead from the hash to the entry at position, over the leaves in kept: another place than that of an older stamp.
CREATE TABLE submitted (
	number   {{key}},
	hash     {{bytes}} NOT NULL UNIQUE,
	account  BIGINT NOT NULL,
	stamp    {{bytes}} NOT NULL,
	created  BIGINT NOT NULL,
	comment  TEXT NOT NULL,
	nonce    {{bytes}} NOT NULL,
	leaf     BIGINT NOT NULL,
	position BIGINT NOT NULL
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
-- final is 1 once everybody who awaited it was told that its attestation counts, and 0 again once that is withdrawn.
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
	final  BIGINT NOT NULL,
	UNIQUE (target, first)
);
CREATE INDEX seed_unmade ON seed (number) WHERE made = 0;
CREATE INDEX seed_unfinal ON seed (target, first) WHERE final = 0;

-- The leaves of a seed in their order, 1024 in a row. tile is seed * 2^24 + the row's place from 0, smallest the first of its
-- leaves, node the root of their part of the tree. leaves come last: what reads the others does not read them.
CREATE TABLE seed_tile (
	tile     {{key}},
	smallest {{bytes}} NOT NULL,
	node     {{bytes}} NOT NULL,
	leaves   {{bytes}} NOT NULL
);

-- Who is told when the seed of a target that has a hash is final. A row goes when it is told.
CREATE TABLE seed_await (
	target   TEXT NOT NULL,
	number   BIGINT NOT NULL,
	endpoint BIGINT NOT NULL,
	PRIMARY KEY (target, number, endpoint)
);
CREATE INDEX seed_await_endpoint ON seed_await (endpoint);

-- The addresses of seed_await, and attempts that carry a seed.
CREATE INDEX endpoint_seed ON endpoint (account, created) WHERE channel IN ('seed_hook', 'seed_mail');
CREATE INDEX attempt_seed ON attempt (target, epoch, state) WHERE purpose = 'seed';
