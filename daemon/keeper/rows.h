/* The rows that carry authority, each written once as a list of its columns. From a list come a struct, a loader that
 * checks the row's HMAC before anybody sees a column, and a binder that computes it.
 *
 * The columns stand in this order in every SELECT that is loaded, the mac after them; an INSERT has them as $1, $2 …
 * and then the mac. */
#ifndef PFXD_ROWS_H
#define PFXD_ROWS_H

#include "db.h"
#include "keyring.h"

/* HELD: of a device, since the service was restored from a backup, until somebody releases it. */
enum state { STATE_ACTIVE = 1, STATE_REVOKED = 2, STATE_HELD = 3 };

#define ROW_user(F)     F(text, id) F(text, upn) F(number, state) F(number, created_at)
#define ROW_name(F)     F(text, name) F(text, user_id) F(text, shown)
#define ROW_identity(F) \
	F(text, id) F(text, user_id) F(blob, sha1) F(blob, sha256) F(text, subject) F(text, issuer) F(text, serial) \
	F(number, not_before) F(number, not_after) F(number, usages) F(text, key_algorithm) F(blob, emails) \
	F(blob, chain) F(number, imported_at) F(text, imported_by)
#define ROW_device(F) \
	F(text, id) F(text, user_id) F(text, name) F(text, platform) F(number, state) F(number, enrolled_at)
#define ROW_device_certificate(F) \
	F(text, fingerprint) F(text, device_id) F(blob, der) F(number, issued_at) F(number, not_after) \
	F(text, replaces) F(blob, csr_sha256)
#define ROW_enrolment(F) \
	F(blob, token_sha256) F(text, id) F(text, user_id) F(text, name) F(text, platform) F(number, created_at) \
	F(number, expires_at) F(number, spent_at) F(text, device_id) F(blob, csr_sha256)
#define ROW_removal(F)  F(text, user_id) F(blob, sha1) F(number, at)
#define ROW_token(F) \
	F(text, id) F(blob, token_sha256) F(text, name) F(text, role) F(number, created_at) F(number, expires_at)

#define ROWS(R) R(user) R(name) R(identity) R(device) R(device_certificate) R(enrolment) R(removal) R(token)

#define ROWTYPE_text struct view
#define ROWTYPE_blob struct view
#define ROWTYPE_number int64_t
#define ROW_FIELD(type, name) ROWTYPE_##type name;
#define ROW_COUNT(type, name) +1

/* load_X: the row under the statement. Its views live in ret->bytes, so until row_X_done(). TAMPERED, naming the
 * record, if the mac is not that of these columns under this keyring.
 * bind_X: binds all columns and the mac; row and ret_mac must live until the statement is given back.
 * columns_X: how many columns are before the mac. */
#define R(name) \
	struct row_##name { ROW_##name(ROW_FIELD) struct buf *bytes; }; \
	enum { columns_##name = 0 ROW_##name(ROW_COUNT) }; \
	int load_##name(const struct keyring *keyring, struct statement *s, struct row_##name *ret); \
	int mac_##name(const struct keyring *keyring, const struct row_##name *row, uint8_t ret[static 32]); \
	int bind_##name(const struct keyring *keyring, struct statement *s, const struct row_##name *row, \
			uint8_t ret_mac[static 32]); \
	static inline void row_##name##_done(struct row_##name *row) { buf_free(row->bytes); row->bytes = NULL; }
ROWS(R)
#undef R

/* A row that gives its memory back at the end of its block: ROW(device, d); */
#define ROW(type, name) __attribute__((cleanup(row_##type##_done))) struct row_##type name = { .bytes = NULL }

#endif
