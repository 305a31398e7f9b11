/* Connections to openers. Keeper only. Believes nothing that comes back before the readers of protocol.h had it. */
#include "openers.h"

#include "fault.h"
#include "frame.h"
#include "log.h"
#include "text.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SPARES = 1,            /* beside those that may work: connected, and has served nobody */
	OPENERS_MOST = 64,     /* that [opener] may ask for */
	LIFE_MS = 50 * 1000,   /* an opener ends itself after 60 s; one this old is not begun with */
	LIFE_REQUESTS = 900,   /* and after 1,000 requests */
	TRIES = 4,             /* openers that are gone before they have read a request */
	PAUSE_FIRST_MS = 20,   /* before the next connection, when one was lost that had done nothing yet */
	PAUSE_LAST_MS = 5000,
	PATIENCE_MS = 500,     /* a request that would have to wait longer for its turn is told so at once */
	PING_MS = 5000,
};

struct opener {
	int fd;
	int64_t born_ms;
	unsigned served;
	char token_id[UUID_TEXT + 1]; /* empty: has served nobody yet */
};

struct pool {
	char path[CONFIG_TEXT_MAX + 32];
	uint8_t verb;
	bool one_token; /* an opener is for one administrator token */
	bool no_spare;  /* it is used now and then, and not waited for */
	const _Atomic uint32_t *max, *wait_seconds; /* of the configuration */
	struct counters *counters;
	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t returned;
	unsigned busy, idle_count; /* together at most max and SPARES */
	struct opener idle[OPENERS_MOST + SPARES];
	unsigned failures;  /* openers in a row that were lost, or not reached, for no request's sake */
	int64_t again_ms;   /* with failures: no connection is made before this moment */
};

struct openers {
	struct pool pfx, csr;
	struct pool check; /* PFX openers too: no import waits for a verification, and no verification for an import */
};
enum { POOLS = 3 };

static void all_pools(struct openers *o, struct pool *ret[static POOLS])
{
	ret[0] = &o->pfx;
	ret[1] = &o->csr;
	ret[2] = &o->check;
}

static void pool_init(struct pool *p, const struct config *config, const char *name, uint8_t verb,
		      const _Atomic uint32_t *max, struct counters *counters)
{
	snprintf(p->path, sizeof p->path, "%s/%s.sock", config->runtime, name);
	p->verb = verb;
	p->max = max;
	p->wait_seconds = &config->wait_seconds;
	p->counters = counters;
	pthread_mutex_init(&p->lock, NULL);
	clock_condition_init(&p->returned);
}

int openers_new(const struct config *config, struct counters *counters, struct openers **ret)
{
	static const _Atomic uint32_t one = 1;
	struct openers *o = calloc(1, sizeof *o);
	if (!o)
		return fail(FAULT_UNAVAILABLE, "no memory for the openers");
	pool_init(&o->pfx, config, "opener-pfx", VERB_OPEN_PFX, &config->pfx_openers, counters);
	pool_init(&o->csr, config, "opener-csr", VERB_OPEN_CSR, &config->csr_openers, counters);
	pool_init(&o->check, config, "opener-pfx", VERB_CHECK_IDENTITY, &one, counters);
	o->pfx.one_token = true;
	o->check.no_spare = true;
	*ret = o;
	return 0;
}

static void close_idle(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	while (p->idle_count > 0)
		close(p->idle[--p->idle_count].fd);
	pthread_mutex_unlock(&p->lock);
}

void openers_free(struct openers *o)
{
	struct pool *pools[POOLS];
	if (!o)
		return;
	all_pools(o, pools);
	for (size_t i = 0; i < POOLS; i++)
		close_idle(pools[i]);
	free(o);
}

/* ---- places ---- */

/* Waits for one of the places. */
static int take_place(struct pool *p, int64_t deadline_ms)
{
	pthread_mutex_lock(&p->lock);
	while (p->busy >= *p->max && clock_condition_wait(&p->returned, &p->lock, deadline_ms))
		;
	bool taken = p->busy < *p->max;
	if (taken)
		p->busy++;
	pthread_mutex_unlock(&p->lock);
	return taken ? 0 : fail(FAULT_UNAVAILABLE, "all openers are busy: try again later");
}

static void give_place_back(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->busy--;
	pthread_cond_signal(&p->returned);
	pthread_mutex_unlock(&p->lock);
}

/* ---- idle openers ---- */

static bool usable(const struct opener *o, int64_t now_ms)
{
	return now_ms - o->born_ms < LIFE_MS && o->served < LIFE_REQUESTS && !connection_is_stale(o->fd);
}

/* The lock is held. */
static void remove_idle(struct pool *p, unsigned i)
{
	p->idle[i] = p->idle[--p->idle_count];
}

/* Closes those that can not be used any more. The lock is held. */
static void drop_unusable(struct pool *p)
{
	int64_t now_ms = clock_ms();
	for (unsigned i = p->idle_count; i-- > 0;) {
		if (usable(&p->idle[i], now_ms))
			continue;
		close(p->idle[i].fd);
		remove_idle(p, i);
	}
}

static bool is_full(const struct pool *p, unsigned more)
{
	return p->busy + p->idle_count + more > *p->max + SPARES || p->idle_count == OPENERS_MOST + SPARES;
}

/* Closes the oldest until there is room for so many more beside those that work. The lock is held. */
static void make_room(struct pool *p, unsigned more)
{
	while (p->idle_count > 0 && is_full(p, more)) {
		unsigned oldest = 0;
		for (unsigned i = 1; i < p->idle_count; i++)
			if (p->idle[i].born_ms < p->idle[oldest].born_ms)
				oldest = i;
		close(p->idle[oldest].fd);
		remove_idle(p, oldest);
	}
}

/* Takes an idle opener that served this token, or else one that served nobody. An empty token takes only such. */
static bool take_idle(struct pool *p, struct view token_id, struct opener *ret)
{
	int found = -1;
	pthread_mutex_lock(&p->lock);
	drop_unusable(p);
	for (unsigned i = 0; i < p->idle_count; i++) {
		struct opener *o = &p->idle[i];
		bool same = !p->one_token || view_is(token_id, o->token_id);
		if (same || (found < 0 && !o->token_id[0]))
			found = (int)i;
		if (same)
			break;
	}
	if (found >= 0) {
		*ret = p->idle[found];
		remove_idle(p, (unsigned)found);
	}
	pthread_mutex_unlock(&p->lock);
	return found >= 0;
}

/* more: 0 for one whose place is not given back yet. */
static void keep(struct pool *p, const struct opener *o, unsigned more)
{
	pthread_mutex_lock(&p->lock);
	drop_unusable(p);
	make_room(p, more);
	p->idle[p->idle_count++] = *o;
	pthread_mutex_unlock(&p->lock);
}

/* ---- connections, at a pace ---- */

static void pause_ms(int64_t ms)
{
	const struct timespec pause = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	nanosleep(&pause, NULL);
}

static int64_t pause_after(unsigned failures)
{
	int64_t ms = PAUSE_FIRST_MS;
	while (--failures > 0 && ms < PAUSE_LAST_MS)
		ms *= 2;
	return ms < PAUSE_LAST_MS ? ms : PAUSE_LAST_MS;
}

/* One was lost, or not reached, and no request was to blame: the next may well go the same way. */
static void note_failure(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->again_ms = clock_ms() + pause_after(++p->failures);
	pthread_mutex_unlock(&p->lock);
}

static void note_answer(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->failures = 0;
	pthread_mutex_unlock(&p->lock);
}

static void lose(struct pool *p, const struct opener *o)
{
	close(o->fd);
	note_failure(p);
}

/* Gives the caller its turn to connect: milliseconds to wait for it. While openers fail turns are a pause apart. False
 * when it would come after deadline_ms, or when nobody should wait so long. */
static bool take_turn(struct pool *p, int64_t deadline_ms, int64_t *ret_ms)
{
	int64_t now_ms = clock_ms(), at_ms = now_ms;
	pthread_mutex_lock(&p->lock);
	if (p->failures > 0 && p->again_ms > at_ms)
		at_ms = p->again_ms;
	bool granted = at_ms <= deadline_ms && at_ms - now_ms <= PATIENCE_MS;
	if (granted && p->failures > 0)
		p->again_ms = at_ms + pause_after(p->failures);
	if (granted)
		make_room(p, 0);
	pthread_mutex_unlock(&p->lock);
	*ret_ms = at_ms - now_ms;
	return granted;
}

static int connect_new(struct pool *p, int64_t deadline_ms, struct opener *ret)
{
	int64_t ms;
	if (!take_turn(p, deadline_ms, &ms))
		return fail(FAULT_UNAVAILABLE, "openers end at once: try again later");
	pause_ms(ms);
	int fd = unix_connect(p->path);
	if (fd < 0) {
		note_failure(p);
		return fail(FAULT_UNAVAILABLE, "no opener can be reached: try again later");
	}
	*ret = (struct opener){ .fd = fd, .born_ms = clock_ms() };
	return 0;
}

/* Keeps one that has served nobody connected: its start is then not waited for. What the thread has to say about its
 * request stays as it is. */
static void keep_spare(struct pool *p)
{
	struct opener o;
	char why[FAULT_DETAIL_MAX];
	bool have = false;
	strcpy(why, fault_detail());
	pthread_mutex_lock(&p->lock);
	drop_unusable(p);
	for (unsigned i = 0; i < p->idle_count; i++)
		have |= !p->one_token || !p->idle[i].token_id[0];
	pthread_mutex_unlock(&p->lock);
	if (!have && connect_new(p, clock_ms(), &o) == 0)
		keep(p, &o, 1);
	fault_say("%s", why);
}

/* ---- requests ---- */

/* Sends the request until an opener says that it has read it. One that is gone before that was not killed by it. */
static int start(struct pool *p, struct view token_id, struct buf *request, struct buf *answer, int64_t deadline_ms,
		 struct opener *ret)
{
	for (int try = 0; try < TRIES; try++) {
		uint8_t verb;
		struct view fields;
		if (!take_idle(p, token_id, ret) && connect_new(p, deadline_ms, ret) < 0)
			continue;
		text_copy(token_id, ret->token_id, sizeof ret->token_id);
		ret->served++;
		int rc = frame_send(ret->fd, request, deadline_ms);
		if (rc == 0)
			rc = frame_receive(ret->fd, answer, FRAME_MAX_BYTES, deadline_ms, &verb, &fields);
		if (rc == 0 && verb == VERB_STARTED) {
			note_answer(p);
			return 0;
		}
		if (rc == -FAULT_INTERNAL || rc == -FAULT_UNAVAILABLE) { /* for want of memory here: no opener's fault */
			close(ret->fd);
			return rc;
		}
		lose(p, ret);
	}
	return fail(FAULT_UNAVAILABLE, "no opener can be reached: try again later");
}

/* The opener is gone, or talks nonsense, after it has read the request: that is the request's doing. */
static int died(struct pool *p, int rc)
{
	atomic_fetch_add(&p->counters->opener_deaths, 1);
	log_detail(EVENT_OPENER_LOST, "%s", fault_detail());
	if (rc == -FAULT_TIMED_OUT)
		return fail(FAULT_TOO_EXPENSIVE, "opening it took too long, and was ended");
	if (p->verb == VERB_CHECK_IDENTITY)
		return fail(FAULT_MALFORMED_PKCS12, "the process that read it did not survive it");
	return p->verb == VERB_OPEN_PFX ?
	       fail(FAULT_MALFORMED_PKCS12,
		    "the process that opened this PFX did not survive it: export the file anew") :
	       fail(FAULT_MALFORMED_CSR, "the process that opened this request did not survive it");
}

/* In our words: an opener that checks identities gets all their keys, and what is found goes into the log. */
static int checked_badly(enum fault fault)
{
	return fail(fault, "%s", fault == FAULT_KEY_MISMATCH ? "the key is not that of the certificate" :
				 fault == FAULT_NO_CERTIFICATE ? "its certificate is another one than its record says" :
				 "an opener can not read its key or certificate");
}

static int said_error(const struct pool *p, const struct msg_error *error)
{
	bool allowed = fault_status(-error->fault) == 422 || error->fault == FAULT_MALFORMED_REQUEST ||
		       error->fault == FAULT_UNAVAILABLE;
	/* Its sentence stays here: what is internal goes into the log, where one that was taken over could put a key. */
	if (!allowed)
		return fail(FAULT_INTERNAL, "an opener told an error that is not one of its own (%u)", error->fault);
	if (p->verb == VERB_CHECK_IDENTITY)
		return checked_badly((enum fault)error->fault);
	return fail((enum fault)error->fault, "%.*s", (int)error->detail.len, (const char *)error->detail.p);
}

/* Waits for the answer to a request that was read. The connection is kept if there is one that can be understood. */
static int finish(struct pool *p, const struct opener *o, struct buf *answer, int64_t deadline_ms,
		  struct view *ret_fields)
{
	uint8_t verb = 0;
	struct msg_error error = { 0 };
	int rc = frame_receive(o->fd, answer, FRAME_MAX_BYTES, deadline_ms, &verb, ret_fields);
	if (rc == 0 && verb == VERB_ERROR)
		rc = read_error(*ret_fields, &error);
	else if (rc == 0 && verb != p->verb)
		rc = fail(FAULT_BAD_FRAME, "an opener answered with the verb %s", verb_name(verb));
	if (rc < 0) {
		close(o->fd);
		/* Without memory for its answer nobody is to blame. */
		return rc == -FAULT_UNAVAILABLE ? rc : died(p, rc);
	}
	keep(p, o, 0);
	return verb == VERB_ERROR ? said_error(p, &error) : 0;
}

static int exchange(struct pool *p, struct view token_id, struct buf *request, struct buf *answer,
		    struct view *ret_fields)
{
	struct opener o;
	int64_t wait_ms = (int64_t)*p->wait_seconds * 1000;
	int rc = take_place(p, clock_ms() + wait_ms);
	if (rc < 0)
		return rc;
	/* Anew: a request is not blamed for the time that it waited for its turn. */
	int64_t deadline_ms = clock_ms() + wait_ms;
	rc = start(p, token_id, request, answer, deadline_ms, &o);
	if (rc == 0)
		rc = finish(p, &o, answer, deadline_ms, ret_fields);
	give_place_back(p);
	if (!p->no_spare)
		keep_spare(p);
	return rc;
}

int openers_pfx(struct openers *o, struct view token_id, struct buf *request, struct buf *answer,
		struct view *ret_fields)
{
	return exchange(&o->pfx, token_id, request, answer, ret_fields);
}

int openers_csr(struct openers *o, struct buf *request, struct buf *answer, struct view *ret_fields)
{
	return exchange(&o->csr, view_text("any"), request, answer, ret_fields);
}

int openers_check_identity(struct openers *o, struct buf *request)
{
	BUF answer = buf_new(FRAME_MAX_BYTES);
	struct view fields = view_text("");
	struct msg_nothing nothing;
	int rc = answer ? exchange(&o->check, view_text("any"), request, answer, &fields) :
			  fail(FAULT_UNAVAILABLE, "no memory for an answer");
	return rc < 0 ? rc : read_nothing(fields, &nothing);
}

void openers_check_done(struct openers *o)
{
	close_idle(&o->check);
}

/* ---- the spare ---- */

/* Asks one, and keeps it if it answers. */
static int ping(struct pool *p, struct opener *o)
{
	uint8_t verb = 0;
	struct view fields;
	BUF b = buf_new(KIB);
	int64_t deadline_ms = clock_ms() + PING_MS;
	int rc = b ? 0 : fail(FAULT_UNAVAILABLE, "no memory");
	if (rc == 0) {
		frame_begin(b, VERB_PING);
		rc = frame_send(o->fd, b, deadline_ms);
	}
	while (rc == 0 && verb != VERB_PING)
		rc = frame_receive(o->fd, b, KIB, deadline_ms, &verb, &fields);
	o->served++;
	if (rc < 0) {
		lose(p, o);
		return rc;
	}
	note_answer(p);
	keep(p, o, 1);
	return 0;
}

/* A busy opener is no broken one, and one that was lost while it waited is no fault yet: then another is asked. */
int openers_check(struct openers *openers, enum socket_kind kind)
{
	struct pool *p = kind == SOCKET_PFX_OPENER ? &openers->pfx : &openers->csr;
	struct opener o;
	if (take_idle(p, view_text(""), &o) && ping(p, &o) == 0)
		return 0;
	int rc = connect_new(p, clock_ms() + PATIENCE_MS, &o);
	return rc < 0 ? rc : ping(p, &o);
}

unsigned openers_count(struct openers *openers)
{
	struct pool *pools[POOLS];
	unsigned count = 0;
	all_pools(openers, pools);
	for (size_t i = 0; i < POOLS; i++) {
		pthread_mutex_lock(&pools[i]->lock);
		count += pools[i]->busy + pools[i]->idle_count;
		pthread_mutex_unlock(&pools[i]->lock);
	}
	return count;
}
