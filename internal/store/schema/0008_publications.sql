-- Roots that are printed. The words are those of 0001.

-- The notices. uid names one in mail and requests, paper is what the paper is called, period is unique for what a target prints of a purpose, and day is the
-- date that is printed. epoch and size are the head's, or 0 for a root that is no head of the log. text is what is
-- printed; title, service, explains and language are what it was made of.
CREATE TABLE publication (
	id       {{serial}},
	uid      {{bytes}} NOT NULL UNIQUE,
	target   TEXT NOT NULL,
	paper    TEXT NOT NULL,
	purpose  TEXT NOT NULL,
	period   TEXT NOT NULL,
	name     TEXT NOT NULL,
	day      TEXT NOT NULL,
	epoch    BIGINT NOT NULL,
	size     BIGINT NOT NULL,
	root     {{bytes}} NOT NULL,
	title    TEXT NOT NULL,
	service  TEXT NOT NULL,
	explains TEXT NOT NULL,
	language TEXT NOT NULL,
	text     TEXT NOT NULL,
	created  BIGINT NOT NULL,
	UNIQUE (target, purpose, period)
);
CREATE INDEX publication_newest ON publication (target, id);
CREATE INDEX publication_head ON publication (purpose, epoch, size);

-- The newest period that was decided for a target: whether there was something to print or not.
CREATE TABLE publication_period (
	target TEXT PRIMARY KEY,
	period TEXT NOT NULL
);

-- The ways of a notice to the publisher. state: 0 due, 1 delivered, 2 parked, 3 dropped. tries counts those that were
-- begun, and due is moved before each.
CREATE TABLE publication_delivery (
	publication BIGINT NOT NULL,
	channel     TEXT NOT NULL,
	state       BIGINT NOT NULL,
	due         BIGINT NOT NULL,
	tries       BIGINT NOT NULL,
	tried       BIGINT NOT NULL,
	code        TEXT NOT NULL,
	error       TEXT NOT NULL,
	PRIMARY KEY (publication, channel)
);
CREATE INDEX publication_delivery_due ON publication_delivery (state, due);

-- Where notices appeared, who said so and when, and who took it back: withdrawn is a time or 0.
CREATE TABLE publication_place (
	id           {{serial}},
	publication  BIGINT NOT NULL,
	issue        TEXT NOT NULL,
	page         TEXT NOT NULL,
	url          TEXT NOT NULL,
	confirmer    TEXT NOT NULL,
	confirmed    BIGINT NOT NULL,
	withdrawer   TEXT NOT NULL,
	withdrawn    BIGINT NOT NULL
);
CREATE UNIQUE INDEX publication_place_one ON publication_place (publication) WHERE withdrawn = 0;
