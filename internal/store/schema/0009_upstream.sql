-- What other calendars promised of heads. The words are those of 0001.

-- Each row is a pending attestation that a calendar gave for a head: path leads in operations from the root to the
-- commitment, on which the calendar at uri is asked. calendar is whom the head was given to, which may be another one.
-- state: 0 pending, 1 answered: proof is a bare timestamp on the root that ends in a Bitcoin attestation at height,
-- which nobody has checked yet; 2 attested: the attestation of the name ref was made of it; 3 set aside: the calendar is
-- not configured any more. next is when it may be asked for again, tries how often that was in vain.
CREATE TABLE submission (
	id         {{serial}},
	target     TEXT NOT NULL,
	epoch      BIGINT NOT NULL,
	size       BIGINT NOT NULL,
	root       {{bytes}} NOT NULL,
	calendar   TEXT NOT NULL,
	uri        TEXT NOT NULL,
	path       {{bytes}} NOT NULL,
	commitment {{bytes}} NOT NULL,
	proof      {{bytes}} NOT NULL,
	height     BIGINT NOT NULL,
	ref        TEXT NOT NULL,
	state      BIGINT NOT NULL,
	created    BIGINT NOT NULL,
	changed    BIGINT NOT NULL,
	next       BIGINT NOT NULL,
	tries      BIGINT NOT NULL
);
CREATE INDEX submission_head ON submission (epoch, size, state);
CREATE INDEX submission_asked ON submission (target, state, uri, epoch, size);
CREATE INDEX submission_sent ON submission (target, calendar, epoch, size);
CREATE INDEX submission_ref ON submission (target, ref);
