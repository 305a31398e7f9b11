/* Every message of the protocol at the edges of its fields. The tests are made from the same lists as the messages, so
 * a field that is added is tested. */
#include "unit.h"

#include "protocol.h"

enum { WIRE_MAX_BYTES = 2 * FRAME_MAX_BYTES };

static struct buf *filler, *wire;

static int make_buffers(void **state)
{
	(void)state;
	filler = buf_new(FRAME_MAX_BYTES + 1);
	wire = buf_new(WIRE_MAX_BYTES);
	if (!filler || !wire)
		return -1;
	memset(buf_reserve(filler, FRAME_MAX_BYTES + 1), 'a', FRAME_MAX_BYTES + 1);
	return 0;
}

static int free_buffers(void **state)
{
	(void)state;
	buf_free(filler);
	buf_free(wire);
	return 0;
}

/* ---- of each type: its value at the limit or one over, whether there is one over, and its bytes ---- */

#define LIMITED(type, ctype, most) \
	static bool limit_##type(ctype *v, uint64_t limit, bool over) \
	{ \
		*v = (ctype)(limit + over); \
		return !over || limit < (most); \
	}
LIMITED(u8, uint8_t, UINT8_MAX)
LIMITED(u32, uint32_t, UINT32_MAX)
LIMITED(u64, uint64_t, UINT64_MAX)

static bool limit_time(int64_t *v, uint64_t limit, bool over)
{
	(void)limit;
	*v = INT64_MIN;
	return !over;
}

static bool limit_view(struct view *v, uint64_t limit, bool over)
{
	assert_true(limit + over <= buf_len(filler));
	*v = view_of(buf_data(filler), limit + over);
	return true;
}

#define limit_text limit_view
#define limit_bytes limit_view
#define limit_secret limit_view
#define limit_list limit_view

static void raw_time(struct buf *b, int64_t v) { buf_put_u64(b, (uint64_t)v); }
#define raw_u8 buf_put_u8
#define raw_u32 buf_put_u32
#define raw_u64 buf_put_u64
#define raw_text buf_put_bytes
#define raw_bytes buf_put_bytes
#define raw_secret buf_put_bytes
#define raw_list buf_put_bytes

static bool same_view(struct view a, struct view b) { return view_equal(a, b); }
static bool same_number(uint64_t a, uint64_t b) { return a == b; }
static bool same_time(int64_t a, int64_t b) { return a == b; }
#define same_u8 same_number
#define same_u32 same_number
#define same_u64 same_number
#define same_text same_view
#define same_bytes same_view
#define same_secret same_view
#define same_list same_view

#define RAW_FIELD(type, name, limit) raw_##type(wire, m->name);
#define SET_TO_LIMIT(type, name, limit) limit_##type(&m.name, limit, false);
#define COMPARE_FIELD(type, name, limit) assert_true(same_##type(m.name, back.name));

/* With everything else at its least, the field one over: refused by writer and reader, and named by both. */
#define CHECK_OVER(type, name, limit) \
	m = none; \
	if (limit_##type(&m.name, limit, true)) { \
		buf_reset(wire); \
		assert_fault(put(wire, &m), MALFORMED_REQUEST); \
		assert_told(#name); \
		buf_reset(wire); \
		raw(&m); \
		assert_fault(read(buf_view(wire), &back), BAD_FRAME); \
		assert_told(#name); \
	}

/* For each message: raw_message_NAME() writes it without any check, and two tests. */
#define M(name) \
	static void raw_message_##name(const struct msg_##name *m) \
	{ \
		(void)m; \
		FIELDS_##name(RAW_FIELD) \
	} \
	TEST(name##_survives_at_every_limit_and_is_refused_past_each) \
	{ \
		int (*put)(struct buf *, const struct msg_##name *) = put_##name; \
		int (*read)(struct view, struct msg_##name *) = read_##name; \
		void (*raw)(const struct msg_##name *) = raw_message_##name; \
		const struct msg_##name none = { }; \
		struct msg_##name m = none, back = none; \
		FIELDS_##name(SET_TO_LIMIT) \
		buf_reset(wire); \
		assert_done(put(wire, &m)); \
		assert_done(read(buf_view(wire), &back)); \
		FIELDS_##name(COMPARE_FIELD) \
		FIELDS_##name(CHECK_OVER) \
		(void)raw; \
	} \
	TEST(name##_that_is_cut_or_too_long_breaks_the_frame) \
	{ \
		const struct msg_##name none = { }; \
		struct msg_##name back; \
		buf_reset(wire); \
		raw_message_##name(&none); \
		struct view whole = buf_view(wire); \
		assert_done(read_##name(whole, &back)); \
		for (size_t len = 0; len < whole.len; len++) \
			assert_fault(read_##name(view_of(whole.p, len), &back), BAD_FRAME); \
		buf_put_u8(wire, 0); \
		assert_fault(read_##name(buf_view(wire), &back), BAD_FRAME); \
	}
MESSAGES(M)
#undef M

TEST(text_that_is_not_clean_is_refused_by_writer_and_reader)
{
	const struct view dirty[] = { VIEW("a\nb"), VIEW("a\0b"), VIEW("\xff"), VIEW("\xc2\x85") };
	for (size_t i = 0; i < COUNT_OF(dirty); i++) {
		const struct msg_string m = { dirty[i] };
		struct msg_string back;
		buf_reset(wire);
		assert_fault(put_string(wire, &m), MALFORMED_REQUEST);
		buf_reset(wire);
		buf_put_bytes(wire, dirty[i]);
		assert_fault(read_string(buf_view(wire), &back), BAD_FRAME);
	}
}

TEST(bytes_and_secrets_may_hold_anything)
{
	const struct msg_import m = { .upn = VIEW("ann@example.org"), .pfx_secret = VIEW("\0\xff\n"),
				      .password_secret = VIEW("\xff\0") };
	struct msg_import back;
	buf_reset(wire);
	assert_done(put_import(wire, &m));
	assert_done(read_import(buf_view(wire), &back));
	assert_true(view_equal(back.pfx_secret, m.pfx_secret));
	assert_true(view_equal(back.password_secret, m.password_secret));
}

TEST(records_of_a_list_are_read_one_after_the_other)
{
	const struct msg_string one = { VIEW("one") }, two = { VIEW("") };
	struct msg_string back;
	buf_reset(wire);
	assert_done(put_string(wire, &one));
	assert_done(put_string(wire, &two));
	struct view rest = buf_view(wire);
	assert_done(get_string(&rest, &back));
	assert_text(back.value, "one");
	assert_done(get_string(&rest, &back));
	assert_text(back.value, "");
	assert_int_equal(rest.len, 0);
	assert_fault(get_string(&rest, &back), BAD_FRAME);
}

TEST(a_message_that_does_not_fit_its_buffer_is_our_own_error)
{
	const struct msg_string m = { VIEW("12345") };
	BUF small = buf_of(8);
	assert_fault(put_string(small, &m), INTERNAL);
}

TEST(an_administrators_verb_is_not_for_the_devices_socket)
{
	for (unsigned verb = 0; verb <= 255; verb++)
		if (verb_sockets((uint8_t)verb) & SOCKET_DEVICE)
			assert_true(verb == VERB_HEALTH || verb <= VERB_RENEW);
	assert_int_equal(verb_sockets(VERB_IMPORT), SOCKET_ADMIN);
	assert_int_equal(verb_sockets(VERB_BUNDLE), SOCKET_DEVICE);
}

TEST(what_root_may_ask_comes_on_no_other_socket)
{
	assert_int_equal(verb_sockets(VERB_VERIFY), SOCKET_LOCAL);
	assert_int_equal(verb_sockets(VERB_INSPECT), SOCKET_LOCAL);
	assert_int_equal(verb_sockets(VERB_RESTORE), SOCKET_LOCAL);
	for (unsigned verb = 0; verb <= 255; verb++)
		if (verb_sockets((uint8_t)verb) & SOCKET_LOCAL && verb != VERB_HEALTH)
			assert_int_equal(verb_sockets((uint8_t)verb), SOCKET_LOCAL);
}

TEST(the_two_kinds_of_opener_share_nothing_but_the_ping)
{
	assert_int_equal(verb_sockets(VERB_OPEN_PFX), SOCKET_PFX_OPENER);
	assert_int_equal(verb_sockets(VERB_OPEN_CSR), SOCKET_CSR_OPENER);
	assert_int_equal(verb_sockets(VERB_PING), SOCKET_PFX_OPENER | SOCKET_CSR_OPENER | SOCKET_SELF);
}

TEST(a_verb_that_nobody_knows_and_an_answers_verb_come_on_no_socket)
{
	assert_int_equal(verb_sockets(0), 0);
	assert_int_equal(verb_sockets(200), 0);
	assert_int_equal(verb_sockets(VERB_ERROR), 0);
	assert_int_equal(verb_sockets(VERB_STARTED), 0);
	assert_string_equal(verb_name(200), "?");
	assert_string_equal(verb_name(VERB_IMPORT), "IMPORT");
	assert_string_equal(verb_name(VERB_ERROR), "ERROR");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define M(name) \
		cmocka_unit_test(name##_survives_at_every_limit_and_is_refused_past_each), \
		cmocka_unit_test(name##_that_is_cut_or_too_long_breaks_the_frame),
		MESSAGES(M)
#undef M
		cmocka_unit_test(text_that_is_not_clean_is_refused_by_writer_and_reader),
		cmocka_unit_test(bytes_and_secrets_may_hold_anything),
		cmocka_unit_test(records_of_a_list_are_read_one_after_the_other),
		cmocka_unit_test(a_message_that_does_not_fit_its_buffer_is_our_own_error),
		cmocka_unit_test(an_administrators_verb_is_not_for_the_devices_socket),
		cmocka_unit_test(what_root_may_ask_comes_on_no_other_socket),
		cmocka_unit_test(the_two_kinds_of_opener_share_nothing_but_the_ping),
		cmocka_unit_test(a_verb_that_nobody_knows_and_an_answers_verb_come_on_no_socket),
	};
	return cmocka_run_group_tests(tests, make_buffers, free_buffers);
}
