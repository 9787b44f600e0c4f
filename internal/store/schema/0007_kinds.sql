-- The chain that an attestation is of: bitcoin, litecoin or ethereum.
ALTER TABLE attestation ADD COLUMN kind TEXT NOT NULL DEFAULT 'bitcoin';
