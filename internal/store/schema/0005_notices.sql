-- Notices, and who gets them. The words are those of 0001.

-- Who gets notices. account is 0 for the operator. kinds is a set of bits: 1 anchored, 2 confirmed, 4 upgraded,
-- 8 withdrawn, 16 trouble. stamp and position are those of the one stamp that it is about, or NULL for every
-- stamp of the account. Secrets are encrypted; old_secret signs as well until old_until. state: 0 active,
-- 1 gone (it wants no more), 2 deleted. Deliveries are in order, so their schedule is the endpoint's: next is 0
-- while nothing is due, failures count since the last success, failing is when they began. slow is 1 for one that
-- failed or took long the last time.
CREATE TABLE endpoint (
	id         {{serial}},
	uid        {{bytes}} NOT NULL UNIQUE,
	account    BIGINT NOT NULL,
	channel    TEXT NOT NULL,
	address    TEXT NOT NULL,
	kinds      BIGINT NOT NULL,
	stamp      {{bytes}},
	position   BIGINT,
	secret     {{bytes}} NOT NULL,
	old_secret {{bytes}} NOT NULL,
	old_until  BIGINT NOT NULL,
	state      BIGINT NOT NULL,
	created    BIGINT NOT NULL,
	slow       BIGINT NOT NULL,
	next       BIGINT NOT NULL,
	failures   BIGINT NOT NULL,
	failing    BIGINT NOT NULL
);
CREATE INDEX endpoint_account ON endpoint (account, position, id);
CREATE INDEX endpoint_next ON endpoint (slow, next);
CREATE INDEX endpoint_state ON endpoint (state, id);

-- How far notices were written: of the epoch's entries those below size. While upto is above size the entries up
-- to there are being walked, account by account: up to account, and in it up to (position, created).
CREATE TABLE notice_cursor (
	target   TEXT NOT NULL,
	kind     TEXT NOT NULL,
	epoch    BIGINT NOT NULL,
	size     BIGINT NOT NULL,
	upto     BIGINT NOT NULL,
	account  BIGINT NOT NULL,
	position BIGINT NOT NULL,
	created  BIGINT NOT NULL,
	PRIMARY KEY (target, kind, epoch)
);

-- What happened, once for each stamp, target and kind: ref is the attestation's, so that one that returns says
-- nothing new and another one in its place does. stands is 1 for what is confirmed and not withdrawn. stamp is
-- random where a notice is about none.
CREATE TABLE notice (
	id       {{serial}},
	uid      {{bytes}} NOT NULL UNIQUE,
	account  BIGINT NOT NULL,
	stamp    {{bytes}} NOT NULL,
	target   TEXT NOT NULL,
	kind     TEXT NOT NULL,
	ref      TEXT NOT NULL,
	position BIGINT NOT NULL,
	message  TEXT NOT NULL,
	stands   BIGINT NOT NULL,
	created  BIGINT NOT NULL,
	UNIQUE (stamp, target, kind, ref)
);
CREATE INDEX notice_stands ON notice (target, position) WHERE stands = 1;
CREATE INDEX notice_created ON notice (created);

-- A notice on its way to an endpoint. state: 0 due, 1 done, 2 parked, 3 dropped. due is since when it is due;
-- tried is the time of the last try, with the status code of its answer or 0, and what was wrong.
CREATE TABLE delivery (
	id       {{serial}},
	endpoint BIGINT NOT NULL,
	notice   BIGINT NOT NULL,
	state    BIGINT NOT NULL,
	due      BIGINT NOT NULL,
	tries    BIGINT NOT NULL,
	tried    BIGINT NOT NULL,
	status   BIGINT NOT NULL,
	error    TEXT NOT NULL,
	UNIQUE (endpoint, notice)
);
CREATE INDEX delivery_state ON delivery (endpoint, state, id);
CREATE INDEX delivery_due ON delivery (state, due);
CREATE INDEX delivery_notice ON delivery (notice);

-- What the operator was told of each target: the code told, and the one that was seen last, since when.
CREATE TABLE trouble (
	target TEXT PRIMARY KEY,
	told   TEXT NOT NULL,
	seen   TEXT NOT NULL,
	since  BIGINT NOT NULL
);

-- What only the right key for secrets opens. At most one row.
CREATE TABLE secret_key (
	id    {{key}},
	check_value {{bytes}} NOT NULL
);

-- What is attested already is no news.
INSERT INTO notice_cursor (target, kind, epoch, size, upto, account, position, created)
	SELECT s.target, s.kind, s.epoch, s.size, s.size, 0, -1, 0 FROM
		(SELECT target, 'anchored' AS kind, epoch, MAX(size) AS size FROM attestation WHERE purpose = 'log' AND state IN (0, 1) GROUP BY target, epoch
		UNION ALL SELECT target, 'confirmed', epoch, MAX(size) FROM attestation WHERE purpose = 'log' AND state = 1 GROUP BY target, epoch) s;
