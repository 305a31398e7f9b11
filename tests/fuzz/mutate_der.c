/* A mutator that knows DER. Fuzz targets only. Mutations of plain bytes hardly ever get past the lengths of the layers
 * around them; this one changes an element, and then writes anew the lengths of all that hold it. */
#include "fuzz.h"

enum { ELEMENTS_MAX = 1024, DEPTH_MAX = 24, HEADER_MAX = 6 };

struct element {
	size_t start, header, content; /* bytes: where it begins, its tag and length, what it holds */
	int parent;                    /* index; -1: none */
	bool indefinite;
};

struct tree {
	struct view bytes;
	size_t count;
	struct element at[ELEMENTS_MAX];
};

static uint32_t draw(uint64_t *state, uint32_t below)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33) % below;
}

/* Reads tag and length at the front of v: tags of one byte, lengths of up to four. False where there is none. */
static bool read_header(struct view v, struct element *ret)
{
	if (v.len < 2 || (v.p[0] & 0x1f) == 0x1f || v.p[0] == 0)
		return false;
	size_t octets = v.p[1] > 0x80 ? v.p[1] & 0x7fu : 0, len = v.p[1] < 0x80 ? v.p[1] : 0;
	if (octets > 4 || v.len < 2 + octets)
		return false;
	for (size_t i = 0; i < octets; i++)
		len = len << 8 | v.p[2 + i];
	ret->header = 2 + octets;
	ret->indefinite = v.p[1] == 0x80;
	ret->content = ret->indefinite ? v.len - 2 : len;
	return ret->content <= v.len - ret->header;
}

static size_t scan(struct tree *t, size_t from, size_t to, int parent, int depth);

/* Adds the element at from, and what it holds. Returns the place behind it; from itself where there is none. */
static size_t scan_one(struct tree *t, size_t from, size_t to, int parent, int depth)
{
	struct element e = { .start = from, .parent = parent };
	if (t->count == ELEMENTS_MAX || depth == DEPTH_MAX ||
	    !read_header(view_of(t->bytes.p + from, to - from), &e))
		return from;
	size_t index = t->count++, begin = from + e.header;
	t->at[index] = e;
	uint8_t tag = t->bytes.p[from];
	if (tag == 0x03 && e.content > 1 && t->bytes.p[begin] == 0)
		scan(t, begin + 1, begin + e.content, (int)index, depth + 1); /* a BIT STRING may hold DER: a key */
	else if ((tag & 0x20) || tag == 0x04) {
		size_t end = scan(t, begin, begin + e.content, (int)index, depth + 1);
		if (e.indefinite)
			t->at[index].content = end - begin;
	}
	return begin + t->at[index].content;
}

/* Adds the elements between from and to. What an OCTET STRING holds may be none: then nothing of it is kept. */
static size_t scan(struct tree *t, size_t from, size_t to, int parent, int depth)
{
	size_t before = t->count, at = from;
	while (at < to) {
		if (to - at >= 2 && t->bytes.p[at] == 0 && t->bytes.p[at + 1] == 0)
			return at + 2;
		size_t next = scan_one(t, at, to, parent, depth);
		if (next == at) {
			t->count = before;
			return to;
		}
		at = next;
	}
	return at;
}

static size_t put_header(uint8_t *at, uint8_t tag, size_t len)
{
	size_t octets = len < 0x80 ? 0 : len < 0x100 ? 1 : len < 0x10000 ? 2 : 3;
	at[0] = tag;
	at[1] = (uint8_t)(octets ? 0x80 | octets : len);
	for (size_t i = 0; i < octets; i++)
		at[2 + i] = (uint8_t)(len >> 8 * (octets - 1 - i));
	return 2 + octets;
}

/* Puts new in the place of the bytes from start to end of data. The new size; 0 where it does not fit. */
static size_t splice(uint8_t *data, size_t size, size_t max, size_t start, size_t end, struct view new)
{
	if (size - (end - start) + new.len > max)
		return 0;
	memmove(data + start + new.len, data + end, size - end);
	if (new.len)
		memcpy(data + start, new.p, new.len);
	return size - (end - start) + new.len;
}

/* What takes the element's place; a part of room, or of data. */
static struct view changed(const struct tree *t, const struct element *e, uint64_t *random, uint8_t *room, size_t max)
{
	static const uint8_t tags[] = { 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x13, 0x16, 0x1e, 0x24, 0x30, 0x31, 0x80,
					0xa0, 0xa1, 0xa3 };
	const uint8_t *at = t->bytes.p + e->start;
	size_t whole = e->header + e->content, n;
	const struct element *other = &t->at[draw(random, (uint32_t)t->count)];
	switch (draw(random, 8)) {
	case 0: return view_of(at, 0);
	case 1: /* twice */
		memcpy(room, at, whole);
		memcpy(room + whole, at, whole);
		return view_of(room, 2 * whole);
	case 2: return view_of(t->bytes.p + other->start, other->header + other->content);
	case 3: /* in another element */
		n = put_header(room, tags[draw(random, sizeof tags)], whole);
		memcpy(room + n, at, whole);
		return view_of(room, n + whole);
	case 4: /* of another type */
		memcpy(room, at, whole);
		room[0] = tags[draw(random, sizeof tags)];
		return view_of(room, whole);
	case 5: /* of indefinite length, as BER has it */
		room[0] = at[0] | 0x20;
		room[1] = 0x80;
		memcpy(room + 2, at + e->header, e->content);
		room[2 + e->content] = room[3 + e->content] = 0;
		return view_of(room, e->content + 4);
	}
	uint8_t header[HEADER_MAX];
	memcpy(room + HEADER_MAX, at + e->header, e->content);
	size_t len = LLVMFuzzerMutate(room + HEADER_MAX, e->content, max);
	n = put_header(header, at[0], len);
	memcpy(room + HEADER_MAX - n, header, n);
	return view_of(room + HEADER_MAX - n, n + len);
}

/* Writes anew the lengths of all that hold the element, from the inside to the outside. by: how much longer it is. */
static size_t put_lengths_right(const struct tree *t, const struct element *e, uint8_t *data, size_t size, size_t max,
				int64_t by)
{
	for (int i = e->parent; i >= 0 && size > 0; i = t->at[i].parent) {
		const struct element *p = &t->at[i];
		uint8_t header[HEADER_MAX];
		if (p->indefinite)
			continue;
		size_t len = (size_t)((int64_t)p->content + by);
		size_t n = put_header(header, data[p->start], len);
		size = splice(data, size, max, p->start, p->start + p->header, view_of(header, n));
		by += (int64_t)n - (int64_t)p->header;
	}
	return size;
}

size_t fuzz_mutate_der(uint8_t *data, size_t size, size_t max, unsigned seed, size_t prefix)
{
	static struct tree tree;
	uint64_t random = seed;
	draw(&random, 1);
	if (prefix >= size || draw(&random, 4) == 0)
		return LLVMFuzzerMutate(data, size, max);
	uint8_t *der = data + prefix;
	size_t len = size - prefix, room_size = 2 * max + 64;
	uint8_t *copy = malloc(len), *room = malloc(room_size + 2 * HEADER_MAX);
	MUST(copy && room);
	memcpy(copy, der, len);
	tree.bytes = view_of(copy, len);
	tree.count = 0;
	scan(&tree, 0, len, -1, 0);
	size_t done = 0;
	if (tree.count > 0) {
		const struct element *e = &tree.at[draw(&random, (uint32_t)tree.count)];
		struct view new = changed(&tree, e, &random, room, max);
		int64_t by = (int64_t)new.len - (int64_t)(e->header + e->content);
		done = splice(der, len, max - prefix, e->start, e->start + e->header + e->content, new);
		if (done > 0 && draw(&random, 16) > 0)
			done = put_lengths_right(&tree, e, der, done, max - prefix, by);
		if (done == 0)
			memcpy(der, copy, len);
	}
	free(copy);
	free(room);
	return done > 0 ? prefix + done : LLVMFuzzerMutate(data, size, max);
}
