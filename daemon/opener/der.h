/* Writes DER from its end to its beginning, so that every length is known when it is written. */
#ifndef PFXD_OPENER_DER_H
#define PFXD_OPENER_DER_H

#include "buf.h"

struct der {
	uint8_t *base;
	size_t size, left; /* what is written stands in [left, size) */
	bool failed;       /* it did not fit */
};

enum der_tag { DER_INTEGER = 0x02, DER_OCTETS = 0x04, DER_SEQUENCE = 0x30, DER_SET = 0x31, DER_CONTEXT_0 = 0xa0,
	       DER_CONTEXT_0_PRIMITIVE = 0x80 };

/* Writes into size bytes at base, which are the caller's. */
void der_init(struct der *d, uint8_t *base, size_t size);
/* Where the writer is now: the end of what comes next. */
size_t der_mark(const struct der *d);
/* What was written since mark. */
struct view der_since(const struct der *d, size_t mark);

void der_put(struct der *d, struct view raw);
/* Puts tag and length before what was written since mark. */
void der_wrap(struct der *d, enum der_tag tag, size_t mark);
/* A whole primitive value. */
void der_put_value(struct der *d, enum der_tag tag, struct view contents);

#define DER_PUT(d, ...) \
	der_put((d), view_of((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })))

#endif
