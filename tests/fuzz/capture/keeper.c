/* Seeds from the unit tests of common/ and of the keeper. */
#include "capture.h"

#include "config.h"
#include "encode.h"
#include "json_lift.h"
#include "keeper/keyring.h"

int __real_config_read(struct config *c, const char *path);
int __wrap_config_read(struct config *c, const char *path);
int __real_json_lift(struct view json, const char *const names[], struct buf *ret_plain, struct buf *ret_secrets);
int __wrap_json_lift(struct view json, const char *const names[], struct buf *ret_plain, struct buf *ret_secrets);
int __real_keyring_parse(struct view text_secret, struct keyring **ret);
int __wrap_keyring_parse(struct view text_secret, struct keyring **ret);
int __real_pem_decode(const char *label, const char *label2, struct view text, struct buf *ret);
int __wrap_pem_decode(const char *label, const char *label2, struct view text, struct buf *ret);
int __real_base64_decode(struct view text, struct buf *ret);
int __wrap_base64_decode(struct view text, struct buf *ret);

static const struct view none = { (const uint8_t *)"", 0 };

int __wrap_config_read(struct config *c, const char *path)
{
	char text[16384];
	FILE *f = fopen(path, "rb");
	size_t len = f ? fread(text, 1, sizeof text, f) : 0;
	if (f)
		fclose(f);
	if (len > 0)
		capture("common_config", none, view_of(text, len));
	return __real_config_read(c, path);
}

int __wrap_json_lift(struct view json, const char *const names[], struct buf *ret_plain, struct buf *ret_secrets)
{
	capture("front_json_lift", none, json);
	return __real_json_lift(json, names, ret_plain, ret_secrets);
}

int __wrap_keyring_parse(struct view text_secret, struct keyring **ret)
{
	capture("keeper_keyring", none, text_secret);
	return __real_keyring_parse(text_secret, ret);
}

int __wrap_pem_decode(const char *label, const char *label2, struct view text, struct buf *ret)
{
	capture("common_text", none, text);
	return __real_pem_decode(label, label2, text, ret);
}

int __wrap_base64_decode(struct view text, struct buf *ret)
{
	capture("common_text", none, text);
	return __real_base64_decode(text, ret);
}
