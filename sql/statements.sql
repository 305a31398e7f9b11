-- Every statement of the service. `-- name` begins one; sql/generate makes SQL_name of it. Parameters are $1, $2 …
-- Written so that PostgreSQL runs them too: nothing that only SQLite knows.

-- meta_get
SELECT value FROM meta WHERE name = $1;
-- meta_put
INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- database_is_filled
SELECT 1 FROM meta UNION ALL SELECT 1 FROM audit_head UNION ALL SELECT 1 FROM audit UNION ALL SELECT 1 FROM users
UNION ALL SELECT 1 FROM identities UNION ALL SELECT 1 FROM devices UNION ALL SELECT 1 FROM tokens LIMIT 1;

-- probe_write
INSERT INTO probe (id, value) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET value = excluded.value;
-- probe_read
SELECT value FROM probe WHERE id = 1;

-- user_get
SELECT id, upn, state, created_at, mac FROM users WHERE id = $1;
-- users_count
SELECT count(*) FROM users WHERE state = 1;
-- user_insert
INSERT INTO users (id, upn, state, created_at, mac) VALUES ($1, $2, $3, $4, $5);
-- user_update
UPDATE users SET upn = $2, state = $3, mac = $4 WHERE id = $1;
-- user_names_after
SELECT n.name, n.user_id FROM names n JOIN users u ON u.id = n.user_id AND n.shown = u.upn
WHERE n.name > $1 ORDER BY n.name LIMIT $2;
-- user_count_identities
SELECT count(*) FROM identities WHERE user_id = $1;
-- user_size_identities
SELECT count(*), coalesce(sum(length(sealed_legacy)), 0) FROM identities WHERE user_id = $1;
-- user_count_devices
SELECT count(*) FROM devices WHERE user_id = $1;

-- user_count_not_revoked_devices
SELECT count(*) FROM devices WHERE user_id = $1 AND state <> 2;

-- name_get
SELECT name, user_id, shown, mac FROM names WHERE name = $1;
-- name_insert
INSERT INTO names (name, user_id, shown, mac) VALUES ($1, $2, $3, $4);
-- name_replace
INSERT INTO names (name, user_id, shown, mac) VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO UPDATE SET user_id = excluded.user_id, shown = excluded.shown, mac = excluded.mac;
-- names_of_user
SELECT name, user_id, shown, mac FROM names WHERE user_id = $1 ORDER BY name;
-- names_delete
DELETE FROM names WHERE user_id = $1;

-- identities_count
SELECT count(*) FROM identities;
-- identity_facts_of_user
SELECT id, user_id, sha1, sha256, subject, issuer, serial, not_before, not_after, usages, key_algorithm, emails, chain,
	imported_at, imported_by, mac
FROM identities WHERE user_id = $1;
-- identities_modern_of_user
SELECT id, key_id, wrapped_key, sealed_modern FROM identities WHERE user_id = $1;
-- identities_legacy_of_user
SELECT id, key_id, wrapped_key, sealed_legacy FROM identities WHERE user_id = $1;
-- Of the index alone.
-- identities_listed_of_user
SELECT sha256 FROM identities WHERE user_id = $1;
-- From this id on, which may be the one that was looked at last: no id comes before all others.
-- identity_from
SELECT id, user_id, sha1, sha256, subject, issuer, serial, not_before, not_after, usages, key_algorithm, emails, chain,
	imported_at, imported_by, mac, key_id, wrapped_key, sealed_modern, sealed_legacy
FROM identities WHERE id >= $1 ORDER BY id LIMIT 2;
-- identity_of_user
SELECT id, user_id, sha1, sha256, subject, issuer, serial, not_before, not_after, usages, key_algorithm, emails, chain,
	imported_at, imported_by, mac
FROM identities WHERE user_id = $1 AND sha256 = $2;
-- identities_of_recipient
SELECT id, user_id FROM identities WHERE issuer = $1 AND serial = $2 ORDER BY imported_at, id LIMIT $3;
-- identities_of_key_identifier
SELECT id, user_id FROM identities WHERE key_identifier = $1 ORDER BY imported_at, id LIMIT $2;
-- identity_insert
INSERT INTO identities (id, user_id, sha1, sha256, subject, issuer, serial, not_before, not_after, usages, key_algorithm,
	emails, chain, imported_at, imported_by, mac, key_id, wrapped_key, sealed_modern, sealed_legacy, key_identifier)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21);
-- identities_under_from
SELECT id, user_id, sha1, sha256, subject, issuer, serial, not_before, not_after, usages, key_algorithm, emails, chain,
	imported_at, imported_by, mac, wrapped_key, sealed_modern, sealed_legacy
FROM identities WHERE key_id = $1 AND id >= $2 ORDER BY id LIMIT $3;
-- identities_under_count
SELECT count(*) FROM identities WHERE key_id = $1;
-- identity_rewrap
UPDATE identities SET key_id = $4, wrapped_key = $5, sealed_modern = $6, sealed_legacy = $7
WHERE id = $1 AND key_id = $2 AND wrapped_key = $3;
-- identity_set_usages
UPDATE identities SET usages = $2, mac = $3 WHERE id = $1;
-- identity_delete
DELETE FROM identities WHERE id = $1;

-- chain_insert
INSERT INTO chain_certificates (sha256, der) VALUES ($1, $2) ON CONFLICT (sha256) DO NOTHING;
-- chain_get
SELECT der FROM chain_certificates WHERE sha256 = $1;

-- removal_put
INSERT INTO removals (user_id, sha1, at, mac) VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id, sha1) DO UPDATE SET at = excluded.at, mac = excluded.mac;
-- removal_delete
DELETE FROM removals WHERE user_id = $1 AND sha1 = $2;
-- removals_of_user
SELECT user_id, sha1, at, mac FROM removals WHERE user_id = $1 ORDER BY sha1;

-- device_get
SELECT id, user_id, name, platform, state, enrolled_at, mac, last_pull_at FROM devices WHERE id = $1;
-- devices_of_user
SELECT id, user_id, name, platform, state, enrolled_at, mac, last_pull_at FROM devices
WHERE user_id = $1 AND (enrolled_at, id) > ($2, $3) ORDER BY enrolled_at, id LIMIT $4;
-- devices_after
SELECT id, user_id, name, platform, state, enrolled_at, mac, last_pull_at FROM devices
WHERE (enrolled_at, id) > ($1, $2) ORDER BY enrolled_at, id LIMIT $3;
-- device_not_revoked_of_user
SELECT id, user_id, name, platform, state, enrolled_at, mac, last_pull_at FROM devices WHERE user_id = $1 AND state <> 2
LIMIT 1;
-- device_active_after
SELECT id, user_id, name, platform, state, enrolled_at, mac, last_pull_at FROM devices WHERE state = 1 AND id > $1
ORDER BY id LIMIT 1;
-- device_insert
INSERT INTO devices (id, user_id, name, platform, state, enrolled_at, mac, last_pull_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, 0);
-- device_set_state
UPDATE devices SET state = $2, mac = $3 WHERE id = $1;
-- device_pulled
UPDATE devices SET last_pull_at = $2 WHERE id = $1;

-- device_certificate_get
SELECT fingerprint, device_id, der, issued_at, not_after, replaces, csr_sha256, mac FROM device_certificates WHERE fingerprint = $1;
-- device_certificates_of
SELECT fingerprint, device_id, der, issued_at, not_after, replaces, csr_sha256, mac FROM device_certificates WHERE device_id = $1
ORDER BY not_after DESC, issued_at DESC, replaces DESC;
-- device_certificates_in_use
SELECT c.device_id, c.der, c.not_after FROM device_certificates c JOIN devices d ON d.id = c.device_id AND d.state <> 2
WHERE c.not_after > $1 ORDER BY c.device_id;
-- device_certificate_insert
INSERT INTO device_certificates (fingerprint, device_id, der, issued_at, not_after, replaces, csr_sha256, mac)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);
-- device_certificate_successor
SELECT fingerprint, device_id, der, issued_at, not_after, replaces, csr_sha256, mac FROM device_certificates
WHERE device_id = $1 AND replaces = $2;
-- device_certificate_confirm
UPDATE device_certificates SET replaces = '', mac = $2 WHERE fingerprint = $1;
-- device_certificate_delete
DELETE FROM device_certificates WHERE fingerprint = $1;

-- receipt_put
INSERT INTO receipts (device_id, thumbprint, installed, error, at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (device_id, thumbprint)
DO UPDATE SET installed = excluded.installed, error = excluded.error, at = excluded.at;

-- receipt_get
SELECT installed, error, at FROM receipts WHERE device_id = $1 AND thumbprint IN ($2, $3) ORDER BY at DESC LIMIT 1;

-- enrolment_get
SELECT token_sha256, id, user_id, name, platform, created_at, expires_at, spent_at, device_id, csr_sha256, mac
FROM enrolments WHERE token_sha256 = $1;
-- enrolment_insert
INSERT INTO enrolments (token_sha256, id, user_id, name, platform, created_at, expires_at, spent_at, device_id,
	csr_sha256, mac)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);
-- enrolment_spend
UPDATE enrolments SET spent_at = $2, device_id = $3, csr_sha256 = $4, mac = $5 WHERE token_sha256 = $1 AND spent_at = 0;

-- enrolment_unspent_after
SELECT token_sha256, id, user_id, name, platform, created_at, expires_at, spent_at, device_id, csr_sha256, mac
FROM enrolments WHERE spent_at = 0 AND expires_at > 0 AND token_sha256 > $1 ORDER BY token_sha256 LIMIT 1;
-- enrolment_end
UPDATE enrolments SET expires_at = 0, mac = $2 WHERE token_sha256 = $1;

-- token_by_hash
SELECT id, token_sha256, name, role, created_at, expires_at, mac FROM tokens WHERE token_sha256 = $1;
-- token_get
SELECT id, token_sha256, name, role, created_at, expires_at, mac FROM tokens WHERE id = $1;
-- tokens_all
SELECT id, token_sha256, name, role, created_at, expires_at, mac FROM tokens ORDER BY created_at, id LIMIT $1;
-- tokens_count
SELECT count(*) FROM tokens;
-- tokens_count_lasting_admins
SELECT count(*) FROM tokens WHERE role = 'admin' AND id <> $1 AND (expires_at = 0 OR expires_at > $2);
-- token_insert
INSERT INTO tokens (id, token_sha256, name, role, created_at, expires_at, mac) VALUES ($1, $2, $3, $4, $5, $6, $7);
-- token_delete
DELETE FROM tokens WHERE id = $1;

-- audit_head_get
SELECT sequence, chain, mac FROM audit_head WHERE id = 1;
-- audit_head_put
INSERT INTO audit_head (id, sequence, chain, mac) VALUES (1, $1, $2, $3)
ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, chain = excluded.chain, mac = excluded.mac;
-- audit_insert
INSERT INTO audit (sequence, at, event, actor, user_id, object, detail, request_id, mac)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);
-- audit_last_at
SELECT at FROM audit ORDER BY sequence DESC LIMIT 1;
-- audit_before_first
SELECT count(*) FROM audit WHERE sequence < 1;
-- audit_after
SELECT sequence, at, event, actor, user_id, object, detail, request_id, mac FROM audit
WHERE sequence > $1 ORDER BY sequence LIMIT $2;

-- What there is, for who looks after the service.
-- inspect_counts
SELECT (SELECT count(*) FROM users WHERE state = 1), (SELECT count(*) FROM devices WHERE state = 1),
	coalesce((SELECT at FROM audit ORDER BY sequence DESC LIMIT 1), 0),
	(SELECT count(*) FROM devices WHERE state = 3);
-- inspect_ends
SELECT coalesce(sum(CASE WHEN ends <= $1 THEN 1 ELSE 0 END), 0),
	coalesce(sum(CASE WHEN ends <= $2 THEN 1 ELSE 0 END), 0),
	coalesce(sum(CASE WHEN ends <= $3 THEN 1 ELSE 0 END), 0),
	coalesce(sum(CASE WHEN ends <= $4 THEN 1 ELSE 0 END), 0)
FROM (SELECT max(c.not_after) AS ends FROM device_certificates c JOIN devices d ON d.id = c.device_id AND d.state = 1
	GROUP BY c.device_id) newest;

-- Every row that carries authority, for verification.
-- all_user
SELECT id, upn, state, created_at, mac FROM users;
-- all_name
SELECT name, user_id, shown, mac FROM names;
-- all_identity
SELECT id, user_id, sha1, sha256, subject, issuer, serial, not_before, not_after, usages, key_algorithm, emails, chain,
	imported_at, imported_by, mac
FROM identities;
-- all_device
SELECT id, user_id, name, platform, state, enrolled_at, mac FROM devices;
-- all_device_certificate
SELECT fingerprint, device_id, der, issued_at, not_after, replaces, csr_sha256, mac FROM device_certificates;
-- all_enrolment
SELECT token_sha256, id, user_id, name, platform, created_at, expires_at, spent_at, device_id, csr_sha256, mac
FROM enrolments;
-- all_removal
SELECT user_id, sha1, at, mac FROM removals;
-- all_token
SELECT id, token_sha256, name, role, created_at, expires_at, mac FROM tokens;

-- The state that the audit chain tells against the state that stands in the tables. Each row is a difference. What has
-- nothing to be found by is sorted in memory. Of identities, of which there are many more than of all else, these are only
-- those that were deleted or got other usages: one is imported once, so that there are as many such records as rows. What
-- is counted is a column that is in no index, and each record once: who writes the file can write an index that lies.
-- differ_devices
SELECT 'device ' || e.object || ' was revoked, but its row says that it is ' ||
	CASE d.state WHEN 1 THEN 'active' ELSE 'held' END FROM audit e
JOIN devices d ON d.id = e.object WHERE e.event = 'device.revoke' AND d.state <> 2
UNION ALL
SELECT 'device ' || d.id || ' was held and not released, but its row says that it is active' FROM devices d
JOIN (SELECT object, max(CASE WHEN event = 'device.hold' THEN sequence ELSE 0 END) AS held, max(sequence) AS newest
	FROM audit WHERE event IN ('device.hold', 'device.release') GROUP BY object) x ON x.object = d.id
WHERE d.state = 1 AND x.held = x.newest
UNION ALL
SELECT 'device ' || d.id || ' is held by its row, but nobody held it, or it was released since' FROM devices d
LEFT JOIN (SELECT object, max(CASE WHEN event = 'device.hold' THEN sequence ELSE 0 END) AS held, max(sequence) AS newest
	FROM audit WHERE event IN ('device.hold', 'device.release') GROUP BY object) x ON x.object = d.id
WHERE d.state = 3 AND (x.held IS NULL OR x.held <> x.newest)
UNION ALL
SELECT 'device ' || e.object || ' got a bundle in record ' || e.sequence || ', while it was held' FROM audit e
JOIN (SELECT h.object, h.sequence AS first, min(r.sequence) AS next FROM audit h
	LEFT JOIN audit r ON r.event = 'device.release' AND r.object = h.object AND r.sequence > h.sequence
	WHERE h.event = 'device.hold' GROUP BY h.object, h.sequence) x
	ON x.object = e.object AND x.first < e.sequence AND (x.next IS NULL OR x.next > e.sequence)
WHERE e.event = 'bundle.release'
UNION ALL
SELECT 'device ' || e.object || ' was enrolled, but its row is gone' FROM audit e
LEFT JOIN devices d ON d.id = e.object WHERE e.event = 'device.enrol' AND d.id IS NULL
UNION ALL
SELECT 'device ' || e.object || ' was enrolled for another user than its row says' FROM audit e
JOIN devices d ON d.id = e.object WHERE e.event = 'device.enrol' AND d.user_id <> e.user_id
UNION ALL
SELECT 'device ' || d.id || ' has a row, but was never enrolled' FROM devices d
LEFT JOIN audit e ON e.event = 'device.enrol' AND e.object = d.id WHERE e.sequence IS NULL
UNION ALL
SELECT 'device ' || d.id || ' is revoked by its row, but nobody revoked it' FROM devices d
LEFT JOIN audit e ON e.event = 'device.revoke' AND e.object = d.id WHERE d.state = 2 AND e.sequence IS NULL
UNION ALL
SELECT 'device ' || e.object || ' got a bundle in record ' || e.sequence || ', after it was revoked' FROM audit e
JOIN (SELECT object, min(sequence) AS first FROM audit WHERE event = 'device.revoke' GROUP BY object) x
	ON x.object = e.object WHERE e.event = 'bundle.release' AND e.sequence > x.first;
-- differ_certificates
SELECT 'certificate ' || c.fingerprint || ' of device ' || c.device_id || ' was replaced, but its row is there again'
FROM audit e JOIN device_certificates c ON c.fingerprint = e.object WHERE e.event = 'certificate.end'
UNION ALL
SELECT 'certificate ' || c.fingerprint || ' of device ' || c.device_id || ' has a row, but was never issued to it'
FROM device_certificates c LEFT JOIN audit e ON e.event = 'certificate.issue' AND e.object = c.fingerprint
	AND e.detail = c.device_id WHERE e.sequence IS NULL
UNION ALL
SELECT 'certificate ' || e.object || ' of device ' || e.detail || ' was issued and not replaced, but its row is gone'
FROM audit e LEFT JOIN device_certificates c ON c.fingerprint = e.object
LEFT JOIN audit x ON x.event = 'certificate.end' AND x.object = e.object
WHERE e.event = 'certificate.issue' AND c.fingerprint IS NULL AND x.sequence IS NULL;
-- differ_enrolments
SELECT 'enrolment ' || e.object || ' was spent, but its row says that it was not' FROM audit e
JOIN enrolments n ON n.id = e.object WHERE e.event = 'enrolment.spend' AND n.spent_at = 0
UNION ALL
SELECT 'enrolment ' || e.object || ' was ended, but its row says that it can be used' FROM audit e
JOIN enrolments n ON n.id = e.object WHERE e.event = 'enrolment.end' AND n.expires_at <> 0
UNION ALL
SELECT 'enrolment ' || n.id || ' is ended by its row, but nobody ended it' FROM enrolments n
LEFT JOIN audit e ON e.event = 'enrolment.end' AND e.object = n.id WHERE n.expires_at = 0 AND e.sequence IS NULL
UNION ALL
SELECT 'enrolment ' || e.object || ' was spent in record ' || e.sequence || ', after it was ended' FROM audit e
JOIN audit x ON x.event = 'enrolment.end' AND x.object = e.object AND x.sequence < e.sequence
WHERE e.event = 'enrolment.spend'
UNION ALL
SELECT 'enrolment ' || e.object || ' was spent ' || count(*) || ' times' FROM audit e
WHERE e.event = 'enrolment.spend' GROUP BY e.object HAVING count(*) > 1
UNION ALL
SELECT 'enrolment ' || n.id || ' is spent by its row, but nobody spent it' FROM enrolments n
LEFT JOIN audit e ON e.event = 'enrolment.spend' AND e.object = n.id WHERE n.spent_at <> 0 AND e.sequence IS NULL
UNION ALL
SELECT 'enrolment ' || n.id || ' has a row, but was never made' FROM enrolments n
LEFT JOIN audit e ON e.event = 'enrolment.create' AND e.object = n.id WHERE e.sequence IS NULL;
-- differ_tokens
SELECT 'token ' || e.object || ' was revoked, but its row is there again' FROM audit e
JOIN tokens t ON t.id = e.object WHERE e.event = 'token.delete'
UNION ALL
SELECT 'token ' || t.id || ' has the role ' || t.role || ', but was made as ' || e.detail FROM audit e
JOIN tokens t ON t.id = e.object WHERE e.event = 'token.create' AND t.role <> e.detail
UNION ALL
SELECT 'token ' || t.id || ' has a row, but was never made' FROM tokens t
LEFT JOIN audit e ON e.event = 'token.create' AND e.object = t.id WHERE e.sequence IS NULL
UNION ALL
SELECT 'token ' || e.object || ' was made and never revoked, but its row is gone' FROM audit e
LEFT JOIN tokens t ON t.id = e.object
LEFT JOIN audit x ON x.event = 'token.delete' AND x.object = e.object
WHERE e.event = 'token.create' AND t.id IS NULL AND x.sequence IS NULL;
-- differ_identities
SELECT 'identity ' || e.object || ' was deleted, but its row is there again' FROM audit e
JOIN identities i ON i.id = e.object WHERE e.event = 'identity.delete'
UNION ALL
SELECT 'identity ' || e.object || ' was imported and never deleted, but its row is gone' FROM audit e
LEFT JOIN identities i ON i.id = e.object
LEFT JOIN audit x ON x.event = 'identity.delete' AND x.object = e.object
WHERE e.event = 'identity.import' AND i.id IS NULL AND x.sequence IS NULL
UNION ALL
SELECT 'identity ' || i.id || ' has a row, but was never imported for this user' FROM (SELECT 1 AS one
	WHERE (SELECT count(usages) FROM identities) <> (SELECT count(*) FROM audit e WHERE e.event = 'identity.import'
		AND EXISTS (SELECT 1 FROM identities i WHERE i.id = e.object AND i.user_id = e.user_id))) some
CROSS JOIN identities i
LEFT JOIN audit e ON e.event = 'identity.import' AND e.object = i.id AND e.user_id = i.user_id
WHERE e.sequence IS NULL;
-- differ_usages
SELECT 'identity ' || i.id || ' has other usages than its last record says' FROM audit e
JOIN identities i ON i.id = e.object
LEFT JOIN (SELECT object, max(sequence) AS newest FROM audit WHERE event = 'identity.usages' GROUP BY object) x
	ON x.object = e.object
WHERE (e.event = 'identity.import' AND x.newest IS NULL OR e.event = 'identity.usages' AND e.sequence = x.newest)
	AND substr(e.detail, 66) <> CAST(i.usages AS TEXT);
-- differ_names
SELECT 'user ' || e.user_id || ' was called by a name in record ' || e.sequence || ' that leads nowhere now' FROM audit e
JOIN users u ON u.id = e.user_id AND u.state = 1
LEFT JOIN names n ON n.name = e.object AND n.user_id = e.user_id
WHERE e.event IN ('user.create', 'user.rename') AND n.name IS NULL
UNION ALL
SELECT 'the name of user ' || n.user_id || ' has a row, but was never given' FROM names n
LEFT JOIN audit e ON e.event IN ('user.create', 'user.rename') AND e.object = n.name AND e.user_id = n.user_id
WHERE e.sequence IS NULL;
-- differ_users
SELECT 'user ' || e.user_id || ' was retired, but the row says active' FROM audit e
JOIN users u ON u.id = e.user_id WHERE e.event = 'user.retire' AND u.state = 1
UNION ALL
SELECT 'user ' || u.id || ' has a row, but was never made' FROM users u
LEFT JOIN audit e ON e.event = 'user.create' AND e.user_id = u.id WHERE e.sequence IS NULL
UNION ALL
SELECT 'user ' || u.id || ' is called otherwise than the last record of it says' FROM users u
JOIN (SELECT user_id, max(sequence) AS newest FROM audit WHERE event IN ('user.create', 'user.rename')
	GROUP BY user_id) x ON x.user_id = u.id
JOIN audit e ON e.sequence = x.newest
WHERE u.state = 1 AND e.detail <> u.upn
UNION ALL
SELECT 'user ' || e.user_id || ' was made, but the row is gone' FROM audit e
LEFT JOIN users u ON u.id = e.user_id WHERE e.event = 'user.create' AND u.id IS NULL;
