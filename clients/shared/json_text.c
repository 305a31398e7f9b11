/* Writes and reads JSON. Both clients. No secret enters a json_t: those are written by hand and lifted out first. */
#include "json_text.h"

#include "encode.h"
#include "fault.h"
#include "json_lift.h"
#include "trouble.h"

static void put_name(struct buf *b, const char *name)
{
	uint8_t last = buf_len(b) ? buf_data(b)[buf_len(b) - 1] : '{';
	if (last != '{' && last != '[')
		buf_put_u8(b, ',');
	if (!name)
		return;
	json_quote(view_text(name), b);
	buf_put_u8(b, ':');
}

void json_put_text(struct buf *b, const char *name, struct view value)
{
	put_name(b, name);
	json_quote(value, b);
}

void json_put_json(struct buf *b, const char *name, const json_t *value)
{
	const size_t flags = JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY;
	size_t len = json_dumpb(value, NULL, 0, flags);
	put_name(b, name);
	uint8_t *at = buf_reserve(b, len);
	if (at)
		json_dumpb(value, (char *)at, len, flags);
}

void json_put_open(struct buf *b, const char *name, char bracket)
{
	put_name(b, name);
	buf_put_u8(b, (uint8_t)bracket);
}

int json_read(struct view text, json_t **ret)
{
	json_error_t error;
	json_t *json = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, &error);
	if (!json)
		return trouble(EXIT_REFUSED, "the server's answer is not JSON: %s, line %d", error.text, error.line);
	if (!json_is_object(json)) {
		json_decref(json);
		return trouble(EXIT_REFUSED, "the server's answer is not a JSON object");
	}
	*ret = json;
	return EXIT_DONE;
}

int json_read_lifted(struct view text_secret, const char *const names[], struct buf *ret_secrets, json_t **ret)
{
	/* A lifted string leaves its number, which is longer than an empty string was. */
	BUF plain = buf_new(8 * text_secret.len + 64);
	if (!plain)
		return trouble(EXIT_LOCAL, "no memory");
	if (json_lift(text_secret, names, plain, ret_secrets) < 0)
		return trouble(EXIT_REFUSED, "the server's answer can not be read: %s", fault_detail());
	return json_read(buf_view(plain), ret);
}

const char *json_get_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	return text ? text : "";
}
