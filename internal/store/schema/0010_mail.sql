-- How long what becomes due to an endpoint waits for more, in microseconds: e-mail to an account says all of it at once.
-- secret is for e-mail what its address to unsubscribe at is known by. The other words are those of 0001 and 0005.
ALTER TABLE endpoint ADD COLUMN gather BIGINT NOT NULL DEFAULT 0;
