/* Loads and binds rows that carry authority. Keeper only. No column is looked at before its row's HMAC was checked. */
#include "rows.h"

#include "encode.h"
#include "fault.h"
#include "seal.h"

#include <stdio.h>
#include <string.h>

enum { ROW_MAX_BYTES = 256 * 1024 };

/* One layout of a row's bytes: the table's name, then each column with its length. The HMAC is over this, and loaded
 * views point into it. */
static void put_text(struct buf *b, struct view v) { buf_put_bytes(b, v); }
static void put_blob(struct buf *b, struct view v) { buf_put_bytes(b, v); }
static void put_number(struct buf *b, int64_t v) { buf_put_u64(b, (uint64_t)v); }

static void copy_text(struct buf *b, struct statement *s, int i) { put_text(b, column_view(s, i)); }
static void copy_blob(struct buf *b, struct statement *s, int i) { put_blob(b, column_view(s, i)); }
static void copy_number(struct buf *b, struct statement *s, int i) { put_number(b, column_number(s, i)); }

static bool get_text(struct view *v, struct view *ret) { return view_get_bytes(v, ROW_MAX_BYTES, ret); }
static bool get_blob(struct view *v, struct view *ret) { return view_get_bytes(v, ROW_MAX_BYTES, ret); }

static bool get_number(struct view *v, int64_t *ret)
{
	uint64_t n;
	if (!view_get_u64(v, &n))
		return false;
	*ret = (int64_t)n;
	return true;
}

/* What an error calls a record: its first column, a text as it is and bytes as hex. */
static int tampered(const char *kind, struct view first)
{
	bool printable = true;
	for (size_t i = 0; i < first.len; i++)
		printable &= first.p[i] >= 0x20 && first.p[i] < 0x7f;
	char hex[65];
	if (printable)
		return fail(FAULT_TAMPERED,
			    "the record of %s %.*s was changed outside this service, or was not written "
			    "under this keyring", kind, (int)(first.len < 64 ? first.len : 64), (const char *)first.p);
	hex_encode(view_of(first.p, first.len < 32 ? first.len : 32), hex);
	return fail(FAULT_TAMPERED,
		    "the record of %s %s was changed outside this service, or was not written under this "
		    "keyring", kind, hex);
}

static int check(const struct keyring *keyring, const char *kind, struct statement *s, int mac_column,
		 const struct buf *bytes)
{
	uint8_t mac[32];
	/* A name's first column is a person's; such a record is called by its user's id, which may be logged. */
	int first = strcmp(kind, "name") == 0 ? 1 : 0;
	if (buf_overflowed(bytes))
		return tampered(kind, column_view(s, first));
	if (!buf_ok(bytes))
		return fail(FAULT_UNAVAILABLE, "no memory for a row");
	int rc = hmac_make(keyring_rows_key(keyring), bytes, mac);
	if (rc == 0 && !view_equal_secret(column_view(s, mac_column), view_of(mac, sizeof mac)))
		rc = tampered(kind, column_view(s, first));
	return rc;
}

#define PUT_COLUMN(type, name) put_##type(bytes, row->name);
#define COPY_COLUMN(type, name) copy_##type(bytes, s, i++);
#define GET_COLUMN(type, name) whole &= get_##type(&rest, &ret->name);
#define BIND_COLUMN_text(n, v) bind_text(s, n, v)
#define BIND_COLUMN_blob(n, v) bind_blob(s, n, v)
#define BIND_COLUMN_number(n, v) bind_number(s, n, v)
#define BIND_COLUMN(type, name) BIND_COLUMN_##type(++n, row->name);

#define R(table) \
	int load_##table(const struct keyring *keyring, struct statement *s, struct row_##table *ret) \
	{ \
		BUF bytes = buf_new(ROW_MAX_BYTES); \
		struct view rest, kind; \
		int i = 0; \
		bool whole = true; \
		if (!bytes) \
			return fail(FAULT_UNAVAILABLE, "no memory for a row"); \
		put_text(bytes, view_text(#table)); \
		ROW_##table(COPY_COLUMN) \
		int rc = check(keyring, #table, s, i, bytes); \
		if (rc < 0) \
			return rc; \
		rest = buf_view(bytes); \
		whole &= get_text(&rest, &kind); \
		ROW_##table(GET_COLUMN) \
		if (!whole) \
			return fail(FAULT_INTERNAL, "a row of " #table " did not fit"); \
		buf_free(ret->bytes); \
		ret->bytes = bytes; \
		bytes = NULL; \
		return 0; \
	} \
	int mac_##table(const struct keyring *keyring, const struct row_##table *row, uint8_t ret[static 32]) \
	{ \
		BUF bytes = buf_new(ROW_MAX_BYTES); \
		if (!bytes) \
			return fail(FAULT_UNAVAILABLE, "no memory for a row"); \
		put_text(bytes, view_text(#table)); \
		ROW_##table(PUT_COLUMN) \
		return hmac_make(keyring_rows_key(keyring), bytes, ret); \
	} \
	int bind_##table(const struct keyring *keyring, struct statement *s, const struct row_##table *row, \
			 uint8_t ret_mac[static 32]) \
	{ \
		int n = 0; \
		int rc = mac_##table(keyring, row, ret_mac); \
		if (rc < 0) \
			return rc; \
		ROW_##table(BIND_COLUMN) \
		bind_blob(s, ++n, view_of(ret_mac, 32)); \
		return 0; \
	}
ROWS(R)
