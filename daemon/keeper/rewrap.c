/* Seals identities anew under the newest wrapping key. Keeper only. Rows are opened and sealed outside of the writer's
 * transaction and put in place within it, each only if it still is what was read: a row is wholly old or wholly new,
 * whatever is killed when, and both keys are in the keyring until no row needs the old one. */
#include "rewrap.h"

#include "fault.h"
#include "log.h"
#include "rows.h"
#include "seal.h"
#include "text.h"

enum {
	ID_LOGGED_MAX = 64,
	WRAPPED = columns_identity + 1, /* of identities_under_from, after the mac; then the parts */
};

struct resealed {
	char id[UUID_TEXT + 1];
	uint8_t old_wrapped[SEAL_WRAPPED_BYTES], wrapped[SEAL_WRAPPED_BYTES];
	struct buf *parts[SEAL_PARTS];
};

struct batch {
	struct keeper *k;
	const char *old_id;           /* of the wrapping key */
	struct buf *last;             /* the id of the last record that was read, whether it opened or not; NULL: none yet */
	bool tell;                    /* log what does not open */
	size_t count, bytes, read, unreadable, done;
	struct resealed rows[REWRAP_BATCH_ROWS];
};

static void batch_reset(struct batch *b)
{
	for (size_t i = 0; i < b->count; i++)
		for (int n = 0; n < SEAL_PARTS; n++) {
			buf_free(b->rows[i].parts[n]);
			b->rows[i].parts[n] = NULL;
		}
	b->count = b->bytes = b->read = b->done = 0;
}

/* ---- opening and sealing ---- */

static int reseal_parts(struct batch *b, struct statement *s, const struct row_identity *row, struct resealed *r)
{
	KEY256 old_secret;
	KEY256 new_secret;
	const struct keyring *keyring = b->k->keyring;
	const struct binding from = { row->id, row->user_id, row->sha256, view_text(b->old_id) };
	struct binding to = from;
	struct view wrapped = column_view(s, WRAPPED);
	to.key_id = view_text(keyring_wrapping_id(keyring, 0));
	int rc = seal_open_key(keyring, from.key_id, wrapped, &old_secret);
	if (rc == 0)
		rc = seal_new_key(keyring, &new_secret, r->wrapped);
	for (int n = 0; rc == 0 && n < SEAL_PARTS; n++) {
		struct view sealed = column_view(s, WRAPPED + 1 + n);
		BUF plain_secret = buf_new(sealed.len);
		r->parts[n] = buf_new(sealed.len);
		if (!plain_secret || !r->parts[n])
			return fail(FAULT_UNAVAILABLE, "no memory to seal an identity");
		rc = unseal(&old_secret, &from, seal_parts[n], sealed, plain_secret);
		if (rc == 0)
			rc = seal(&new_secret, &to, seal_parts[n], buf_view(plain_secret), r->parts[n]);
		b->bytes += sealed.len;
	}
	if (rc == 0)
		memcpy(r->old_wrapped, wrapped.p, sizeof r->old_wrapped);
	return rc;
}

static void tell_unreadable(const struct batch *b)
{
	char why[FAULT_DETAIL_MAX];
	size_t len = buf_len(b->last);
	strcpy(why, fault_detail());
	if (b->tell)
		log_detail(EVENT_NOT_REWRAPPED, "identity %.*s: %s", (int)(len < ID_LOGGED_MAX ? len : ID_LOGGED_MAX),
			   (const char *)buf_data(b->last), why);
}

/* However long it is: somebody may have made the row, and what comes after it is to be found. */
static int remember(struct batch *b, struct view id)
{
	buf_free(b->last);
	b->last = buf_new(id.len + 1);
	if (b->last)
		buf_put(b->last, id.p, id.len);
	return b->last && buf_ok(b->last) ? 0 : fail(FAULT_UNAVAILABLE, "no memory for an identity's id");
}

/* TAMPERED for a row that does not open: there is nothing to be sealed anew, and it stays as it is. */
static int reseal(struct batch *b, struct statement *s)
{
	ROW(identity, row);
	struct resealed *r = &b->rows[b->count];
	*r = (struct resealed){ .parts = { NULL } };
	int rc = load_identity(b->k->keyring, s, &row);
	if (rc == 0)
		rc = reseal_parts(b, s, &row, r);
	if (rc == 0 && !text_copy(row.id, r->id, sizeof r->id))
		rc = fail(FAULT_TAMPERED, "its id is none");
	if (rc < 0)
		for (int n = 0; n < SEAL_PARTS; n++) {
			buf_free(r->parts[n]);
			r->parts[n] = NULL;
		}
	b->count += rc == 0;
	return rc;
}

static int read_batch(struct batch *b)
{
	BUF after = b->last; /* the statement has it while the last one changes */
	READER c = NULL;
	STATEMENT s = NULL;
	b->last = NULL;
	struct view last = after ? buf_view(after) : view_text("");
	int rc = db_read(b->k->db, &c);
	if (rc == 0)
		rc = statement_get(c, SQL_identities_under_from, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, view_text(b->old_id));
	bind_text(s, 2, last);
	bind_number(s, 3, REWRAP_BATCH_ROWS + 1);
	while (b->read < REWRAP_BATCH_ROWS && b->bytes < REWRAP_BATCH_BYTES && (rc = statement_step(s)) > 0) {
		if (after && view_equal(column_view(s, 0), last))
			continue;
		b->read++;
		rc = remember(b, column_view(s, 0));
		if (rc == 0)
			rc = reseal(b, s);
		if (rc == -FAULT_TAMPERED) {
			b->unreadable++;
			tell_unreadable(b);
			rc = 0;
		} else if (rc < 0) {
			return rc;
		}
	}
	return rc < 0 ? rc : 0;
}

/* ---- putting in place ---- */

static int put_row(struct connection *c, const struct batch *b, const struct resealed *r)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_identity_rewrap, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, view_text(r->id));
	bind_text(s, 2, view_text(b->old_id));
	bind_blob(s, 3, view_of(r->old_wrapped, sizeof r->old_wrapped));
	bind_text(s, 4, view_text(keyring_wrapping_id(b->k->keyring, 0)));
	bind_blob(s, 5, view_of(r->wrapped, sizeof r->wrapped));
	for (int n = 0; n < SEAL_PARTS; n++)
		bind_blob(s, 6 + n, buf_view(r->parts[n]));
	return statement_run(s);
}

/* One that was deleted meanwhile changes nothing. */
static int put_batch(struct connection *c, void *arg)
{
	struct batch *b = arg;
	int rc = 0;
	b->done = 0;
	for (size_t i = 0; rc == 0 && i < b->count; i++) {
		rc = put_row(c, b, &b->rows[i]);
		b->done += rc == 0 && rows_changed(c) > 0;
	}
	return rc;
}

static int run_batches(struct batch *b, const atomic_bool *stopping)
{
	int rc = 0;
	do {
		batch_reset(b);
		rc = read_batch(b);
		if (rc == 0 && b->count > 0)
			rc = db_write(b->k->db, put_batch, b);
		if (rc == 0) {
			atomic_fetch_add(&b->k->rewrapped, b->done);
			atomic_fetch_sub(&b->k->to_rewrap, b->done);
		}
	} while (rc == 0 && b->read > 0 && !atomic_load(stopping));
	batch_reset(b);
	return rc;
}

int rewrap_all(struct keeper *k, bool tell, const atomic_bool *stopping)
{
	int rc = 0;
	struct batch *b = calloc(1, sizeof *b);
	if (!b)
		return fail(FAULT_UNAVAILABLE, "no memory to seal identities anew");
	*b = (struct batch){ .k = k, .tell = tell };
	for (size_t i = 1; rc == 0 && (b->old_id = keyring_wrapping_id(k->keyring, i)); i++) {
		rc = run_batches(b, stopping);
		buf_free(b->last);
		b->last = NULL;
	}
	if (rc == 0 && !atomic_load(stopping))
		atomic_store(&k->not_rewrapped, b->unreadable);
	free(b);
	return rc;
}

/* ---- counting ---- */

int rewrap_count(struct connection *c, const char *key_id, uint64_t *ret)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_identities_under_count, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, view_text(key_id));
	rc = statement_step(s);
	if (rc > 0)
		*ret = (uint64_t)column_number(s, 0);
	return rc < 0 ? rc : 0;
}
