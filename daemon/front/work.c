/* Queues of requests and the threads that answer them. Front. A worker holds one request at a time, and ends it with a
 * reply whatever happens: a connection that stayed suspended would never end. */
#include "work.h"

#include "fault.h"
#include "http.h"
#include "keeper_client.h"
#include "request.h"
#include "wipe.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct work {
	pthread_mutex_t lock;
	pthread_cond_t there_is_work;
	struct request *first, **last;
	unsigned waiting, waiting_max;
	bool ending;
	const char *path;
	unsigned thread_count;
	pthread_t threads[];
};

/* Who gets the content wrong learns so only when the keeper says that he might have asked at all. */
static int unless_refused(struct request *r, struct keeper *k, int rc)
{
	const struct msg_authorize m = {
		.request_id = view_text(r->id), .token_secret = buf_view(r->token_secret),
		.verb = (uint8_t)r->route->verb,
	};
	struct msg_nothing nothing;
	char why[FAULT_DETAIL_MAX];
	snprintf(why, sizeof why, "%s", fault_detail());
	int refused = keeper_authorize(k, &m, &nothing);
	return refused < 0 ? refused : fail((enum fault)-rc, "%s", why);
}

static void answer(struct request *r, struct keeper *k)
{
	const struct http *http = r->http;
	bool is_read = strcmp(r->route->method, "GET") == 0;
	keeper_begin(k, r->began_ms + (int64_t)http->config->keeper_seconds * 1000, is_read, &r->body);
	int rc = uri_check_query(&r->uri, r->route->query);
	if (rc == 0)
		rc = r->route->handle(r, k);
	if (rc < 0 && !keeper_was_asked(k) && http->role == ROLE_ADMIN)
		rc = unless_refused(r, k, rc);
	if (rc < 0)
		reply_problem(r, rc, keeper_retry_after(k));
	if (rc == -FAULT_UNAUTHORIZED && (http->role == ROLE_ADMIN || r->route->flags & ROUTE_OPEN))
		http_count_refused(r);
	body_done(&r->body);
	keeper_done(k);
}

/* The next request, or NULL when the work has come to its end. */
static struct request *next(struct work *w)
{
	pthread_mutex_lock(&w->lock);
	while (!w->first && !w->ending)
		pthread_cond_wait(&w->there_is_work, &w->lock);
	struct request *r = w->first;
	if (r) {
		w->first = r->next;
		if (!w->first)
			w->last = &w->first;
		w->waiting--;
	}
	pthread_mutex_unlock(&w->lock);
	return r;
}

static void *run(void *arg)
{
	struct work *w = arg;
	struct keeper *k = keeper_new(w->path);
	if (!k)
		abort(); /* a few hundred bytes, at the start */
	for (struct request *r; (r = next(w));) {
		struct MHD_Connection *connection = r->connection;
		answer(r, k);
		wipe_traces();
		r->state = REQUEST_ANSWERED;
		MHD_resume_connection(connection);
	}
	keeper_free(k);
	return NULL;
}

static bool start_threads(struct work *w, unsigned threads)
{
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, WORK_STACK_BYTES);
	while (w->thread_count < threads && pthread_create(&w->threads[w->thread_count], &attributes, run, w) == 0)
		w->thread_count++;
	pthread_attr_destroy(&attributes);
	return w->thread_count == threads;
}

struct work *work_start(const char *path, unsigned threads)
{
	struct work *w = calloc(1, sizeof *w + threads * sizeof w->threads[0]);
	if (!w)
		return NULL;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->there_is_work, NULL);
	w->last = &w->first;
	w->waiting_max = threads * QUEUE_PER_WORKER;
	w->path = path;
	return start_threads(w, threads) ? w : NULL;
}

bool work_submit(struct work *w, struct request *r)
{
	pthread_mutex_lock(&w->lock);
	bool room = w->waiting < w->waiting_max;
	if (room) {
		/* Before a worker can see it: a connection must be suspended before it is resumed. */
		MHD_suspend_connection(r->connection);
		r->state = REQUEST_WAITING;
		r->next = NULL;
		*w->last = r;
		w->last = &r->next;
		w->waiting++;
		pthread_cond_signal(&w->there_is_work);
	}
	pthread_mutex_unlock(&w->lock);
	return room;
}

void work_stop(struct work *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->ending = true;
	pthread_cond_broadcast(&w->there_is_work);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->thread_count; i++)
		pthread_join(w->threads[i], NULL);
	pthread_cond_destroy(&w->there_is_work);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
