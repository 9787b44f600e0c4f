-- Digests that the customers of the authenticated calendar signed. The words are those of 0001.

-- The customers' public keys: point is the compressed form, compressed says whether the owner uses that one. version
-- is the API's that answers by default, callback an address or empty, removed a time or 0: a key that was removed
-- keeps its row, for the digests that it signed. endpoint is the callback's, or 0.
CREATE TABLE signer (
	id         {{serial}},
	account    BIGINT NOT NULL,
	point      {{bytes}} NOT NULL UNIQUE,
	compressed BIGINT NOT NULL,
	version    TEXT NOT NULL,
	callback   TEXT NOT NULL,
	created    BIGINT NOT NULL,
	removed    BIGINT NOT NULL,
	endpoint   BIGINT NOT NULL
);
CREATE INDEX signer_account ON signer (account, id);

-- Signed digests. op is a hash's tag in the proof format, or 0 when the customer named none; email is where the proof
-- is sent, or empty. created grows with position and is no other signed digest's or stamp's of the account. nonce and
-- leaf lead from the digest to the entry at position, over the leaves in kept.
CREATE TABLE signed (
	account   BIGINT NOT NULL,
	created   BIGINT NOT NULL,
	signer    BIGINT NOT NULL,
	digest    {{bytes}} NOT NULL,
	op        BIGINT NOT NULL,
	email     TEXT NOT NULL,
	signature {{bytes}} NOT NULL,
	nonce     {{bytes}} NOT NULL,
	leaf      BIGINT NOT NULL,
	position  BIGINT NOT NULL,
	PRIMARY KEY (account, created)
);
CREATE UNIQUE INDEX signed_digest ON signed (digest, signer);
-- What is awaited is found by its position.
CREATE INDEX signed_position ON signed (signer, position, leaf);
CREATE INDEX signed_email ON signed (position, leaf) WHERE email <> '';

-- What is attested already is no news.
INSERT INTO notice_cursor (target, kind, epoch, size, upto, account, position, created)
	SELECT target, 'attested', epoch, MAX(size), MAX(size), 0, 0, 0 FROM attestation WHERE purpose = 'log' AND state = 1 GROUP BY target, epoch;
