/* What stands between two rooms where one of them is the fuzz target, and the other is the input. Fuzz targets only. */
#include "fuzz.h"

#include "frame.h"

int __wrap_unix_connect(const char *path);
bool __wrap_connection_is_stale(int fd);

int __wrap_unix_connect(const char *path)
{
	(void)path;
	return dup(STDERR_FILENO);
}

bool __wrap_connection_is_stale(int fd)
{
	(void)fd;
	return false;
}

struct view fuzz_sent(const struct buf *b, uint8_t *ret_verb)
{
	MUST(buf_ok(b) && buf_len(b) >= FRAME_HEADER_BYTES);
	*ret_verb = buf_data(b)[4];
	return view_of(buf_data(b) + FRAME_HEADER_BYTES, buf_len(b) - FRAME_HEADER_BYTES);
}

bool fuzz_receive(struct view *input, struct buf *b, uint8_t *ret_verb, struct view *ret_fields)
{
	struct view fields = fuzz_take_until(input, FUZZ_FRAME_MARK);
	if (!view_get_u8(&fields, ret_verb))
		return false;
	buf_reset(b);
	buf_put(b, fields.p, fields.len);
	*ret_fields = buf_view(b);
	return true;
}
