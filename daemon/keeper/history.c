/* Order and currency of a user's identities. Keeper only. Decides from dates and usages; touches no key. */
#include "history.h"

#include "fault.h"

#include <stdlib.h>

static int compare_numbers(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

/* Newest notBefore first; ties: later notAfter, later import, thumbprint. */
static int compare(const void *pa, const void *pb)
{
	const struct row_identity *a = &((const struct identity *)pa)->row, *b = &((const struct identity *)pb)->row;
	int order = compare_numbers(b->not_before, a->not_before);
	if (order == 0)
		order = compare_numbers(b->not_after, a->not_after);
	if (order == 0)
		order = compare_numbers(b->imported_at, a->imported_at);
	return order ? order : memcmp(a->sha1.p, b->sha1.p, a->sha1.len < b->sha1.len ? a->sha1.len : b->sha1.len);
}

/* In a list that is newest first: the first that is valid now, else the first that has begun, else the first. */
static struct identity *current(struct history *h, uint8_t usage, int64_t now)
{
	struct identity *first = NULL, *begun = NULL;
	for (size_t i = 0; i < h->count; i++) {
		struct identity *id = &h->at[i];
		if (!(id->row.usages & usage))
			continue;
		if (id->row.not_before <= now && now <= id->row.not_after)
			return id;
		if (!begun && id->row.not_before <= now)
			begun = id;
		if (!first)
			first = id;
	}
	return begun ? begun : first;
}

void history_arrange(struct history *h, int64_t now, bool deliver_signing)
{
	static const uint8_t usages[] = { USAGE_ENCRYPTION, USAGE_SIGNING };
	if (h->count > 0)
		qsort(h->at, h->count, sizeof *h->at, compare);
	bool signer_delivered = !deliver_signing;
	for (size_t i = 0; i < h->count; i++) {
		struct identity *id = &h->at[i];
		bool only_signs = id->row.usages == USAGE_SIGNING;
		id->delivered = !only_signs || !signer_delivered;
		signer_delivered |= only_signs;
	}
	for (size_t i = 0; i < sizeof usages; i++) {
		struct identity *id = current(h, usages[i], now);
		if (id)
			id->current_for |= usages[i];
	}
}

static int add(struct history *h, const struct keyring *keyring, struct statement *s)
{
	if (h->count == IDENTITIES_PER_USER_MAX)
		return fail(FAULT_INTERNAL, "the user has more than %d identities", IDENTITIES_PER_USER_MAX);
	if (h->count % 16 == 0) {
		struct identity *more = realloc(h->at, (h->count + 16) * sizeof *more);
		if (!more)
			return fail(FAULT_UNAVAILABLE, "no memory for a history");
		h->at = more;
	}
	h->at[h->count] = (struct identity){ .delivered = false };
	int rc = load_identity(keyring, s, &h->at[h->count].row);
	if (rc == 0)
		h->count++;
	return rc;
}

int history_read(const struct keyring *keyring, struct connection *c, struct view user_id, int64_t now,
		 bool deliver_signing, struct history *ret)
{
	STATEMENT s = NULL;
	*ret = (struct history){ .count = 0 };
	int rc = statement_get(c, SQL_identity_facts_of_user, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, user_id);
	while ((rc = statement_step(s)) > 0)
		if ((rc = add(ret, keyring, s)) < 0)
			break;
	if (rc == 0)
		history_arrange(ret, now, deliver_signing);
	return rc;
}

void history_done(struct history *h)
{
	for (size_t i = 0; i < h->count; i++)
		row_identity_done(&h->at[i].row);
	free(h->at);
	*h = (struct history){ .count = 0 };
}

int identity_put_facts(const struct identity *identity, struct buf *ret)
{
	const struct row_identity *row = &identity->row;
	const struct msg_identity_facts facts = {
		.id = row->id, .sha1 = row->sha1, .sha256 = row->sha256, .subject = row->subject, .issuer = row->issuer,
		.serial = row->serial, .not_before = row->not_before, .not_after = row->not_after,
		.usages = (uint8_t)row->usages, .current_for = identity->current_for,
		.key_algorithm = row->key_algorithm, .emails = row->emails, .imported_at = row->imported_at,
	};
	return put_identity_facts(ret, &facts);
}

int history_put_facts(const struct history *h, struct view imported_by, struct buf *ret)
{
	for (size_t i = 0; i < h->count; i++) {
		if (imported_by.len && !view_equal(imported_by, h->at[i].row.imported_by))
			continue;
		int rc = identity_put_facts(&h->at[i], ret);
		if (rc < 0)
			return rc;
	}
	return 0;
}
