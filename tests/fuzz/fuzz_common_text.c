/* base64, hex, PEM, UTF-8, numbers, UUIDs: the forms in which bytes come as text. What is taken is what an encoder
 * would have written. */
#include "fuzz.h"

#include "encode.h"
#include "text.h"

#include <strings.h>

static void try_base64(struct view text)
{
	BUF bytes = fuzz_buf(text.len);
	BUF again = fuzz_buf(2 * text.len + 8);
	BUF bare = fuzz_buf(text.len);
	int rc = base64_decode(text, bytes);
	MUST(rc == 0 || rc == -FAULT_MALFORMED_REQUEST);
	if (rc < 0)
		return;
	for (size_t i = 0; i < text.len; i++)
		if (text.p[i] != '\r' && text.p[i] != '\n')
			buf_put_u8(bare, text.p[i]);
	base64_encode(buf_view(bytes), again);
	MUST(view_equal(buf_view(again), buf_view(bare)));
}

static void try_pem(struct view text)
{
	BUF bytes = fuzz_buf(text.len);
	BUF armour = fuzz_buf(2 * text.len + 256);
	BUF again = fuzz_buf(text.len);
	int rc = pem_decode("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST", text, bytes);
	MUST(rc == 0 || rc == -FAULT_MALFORMED_REQUEST);
	if (rc < 0)
		return;
	pem_encode("CERTIFICATE REQUEST", buf_view(bytes), armour);
	MUST(pem_decode("CERTIFICATE REQUEST", NULL, buf_view(armour), again) == 0);
	MUST(view_equal(buf_view(again), buf_view(bytes)));
}

static void try_hex(struct view text)
{
	uint8_t bytes[32];
	char again[65];
	static const size_t sizes[] = { 1, 2, 4, 20, 32 };
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		if (!hex_decode(text, bytes, sizes[i]))
			continue;
		hex_encode(view_of(bytes, sizes[i]), again);
		MUST(strlen(again) == text.len && strncasecmp(again, (const char *)text.p, text.len) == 0);
	}
}

static void try_number(struct view text)
{
	uint64_t number = 7;
	char again[24];
	if (!number_parse(text, UINT64_MAX, &number)) {
		MUST(number == 7);
		return;
	}
	size_t zeros = 0;
	while (zeros + 1 < text.len && text.p[zeros] == '0')
		zeros++;
	snprintf(again, sizeof again, "%llu", (unsigned long long)number);
	MUST(view_is(view_of(text.p + zeros, text.len - zeros), again));
	MUST(number_parse(text, number, &number));
	MUST(number == 0 || !number_parse(text, number - 1, &number));
}

static void try_text(struct view text)
{
	char copy[64];
	bool clean = text_is_clean(text);
	MUST(!clean || text_is_utf8(text));
	bool copied = text_copy(text, copy, sizeof copy);
	MUST(copied == (text.len < sizeof copy && !(text.len && memchr(text.p, 0, text.len))));
	MUST(!copied || view_is(text, copy));
	if (uuid_is_valid(text))
		MUST(clean && text.len == UUID_TEXT);
	if (text.len == sizeof(int64_t)) {
		int64_t seconds;
		char time[TIME_TEXT + 1];
		memcpy(&seconds, text.p, sizeof seconds);
		time_format(seconds, time);
		MUST(strlen(time) == TIME_TEXT);
	}
	/* The sentence of an error is clean whatever stands in it, if that is UTF-8. */
	fail(FAULT_INTERNAL, "%.*s", (int)text.len, (const char *)text.p);
	MUST(strlen(fault_detail()) < FAULT_DETAIL_MAX);
	MUST(!text_is_utf8(text) || text_is_utf8(view_text(fault_detail())));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view text = view_of(data, size);
	try_base64(text);
	try_pem(text);
	try_hex(text);
	try_number(text);
	try_text(text);
	return 0;
}
