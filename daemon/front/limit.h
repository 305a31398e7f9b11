/* Counts the tokens that were refused, by address and minute, so that guessing is slow. A fixed table: under more
 * addresses than it holds it forgets the harmless ones first, and never grows. */
#ifndef PFXD_LIMIT_H
#define PFXD_LIMIT_H

#include <stdint.h>

struct sockaddr;

/* An IPv4 address, mapped, or the first 64 bits of an IPv6 one: who has one of those has them all. */
struct address {
	uint8_t at[16];
};

struct address address_of(const struct sockaddr *a);
/* A number of 64 bits for a table. seed: random, so that nobody can choose addresses that fall on one place. */
uint64_t address_hash(const struct address *a, uint64_t seed);
uint64_t address_seed(void);

struct limit;

/* NULL without memory. Free with limit_free(). */
struct limit *limit_new(void);
void limit_free(struct limit *l);

/* Seconds until an address that may fail so often in a minute may try again; 0 when it may now. */
uint32_t limit_wait(struct limit *l, struct address a, uint32_t per_minute);
/* Counts one refused token. */
void limit_count(struct limit *l, struct address a);

#endif
