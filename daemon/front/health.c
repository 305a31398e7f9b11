/* Liveness, readiness, summary and metrics. Front, for administrators. Names parts and numbers, never people. */
#include "health.h"

#include "clock.h"
#include "encode.h"
#include "facts.h"
#include "fault.h"
#include "http.h"
#include "keeper_client.h"
#include "request.h"
#include "tls.h"
#include "version.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct health {
	pthread_mutex_t lock;
	pthread_cond_t end;
	bool ending;
	pthread_t thread;
	struct keeper *keeper;
	bool answers;             /* the keeper did, when it was asked last */
	struct buf *frame;        /* of the last answer */
	struct msg_health answer; /* views into it */
	int64_t answered_ms;
};

/* ---- the thread ---- */

static int ask(struct keeper *k, int64_t ms, struct msg_health *ret)
{
	const struct msg_nothing nothing = { };
	keeper_begin(k, clock_ms() + ms, true, NULL);
	return keeper_health(k, &nothing, ret);
}

static void ask_once(struct health *h)
{
	struct msg_health answer;
	bool answers = ask(h->keeper, HEALTH_ANSWER_SECONDS * 1000, &answer) == 0;
	pthread_mutex_lock(&h->lock);
	h->answers = answers;
	if (answers) {
		buf_free(h->frame);
		h->frame = keeper_take_answer(h->keeper);
		h->answer = answer;
		h->answered_ms = clock_ms();
	}
	pthread_mutex_unlock(&h->lock);
}

/* False when it is time to end. */
static bool pause_between(struct health *h)
{
	int64_t until_ms = clock_ms() + HEALTH_ASK_SECONDS * 1000;
	pthread_mutex_lock(&h->lock);
	while (!h->ending && clock_condition_wait(&h->end, &h->lock, until_ms))
		;
	bool go_on = !h->ending;
	pthread_mutex_unlock(&h->lock);
	return go_on;
}

static void *run(void *arg)
{
	struct health *h = arg;
	do
		ask_once(h);
	while (pause_between(h));
	return NULL;
}

struct health *health_start(const char *path)
{
	struct health *h = calloc(1, sizeof *h);
	if (!h)
		return NULL;
	pthread_mutex_init(&h->lock, NULL);
	clock_condition_init(&h->end);
	h->keeper = keeper_new(path);
	if (h->keeper && pthread_create(&h->thread, NULL, run, h) == 0)
		return h;
	keeper_free(h->keeper);
	free(h);
	return NULL;
}

void health_stop(struct health *h)
{
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	h->ending = true;
	pthread_cond_signal(&h->end);
	pthread_mutex_unlock(&h->lock);
	pthread_join(h->thread, NULL);
	keeper_free(h->keeper);
	buf_free(h->frame);
	pthread_cond_destroy(&h->end);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

/* ---- what probes read; with the lock held ---- */

static json_t *part(const char *status, struct view detail)
{
	return json_pack("{s:s, s:o}", "status", status, "detail", json_text(detail));
}

static bool is_fresh(const struct health *h)
{
	return h->answers && clock_ms() - h->answered_ms <= HEALTH_STALE_SECONDS * 1000;
}

/* Adds every part; false when one that counts is not well. */
static bool add_parts(struct health *h, bool for_import, json_t *parts)
{
	static const char *const states[] = { "ok", "failed", "unknown" };
	bool well = is_fresh(h);
	const char *word = well ? "the keeper answers" : "the keeper does not answer";
	json_object_set_new(parts, "keeper", part(states[well ? HEALTH_OK : HEALTH_FAILED], view_text(word)));
	struct view rest = well ? h->answer.parts : view_text("");
	struct msg_health_part p;
	char name[33];
	while (rest.len > 0 && get_health_part(&rest, &p) == 0) {
		if (text_copy(p.name, name, sizeof name))
			json_object_set_new(parts, name, part(states[p.state], p.detail));
		if ((p.for_pulls || for_import) && p.state != HEALTH_OK)
			well = false;
	}
	return well;
}

static bool look(struct health *h, bool for_import, json_t **ret)
{
	json_t *parts = json_object();
	pthread_mutex_lock(&h->lock);
	bool well = add_parts(h, for_import, parts);
	pthread_mutex_unlock(&h->lock);
	*ret = json_pack("{s:s, s:o}", "status", well ? "ok" : "unavailable", "parts", parts);
	return well;
}

int health_live(struct request *r, struct keeper *none)
{
	(void)none;
	return reply_json(r, 200, json_pack("{s:s}", "status", "ok"));
}

int health_ready(struct request *r, struct keeper *none)
{
	(void)none;
	json_t *answer;
	const char *purpose = uri_query(&r->uri, "for");
	if (purpose && strcmp(purpose, "import") != 0)
		return fail(FAULT_MALFORMED_REQUEST, "for can only be \"import\"");
	bool well = look(r->http->health, purpose != NULL, &answer);
	int rc = reply_json(r, well ? 200 : 503, answer);
	if (!well)
		r->reply.retry_after = RETRY_AFTER_SECONDS;
	return rc;
}

int health_summary(struct request *r, struct keeper *none)
{
	(void)none;
	json_t *answer;
	look(r->http->health, true, &answer);
	json_object_set_new(answer, "version", json_string(PFXD_VERSION));
	return reply_json(r, 200, answer);
}

/* ---- metrics ---- */

/* As Prometheus has it: a prefix of our own, and _total on what only grows. */
static void write_keeper_metrics(struct view rest, struct buf *ret)
{
	struct msg_health_metric m;
	struct view before = view_text("");
	while (rest.len > 0 && get_health_metric(&rest, &m) == 0) {
		char name[96];
		snprintf(name, sizeof name, "pfxd_%.*s%s", (int)m.name.len, (const char *)m.name.p,
			 m.counter ? "_total" : "");
		if (!view_equal(m.name, before)) { /* those of one name differ by their label alone */
			buf_printf(ret, "# HELP %s %.*s.\n", name, (int)m.help.len, (const char *)m.help.p);
			buf_printf(ret, "# TYPE %s %s\n", name, m.counter ? "counter" : "gauge");
		}
		before = m.name;
		buf_put_text(ret, name);
		if (m.label.len > 0)
			buf_printf(ret, "{%.*s}", (int)m.label.len, (const char *)m.label.p);
		buf_printf(ret, " %llu\n", (unsigned long long)m.value);
	}
}

static void write_parts(struct view rest, struct buf *ret)
{
	struct msg_health_part p;
	buf_put_text(ret, "# HELP pfxd_part_ok Whether a part of the service is well.\n# TYPE pfxd_part_ok gauge\n");
	while (rest.len > 0 && get_health_part(&rest, &p) == 0) {
		buf_put_text(ret, "pfxd_part_ok{part=");
		json_quote(p.name, ret);
		buf_printf(ret, "} %d\n", p.state == HEALTH_OK);
	}
}

int health_metrics(struct request *r, struct keeper *none)
{
	(void)none;
	struct health *h = r->http->health;
	struct buf *body = buf_new(MIB);
	if (!body)
		return fail(FAULT_INTERNAL, "no memory for an answer");
	pthread_mutex_lock(&h->lock);
	bool fresh = is_fresh(h);
	buf_printf(body, "# HELP pfxd_keeper_up Whether the keeper answers.\n# TYPE pfxd_keeper_up gauge\n"
		   "pfxd_keeper_up %d\n", fresh);
	if (fresh) {
		write_parts(h->answer.parts, body);
		write_keeper_metrics(h->answer.metrics, body);
	}
	pthread_mutex_unlock(&h->lock);
	buf_printf(body, "# HELP pfxd_tls_not_after_seconds When the servers' TLS certificate in use ends, in seconds "
		   "since 1970.\n# TYPE pfxd_tls_not_after_seconds gauge\npfxd_tls_not_after_seconds %lld\n",
		   (long long)tls_expires());
	metrics_write(r->http->metrics, body);
	return reply_bytes(r, 200, "text/plain; version=0.0.4", body, buf_view(body));
}
