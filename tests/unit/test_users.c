/* Users and their names: one case, aliases, conflicts, and the end of a user. */
#include "keeper_fixture.h"

static int find(struct fixture *f, struct view upn, char ret_id[static UUID_TEXT + 1])
{
	READER c = NULL;
	ROW(user, user);
	assert_done(db_read(f->keeper.db, &c));
	int rc = users_find(f->keeper.keyring, c, upn, &user);
	if (rc == 0)
		assert_true(text_copy(user.id, ret_id, UUID_TEXT + 1));
	return rc;
}

static void assert_is(struct fixture *f, const char *upn, const char *wanted)
{
	char id[UUID_TEXT + 1];
	assert_done(find(f, view_text(upn), id));
	assert_string_equal(id, wanted);
}

static void assert_nobody(struct fixture *f, const char *upn)
{
	char id[UUID_TEXT + 1];
	assert_fault(find(f, view_text(upn), id), NOT_FOUND);
}

struct naming {
	struct fixture *f;
	const char *upn, *new_upn;
};

static int rename_job(struct connection *c, void *arg)
{
	const struct naming *n = arg;
	return users_rename(&n->f->keeper, c, &the_actor, view_text(n->upn), view_text(n->new_upn));
}

static int rename_user(struct fixture *f, const char *upn, const char *new_upn)
{
	struct naming n = { f, upn, new_upn };
	return db_write(f->keeper.db, rename_job, &n);
}

static int retire_job(struct connection *c, void *arg)
{
	const struct naming *n = arg;
	ROW(user, user);
	int rc = users_find(n->f->keeper.keyring, c, view_text(n->upn), &user);
	return rc < 0 ? rc : users_retire(&n->f->keeper, c, &the_actor, &user);
}

static int retire_user(struct fixture *f, const char *upn)
{
	struct naming n = { f, upn, NULL };
	return db_write(f->keeper.db, retire_job, &n);
}

/* What an administrator sees of a user: the UPN, then the aliases, with a space before each. */
static const char *shown(struct fixture *f, const char *upn)
{
	static char text[1024];
	READER c = NULL;
	ROW(user, user);
	BUF facts = buf_of(MIB);
	struct msg_user_facts m;
	struct msg_string alias;
	assert_done(db_read(f->keeper.db, &c));
	assert_done(users_find(f->keeper.keyring, c, view_text(upn), &user));
	assert_done(users_put_facts(f->keeper.keyring, c, &user, facts));
	assert_done(read_user_facts(buf_view(facts), &m));
	assert_int_equal(m.identities, 0);
	assert_int_equal(m.devices, 0);
	int len = snprintf(text, sizeof text, "%.*s", (int)m.upn.len, (const char *)m.upn.p);
	while (m.aliases.len > 0) {
		assert_done(get_string(&m.aliases, &alias));
		len += snprintf(text + len, sizeof text - (size_t)len, " %.*s", (int)alias.value.len,
				(const char *)alias.value.p);
	}
	return text;
}

/* ---- names ---- */

TEST(a_user_is_found_whatever_the_case)
{
	struct fixture *f = *state;
	assert_done(create_user(f, ID_A, "Ann@Example.ORG"));
	assert_is(f, "ann@example.org", ID_A);
	assert_is(f, "ANN@EXAMPLE.ORG", ID_A);
	assert_string_equal(shown(f, "aNN@eXAMPLE.org"), "Ann@Example.ORG");
}

TEST(case_does_not_count_outside_ascii_either)
{
	static const char *const pairs[][2] = {
		{ "J\xc3\x96RG@example.org", "j\xc3\xb6rg@example.org" },				    /* Latin */
		{ "\xce\xa3\xce\x9f\xce\xa6\xce\x99\xce\x91", "\xcf\x83\xce\xbf\xcf\x86\xce\xb9\xce\xb1" }, /* Greek */
		{ "\xd0\x98\xd0\x92\xd0\x90\xd0\x9d", "\xd0\xb8\xd0\xb2\xd0\xb0\xd0\xbd" }, /* Cyrillic */
		{ "\xf0\x90\x90\x80", "\xf0\x90\x90\xa8" },				    /* Deseret, four bytes */
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < COUNT_OF(pairs); i++) {
		char id[UUID_TEXT + 1];
		uuid_make(id);
		assert_done(create_user(f, id, pairs[i][0]));
		assert_is(f, pairs[i][1], id);
		assert_fault(create_user(f, ID_B, pairs[i][1]), AGAIN);
	}
}

TEST(letters_that_only_look_alike_are_two_users)
{
	struct fixture *f = *state;
	assert_done(create_user(f, ID_A, "ann@example.org"));
	assert_done(create_user(f, ID_B, "\xd0\xb0nn@example.org")); /* Cyrillic a */
	assert_is(f, "ann@example.org", ID_A);
	assert_is(f, "\xd0\xb0nn@example.org", ID_B);
}

TEST(plus_slash_quote_and_space_are_letters_as_any_other)
{
	struct fixture *f = *state;
	assert_done(create_user(f, ID_A, "ann+mail/o'neill x@example.org"));
	assert_is(f, "ann+mail/o'neill x@example.org", ID_A);
	assert_nobody(f, "ann mail/o'neill x@example.org");
}

TEST(a_name_of_the_most_bytes_is_taken_and_a_longer_one_refused)
{
	struct fixture *f = *state;
	char name[UPN_MAX_BYTES + 2], id[UUID_TEXT + 1];
	memset(name, 'x', sizeof name);
	name[UPN_MAX_BYTES] = '\0';
	assert_done(create_user(f, ID_A, name));
	assert_is(f, name, ID_A);
	name[UPN_MAX_BYTES] = 'x';
	name[UPN_MAX_BYTES + 1] = '\0';
	assert_fault(create_user(f, ID_B, name), MALFORMED_REQUEST);
	assert_fault(find(f, view_text(name), id), MALFORMED_REQUEST);
}

/* U+023A and U+023E take two bytes, in lower case three: the longest that folding makes of a name. */
TEST(a_name_that_grows_when_it_is_folded_is_taken_at_its_most)
{
	struct fixture *f = *state;
	char name[UPN_MAX_BYTES + 1];
	for (int i = 0; i < UPN_MAX_BYTES; i += 2)
		memcpy(name + i, "\xc8\xba", 2);
	name[UPN_MAX_BYTES] = '\0';
	assert_done(create_user(f, ID_A, name));
	assert_is(f, name, ID_A);
}

TEST(a_name_that_is_empty_or_no_clean_text_is_refused)
{
	struct fixture *f = *state;
	static const struct {
		const char *p;
		size_t len;
	} wrong[] = { { "", 0 }, { "a\nb", 3 }, { "a\0b", 3 }, { "\xff", 1 }, { "a\x7f", 2 }, { "\xc2\x85", 2 } };
	char id[UUID_TEXT + 1];
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_fault(find(f, view_of(wrong[i].p, wrong[i].len), id), MALFORMED_REQUEST);
	assert_fault(create_user(f, ID_A, ""), MALFORMED_REQUEST);
	assert_int_equal(look_up(f, "SELECT count(*) FROM users"), 0);
}

TEST(a_name_that_is_there_is_not_made_twice)
{
	struct fixture *f = *state;
	assert_done(create_user(f, ID_A, "ann@example.org"));
	assert_fault(create_user(f, ID_B, "ANN@example.org"), AGAIN);
	assert_int_equal(look_up(f, "SELECT count(*) FROM users"), 1);
	assert_int_equal(look_up(f, "SELECT count(*) FROM audit"), 1);
}

TEST(nobody_is_not_found_by_a_name_that_is_told)
{
	struct fixture *f = *state;
	assert_nobody(f, "ann@example.org");
	assert_told("ann@example.org");
}

/* ---- renaming ---- */

TEST(an_earlier_name_stays_as_an_alias)
{
	struct fixture *f = *state;
	assert_done(create_user(f, ID_A, "ann@example.org"));
	assert_done(rename_user(f, "ann@example.org", "Anna@example.org"));
	assert_is(f, "ann@example.org", ID_A);
	assert_is(f, "anna@example.org", ID_A);
	assert_string_equal(shown(f, "ann@example.org"), "Anna@example.org ann@example.org");
}

TEST(a_user_is_renamed_by_an_alias_too_and_gets_an_earlier_name_back)
{
	struct fixture *f = *state;
	assert_done(create_user(f, ID_A, "ann@example.org"));
	assert_done(rename_user(f, "ann@example.org", "anna@example.org"));
	assert_done(rename_user(f, "ANN@example.org", "anne@example.org"));
	assert_done(rename_user(f, "anna@example.org", "ann@example.org"));
	assert_string_equal(shown(f, "anne@example.org"), "ann@example.org anna@example.org anne@example.org");
}

TEST(a_name_can_change_its_case_alone)
{
	struct fixture *f = *state;
	assert_done(create_user(f, ID_A, "ann@example.org"));
	assert_done(rename_user(f, "ann@example.org", "Ann@Example.org"));
	assert_string_equal(shown(f, "ann@example.org"), "Ann@Example.org");
}

TEST(another_users_name_is_a_conflict_and_changes_nothing)
{
	struct fixture *f = *state;
	assert_done(create_user(f, ID_A, "ann@example.org"));
	assert_done(create_user(f, ID_B, "bob@example.org"));
	assert_fault(rename_user(f, "ann@example.org", "BOB@example.org"), CONFLICT);
	assert_string_equal(shown(f, "ann@example.org"), "ann@example.org");
	assert_is(f, "bob@example.org", ID_B);
}

TEST(another_users_earlier_name_is_a_conflict_as_well)
{
	struct fixture *f = *state;
	assert_done(create_user(f, ID_A, "ann@example.org"));
	assert_done(create_user(f, ID_B, "bob@example.org"));
	assert_done(rename_user(f, "bob@example.org", "robert@example.org"));
	assert_fault(rename_user(f, "ann@example.org", "bob@example.org"), CONFLICT);
	assert_fault(create_user(f, "cccccccc-cccc-4ccc-8ccc-cccccccccccc", "bob@example.org"), AGAIN);
}

TEST(renaming_nobody_or_to_no_name_is_refused)
{
	struct fixture *f = *state;
	assert_fault(rename_user(f, "ann@example.org", "bob@example.org"), NOT_FOUND);
	assert_done(create_user(f, ID_A, "ann@example.org"));
	assert_fault(rename_user(f, "ann@example.org", ""), MALFORMED_REQUEST);
}

/* ---- the end ---- */

TEST(a_retired_user_is_not_found_under_any_name_and_the_row_stays)
{
	struct fixture *f = *state;
	READER c = NULL;
	ROW(user, user);
	assert_done(create_user(f, ID_A, "ann@example.org"));
	assert_done(rename_user(f, "ann@example.org", "anna@example.org"));
	assert_done(retire_user(f, "ann@example.org"));
	assert_nobody(f, "ann@example.org");
	assert_nobody(f, "anna@example.org");
	assert_done(db_read(f->keeper.db, &c));
	assert_done(users_get(f->keeper.keyring, c, VIEW(ID_A), &user));
	assert_int_equal(user.state, STATE_REVOKED);
	assert_text(user.upn, "anna@example.org");
}

TEST(the_names_of_a_retired_user_are_free_for_another)
{
	struct fixture *f = *state;
	assert_done(create_user(f, ID_A, "ann@example.org"));
	assert_done(retire_user(f, "ann@example.org"));
	assert_done(create_user(f, ID_B, "ann@example.org"));
	assert_is(f, "ann@example.org", ID_B);
}

TEST(a_name_put_back_for_a_retired_user_is_refused)
{
	struct fixture *f = *state;
	char id[UUID_TEXT + 1];
	assert_done(create_user(f, ID_A, "ann@example.org"));
	attack(f, "CREATE TABLE copy AS SELECT * FROM names");
	assert_done(retire_user(f, "ann@example.org"));
	attack(f, "INSERT INTO names SELECT * FROM copy");
	assert_fault(find(f, VIEW("ann@example.org"), id), TAMPERED);
}

TEST(a_name_that_was_moved_to_another_user_is_refused)
{
	struct fixture *f = *state;
	char id[UUID_TEXT + 1];
	assert_done(create_user(f, ID_A, "ann@example.org"));
	assert_done(create_user(f, ID_B, "bob@example.org"));
	attack(f, "UPDATE names SET user_id = '" ID_B "' WHERE name = 'ann@example.org'");
	assert_fault(find(f, VIEW("ann@example.org"), id), TAMPERED);
}

TEST(a_user_whose_row_is_gone_is_told_by_id)
{
	struct fixture *f = *state;
	READER c = NULL;
	ROW(user, user);
	assert_done(db_read(f->keeper.db, &c));
	assert_fault(users_get(f->keeper.keyring, c, VIEW(ID_A), &user), TAMPERED);
	assert_told(ID_A);
}

TEST(each_change_of_a_user_is_recorded)
{
	struct fixture *f = *state;
	assert_done(create_user(f, ID_A, "ann@example.org"));
	assert_done(rename_user(f, "ann@example.org", "anna@example.org"));
	assert_done(retire_user(f, "anna@example.org"));
	assert_int_equal(look_up(f,
				 "SELECT count(*) FROM audit WHERE user_id = '" ID_A "' AND actor = 'service' AND "
				 "request_id = 'request' AND event IN ('user.create', 'user.rename', 'user.retire')"),
			 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		keeper_test(a_user_is_found_whatever_the_case),
		keeper_test(case_does_not_count_outside_ascii_either),
		keeper_test(letters_that_only_look_alike_are_two_users),
		keeper_test(plus_slash_quote_and_space_are_letters_as_any_other),
		keeper_test(a_name_of_the_most_bytes_is_taken_and_a_longer_one_refused),
		keeper_test(a_name_that_grows_when_it_is_folded_is_taken_at_its_most),
		keeper_test(a_name_that_is_empty_or_no_clean_text_is_refused),
		keeper_test(a_name_that_is_there_is_not_made_twice),
		keeper_test(nobody_is_not_found_by_a_name_that_is_told),
		keeper_test(an_earlier_name_stays_as_an_alias),
		keeper_test(a_user_is_renamed_by_an_alias_too_and_gets_an_earlier_name_back),
		keeper_test(a_name_can_change_its_case_alone),
		keeper_test(another_users_name_is_a_conflict_and_changes_nothing),
		keeper_test(another_users_earlier_name_is_a_conflict_as_well),
		keeper_test(renaming_nobody_or_to_no_name_is_refused),
		keeper_test(a_retired_user_is_not_found_under_any_name_and_the_row_stays),
		keeper_test(the_names_of_a_retired_user_are_free_for_another),
		keeper_test(a_name_put_back_for_a_retired_user_is_refused),
		keeper_test(a_name_that_was_moved_to_another_user_is_refused),
		keeper_test(a_user_whose_row_is_gone_is_told_by_id),
		keeper_test(each_change_of_a_user_is_recorded),
	};
	return RUN(tests);
}
