/* Health checks and the keeper's recurring work, on one thread. Keeper only. */
#include "health.h"

#include "audit.h"
#include "clock.h"
#include "fault.h"
#include "inspect.h"
#include "log.h"
#include "openers.h"
#include "protocol.h"
#include "rotation.h"
#include "seal.h"
#include "serve.h"
#include "text.h"
#include "wallclock.h"

#include <errno.h>
#include <libgen.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

enum {
	FIRST_ROUND_SECONDS = 3,
	AUDIT_SECONDS = 86400,
	AUDIT_AWAITED_RECORDS = 1000, /* a chain up to this long is verified before the first request is answered */
	STALE_SECONDS = 30, /* and three rounds: a result older than this is not told */
	PROBE_MAX_BYTES = 1024,
	SHRINK_WRITES = 16, /* a round; 8 MiB */
};

#define PROBE_TEXT "this opens under the right keyring"
#define PROBE_NAME "probe"

enum part { PART_KEYRING, PART_DATABASE, PART_AUDIT, PART_CLOCK, PART_DISK, PART_PFX_OPENER, PART_CSR_OPENER, PART_COUNT };

struct health {
	pthread_t thread, auditor;
	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t turned;
	bool stopping, awaits_audit;
	unsigned rounds, audits;
	struct {
		uint8_t state;
		char detail[HEALTH_TEXT_MAX_BYTES + 1];
	} parts[PART_COUNT];
	int64_t checked_ms; /* when the last round ended */
};

static const struct {
	const char *name;
	bool for_pulls;
} part_facts[PART_COUNT] = {
	[PART_KEYRING] = { "keyring", true },        [PART_DATABASE] = { "database", true },
	[PART_AUDIT] = { "audit", true },            [PART_CLOCK] = { "clock", false },
	[PART_DISK] = { "disk", false },
	[PART_PFX_OPENER] = { "pfxOpener", false },  [PART_CSR_OPENER] = { "csrOpener", false },
};

/* ---- the sealed test value ---- */

/* Wrapped data key, then the sealed text; bound to a record that no identity can have. */
static struct binding probe_binding(const char *key_id)
{
	return (struct binding){ .record = view_text(PROBE_NAME), .owner = view_text("service"),
				 .sha256 = view_text("none"), .key_id = view_text(key_id) };
}

int health_prepare(struct keeper *k, struct connection *c)
{
	KEY256 key_secret;
	uint8_t wrapped[SEAL_WRAPPED_BYTES];
	STATEMENT s = NULL;
	BUF value = buf_new(PROBE_MAX_BYTES);
	const char *key_id = keyring_wrapping_id(k->keyring, 0);
	const struct binding binding = probe_binding(key_id);
	int rc = value ? seal_new_key(k->keyring, &key_secret, wrapped) : fail(FAULT_UNAVAILABLE, "no memory");
	if (rc < 0)
		return rc;
	buf_put(value, key_id, KEYRING_ID_CHARS);
	buf_put(value, wrapped, sizeof wrapped);
	rc = seal(&key_secret, &binding, "probe", view_text(PROBE_TEXT), value);
	if (rc == 0)
		rc = statement_get(c, SQL_meta_put, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, view_text(PROBE_NAME));
	bind_blob(s, 2, buf_view(value));
	return statement_run(s);
}

static int read_probe(struct connection *c, struct buf *ret)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_meta_get, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, view_text(PROBE_NAME));
	rc = statement_step(s);
	if (rc > 0) {
		struct view value = column_view(s, 0);
		buf_put(ret, value.p, value.len);
	}
	return rc < 0 ? rc : 0;
}

int health_probe_id(struct connection *c, char ret[static KEYRING_ID_CHARS + 1])
{
	struct view value, id = view_text("");
	BUF probe = buf_new(PROBE_MAX_BYTES);
	int rc = probe ? read_probe(c, probe) : fail(FAULT_UNAVAILABLE, "no memory");
	value = buf_view(probe);
	if (rc == 0)
		view_get(&value, KEYRING_ID_CHARS, &id);
	text_copy(id, ret, KEYRING_ID_CHARS + 1);
	return rc;
}

static int open_probe(struct keeper *k, struct view value)
{
	KEY256 key_secret;
	struct view key_id, wrapped;
	char id[KEYRING_ID_CHARS + 1];
	BUF text = buf_new(PROBE_MAX_BYTES);
	if (!text)
		return fail(FAULT_UNAVAILABLE, "no memory to open it");
	if (!view_get(&value, KEYRING_ID_CHARS, &key_id) || !view_get(&value, SEAL_WRAPPED_BYTES, &wrapped) ||
	    !text_copy(key_id, id, sizeof id))
		return fail(FAULT_TAMPERED, "it is cut short");
	const struct binding binding = probe_binding(id);
	int rc = seal_open_key(k->keyring, key_id, wrapped, &key_secret);
	if (rc == 0)
		rc = unseal(&key_secret, &binding, "probe", value, text);
	if (rc == 0 && !view_is(buf_view(text), PROBE_TEXT))
		rc = fail(FAULT_TAMPERED, "it holds another text");
	return rc;
}

/* Only what opens is sealed anew: where it does not, this is another keyring's database. */
static int rewrap_probe(struct connection *c, void *arg)
{
	struct keeper *k = arg;
	char id[KEYRING_ID_CHARS + 1];
	BUF probe = buf_new(PROBE_MAX_BYTES);
	int rc = probe ? health_probe_id(c, id) : fail(FAULT_UNAVAILABLE, "no memory");
	if (rc < 0 || strcmp(id, keyring_wrapping_id(k->keyring, 0)) == 0)
		return rc;
	rc = read_probe(c, probe);
	if (rc == 0)
		rc = open_probe(k, buf_view(probe));
	return rc < 0 ? rc : health_prepare(k, c);
}

int health_rewrap(struct keeper *k)
{
	return db_write(k->db, rewrap_probe, k);
}

static int no_probe(const char *path)
{
	return fail(FAULT_TAMPERED, "the database %s was changed outside this service: its test value is gone, and its "
		    "audit chain may be: restore a backup", path);
}

/* The stored value under s, which the caller gives back before c. */
static int find_probe(struct connection *c, const char *path, struct statement **s)
{
	int rc = statement_get(c, SQL_meta_get, s);
	if (rc < 0)
		return rc;
	bind_text(*s, 1, view_text(PROBE_NAME));
	rc = statement_step(*s);
	return rc == 0 ? no_probe(path) : rc < 0 ? rc : 0;
}

int health_wrapping_id(struct db *db, char ret[static KEYRING_ID_CHARS + 1])
{
	READER c = NULL;
	int rc = db_read(db, &c);
	if (rc == 0)
		rc = health_probe_id(c, ret);
	if (rc == 0 && !*ret)
		rc = no_probe(db_path(db));
	return rc;
}

int health_check_keyring(struct keeper *k)
{
	READER c = NULL;
	STATEMENT s = NULL;
	char why[FAULT_DETAIL_MAX];
	int rc = db_read(k->db, &c);
	if (rc == 0)
		rc = find_probe(c, db_path(k->db), &s);
	if (rc == 0)
		rc = open_probe(k, column_view(s, 0));
	if (rc != -FAULT_TAMPERED)
		return rc;
	strcpy(why, fault_detail());
	return fail(FAULT_TAMPERED,
		    "the database %s was not written under this keyring, so nothing in it can be opened: "
		    "put the keyring back that belongs to it (its test value: %s)", db_path(k->db), why);
}

/* ---- the checks ---- */

static int write_probe(struct connection *c, void *arg)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_probe_write, &s);
	if (rc < 0)
		return rc;
	bind_number(s, 1, *(const int64_t *)arg);
	return statement_run(s);
}

static int check_database(struct keeper *k)
{
	READER c = NULL;
	STATEMENT s = NULL;
	int64_t written = clock_ms();
	int rc = db_write(k->db, write_probe, &written);
	if (rc == 0)
		rc = db_read(k->db, &c);
	if (rc == 0)
		rc = statement_get(c, SQL_probe_read, &s);
	if (rc == 0)
		rc = statement_step(s);
	if (rc > 0 && column_number(s, 0) == written)
		return 0;
	return rc < 0 ? rc : fail(FAULT_UNAVAILABLE, "a row that was written does not read back");
}

static int check_disk(struct keeper *k)
{
	char path[4096];
	struct statvfs fs;
	snprintf(path, sizeof path, "%s", db_path(k->db));
	if (statvfs(dirname(path), &fs) < 0)
		return fail(FAULT_UNAVAILABLE, "the disk can not be asked: %s", strerror(errno));
	uint64_t free_mib = (uint64_t)fs.f_bavail * fs.f_frsize / MIB;
	uint32_t least = k->config.min_free_mib;
	if (free_mib < least)
		return fail(FAULT_UNAVAILABLE, "%llu MiB are free where [keeper] min_free_mib wants %u",
			    (unsigned long long)free_mib, least);
	return 0;
}

static int check_audit(struct keeper *k)
{
	if (atomic_load(&k->audit_broken))
		return fail(FAULT_TAMPERED,
			    "the audit chain was changed outside this service: see pfxctl audit verify");
	return 0;
}

static void log_change(enum part part, int rc)
{
	const struct log_field fields[] = {
		{ "part", view_text(part_facts[part].name), LOG_PLAIN },
		{ "detail", view_text(rc < 0 ? fault_detail() : ""), LOG_PLAIN },
		{ 0 },
	};
	log_event(rc < 0 ? EVENT_PART_FAILED : EVENT_PART_WELL, fields);
}

static void set_part(struct health *h, enum part part, int rc)
{
	pthread_mutex_lock(&h->lock);
	uint8_t state = HEALTH_OK;
	if (rc < 0)
		state = HEALTH_FAILED;
	if (state != h->parts[part].state && (rc < 0 || h->parts[part].state == HEALTH_FAILED))
		log_change(part, rc);
	h->parts[part].state = state;
	snprintf(h->parts[part].detail, sizeof h->parts[part].detail, "%.*s", HEALTH_TEXT_MAX_BYTES,
		 rc < 0 ? fault_detail() : "");
	pthread_mutex_unlock(&h->lock);
}

/* Logs every difference; the chain being broken is remembered in the keeper. */
static void verify_audit(struct keeper *k)
{
	READER c = NULL;
	uint64_t records = 0;
	struct msg_string difference;
	BUF differences = buf_new(LIST_MAX_BYTES);
	int rc = differences ? db_read(k->db, &c) : fail(FAULT_UNAVAILABLE, "no memory");
	if (rc == 0)
		rc = audit_verify(k, c, &records, differences);
	if (rc < 0)
		log_detail(EVENT_AUDIT_UNREAD, "%s", fault_detail());
	for (struct view rest = buf_view(differences); rest.len > 0 && get_string(&rest, &difference) == 0;)
		log_detail(EVENT_AUDIT_DIFFERS, "%.*s", (int)difference.value.len, (const char *)difference.value.p);
}

static void check_all(struct keeper *k)
{
	struct health *h = k->health;
	set_part(h, PART_KEYRING, health_check_keyring(k));
	set_part(h, PART_DATABASE, check_database(k));
	set_part(h, PART_AUDIT, check_audit(k));
	set_part(h, PART_CLOCK, wallclock_look(k));
	set_part(h, PART_DISK, check_disk(k));
	set_part(h, PART_PFX_OPENER, openers_check(k->openers, SOCKET_PFX_OPENER));
	set_part(h, PART_CSR_OPENER, openers_check(k->openers, SOCKET_CSR_OPENER));
}

/* What was deleted stands in the database's log until that is emptied; tried until no reader holds it. */
static void empty_log(struct keeper *k)
{
	if (!atomic_exchange(&k->log_holds_deleted, false))
		return;
	int rc = db_truncate_log(k->db);
	if (rc < 0)
		atomic_store(&k->log_holds_deleted, true);
	if (rc < 0 && rc != -FAULT_AGAIN)
		log_detail(EVENT_LOG_NOT_EMPTIED, "%s", fault_detail());
}

/* In small writes, and only some a round: pulls come in between. Where it can not be done now it is done later, and that
 * the database can not be written tells check_database(). */
static void shrink(struct keeper *k)
{
	for (unsigned n = 0; n < SHRINK_WRITES; n++)
		if (db_give_back(k->db) <= 0)
			return;
}

/* ---- the thread ---- */

static bool wait_seconds(struct health *h, unsigned seconds, bool (*done)(const struct health *h))
{
	int64_t until_ms = clock_ms() + (int64_t)seconds * 1000;
	pthread_mutex_lock(&h->lock);
	while (!done(h) && clock_condition_wait(&h->turned, &h->lock, until_ms))
		;
	bool is_done = done(h);
	pthread_mutex_unlock(&h->lock);
	return is_done;
}

static bool is_stopping(const struct health *h)
{
	return h->stopping;
}

static bool is_audited(const struct health *h)
{
	return h->audits > 0 || h->stopping;
}

static bool has_turned(const struct health *h)
{
	return h->rounds > 0;
}

/* One more round of one of the two threads is done. */
static void turn(struct health *h, unsigned *rounds)
{
	pthread_mutex_lock(&h->lock);
	++*rounds;
	if (rounds == &h->rounds)
		h->checked_ms = clock_ms();
	pthread_cond_broadcast(&h->turned);
	pthread_mutex_unlock(&h->lock);
}

/* A thread of its own: a long chain takes minutes, and the checks must not wait for it. */
static void *audit_main(void *arg)
{
	struct keeper *k = arg;
	do {
		verify_audit(k);
		turn(k->health, &k->health->audits);
	} while (!wait_seconds(k->health, AUDIT_SECONDS, is_stopping));
	return NULL;
}

/* Second by second, because a reload may change how many. True when it is time to end. */
static bool pause_between(struct keeper *k)
{
	for (unsigned seconds = 0; seconds < k->config.health_seconds; seconds++)
		if (wait_seconds(k->health, 1, is_stopping))
			return true;
	return false;
}

static void *health_main(void *arg)
{
	struct keeper *k = arg;
	/* Or the first round would find the chain well that is just being verified. */
	if (k->health->awaits_audit)
		wait_seconds(k->health, FIRST_ROUND_SECONDS, is_audited);
	do {
		check_all(k);
		turn(k->health, &k->health->rounds); /* who waits for the first checks waits for nothing else */
		inspect_count(k);
		empty_log(k);
		shrink(k);
	} while (!pause_between(k));
	return NULL;
}

/* Nobody waits minutes for a service that starts: a longer chain is verified beside the first requests. */
static bool is_awaited(struct keeper *k)
{
	READER c = NULL;
	uint64_t records = 0;
	int rc = db_read(k->db, &c);
	if (rc == 0)
		rc = audit_length(k, c, &records);
	return rc < 0 || records <= AUDIT_AWAITED_RECORDS;
}

int health_start(struct keeper *k)
{
	struct health *h = calloc(1, sizeof *h);
	if (!h)
		return fail(FAULT_UNAVAILABLE, "no memory for the health checks");
	for (size_t i = 0; i < PART_COUNT; i++)
		h->parts[i].state = HEALTH_UNKNOWN;
	pthread_mutex_init(&h->lock, NULL);
	clock_condition_init(&h->turned);
	k->health = h;
	h->awaits_audit = is_awaited(k);
	if (pthread_create(&h->auditor, NULL, audit_main, k) != 0 ||
	    pthread_create(&h->thread, NULL, health_main, k) != 0)
		return fail(FAULT_UNAVAILABLE, "no thread for the health checks");
	wait_seconds(h, FIRST_ROUND_SECONDS, has_turned);
	return 0;
}

void health_stop(struct keeper *k)
{
	struct health *h = k->health;
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	h->stopping = true;
	pthread_cond_broadcast(&h->turned);
	pthread_mutex_unlock(&h->lock);
	pthread_join(h->thread, NULL);
	pthread_join(h->auditor, NULL);
}

/* ---- telling ---- */

static int put_parts(struct health *h, int64_t stale_ms, struct buf *ret)
{
	int rc = 0;
	pthread_mutex_lock(&h->lock);
	/* Results of a thread that hangs are no results. */
	bool stale = h->rounds > 0 && clock_ms() - h->checked_ms > stale_ms;
	for (size_t i = 0; rc == 0 && i < PART_COUNT; i++) {
		const struct msg_health_part part = {
			.name = view_text(part_facts[i].name), .for_pulls = part_facts[i].for_pulls,
			.state = stale ? (uint8_t)HEALTH_UNKNOWN : h->parts[i].state,
			.detail = view_text(stale ? "the checks hang" : h->parts[i].detail),
		};
		rc = put_health_part(ret, &part);
	}
	pthread_mutex_unlock(&h->lock);
	return rc;
}

static int put_metrics(struct keeper *k, struct buf *ret)
{
	const struct msg_health_metric metrics[] = {
#define C(name, help) { view_text(#name), view_text(""), 1, atomic_load(&k->counters.name), view_text(help) },
		COUNTERS(C)
#undef C
	};
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < sizeof metrics / sizeof metrics[0]; i++)
		rc = put_health_metric(ret, &metrics[i]);
	if (rc == 0)
		rc = rotation_put_metrics(k, ret);
	return rc < 0 ? rc : inspect_put_metrics(k, ret);
}

int answer_health(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	struct msg_nothing m;
	BUF parts = buf_new(64 * KIB);
	BUF metrics = buf_new(64 * KIB);
	int rc = parts && metrics ? read_nothing(fields, &m) : fail(FAULT_UNAVAILABLE, "no memory");
	if (rc == 0)
		rc = put_parts(k->health, ((int64_t)k->config.health_seconds * 3 + STALE_SECONDS) * 1000, parts);
	if (rc == 0)
		rc = put_metrics(k, metrics);
	const struct msg_health message = { buf_view(parts), buf_view(metrics) };
	return rc < 0 ? rc : put_health(answer, &message);
}
