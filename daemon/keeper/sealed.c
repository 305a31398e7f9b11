/* Reads and opens the sealed parts of an identity. Keeper only. */
#include "sealed.h"

#include "fault.h"

enum { SEALED_PART_MAX_BYTES = STORED_PKCS12_MAX_BYTES + 4 * KIB };

int sealed_read(struct statement *s, int column, unsigned which, struct sealed *ret)
{
	struct view *views[2 + SEAL_PARTS] = { &ret->key_id, &ret->wrapped };
	int count = 2;
	size_t size = 0;
	for (int i = 0; i < SEAL_PARTS; i++)
		if (which & SEALED_ONLY(i))
			views[count++] = &ret->parts[i];
	for (int i = 0; i < count; i++)
		size += sizeof(uint32_t) + column_view(s, column + i).len;
	if (size > (size_t)(count - 2) * SEALED_PART_MAX_BYTES)
		return fail(FAULT_TAMPERED, "it is larger than any that this service makes");
	ret->which = which;
	ret->bytes = buf_new(size);
	for (int i = 0; ret->bytes && i < count; i++)
		buf_put_bytes(ret->bytes, column_view(s, column + i));
	if (!ret->bytes || !buf_ok(ret->bytes))
		return fail(FAULT_UNAVAILABLE, "no memory for an identity");
	struct view rest = buf_view(ret->bytes);
	for (int i = 0; i < count; i++)
		view_get_bytes(&rest, size, views[i]);
	return 0;
}

void sealed_done(struct sealed *sealed)
{
	buf_free(sealed->bytes);
	sealed->bytes = NULL;
}

int sealed_open(const struct keyring *keyring, const struct row_identity *row, const struct sealed *sealed,
		struct opened *ret)
{
	KEY256 data_secret;
	if (!sealed->bytes)
		return fail(FAULT_TAMPERED, "it is gone");
	const struct binding binding = { .record = row->id, .owner = row->user_id, .sha256 = row->sha256,
					 .key_id = sealed->key_id };
	int rc = seal_open_key(keyring, sealed->key_id, sealed->wrapped, &data_secret);
	for (int i = 0; rc == 0 && i < SEAL_PARTS; i++) {
		if (!(sealed->which & SEALED_ONLY(i)))
			continue;
		struct buf *part_secret = ret->parts_secret[i] = buf_new(STORED_PKCS12_MAX_BYTES);
		if (!part_secret)
			return fail(FAULT_UNAVAILABLE, "no memory for an identity");
		rc = unseal(&data_secret, &binding, seal_parts[i], sealed->parts[i], part_secret);
		if (rc == 0 && buf_len(part_secret) <= PKCS12_PASSWORD_CHARS)
			rc = fail(FAULT_TAMPERED, "its PKCS#12 is cut short");
	}
	return rc;
}

void opened_done(struct opened *opened)
{
	for (int i = 0; i < SEAL_PARTS; i++) {
		buf_free(opened->parts_secret[i]);
		opened->parts_secret[i] = NULL;
	}
}
