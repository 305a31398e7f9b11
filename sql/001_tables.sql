-- Every table. Times are seconds since 1970; ids are UUIDs; a mac is an HMAC under the keyring over the row's other
-- columns, but for those said to be outside it. Sealed columns are opaque; daemon/keeper/seal.h says what they hold.

CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;

CREATE TABLE users (
	id TEXT PRIMARY KEY, upn TEXT NOT NULL, state INTEGER NOT NULL, created_at INTEGER NOT NULL, mac BLOB NOT NULL
) STRICT;

-- What a user was and is called, folded to one case. A retired user has none: the names are free again.
CREATE TABLE names (name TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id), shown TEXT NOT NULL,
	mac BLOB NOT NULL) STRICT;
CREATE INDEX names_user ON names (user_id);

-- chain: SHA-256 of each certificate above the leaf, one after the other, issuer first.
CREATE TABLE identities (
	id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id), sha1 BLOB NOT NULL, sha256 BLOB NOT NULL,
	subject TEXT NOT NULL, issuer TEXT NOT NULL, serial TEXT NOT NULL, not_before INTEGER NOT NULL,
	not_after INTEGER NOT NULL, usages INTEGER NOT NULL, key_algorithm TEXT NOT NULL, emails BLOB NOT NULL,
	chain BLOB NOT NULL, imported_at INTEGER NOT NULL, imported_by TEXT NOT NULL, mac BLOB NOT NULL,
	key_id TEXT NOT NULL, wrapped_key BLOB NOT NULL, sealed_key BLOB NOT NULL, sealed_certificate BLOB NOT NULL,
	sealed_modern BLOB NOT NULL, sealed_legacy BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX identities_user ON identities (user_id, sha256);

CREATE TABLE chain_certificates (sha256 BLOB PRIMARY KEY, der BLOB NOT NULL) STRICT;

-- Thumbprints of identities that a user had: devices are told to remove them.
CREATE TABLE removals (user_id TEXT NOT NULL REFERENCES users (id), sha1 BLOB NOT NULL, at INTEGER NOT NULL,
	mac BLOB NOT NULL, PRIMARY KEY (user_id, sha1)) STRICT;

-- last_pull_at is outside the mac.
CREATE TABLE devices (
	id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id), name TEXT NOT NULL, platform TEXT NOT NULL,
	state INTEGER NOT NULL, enrolled_at INTEGER NOT NULL, last_pull_at INTEGER NOT NULL, mac BLOB NOT NULL
) STRICT;
CREATE INDEX devices_user ON devices (user_id, enrolled_at, id);
CREATE INDEX devices_order ON devices (enrolled_at, id);

-- fingerprint: SHA-256 of the certificate in hex, as audit records have it. replaces: the one that it renews, until it
-- is used for the first time; that one ends then. csr_sha256: of the request that it answers.
CREATE TABLE device_certificates (
	fingerprint TEXT PRIMARY KEY, device_id TEXT NOT NULL REFERENCES devices (id), der BLOB NOT NULL,
	issued_at INTEGER NOT NULL, not_after INTEGER NOT NULL, replaces TEXT NOT NULL, csr_sha256 BLOB NOT NULL,
	mac BLOB NOT NULL
) STRICT;
CREATE INDEX device_certificates_device ON device_certificates (device_id);

CREATE TABLE receipts (device_id TEXT NOT NULL REFERENCES devices (id), thumbprint BLOB NOT NULL,
	installed INTEGER NOT NULL, error TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (device_id, thumbprint)) STRICT;

-- One-time tokens for devices. device_id and csr_sha256 are empty and spent_at is 0 until it is spent.
CREATE TABLE enrolments (
	token_sha256 BLOB PRIMARY KEY, id TEXT NOT NULL, user_id TEXT NOT NULL REFERENCES users (id), name TEXT NOT NULL,
	platform TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, spent_at INTEGER NOT NULL,
	device_id TEXT NOT NULL, csr_sha256 BLOB NOT NULL, mac BLOB NOT NULL
) STRICT;
CREATE INDEX enrolments_user ON enrolments (user_id);

-- Administrators' tokens. expires_at 0: never.
CREATE TABLE tokens (
	id TEXT PRIMARY KEY, token_sha256 BLOB NOT NULL, name TEXT NOT NULL, role TEXT NOT NULL,
	created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, mac BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX tokens_hash ON tokens (token_sha256);

-- mac: HMAC(mac of the record before, this record). audit_head is the newest record's sequence and mac, itself under
-- an HMAC, so that cutting records off the end shows.
CREATE TABLE audit (
	sequence INTEGER PRIMARY KEY, at INTEGER NOT NULL, event TEXT NOT NULL, actor TEXT NOT NULL, user_id TEXT NOT NULL,
	object TEXT NOT NULL, detail TEXT NOT NULL, request_id TEXT NOT NULL, mac BLOB NOT NULL
) STRICT;
CREATE TABLE audit_head (id INTEGER PRIMARY KEY, sequence INTEGER NOT NULL, chain BLOB NOT NULL, mac BLOB NOT NULL) STRICT;

-- Written and read back by the health check.
CREATE TABLE probe (id INTEGER PRIMARY KEY, value INTEGER NOT NULL) STRICT;
