/* Ends connections whose time is over. Front. It shuts sockets down and never closes one: the descriptor is the HTTP
 * library's, which notices and closes it. */
#include "deadline.h"

#include "frame.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

struct deadlines {
	pthread_mutex_t lock;
	struct peer *first;
	unsigned count;
};

struct deadlines *deadline_table_new(void)
{
	struct deadlines *d = calloc(1, sizeof *d);
	if (d)
		pthread_mutex_init(&d->lock, NULL);
	return d;
}

void deadline_table_free(struct deadlines *d)
{
	if (!d)
		return;
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static int64_t in_seconds(uint32_t seconds)
{
	return clock_ms() + (int64_t)seconds * 1000;
}

struct peer *deadline_add(struct deadlines *d, int fd, struct address address, uint32_t seconds)
{
	struct peer *peer = malloc(sizeof *peer);
	if (!peer)
		return NULL;
	*peer = (struct peer){ .fd = fd, .address = address, .deadline_ms = in_seconds(seconds) };
	pthread_mutex_lock(&d->lock);
	peer->next = d->first;
	if (d->first)
		d->first->previous = peer;
	d->first = peer;
	d->count++;
	pthread_mutex_unlock(&d->lock);
	return peer;
}

void deadline_set(struct deadlines *d, struct peer *peer, enum phase phase, uint32_t seconds)
{
	pthread_mutex_lock(&d->lock);
	peer->phase = phase;
	peer->deadline_ms = in_seconds(seconds);
	pthread_mutex_unlock(&d->lock);
}

void deadline_remove(struct deadlines *d, struct peer *peer)
{
	pthread_mutex_lock(&d->lock);
	if (peer->next)
		peer->next->previous = peer->previous;
	if (peer->previous)
		peer->previous->next = peer->next;
	else
		d->first = peer->next;
	d->count--;
	pthread_mutex_unlock(&d->lock);
	free(peer);
}

unsigned deadline_count(struct deadlines *d)
{
	pthread_mutex_lock(&d->lock);
	unsigned count = d->count;
	pthread_mutex_unlock(&d->lock);
	return count;
}

void deadline_sweep(struct deadlines *d)
{
	int64_t now = clock_ms();
	pthread_mutex_lock(&d->lock);
	for (struct peer *p = d->first; p; p = p->next)
		if (p->deadline_ms <= now)
			shutdown(p->fd, SHUT_RDWR);
	pthread_mutex_unlock(&d->lock);
}

void deadline_end_idle(struct deadlines *d, bool all)
{
	pthread_mutex_lock(&d->lock);
	for (struct peer *p = d->first; p; p = p->next)
		if (p->phase == PHASE_IDLE || (all && p->phase == PHASE_GREETING))
			shutdown(p->fd, SHUT_RDWR);
	pthread_mutex_unlock(&d->lock);
}
