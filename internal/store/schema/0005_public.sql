-- Certificates that their owners made public, by digest: everybody may look these up. Only they are in the index.
CREATE INDEX stamp_public ON stamp (digest, position) WHERE public = 1;
