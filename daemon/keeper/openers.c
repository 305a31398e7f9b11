/* Connections to openers. Keeper only. Believes nothing that comes back before the readers of protocol.h had it. */
#include "openers.h"

#include "fault.h"
#include "frame.h"
#include "log.h"
#include "text.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	IDLE_MAX = 64,
	LIFE_MS = 50 * 1000,   /* an opener ends itself after 60 s; one this old is not begun with */
	LIFE_REQUESTS = 900,   /* and after 1,000 requests */
	TRIES = 4,             /* openers that are gone before they have read a request */
	FIRST_PAUSE_MS = 20,
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
	unsigned max, busy, idle_count;
	int wait_ms;
	struct opener idle[IDLE_MAX];
	pthread_mutex_t lock;
	pthread_cond_t returned;
	struct counters *counters;
};

struct openers {
	struct pool pfx, csr;
};

static void pool_init(struct pool *p, const struct config *config, const char *name, uint8_t verb, unsigned max,
		      struct counters *counters)
{
	pthread_condattr_t monotonic;
	snprintf(p->path, sizeof p->path, "%s/%s.sock", config->runtime, name);
	p->verb = verb;
	p->max = max;
	p->wait_ms = (int)config->wait_seconds * 1000;
	p->counters = counters;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&p->returned, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

int openers_new(const struct config *config, struct counters *counters, struct openers **ret)
{
	struct openers *o = calloc(1, sizeof *o);
	if (!o)
		return fail(FAULT_UNAVAILABLE, "no memory for the openers");
	pool_init(&o->pfx, config, "opener-pfx", VERB_OPEN_PFX, config->pfx_openers, counters);
	pool_init(&o->csr, config, "opener-csr", VERB_OPEN_CSR, config->csr_openers, counters);
	o->pfx.one_token = true;
	*ret = o;
	return 0;
}

void openers_free(struct openers *o)
{
	if (!o)
		return;
	struct pool *const pools[] = { &o->pfx, &o->csr };
	for (size_t i = 0; i < 2; i++)
		while (pools[i]->idle_count > 0)
			close(pools[i]->idle[--pools[i]->idle_count].fd);
	free(o);
}

/* Waits for one of the places. */
static int take_place(struct pool *p, int64_t deadline_ms)
{
	const struct timespec until = { .tv_sec = deadline_ms / 1000, .tv_nsec = deadline_ms % 1000 * 1000000 };
	int late = 0;
	pthread_mutex_lock(&p->lock);
	while (p->busy == p->max && late == 0)
		late = pthread_cond_timedwait(&p->returned, &p->lock, &until);
	bool taken = p->busy < p->max;
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

static bool usable(const struct opener *o, int64_t now_ms)
{
	return now_ms - o->born_ms < LIFE_MS && o->served < LIFE_REQUESTS && !connection_is_stale(o->fd);
}

/* Takes an idle opener that served this token, or else nobody. Those that can not be used any more are closed. */
static bool take_idle(struct pool *p, struct view token_id, struct opener *ret)
{
	int64_t now_ms = clock_ms();
	int found = -1;
	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < p->idle_count; i++) {
		struct opener *o = &p->idle[i];
		if (!usable(o, now_ms)) {
			close(o->fd);
			p->idle[i--] = p->idle[--p->idle_count];
		} else if (!p->one_token || view_is(token_id, o->token_id)) {
			found = (int)i;
			break;
		} else if (!o->token_id[0]) {
			found = (int)i;
		}
	}
	if (found >= 0) {
		*ret = p->idle[found];
		p->idle[found] = p->idle[--p->idle_count];
	}
	pthread_mutex_unlock(&p->lock);
	return found >= 0;
}

static int connect_new(struct pool *p, struct opener *ret)
{
	int fd = unix_connect(p->path);
	if (fd < 0)
		return fail(FAULT_UNAVAILABLE, "no opener can be reached: try again later");
	*ret = (struct opener){ .fd = fd, .born_ms = clock_ms() };
	return 0;
}

static void keep(struct pool *p, const struct opener *o)
{
	pthread_mutex_lock(&p->lock);
	/* No more wait than can work; the oldest goes first. */
	if (p->idle_count == IDLE_MAX || p->idle_count > p->max) {
		close(p->idle[0].fd);
		p->idle[0] = p->idle[--p->idle_count];
	}
	p->idle[p->idle_count++] = *o;
	pthread_mutex_unlock(&p->lock);
}

/* Keeps one that has served nobody connected: its start is then not waited for. */
static void keep_spare(struct pool *p)
{
	struct opener o;
	bool have = false;
	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < p->idle_count; i++)
		have |= !p->idle[i].token_id[0];
	pthread_mutex_unlock(&p->lock);
	if (!have && connect_new(p, &o) == 0)
		keep(p, &o);
}

static void pause_ms(int64_t ms)
{
	const struct timespec pause = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	nanosleep(&pause, NULL);
}

/* Sends the request until an opener says that it has read it. One that is gone before that was not killed by it. */
static int start(struct pool *p, struct view token_id, struct buf *request, struct buf *answer, int64_t deadline_ms,
		 struct opener *ret)
{
	int rc = 0;
	for (int try = 0; try < TRIES; try++) {
		uint8_t verb;
		struct view fields;
		if (!take_idle(p, token_id, ret) && (rc = connect_new(p, ret)) < 0) {
			pause_ms(FIRST_PAUSE_MS << try);
			continue;
		}
		text_copy(token_id, ret->token_id, sizeof ret->token_id);
		ret->served++;
		rc = frame_send(ret->fd, request, deadline_ms);
		if (rc == 0)
			rc = frame_receive(ret->fd, answer, FRAME_MAX_BYTES, deadline_ms, &verb, &fields);
		if (rc == 0 && verb == VERB_STARTED)
			return 0;
		close(ret->fd);
		if (rc == -FAULT_INTERNAL)
			return rc;
		pause_ms(FIRST_PAUSE_MS << try);
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
	return p->verb == VERB_OPEN_PFX ?
	       fail(FAULT_MALFORMED_PKCS12,
		    "the process that opened this PFX did not survive it: export the file anew") :
	       fail(FAULT_MALFORMED_CSR, "the process that opened this request did not survive it");
}

static int said_error(const struct msg_error *error)
{
	bool allowed = fault_status(-error->fault) == 422 || error->fault == FAULT_MALFORMED_REQUEST ||
		       error->fault == FAULT_UNAVAILABLE;
	return fail(allowed ? (enum fault)error->fault : FAULT_INTERNAL, "%.*s", (int)error->detail.len,
		    (const char *)error->detail.p);
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
		return died(p, rc);
	}
	keep(p, o);
	return verb == VERB_ERROR ? said_error(&error) : 0;
}

static int exchange(struct pool *p, struct view token_id, struct buf *request, struct buf *answer,
		    struct view *ret_fields)
{
	struct opener o;
	int rc = take_place(p, clock_ms() + p->wait_ms);
	if (rc < 0)
		return rc;
	/* Anew: a request is not blamed for the time that it waited for its turn. */
	int64_t deadline_ms = clock_ms() + p->wait_ms;
	rc = start(p, token_id, request, answer, deadline_ms, &o);
	if (rc == 0)
		rc = finish(p, &o, answer, deadline_ms, ret_fields);
	if (p->one_token)
		keep_spare(p);
	give_place_back(p);
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

/* On a connection of its own: a busy opener is no broken one. */
int openers_ping(struct openers *o, enum socket_kind kind)
{
	struct opener probe = { .fd = -1 };
	uint8_t verb = 0;
	struct view fields;
	BUF b = buf_new(KIB);
	struct pool *p = kind == SOCKET_PFX_OPENER ? &o->pfx : &o->csr;
	int64_t deadline_ms = clock_ms() + PING_MS;
	int rc = b ? connect_new(p, &probe) : fail(FAULT_UNAVAILABLE, "no memory");
	if (rc < 0)
		return rc;
	frame_begin(b, VERB_PING);
	rc = frame_send(probe.fd, b, deadline_ms);
	while (rc == 0 && verb != VERB_PING)
		rc = frame_receive(probe.fd, b, KIB, deadline_ms, &verb, &fields);
	close(probe.fd);
	return rc;
}
