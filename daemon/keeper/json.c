/* Writes JSON (RFC 8259). Keeper only. */
#include "json.h"

#include "encode.h"

static void comma(struct buf *b)
{
	uint8_t last = buf_len(b) > 0 ? buf_data(b)[buf_len(b) - 1] : '{';
	if (last != '{' && last != '[' && last != ':')
		buf_put_u8(b, ',');
}

void json_begin(struct buf *b, char bracket)
{
	comma(b);
	buf_put_u8(b, (uint8_t)bracket);
}

void json_end(struct buf *b, char bracket)
{
	buf_put_u8(b, (uint8_t)bracket);
}

void json_name(struct buf *b, const char *name)
{
	json_string(b, view_text(name));
	buf_put_u8(b, ':');
}

void json_string(struct buf *b, struct view utf8)
{
	comma(b);
	json_quote(utf8, b);
}

void json_base64(struct buf *b, struct view bytes)
{
	comma(b);
	buf_put_u8(b, '"');
	base64_encode(bytes, b);
	buf_put_u8(b, '"');
}
