/* The configuration file. What is taken is within its bounds, and means the same when it is written down again. */
#include "fuzz.h"

#include "config.h"
#include "text.h"

static void check_text(const char *value)
{
	MUST(strnlen(value, CONFIG_TEXT_MAX) < CONFIG_TEXT_MAX && text_is_clean(view_text(value)));
}

static void check(const struct config *c)
{
#define TEXT(section, when, name, value, help) check_text(c->name);
#define NUMBER(section, when, name, value, least, most, help) MUST(c->name <= (most) && c->name + 1ull > (least));
#define CHOICE(section, when, name, value, values, help) MUST(c->name <= DELIVER_NONE);
	CONFIG_KEYS(TEXT, NUMBER, CHOICE)
#undef TEXT
#undef NUMBER
#undef CHOICE
}

/* Writes every key as a line of its own. */
static void put(const struct config *c, struct buf *ret)
{
	static const char *const choices[] = { "newest", "none" };
#define TEXT(section, when, name, value, help) buf_printf(ret, "[" #section "]\n" #name " = %s\n", c->name);
#define NUMBER(section, when, name, value, least, most, help) \
	buf_printf(ret, "[" #section "]\n" #name " = %u\n", c->name);
#define CHOICE(section, when, name, value, values, help) \
	buf_printf(ret, "[" #section "]\n" #name " = %s\n", choices[c->name]);
	CONFIG_KEYS(TEXT, NUMBER, CHOICE)
#undef TEXT
#undef NUMBER
#undef CHOICE
	MUST(buf_ok(ret));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config config, again;
	BUF text = fuzz_buf(65536);
	config_init(&config);
	config_init(&again);
	int rc = config_read(&config, fuzz_file(view_of(data, size)));
	MUST(rc == 0 || rc == -FAULT_MALFORMED_REQUEST);
	if (rc < 0) {
		MUST(strstr(fault_detail(), " line "));
		return 0;
	}
	check(&config);
	put(&config, text);
	rc = config_read(&again, fuzz_file(buf_view(text)));
	if (rc < 0)
		fprintf(stderr, "%s\n%s", fault_detail(), buf_text(text));
	MUST(rc == 0);
	MUST(memcmp(&config, &again, sizeof config) == 0);
	return 0;
}
