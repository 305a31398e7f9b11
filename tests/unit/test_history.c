/* The order of a history, which identity is current for what, and which of those that only sign is delivered. */
#include "keeper_fixture.h"

#include "../../daemon/keeper/history.h"

enum { NOW = 1000000, ENC = USAGE_ENCRYPTION, SIGN = USAGE_SIGNING, BOTH = USAGE_ALL };

/* An identity as a test writes it: a letter that stands for it and is its thumbprint, and what decides its place. */
struct wanted {
	const char *letter;
	int64_t not_before, not_after;
	int usages;
	int64_t imported_at;
};

enum { LIST_MAX = 8 };

struct arranged {
	struct identity at[LIST_MAX];
	struct history h;
	char order[LIST_MAX + 1], encrypts[LIST_MAX + 1], signs[LIST_MAX + 1], delivered[LIST_MAX + 1];
};

static void arrange(struct arranged *a, const struct wanted *list, size_t count, bool deliver_signing)
{
	memset(a, 0, sizeof *a);
	for (size_t i = 0; i < count; i++)
		a->at[i].row = (struct row_identity){ .sha1 = view_text(list[i].letter),
						      .not_before = list[i].not_before,
						      .not_after = list[i].not_after,
						      .usages = list[i].usages,
						      .imported_at = list[i].imported_at };
	a->h = (struct history){ a->at, count };
	history_arrange(&a->h, NOW, deliver_signing);
	for (size_t i = 0; i < count; i++) {
		const char *letter = (const char *)a->at[i].row.sha1.p;
		strcat(a->order, letter);
		if (a->at[i].current_for & ENC)
			strcat(a->encrypts, letter);
		if (a->at[i].current_for & SIGN)
			strcat(a->signs, letter);
		if (a->at[i].delivered)
			strcat(a->delivered, letter);
	}
}

#define ARRANGE(a, ...) \
	struct arranged a; \
	do { \
		const struct wanted list[] = { __VA_ARGS__ }; \
		arrange(&a, list, COUNT_OF(list), true); \
	} while (0)

TEST(the_newest_begin_comes_first)
{
	ARRANGE(a, { "b", 200, 300, ENC, 1 }, { "c", 100, 900, ENC, 3 }, { "a", 300, 301, ENC, 2 });
	assert_string_equal(a.order, "abc");
}

TEST(of_one_begin_the_later_end_comes_first)
{
	ARRANGE(a, { "b", 100, 200, ENC, 9 }, { "a", 100, 300, ENC, 1 });
	assert_string_equal(a.order, "ab");
}

TEST(of_one_begin_and_end_the_later_import_comes_first)
{
	ARRANGE(a, { "b", 100, 200, ENC, 1 }, { "a", 100, 200, ENC, 2 });
	assert_string_equal(a.order, "ab");
}

TEST(where_all_else_is_the_same_the_thumbprint_decides)
{
	ARRANGE(a, { "c", 100, 200, ENC, 1 }, { "a", 100, 200, ENC, 1 }, { "b", 100, 200, ENC, 1 });
	assert_string_equal(a.order, "abc");
}

TEST(times_at_the_ends_of_what_a_number_holds_are_in_order)
{
	ARRANGE(a, { "c", INT64_MIN, 0, ENC, 1 }, { "a", INT64_MAX, 0, ENC, 1 }, { "b", 0, INT64_MAX, ENC, 1 });
	assert_string_equal(a.order, "abc");
}

TEST(an_expired_certificate_is_still_delivered)
{
	ARRANGE(a, { "a", 500, NOW + 9, ENC, 1 }, { "b", 100, 200, ENC, 1 }, { "c", 1, 2, BOTH, 1 });
	assert_string_equal(a.delivered, "abc");
}

TEST(one_that_has_not_begun_is_delivered_too)
{
	ARRANGE(a, { "a", NOW + 5, NOW + 9, ENC, 1 }, { "b", 100, 200, ENC, 1 });
	assert_string_equal(a.delivered, "ab");
}

TEST(current_is_the_newest_that_is_valid_now)
{
	ARRANGE(a, { "a", NOW + 1, NOW + 9, ENC, 1 }, { "b", 500, NOW + 9, ENC, 1 }, { "c", 400, NOW + 90, ENC, 1 },
		{ "d", 300, 400, ENC, 1 });
	assert_string_equal(a.encrypts, "b");
}

TEST(one_that_ended_is_passed_over_for_an_older_one_that_is_valid)
{
	ARRANGE(a, { "a", 500, 600, ENC, 1 }, { "b", 400, NOW + 9, ENC, 1 });
	assert_string_equal(a.encrypts, "b");
}

TEST(where_none_is_valid_current_is_the_newest_that_has_begun)
{
	ARRANGE(a, { "a", NOW + 1, NOW + 9, ENC, 1 }, { "b", 500, 600, ENC, 1 }, { "c", 400, 900, ENC, 1 });
	assert_string_equal(a.encrypts, "b");
}

TEST(where_none_has_begun_current_is_the_newest)
{
	ARRANGE(a, { "b", NOW + 1, NOW + 9, ENC, 1 }, { "a", NOW + 2, NOW + 3, ENC, 1 });
	assert_string_equal(a.encrypts, "a");
}

TEST(the_first_and_the_last_second_of_validity_count)
{
	ARRANGE(begins, { "a", NOW, NOW + 9, ENC, 1 }, { "b", 1, NOW + 9, ENC, 1 });
	assert_string_equal(begins.encrypts, "a");
	ARRANGE(ends, { "a", 500, NOW, ENC, 1 }, { "b", 1, NOW + 9, ENC, 1 });
	assert_string_equal(ends.encrypts, "a");
	ARRANGE(ended, { "a", 500, NOW - 1, ENC, 1 }, { "b", 1, NOW + 9, ENC, 1 });
	assert_string_equal(ended.encrypts, "b");
	ARRANGE(not_yet, { "a", NOW + 1, NOW + 9, ENC, 1 }, { "b", 1, NOW + 9, ENC, 1 });
	assert_string_equal(not_yet.encrypts, "b");
}

TEST(each_usage_has_a_current_one_of_its_own)
{
	ARRANGE(a, { "a", 500, NOW + 9, SIGN, 1 }, { "b", 400, NOW + 9, ENC, 1 }, { "c", 300, NOW + 9, BOTH, 1 });
	assert_string_equal(a.signs, "a");
	assert_string_equal(a.encrypts, "b");
}

TEST(one_that_does_both_can_be_current_for_both)
{
	ARRANGE(a, { "a", 500, NOW + 9, BOTH, 1 }, { "b", 400, NOW + 9, ENC, 1 });
	assert_string_equal(a.signs, "a");
	assert_string_equal(a.encrypts, "a");
}

TEST(a_usage_that_nothing_has_has_nothing_current)
{
	ARRANGE(a, { "a", 500, NOW + 9, ENC, 1 });
	assert_string_equal(a.signs, "");
}

TEST(of_those_that_only_sign_the_newest_alone_is_delivered)
{
	ARRANGE(a, { "a", 600, 700, BOTH, 1 }, { "b", 500, 600, SIGN, 1 }, { "c", 400, NOW + 9, SIGN, 1 },
		{ "d", 300, 400, ENC, 1 }, { "e", 200, 300, BOTH, 1 }, { "f", 100, 200, SIGN, 1 });
	assert_string_equal(a.delivered, "abde");
}

TEST(none_that_only_signs_is_delivered_where_that_is_configured)
{
	const struct wanted list[] = { { "a", 500, NOW + 9, SIGN, 1 }, { "b", 400, NOW + 9, BOTH, 1 },
				       { "c", 300, NOW + 9, ENC, 1 }, { "d", 200, NOW + 9, SIGN, 1 } };
	struct arranged a;
	arrange(&a, list, COUNT_OF(list), false);
	assert_string_equal(a.delivered, "bc");
}

TEST(an_empty_history_is_arranged_too)
{
	struct history h = { .count = 0 };
	history_arrange(&h, NOW, true);
	assert_int_equal(h.count, 0);
}

/* ---- from the database ---- */

struct insertion {
	struct keeper *k;
	struct row_identity row;
};

static int insert_identity(struct connection *c, void *arg)
{
	const struct insertion *in = arg;
	STATEMENT s = NULL;
	uint8_t mac[32];
	assert_done(statement_get(c, SQL_identity_insert, &s));
	assert_done(bind_identity(in->k->keyring, s, &in->row, mac));
	bind_text(s, columns_identity + 2, VIEW("key"));
	for (int n = columns_identity + 3; n <= columns_identity + 6; n++)
		bind_blob(s, n, VIEW("sealed"));
	return statement_run(s);
}

/* Identity number n of user ID_A, which began at n. */
static struct row_identity some_identity(unsigned n, const char *id, const uint8_t *digest, const char *imported_by)
{
	return (struct row_identity){
		.id = view_text(id),
		.user_id = VIEW(ID_A),
		.sha1 = view_of(digest, 20),
		.sha256 = view_of(digest, 32),
		.subject = VIEW("CN=Ann"),
		.issuer = VIEW("CN=CA"),
		.serial = VIEW("01"),
		.not_before = n,
		.not_after = NOW,
		.usages = ENC,
		.key_algorithm = VIEW("RSA-2048"),
		.emails = VIEW(""),
		.chain = VIEW(""),
		.imported_at = 1,
		.imported_by = view_text(imported_by),
	};
}

static void add_identity(struct fixture *f, unsigned n, const char *imported_by)
{
	char id[UUID_TEXT + 1];
	uint8_t digest[32] = { (uint8_t)n, (uint8_t)(n >> 8) };
	uuid_make(id);
	struct insertion in = { &f->keeper, some_identity(n, id, digest, imported_by) };
	assert_done(db_write(f->keeper.db, insert_identity, &in));
}

TEST(a_history_is_read_newest_first_and_only_the_users_own)
{
	struct fixture *f = *state;
	READER c = NULL;
	HISTORY h = { .count = 0 };
	assert_done(create_user(f, ID_A, "ann@example.org"));
	for (unsigned n = 1; n <= 40; n++)
		add_identity(f, n * 7 % 41, "one");
	assert_done(db_read(f->keeper.db, &c));
	assert_done(history_read(f->keeper.keyring, c, VIEW(ID_A), NOW, true, &h));
	assert_int_equal(h.count, 40);
	for (size_t i = 0; i < h.count; i++)
		assert_int_equal(h.at[i].row.not_before, 40 - i);
	history_done(&h);
	assert_done(history_read(f->keeper.keyring, c, VIEW(ID_B), NOW, true, &h));
	assert_int_equal(h.count, 0);
}

static size_t count_facts(struct view list)
{
	size_t n = 0;
	for (struct msg_identity_facts facts; list.len > 0; n++)
		assert_done(get_identity_facts(&list, &facts));
	return n;
}

struct many {
	struct fixture *f;
	unsigned first, count;
};

static int add_many(struct connection *c, void *arg)
{
	const struct many *m = arg;
	int rc = 0;
	for (unsigned n = m->first; rc == 0 && n < m->first + m->count; n++) {
		char id[UUID_TEXT + 1];
		uint8_t digest[32] = { (uint8_t)n, (uint8_t)(n >> 8) };
		struct insertion in = { .k = &m->f->keeper };
		uuid_make(id);
		in.row = some_identity(n, id, digest, "one");
		rc = insert_identity(c, &in);
	}
	return rc;
}

TEST(the_most_identities_of_a_user_are_read_and_one_more_is_an_error)
{
	struct fixture *f = *state;
	struct many m = { f, 1, IDENTITIES_PER_USER_MAX };
	READER c = NULL;
	HISTORY h = { .count = 0 };
	HISTORY more = { .count = 0 };
	assert_done(create_user(f, ID_A, "ann@example.org"));
	assert_done(db_write(f->keeper.db, add_many, &m));
	assert_done(db_read(f->keeper.db, &c));
	assert_done(history_read(f->keeper.keyring, c, VIEW(ID_A), NOW, true, &h));
	assert_int_equal(h.count, IDENTITIES_PER_USER_MAX);
	db_read_done(c);
	m = (struct many){ f, IDENTITIES_PER_USER_MAX + 1, 1 };
	assert_done(db_write(f->keeper.db, add_many, &m));
	assert_done(db_read(f->keeper.db, &c));
	assert_fault(history_read(f->keeper.keyring, c, VIEW(ID_A), NOW, true, &more), INTERNAL);
}

TEST(an_importer_sees_only_what_it_imported)
{
	struct fixture *f = *state;
	READER c = NULL;
	HISTORY h = { .count = 0 };
	BUF all = buf_of(MIB);
	BUF own = buf_of(MIB);
	assert_done(create_user(f, ID_A, "ann@example.org"));
	add_identity(f, 1, "one");
	add_identity(f, 2, "two");
	add_identity(f, 3, "one");
	assert_done(db_read(f->keeper.db, &c));
	assert_done(history_read(f->keeper.keyring, c, VIEW(ID_A), NOW, true, &h));
	assert_done(history_put_facts(&h, VIEW(""), all));
	assert_done(history_put_facts(&h, VIEW("one"), own));
	assert_int_equal(count_facts(buf_view(all)), 3);
	assert_int_equal(count_facts(buf_view(own)), 2);
}

TEST(a_history_with_one_changed_row_is_not_read)
{
	struct fixture *f = *state;
	READER c = NULL;
	HISTORY h = { .count = 0 };
	assert_done(create_user(f, ID_A, "ann@example.org"));
	add_identity(f, 1, "one");
	add_identity(f, 2, "one");
	attack(f, "UPDATE identities SET not_after = not_after + 1 WHERE not_before = 1");
	assert_done(db_read(f->keeper.db, &c));
	assert_fault(history_read(f->keeper.keyring, c, VIEW(ID_A), NOW, true, &h), TAMPERED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_begin_comes_first),
		cmocka_unit_test(of_one_begin_the_later_end_comes_first),
		cmocka_unit_test(of_one_begin_and_end_the_later_import_comes_first),
		cmocka_unit_test(where_all_else_is_the_same_the_thumbprint_decides),
		cmocka_unit_test(times_at_the_ends_of_what_a_number_holds_are_in_order),
		cmocka_unit_test(an_expired_certificate_is_still_delivered),
		cmocka_unit_test(one_that_has_not_begun_is_delivered_too),
		cmocka_unit_test(current_is_the_newest_that_is_valid_now),
		cmocka_unit_test(one_that_ended_is_passed_over_for_an_older_one_that_is_valid),
		cmocka_unit_test(where_none_is_valid_current_is_the_newest_that_has_begun),
		cmocka_unit_test(where_none_has_begun_current_is_the_newest),
		cmocka_unit_test(the_first_and_the_last_second_of_validity_count),
		cmocka_unit_test(each_usage_has_a_current_one_of_its_own),
		cmocka_unit_test(one_that_does_both_can_be_current_for_both),
		cmocka_unit_test(a_usage_that_nothing_has_has_nothing_current),
		cmocka_unit_test(of_those_that_only_sign_the_newest_alone_is_delivered),
		cmocka_unit_test(none_that_only_signs_is_delivered_where_that_is_configured),
		cmocka_unit_test(an_empty_history_is_arranged_too),
		keeper_test(a_history_is_read_newest_first_and_only_the_users_own),
		keeper_test(the_most_identities_of_a_user_are_read_and_one_more_is_an_error),
		keeper_test(an_importer_sees_only_what_it_imported),
		keeper_test(a_history_with_one_changed_row_is_not_read),
	};
	return RUN(tests);
}
