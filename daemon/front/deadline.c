/* Ends connections whose time is over. Front. It shuts sockets down and never closes one: the descriptor is the HTTP
 * library's, which notices and closes it. */
#include "deadline.h"

#include "clock.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { PLACES = 1024 };

struct deadlines {
	pthread_mutex_t lock;
	uint64_t seed;
	unsigned count;
	struct peer *places[PLACES]; /* by address */
};

struct deadlines *deadline_table_new(void)
{
	struct deadlines *d = calloc(1, sizeof *d);
	if (!d)
		return NULL;
	pthread_mutex_init(&d->lock, NULL);
	d->seed = address_seed();
	return d;
}

void deadline_table_free(struct deadlines *d)
{
	if (!d)
		return;
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static struct peer **place_of(struct deadlines *d, const struct address *a)
{
	return &d->places[(address_hash(a, d->seed) >> 40) % PLACES];
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
	*peer = (struct peer){ .fd = fd, .address = address, .since_ms = clock_ms(),
			       .deadline_ms = in_seconds(seconds) };
	pthread_mutex_lock(&d->lock);
	struct peer **place = place_of(d, &address);
	peer->next = *place;
	if (*place)
		(*place)->previous = peer;
	*place = peer;
	d->count++;
	pthread_mutex_unlock(&d->lock);
	return peer;
}

void deadline_set(struct deadlines *d, struct peer *peer, enum phase phase, uint32_t seconds)
{
	pthread_mutex_lock(&d->lock);
	peer->phase = phase;
	peer->since_ms = clock_ms();
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
		*place_of(d, &peer->address) = peer->next;
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

unsigned deadline_count_from(struct deadlines *d, struct address address)
{
	unsigned count = 0;
	pthread_mutex_lock(&d->lock);
	for (const struct peer *p = *place_of(d, &address); p; p = p->next)
		count += memcmp(&p->address, &address, sizeof address) == 0;
	pthread_mutex_unlock(&d->lock);
	return count;
}

/* What is shut down is in the table until the HTTP library closes it, and is not chosen again. */
bool deadline_end_longest(struct deadlines *d)
{
	struct peer *longest = NULL;
	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < PLACES; i++)
		for (struct peer *p = d->places[i]; p; p = p->next)
			if (p->phase != PHASE_ENDED && (!longest || p->since_ms < longest->since_ms))
				longest = p;
	if (longest) {
		longest->phase = PHASE_ENDED;
		shutdown(longest->fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&d->lock);
	return longest != NULL;
}

/* Shuts down those of which is_over() is true, which is asked with the lock held. */
static void shut_down(struct deadlines *d, bool (*is_over)(const struct peer *p, int64_t now))
{
	int64_t now = clock_ms();
	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < PLACES; i++)
		for (struct peer *p = d->places[i]; p; p = p->next)
			if (is_over(p, now))
				shutdown(p->fd, SHUT_RDWR);
	pthread_mutex_unlock(&d->lock);
}

static bool is_late(const struct peer *p, int64_t now)
{
	return p->deadline_ms <= now;
}

void deadline_sweep(struct deadlines *d)
{
	shut_down(d, is_late);
}

/* Bytes that the HTTP library has not read yet. */
static bool has_input(int fd)
{
	char first;
	return recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* Whether a byte ever came, also one that the library has read: of a handshake that goes on, say. */
static bool has_begun(int fd)
{
	struct tcp_info info = { .tcpi_bytes_received = 0 };
	socklen_t len = sizeof info;
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_bytes_received > 0;
}

static bool is_idle(const struct peer *p, int64_t now)
{
	(void)now;
	return p->phase == PHASE_IDLE && !has_input(p->fd);
}

static bool is_idle_or_silent(const struct peer *p, int64_t now)
{
	return is_idle(p, now) || (p->phase == PHASE_GREETING && !has_begun(p->fd));
}

void deadline_end_idle(struct deadlines *d, bool all)
{
	shut_down(d, all ? is_idle_or_silent : is_idle);
}
