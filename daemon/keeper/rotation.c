/* Follows changes of the keyring. Keeper only. A thread of its own puts on record what keys it has not seen before, and
 * has everything sealed anew that is under an older one. */
#include "rotation.h"

#include "audit.h"
#include "ca.h"
#include "clock.h"
#include "encode.h"
#include "fault.h"
#include "frame.h"
#include "health.h"
#include "log.h"
#include "protocol.h"
#include "rewrap.h"
#include "seal.h"
#include "serve.h"
#include "wipe.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define KNOWN_NAME "keyring"

enum {
	RETRY_SECONDS = 5,
	LOOK_SECONDS = 60,       /* for what came under an older key by other ways, as from a backup */
	KNOWN_MAX_BYTES = 4096,
	LINE_CHARS = 80,
};

struct rotation {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t turned;
	atomic_bool stopping;
};

/* ---- what keys were seen ---- */

static int ca_line(const struct keyring *keyring, size_t i, char ret[static LINE_CHARS])
{
	uint8_t digest[FINGERPRINT_BYTES];
	char hex[2 * FINGERPRINT_BYTES + 1];
	int rc = ca_fingerprint(keyring_ca_certificate(keyring, i), digest);
	if (rc < 0)
		return rc;
	hex_encode(view_of(digest, sizeof digest), hex);
	snprintf(ret, LINE_CHARS, "ca %s\n", hex);
	return 0;
}

/* A line for each wrapping key and CA, oldest first. */
static int put_present(const struct keyring *keyring, struct buf *ret)
{
	char line[LINE_CHARS];
	size_t wraps = 0, cas = 0;
	int rc = 0;
	while (keyring_wrapping_id(keyring, wraps))
		wraps++;
	while (keyring_ca_certificate(keyring, cas))
		cas++;
	while (wraps > 0)
		buf_printf(ret, "wrap %s\n", keyring_wrapping_id(keyring, --wraps));
	while (rc == 0 && cas > 0) {
		rc = ca_line(keyring, --cas, line);
		buf_put_text(ret, line);
	}
	return rc < 0 || buf_ok(ret) ? rc : fail(FAULT_UNAVAILABLE, "no memory for the list of keys");
}

static int known_mac(const struct keyring *keyring, struct view list, uint8_t ret[static HMAC_BYTES])
{
	BUF b = buf_new(2 * KNOWN_MAX_BYTES);
	if (!b)
		return fail(FAULT_UNAVAILABLE, "no memory for the list of keys");
	buf_put_bytes(b, view_text("known keys"));
	buf_put_bytes(b, list);
	return hmac_make(keyring_rows_key(keyring), b, ret);
}

static bool line_of(struct view *list, struct view *ret)
{
	const uint8_t *end = memchr(list->p, '\n', list->len);
	return end && view_get(list, (size_t)(end - list->p) + 1, ret);
}

static bool is_listed(struct view list, struct view line)
{
	struct view one;
	while (line_of(&list, &one))
		if (view_equal(one, line))
			return true;
	return false;
}

/* A database from before keys were noted was begun under the oldest of each kind. */
static void put_oldest(struct view present, struct buf *ret)
{
	struct view one;
	bool wrap = false, ca = false;
	while (line_of(&present, &one)) {
		bool is_ca = one.p[0] == 'c', first = is_ca ? !ca : !wrap;
		if (first)
			buf_put(ret, one.p, one.len);
		*(is_ca ? &ca : &wrap) = true;
	}
}

/* What was noted. What is there and was not written under this keyring counts as nothing: everything is then noted
 * anew. */
static int read_known(const struct keyring *keyring, struct connection *c, struct view present, struct buf *ret)
{
	STATEMENT s = NULL;
	uint8_t mac[HMAC_BYTES];
	struct view list;
	int rc = statement_get(c, SQL_meta_get, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, view_text(KNOWN_NAME));
	rc = statement_step(s);
	if (rc == 0)
		put_oldest(present, ret);
	if (rc <= 0)
		return rc;
	struct view value = column_view(s, 0);
	if (value.len < HMAC_BYTES || value.len > KNOWN_MAX_BYTES || !view_get(&value, value.len - HMAC_BYTES, &list))
		return 0;
	rc = known_mac(keyring, list, mac);
	if (rc == 0 && view_equal_secret(value, view_of(mac, sizeof mac)))
		buf_put(ret, list.p, list.len);
	return rc;
}

static int write_known(const struct keyring *keyring, struct connection *c, struct view present)
{
	STATEMENT s = NULL;
	uint8_t mac[HMAC_BYTES];
	BUF value = buf_new(KNOWN_MAX_BYTES);
	int rc = value ? known_mac(keyring, present, mac) : fail(FAULT_UNAVAILABLE, "no memory for the list of keys");
	if (rc == 0)
		rc = statement_get(c, SQL_meta_put, &s);
	if (rc < 0)
		return rc;
	buf_put(value, present.p, present.len);
	buf_put(value, mac, sizeof mac);
	bind_text(s, 1, view_text(KNOWN_NAME));
	bind_blob(s, 2, buf_view(value));
	return statement_run(s);
}

static int record_change(struct keeper *k, struct connection *c, struct view line, bool is_new)
{
	bool is_ca = line.p[0] == 'c';
	size_t skip = is_ca ? strlen("ca ") : strlen("wrap ");
	struct view id = view_of(line.p + skip, line.len - skip - 1);
	const char *event = is_ca ? (is_new ? "ca.add" : "ca.retire") : (is_new ? "keyring.rotate" : "keyring.retire");
	const struct audit_record r = { .event = event, .actor = view_text("service"), .object = id };
	log_detail(EVENT_KEYRING_CHANGED, "%s %.*s", event, (int)id.len, (const char *)id.p);
	return audit_append(k, c, &r);
}

/* Records of all that is in one list and not in the other. */
static int record_difference(struct keeper *k, struct connection *c, struct view list, struct view other, bool is_new)
{
	struct view one;
	int rc = 0;
	while (rc == 0 && line_of(&list, &one))
		if (!is_listed(other, one))
			rc = record_change(k, c, one, is_new);
	return rc;
}

static int note(struct connection *c, void *arg)
{
	struct keeper *k = arg;
	BUF present = buf_new(KNOWN_MAX_BYTES);
	BUF known = buf_new(KNOWN_MAX_BYTES);
	int rc = present && known ? put_present(k->keyring, present) : fail(FAULT_UNAVAILABLE, "no memory");
	if (rc == 0)
		rc = read_known(k->keyring, c, buf_view(present), known);
	if (rc < 0 || view_equal(buf_view(present), buf_view(known)))
		return rc;
	rc = record_difference(k, c, buf_view(present), buf_view(known), true);
	if (rc == 0)
		rc = record_difference(k, c, buf_view(known), buf_view(present), false);
	return rc < 0 ? rc : write_known(k->keyring, c, buf_view(present));
}

/* ---- the thread ---- */

/* False when it is time to end. */
static bool wait_seconds(struct rotation *r, unsigned seconds)
{
	int64_t until_ms = clock_ms() + (int64_t)seconds * 1000;
	pthread_mutex_lock(&r->lock);
	while (!atomic_load(&r->stopping) && clock_condition_wait(&r->turned, &r->lock, until_ms))
		;
	pthread_mutex_unlock(&r->lock);
	return !atomic_load(&r->stopping);
}

/* What is left to do. */
static int count_old(struct keeper *k)
{
	READER c = NULL;
	const char *id;
	uint64_t left = 0;
	int rc = db_read(k->db, &c);
	for (size_t i = 1; rc == 0 && (id = keyring_wrapping_id(k->keyring, i)); i++) {
		uint64_t n = 0;
		rc = rewrap_count(c, id, &n);
		left += n;
	}
	if (rc == 0)
		atomic_store(&k->to_rewrap, left);
	return rc;
}

/* The test value first: from then on the older keyring alone is refused at a start, instead of half working. */
int rotation_turn(struct keeper *k, bool tell, const atomic_bool *stopping)
{
	int rc = db_write(k->db, note, k);
	if (rc == 0 && keyring_wrapping_id(k->keyring, 1))
		rc = health_rewrap(k);
	if (rc == 0)
		rc = count_old(k);
	if (rc == 0 && atomic_load(&k->to_rewrap) == 0)
		atomic_store(&k->not_rewrapped, 0); /* they may have been deleted since */
	if (rc < 0 || atomic_load(&k->to_rewrap) == 0)
		return rc;
	uint64_t before = atomic_load(&k->rewrapped);
	rc = rewrap_all(k, tell, stopping);
	if (rc == 0)
		rc = count_old(k);
	uint64_t done = atomic_load(&k->rewrapped) - before;
	if (done > 0) /* once, for readers wait meanwhile: what the log still holds opens with the old key */
		atomic_store(&k->log_holds_deleted, true);
	if (rc == 0 && done > 0)
		log_detail(EVENT_REWRAPPED, "%llu; under an older key are %llu", (unsigned long long)done,
			   (unsigned long long)atomic_load(&k->to_rewrap));
	return rc;
}

static void *rotation_main(void *arg)
{
	struct keeper *k = arg;
	bool tell = true;
	int rc;
	do {
		rc = rotation_turn(k, tell, &k->rotation->stopping);
		wipe_traces();
		if (rc < 0)
			log_detail(EVENT_NOT_REWRAPPED, "%s; it is tried again", fault_detail());
		else
			tell = false;
	} while (wait_seconds(k->rotation, rc < 0 ? RETRY_SECONDS : LOOK_SECONDS));
	return NULL;
}

int rotation_start(struct keeper *k)
{
	struct rotation *r = calloc(1, sizeof *r);
	if (!r)
		return fail(FAULT_UNAVAILABLE, "no memory to follow the keyring");
	pthread_mutex_init(&r->lock, NULL);
	clock_condition_init(&r->turned);
	k->rotation = r;
	if (pthread_create(&r->thread, NULL, rotation_main, k) != 0)
		return fail(FAULT_UNAVAILABLE, "no thread to follow the keyring");
	return 0;
}

void rotation_stop(struct keeper *k)
{
	struct rotation *r = k->rotation;
	pthread_mutex_lock(&r->lock);
	atomic_store(&r->stopping, true);
	pthread_cond_broadcast(&r->turned);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
}

/* ---- telling ---- */

static int put_key(struct keeper *k, struct connection *c, size_t i, struct view probe_id, struct buf *ret)
{
	struct msg_wrapping_key key = { .id = view_text(keyring_wrapping_id(k->keyring, i)) };
	int rc = rewrap_count(c, keyring_wrapping_id(k->keyring, i), &key.needed);
	key.needed += view_equal(key.id, probe_id);
	return rc < 0 ? rc : put_wrapping_key(ret, &key);
}

int answer_rotation(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	READER c = NULL;
	struct msg_nothing m;
	char probe_id[KEYRING_ID_CHARS + 1] = "";
	X509 *ca;
	uint8_t cas[KEYRING_CAS_MAX][FINGERPRINT_BYTES];
	int64_t identities = 0;
	struct msg_rotation message = { .unreadable = 0 };
	BUF keys = buf_new(KNOWN_MAX_BYTES);
	int rc = keys ? read_nothing(fields, &m) : fail(FAULT_UNAVAILABLE, "no memory");
	if (rc == 0)
		rc = db_read(k->db, &c);
	if (rc == 0)
		rc = health_probe_id(c, probe_id);
	for (size_t i = 0; rc == 0 && keyring_wrapping_id(k->keyring, i); i++)
		rc = put_key(k, c, i, view_text(probe_id), keys);
	if (rc == 0)
		rc = statement_number(c, SQL_identities_count, &identities);
	for (size_t i = 0; rc == 0 && (ca = keyring_ca_certificate(k->keyring, i)); i++) {
		rc = ca_fingerprint(ca, cas[i]);
		message.cas = view_of(cas, (i + 1) * FINGERPRINT_BYTES);
	}
	message.keys = buf_view(keys);
	message.identities = (uint64_t)identities;
	message.unreadable = atomic_load(&k->not_rewrapped);
	return rc < 0 ? rc : put_rotation(answer, &message);
}

int rotation_put_metrics(struct keeper *k, struct buf *ret)
{
	const struct msg_health_metric metrics[] = {
		{ view_text("identities_rewrapped"), view_text(""), 1, atomic_load(&k->rewrapped),
		  view_text("Identities that were sealed anew under the newest wrapping key") },
		{ view_text("identities_to_rewrap"), view_text(""), 0, atomic_load(&k->to_rewrap),
		  view_text("Identities that are still sealed under an older wrapping key") },
		{ view_text("identities_not_rewrapped"), view_text(""), 0, atomic_load(&k->not_rewrapped),
		  view_text("Of those, such as do not open") },
	};
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < sizeof metrics / sizeof metrics[0]; i++)
		rc = put_health_metric(ret, &metrics[i]);
	return rc;
}
