/* A mutator that knows frames. Fuzz targets only. Mutations of plain bytes mostly break a length, and the reader says
 * no; this one changes what a field holds, and writes its length anew. */
#include "fuzz.h"

enum { FRAMES_MAX = 64 };

void fuzz_add_field(struct fuzz_layout *l, struct view *rest, const uint8_t *base, size_t width)
{
	struct view v;
	bool there = width ? view_get(rest, width, &v) : view_get_bytes(rest, SIZE_MAX, &v);
	if (!there || l->count == sizeof l->field / sizeof *l->field) {
		*rest = view_of("", 0);
		return;
	}
	l->field[l->count].at = (size_t)(v.p - base);
	l->field[l->count].len = v.len;
	l->field[l->count++].has_length = width == 0;
}

static uint32_t draw(uint64_t *state, uint32_t below)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33) % below;
}

/* Puts new in the place of the bytes from start to end of b. The new size, or 0 where it does not fit. */
static size_t splice(uint8_t *b, size_t size, size_t max, size_t start, size_t end, const uint8_t *new, size_t len)
{
	if (size - (end - start) + len > max)
		return 0;
	memmove(b + start + len, b + end, size - end);
	memcpy(b + start, new, len);
	return size - (end - start) + len;
}

/* One field of the frame that stands from start to end. */
static size_t mutate_field(uint8_t *data, size_t size, size_t max, size_t start, size_t end, uint64_t *random,
			   uint8_t *room)
{
	struct fuzz_layout l = { 0 };
	struct view frame = view_of(data + start, end - start);
	uint8_t verb;
	if (!view_get_u8(&frame, &verb))
		return 0;
	fuzz_frame_layout(verb, frame, &l);
	if (l.count == 0)
		return 0;
	uint32_t which = draw(random, (uint32_t)l.count);
	size_t at = start + 1 + l.field[which].at, len = l.field[which].len;
	memcpy(room, data + at, len);
	size_t new_len = LLVMFuzzerMutate(room, len, l.field[which].has_length ? max : len);
	if (!l.field[which].has_length)
		return new_len == len ? splice(data, size, max, at, at + len, room, len) : 0;
	size_t done = splice(data, size, max, at, at + len, room, new_len);
	for (size_t i = 0; i < 4 && done > 0; i++)
		data[at - 4 + i] = (uint8_t)(new_len >> 8 * (3 - i));
	return done;
}

/* A whole frame: once more behind itself, or away. */
static size_t mutate_frame(uint8_t *data, size_t size, size_t max, size_t start, size_t end, bool twice, uint8_t *room)
{
	static const char mark[] = FUZZ_FRAME_MARK;
	size_t len = sizeof mark - 1 + end - start;
	if (!twice)
		return splice(data, size, max, start, end, room, 0);
	memcpy(room, mark, sizeof mark - 1);
	memcpy(room + sizeof mark - 1, data + start, end - start);
	return splice(data, size, max, end, end, room, len);
}

size_t fuzz_mutate_frames(uint8_t *data, size_t size, size_t max, unsigned seed, size_t prefix)
{
	uint64_t random = seed;
	size_t starts[FRAMES_MAX], ends[FRAMES_MAX], count = 0, done = 0;
	draw(&random, 1);
	struct view rest = view_of(data + prefix, prefix < size ? size - prefix : 0);
	while (rest.len > 0 && count < FRAMES_MAX) {
		starts[count] = (size_t)(rest.p - data);
		ends[count] = starts[count] + fuzz_take_until(&rest, FUZZ_FRAME_MARK).len;
		count++;
	}
	uint8_t *room = malloc(2 * max + 64);
	MUST(room);
	uint32_t way = draw(&random, 8);
	if (count > 0 && way > 0) {
		uint32_t which = draw(&random, (uint32_t)count);
		done = way == 1 ? mutate_frame(data, size, max, starts[which], ends[which], draw(&random, 2), room)
				: mutate_field(data, size, max, starts[which], ends[which], &random, room);
	}
	free(room);
	return done > 0 ? done : LLVMFuzzerMutate(data, size, max);
}
