-- An encrypted mail names its recipients by issuer and serial number, or by the subject key identifier of a certificate.
-- The latter is outside the row's mac: it leads to a row and decides nothing. Rows from before have none.
ALTER TABLE identities ADD COLUMN key_identifier BLOB NOT NULL DEFAULT x'';
CREATE INDEX identities_recipient ON identities (serial, issuer);
CREATE INDEX identities_key_identifier ON identities (key_identifier);
