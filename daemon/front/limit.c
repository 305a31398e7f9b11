/* Slows down who guesses tokens. Front. Decides by address alone; it knows nothing of tokens or people. */
#include "limit.h"

#include "clock.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { SLOTS = 4096, WAYS = 4, MINUTE_MS = 60000 };

struct slot {
	struct address address;
	int64_t minute;
	uint32_t count;
};

struct limit {
	pthread_mutex_t lock;
	uint64_t seed;
	struct slot slots[SLOTS];
};

struct address address_of(const struct sockaddr *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct address ret = { 0 };
	if (a && a->sa_family == AF_INET) {
		memcpy(ret.at, mapped, sizeof mapped);
		memcpy(ret.at + sizeof mapped, &((const struct sockaddr_in *)a)->sin_addr, 4);
	} else if (a && a->sa_family == AF_INET6) {
		const uint8_t *v6 = ((const struct sockaddr_in6 *)a)->sin6_addr.s6_addr;
		memcpy(ret.at, v6, memcmp(v6, mapped, sizeof mapped) == 0 ? 16 : 8);
	}
	return ret;
}

uint64_t address_seed(void)
{
	uint64_t seed;
	if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
		abort(); /* the kernel promises this for so few bytes */
	return seed;
}

uint64_t address_hash(const struct address *a, uint64_t seed)
{
	uint64_t h = seed;
	for (size_t i = 0; i < sizeof a->at; i++)
		h = (h ^ a->at[i]) * 0x100000001b3u;
	h ^= h >> 32;
	return h * 0x9e3779b97f4a7c15u;
}

struct limit *limit_new(void)
{
	struct limit *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	l->seed = address_seed();
	pthread_mutex_init(&l->lock, NULL);
	return l;
}

void limit_free(struct limit *l)
{
	if (!l)
		return;
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static struct slot *ways(struct limit *l, const struct address *a)
{
	return &l->slots[(address_hash(a, l->seed) >> 40) % (SLOTS / WAYS) * WAYS];
}

/* The slot of an address in this minute, or NULL. */
static struct slot *find(struct slot *set, const struct address *a, int64_t minute)
{
	for (struct slot *s = set; s < set + WAYS; s++)
		if (s->minute == minute && memcmp(&s->address, a, sizeof *a) == 0)
			return s;
	return NULL;
}

/* The slot that matters least: of an earlier minute, or else with the lowest count. */
static struct slot *least(struct slot *set, int64_t minute)
{
	struct slot *ret = set;
	for (struct slot *s = set; s < set + WAYS; s++) {
		uint32_t count = s->minute == minute ? s->count : 0;
		if (count < (ret->minute == minute ? ret->count : 0))
			ret = s;
	}
	return ret;
}

uint32_t limit_wait(struct limit *l, struct address a, uint32_t per_minute)
{
	int64_t now = clock_ms();
	pthread_mutex_lock(&l->lock);
	const struct slot *s = find(ways(l, &a), &a, now / MINUTE_MS);
	bool over = s && s->count >= per_minute;
	pthread_mutex_unlock(&l->lock);
	return over ? (uint32_t)((MINUTE_MS - now % MINUTE_MS) / 1000 + 1) : 0;
}

void limit_count(struct limit *l, struct address a)
{
	int64_t minute = clock_ms() / MINUTE_MS;
	pthread_mutex_lock(&l->lock);
	struct slot *set = ways(l, &a), *s = find(set, &a, minute);
	if (!s) {
		s = least(set, minute);
		*s = (struct slot){ .address = a, .minute = minute };
	}
	s->count++;
	pthread_mutex_unlock(&l->lock);
}
