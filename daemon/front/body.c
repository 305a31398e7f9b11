/* Bodies: collected, lifted, parsed, and checked field by field. Front. Never logs or echoes what a field holds. */
#include "body.h"

#include "encode.h"
#include "fault.h"
#include "json_lift.h"
#include "protocol.h"
#include "text.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

/* Bytes of all bodies that are kept. */
static atomic_size_t kept;

static void drop(struct buf **b)
{
	buf_free(*b);
	*b = NULL;
}

static void drop_raw(struct body *b)
{
	drop(&b->raw);
	atomic_fetch_sub(&kept, b->counted);
	b->counted = 0;
}

void body_done(struct body *b)
{
	drop_raw(b);
	drop(&b->secrets);
	drop(&b->decoded);
	drop(&b->list);
	json_decref(b->json);
	b->json = NULL;
}

void body_add(struct body *b, const void *p, size_t len, size_t max)
{
	b->received += len;
	if (b->received > max) {
		b->too_large = true;
		drop_raw(b);
	}
	if (!b->keep || b->too_large || b->crowded)
		return;
	b->counted += len;
	b->crowded = atomic_fetch_add(&kept, len) + len > BODIES_MAX_BYTES;
	if (b->crowded) {
		drop_raw(b);
		return;
	}
	if (!b->raw)
		b->raw = buf_new(max);
	if (b->raw)
		buf_put(b->raw, p, len);
}

static int why_not_json(const json_error_t *error)
{
	switch (json_error_code(error)) {
	case json_error_duplicate_key:
		return fail(FAULT_MALFORMED_REQUEST, "a field is given twice in the body");
	case json_error_invalid_utf8:
		return fail(FAULT_MALFORMED_REQUEST, "the body is not UTF-8");
	case json_error_premature_end_of_input:
		return fail(FAULT_MALFORMED_REQUEST, "the JSON in the body ends too early");
	case json_error_end_of_input_expected:
		return fail(FAULT_MALFORMED_REQUEST, "there is something after the JSON in the body");
	case json_error_null_character:
	case json_error_null_byte_in_key:
		return fail(FAULT_MALFORMED_REQUEST, "the body holds a NUL character");
	case json_error_stack_overflow:
		return fail(FAULT_MALFORMED_REQUEST, "the JSON in the body is nested too deeply");
	default: /* not the library's own sentence: it quotes the text */
		return fail(FAULT_MALFORMED_REQUEST, "the body is not JSON");
	}
}

static int parse(struct body *b)
{
	static const char *const secret_names[] = { "pkcs12", "password", "token", NULL };
	size_t max = buf_len(b->raw) + 64;
	BUF plain = buf_new(max);
	b->secrets = buf_new(2 * max);
	if (!plain || !b->secrets)
		return fail(FAULT_UNAVAILABLE, "no memory for a body");
	int rc = json_lift(buf_view(b->raw), secret_names, plain, b->secrets);
	drop_raw(b);
	if (rc < 0)
		return rc;
	json_error_t error;
	errno = 0; /* the library tells want of memory as a wrong token */
	b->json = json_loadb((const char *)buf_data(plain), buf_len(plain), JSON_REJECT_DUPLICATES, &error);
	if (!b->json && errno == ENOMEM)
		return fail(FAULT_UNAVAILABLE, "no memory for a body");
	return b->json ? 0 : why_not_json(&error);
}

int body_read(struct body *b, const struct field *fields)
{
	if (b->too_large)
		return fail(FAULT_TOO_LARGE, "the body is larger than this call takes");
	if (!b->is_json)
		return fail(FAULT_UNSUPPORTED_MEDIA_TYPE, "the Content-Type must be application/json");
	if (b->crowded)
		return fail(FAULT_UNAVAILABLE, "too many bodies are being sent at once: try again later");
	if (b->received == 0)
		return fail(FAULT_MALFORMED_REQUEST, "the body is missing");
	if (!b->raw || !buf_ok(b->raw))
		return fail(FAULT_UNAVAILABLE, "no memory for a body");
	int rc = parse(b);
	if (rc < 0)
		return rc;
	if (!json_is_object(b->json))
		return fail(FAULT_MALFORMED_REQUEST, "the body must be a JSON object");
	return body_read_object(b, b->json, fields);
}

static int wrong(const struct field *f, const char *wanted)
{
	return fail(FAULT_MALFORMED_REQUEST, "the field %s must be %s", f->name, wanted);
}

static int check_string(const struct field *f, struct view text, struct view *ret)
{
	if (text.len < f->least || text.len > f->most)
		return fail(FAULT_MALFORMED_REQUEST, "the field %s must have %zu to %zu bytes", f->name, f->least,
			    f->most);
	if (f->kind == FIELD_TEXT && !text_is_clean(text))
		return wrong(f, "text without control characters");
	*ret = text;
	return 0;
}

static int read_base64(struct body *b, const struct field *f, struct view text, struct view *ret)
{
	char why[FAULT_DETAIL_MAX];
	if (b->decoded)
		return fail(FAULT_INTERNAL, "two base64 fields in one body");
	b->decoded = buf_new(f->most);
	if (!b->decoded)
		return fail(FAULT_UNAVAILABLE, "no memory for a body");
	int rc = base64_decode(text, b->decoded);
	if (rc == -FAULT_MALFORMED_REQUEST) {
		snprintf(why, sizeof why, "%s", fault_detail());
		return fail(FAULT_MALFORMED_REQUEST, "the field %s is %s", f->name, why);
	}
	if (rc == -FAULT_TOO_LARGE)
		return fail(FAULT_MALFORMED_REQUEST, "the field %s holds more than %zu bytes", f->name, f->most);
	*ret = buf_view(b->decoded);
	return rc;
}

static int read_usages(const struct field *f, const json_t *value)
{
	uint8_t set = 0;
	size_t i;
	const json_t *one;
	if (!json_is_array(value) || json_array_size(value) == 0)
		return wrong(f, "an array with \"encryption\", \"signing\" or both");
	json_array_foreach(value, i, one) {
		const char *text = json_is_string(one) ? json_string_value(one) : "";
		uint8_t bit = strcmp(text, "encryption") == 0 ? USAGE_ENCRYPTION :
			      strcmp(text, "signing") == 0    ? USAGE_SIGNING : 0;
		if (bit == 0)
			return wrong(f, "an array with \"encryption\", \"signing\" or both");
		if (set & bit)
			return wrong(f, "an array without repetitions");
		set |= bit;
	}
	*(uint8_t *)f->ret = set;
	return 0;
}

static int read_number(const struct field *f, const json_t *value)
{
	json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
	if (number < (json_int_t)f->least || number > (json_int_t)f->most)
		return fail(FAULT_MALFORMED_REQUEST, "the field %s must be a whole number from %zu to %zu", f->name,
			    f->least, f->most);
	*(uint32_t *)f->ret = (uint32_t)number;
	return 0;
}

static int read_field(struct body *b, const struct field *f, json_t *value)
{
	struct view text;
	switch (f->kind) {
	case FIELD_NUMBER: return read_number(f, value);
	case FIELD_USAGES: return read_usages(f, value);
	case FIELD_ARRAY:
		*(json_t **)f->ret = value;
		return json_is_array(value) ? 0 : wrong(f, "an array");
	case FIELD_SECRET: case FIELD_BASE64_SECRET:
		if (!json_is_string(value) || !json_lifted(b->secrets, json_string_value(value), &text))
			return wrong(f, "a string");
		break;
	default:
		if (!json_is_string(value))
			return wrong(f, "a string");
		text = view_of(json_string_value(value), json_string_length(value));
	}
	if (f->kind == FIELD_BASE64 || f->kind == FIELD_BASE64_SECRET)
		return read_base64(b, f, text, f->ret);
	return check_string(f, text, f->ret);
}

static const struct field *find(const struct field *fields, const char *name)
{
	for (; fields->name; fields++)
		if (strcmp(fields->name, name) == 0)
			return fields;
	return NULL;
}

int body_read_object(struct body *b, json_t *object, const struct field *fields)
{
	const char *name;
	json_t *value;
	json_object_foreach(object, name, value)
		if (!find(fields, name))
			return fail(FAULT_MALFORMED_REQUEST, "the field \"%s\" means nothing here", name);
	for (const struct field *f = fields; f->name; f++) {
		value = json_object_get(object, f->name);
		int rc = value ? read_field(b, f, value) :
			 f->required ? fail(FAULT_MALFORMED_REQUEST, "the field %s is missing", f->name) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}
