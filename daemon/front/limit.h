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

struct limit;

/* NULL without memory. Free with limit_free(). */
struct limit *limit_new(uint32_t per_minute);
void limit_free(struct limit *l);

/* Seconds until an address may try again; 0 when it may now. */
uint32_t limit_wait(struct limit *l, struct address a);
/* Counts one refused token. */
void limit_count(struct limit *l, struct address a);

#endif
