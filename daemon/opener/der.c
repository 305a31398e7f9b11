/* A writer of DER. Opener. Never writes outside of its room: what does not fit marks it. */
#include "der.h"

#include <string.h>

void der_init(struct der *d, uint8_t *base, size_t size)
{
	*d = (struct der){ .base = base, .size = size, .left = size };
}

size_t der_mark(const struct der *d)
{
	return d->left;
}

struct view der_since(const struct der *d, size_t mark)
{
	return view_of(d->base + d->left, mark - d->left);
}

void der_put(struct der *d, struct view raw)
{
	if (d->failed || raw.len > d->left) {
		d->failed = true;
		return;
	}
	d->left -= raw.len;
	if (raw.len > 0)
		memcpy(d->base + d->left, raw.p, raw.len);
}

void der_wrap(struct der *d, enum der_tag tag, size_t mark)
{
	uint8_t header[2 + sizeof(size_t)];
	size_t len = mark - d->left, at = sizeof header;
	if (len < 0x80) {
		header[--at] = (uint8_t)len;
	} else {
		size_t octets = 0;
		for (size_t rest = len; rest > 0; rest >>= 8, octets++)
			header[--at] = (uint8_t)rest;
		header[--at] = (uint8_t)(0x80 | octets);
	}
	header[--at] = (uint8_t)tag;
	der_put(d, view_of(header + at, sizeof header - at));
}

void der_put_value(struct der *d, enum der_tag tag, struct view contents)
{
	size_t mark = der_mark(d);
	der_put(d, contents);
	der_wrap(d, tag, mark);
}
