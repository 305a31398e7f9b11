/* Secrets out of JSON, before the JSON library sees it. What the library reads from the rest must be what it would have
 * read from the whole: everything else the same, and where a secret stood, the number of just that secret. */
#include "fuzz.h"

#include "json_lift.h"
#include "text.h"

#include <jansson.h>

static const char *const names[] = { "pkcs12", "password", "token", NULL };

static bool is_secret(const char *name)
{
	for (size_t i = 0; names[i]; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static void compare(const json_t *whole, const json_t *plain, const struct buf *secrets);

static void compare_member(const char *name, const json_t *whole, const json_t *plain, const struct buf *secrets)
{
	struct view secret;
	MUST(plain);
	if (!is_secret(name) || !json_is_string(whole)) {
		compare(whole, plain, secrets);
		return;
	}
	MUST(json_is_string(plain) && json_lifted(secrets, json_string_value(plain), &secret));
	MUST(view_equal(secret, view_of(json_string_value(whole), json_string_length(whole))));
}

static void compare(const json_t *whole, const json_t *plain, const struct buf *secrets)
{
	const char *name;
	json_t *value;
	size_t i;
	MUST(json_typeof(whole) == json_typeof(plain));
	if (json_is_object(whole)) {
		MUST(json_object_size(whole) == json_object_size(plain));
		json_object_foreach((json_t *)whole, name, value)
			compare_member(name, value, json_object_get(plain, name), secrets);
	} else if (json_is_array(whole)) {
		MUST(json_array_size(whole) == json_array_size(plain));
		json_array_foreach(whole, i, value)
			compare(value, json_array_get(plain, i), secrets);
	} else {
		MUST(json_equal(whole, plain));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_error_t error;
	BUF plain = fuzz_buf(8 * size + 64);
	BUF secrets = fuzz_buf(8 * size + 64);
	int rc = json_lift(view_of(data, size), names, plain, secrets);
	MUST(rc == 0 || rc == -FAULT_MALFORMED_REQUEST);
	const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
	json_t *whole = json_loadb((const char *)data, size, flags, &error);
	json_t *rest = rc == 0 ? json_loadb((const char *)buf_data(plain), buf_len(plain), flags, &error) : NULL;
	if (whole) {
		/* What is JSON is lifted, and is JSON still. */
		MUST(rest);
		compare(whole, rest, secrets);
	}
	json_decref(whole);
	json_decref(rest);
	return 0;
}
