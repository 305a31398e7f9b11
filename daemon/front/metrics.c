/* Counts answers. Front. */
#include "metrics.h"

#include "route.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { CLASSES = 6 };

struct metrics {
	atomic_ulong none[CLASSES];      /* to what has no route */
	atomic_ulong counts[][CLASSES];  /* by index of the route */
};

struct metrics *metrics_new(void)
{
	struct metrics *m;
	return calloc(1, sizeof *m + route_count() * sizeof m->counts[0]);
}

void metrics_free(struct metrics *m)
{
	free(m);
}

void metrics_count(struct metrics *m, const struct route *route, int status)
{
	int class = status / 100 % CLASSES;
	atomic_fetch_add_explicit(route ? &m->counts[route_index(route)][class] : &m->none[class], 1,
				  memory_order_relaxed);
}

static void write_one(const atomic_ulong counts[CLASSES], const char *method, const char *path, struct buf *ret)
{
	for (int class = 1; class < CLASSES; class++) {
		unsigned long count = atomic_load_explicit(&counts[class], memory_order_relaxed);
		if (count > 0)
			buf_printf(ret, "pfxd_http_requests_total{method=\"%s\",route=\"%s\",status=\"%dxx\"} %lu\n",
				   method, path, class, count);
	}
}

void metrics_write(const struct metrics *m, struct buf *ret)
{
	buf_put_text(ret, "# HELP pfxd_http_requests_total Requests that this front has answered.\n"
			  "# TYPE pfxd_http_requests_total counter\n");
	for (size_t i = 0; i < route_count(); i++)
		write_one(m->counts[i], route_at(i)->method, route_at(i)->path, ret);
	write_one(m->none, "other", "none", ret);
}
