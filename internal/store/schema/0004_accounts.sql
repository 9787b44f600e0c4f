-- Accounts and the stamps that are kept for them. The words are those of 0001.

-- key_hash is the SHA-256 of the active API key, or NULL. branding is JSON, or empty. stamps counts the account's
-- stamps and last_stamp is when the newest was made: appends hold the row's lock, so both only grow.
CREATE TABLE account (
	id          {{serial}},
	email       TEXT NOT NULL UNIQUE,
	plan        TEXT NOT NULL,
	suspended   BIGINT NOT NULL,
	created     BIGINT NOT NULL,
	branding    TEXT NOT NULL,
	key_hash    {{bytes}} UNIQUE,
	key_hint    TEXT NOT NULL,
	key_created BIGINT NOT NULL,
	stamps      BIGINT NOT NULL,
	last_stamp  BIGINT NOT NULL
);

-- New stamps by account and calendar month in UTC, as year * 100 + month.
CREATE TABLE quota_use (
	account BIGINT NOT NULL,
	month   BIGINT NOT NULL,
	used    BIGINT NOT NULL,
	PRIMARY KEY (account, month)
);

-- Stamps. number counts an account's stamps from 1 without a gap. number, created and position grow together.
-- nonce and leaf lead from the digest to the entry at position, over the leaves in kept.
CREATE TABLE stamp (
	account     BIGINT NOT NULL,
	number      BIGINT NOT NULL,
	id          {{bytes}} NOT NULL UNIQUE,
	certificate TEXT NOT NULL UNIQUE,
	digest      {{bytes}} NOT NULL,
	name        TEXT NOT NULL,
	size        BIGINT NOT NULL,
	type        TEXT NOT NULL,
	created     BIGINT NOT NULL,
	branding    TEXT NOT NULL,
	thumbnail   {{bytes}},
	public      BIGINT NOT NULL,
	nonce       {{bytes}} NOT NULL,
	leaf        BIGINT NOT NULL,
	position    BIGINT NOT NULL,
	PRIMARY KEY (account, created)
);
-- account + 0 is in no other index: on a table that is new to its statistics PostgreSQL would take one of those, and
-- read all stamps of an account to find one.
CREATE UNIQUE INDEX stamp_digest ON stamp (digest, (account + 0));
CREATE INDEX stamp_position ON stamp (account, position, created);

-- The leaves of each batch of stamps, 32 bytes each in order, by the position of its entry.
CREATE TABLE kept (
	position {{key}},
	leaves   {{bytes}} NOT NULL
);

-- Requests that may be repeated. payload is the SHA-256 of the body; existing has a byte for each item, 1 if its
-- stamp was there before.
CREATE TABLE idempotency (
	account  BIGINT NOT NULL,
	name     TEXT NOT NULL,
	payload  {{bytes}} NOT NULL,
	existing {{bytes}} NOT NULL,
	expires  BIGINT NOT NULL,
	PRIMARY KEY (account, name)
);
CREATE INDEX idempotency_expires ON idempotency (expires);
