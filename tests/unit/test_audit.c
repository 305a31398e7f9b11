/* The audit chain: whatever is done to it is found. */
#include "keeper_fixture.h"

#include "protocol.h"

struct appending {
	struct keeper *k;
	int count;
};

static int append_job(struct connection *c, void *arg)
{
	const struct appending *a = arg;
	int rc = 0;
	for (int i = 0; rc == 0 && i < a->count; i++) {
		const struct audit_record r = { .event = "test.event",
						.actor = VIEW("service"),
						.user_id = VIEW("user"),
						.object = VIEW("object"),
						.detail = VIEW("detail"),
						.request_id = VIEW("request") };
		rc = audit_append(a->k, c, &r);
	}
	return rc;
}

static int append(struct fixture *f, int count)
{
	struct appending a = { &f->keeper, count };
	return db_write(f->keeper.db, append_job, &a);
}

/* What the last verification told: how many differences, and the first of them. */
static char first_difference[600];
static uint64_t records;

static int count_differences(struct view list)
{
	int n = 0;
	first_difference[0] = '\0';
	for (struct msg_string difference; list.len > 0; n++) {
		assert_done(get_string(&list, &difference));
		if (n == 0)
			assert_true(text_copy(difference.value, first_difference, sizeof first_difference));
	}
	return n;
}

static int verify_by(struct fixture *f, int (*verify)(struct keeper *, struct connection *, uint64_t *, struct buf *))
{
	READER c = NULL;
	BUF differences = buf_of(LIST_MAX_BYTES);
	assert_done(db_read(f->keeper.db, &c));
	assert_done(verify(&f->keeper, c, &records, differences));
	return count_differences(buf_view(differences));
}

static int verify(struct fixture *f)
{
	return verify_by(f, audit_verify_chain);
}

static void assert_first_difference(const char *part)
{
	if (!strstr(first_difference, part))
		print_error("told: %s\n", first_difference);
	assert_non_null(strstr(first_difference, part));
}

TEST(an_empty_chain_is_whole)
{
	assert_int_equal(verify(*state), 0);
	assert_int_equal(records, 0);
}

TEST(a_chain_that_nobody_touched_is_whole_however_long)
{
	static const int lengths[] = { 1, 998, 1, 1, 1500 }; /* across the pages in which it is read: 999, 1000, 1001 */
	struct fixture *f = *state;
	uint64_t expected = 0;
	for (size_t i = 0; i < COUNT_OF(lengths); i++) {
		assert_done(append(f, lengths[i]));
		expected += (uint64_t)lengths[i];
		assert_int_equal(verify(f), 0);
		assert_int_equal(records, expected);
	}
	assert_false(atomic_load(&f->keeper.audit_broken));
}

TEST(a_record_that_was_changed_in_any_column_is_named)
{
	static const char *const columns[] = { "at = at + 1",
					       "event = 'other'",
					       "actor = ''",
					       "user_id = 'other'",
					       "object = object || 'x'",
					       "detail = 'other'",
					       "request_id = 'other'",
					       "mac = zeroblob(32)",
					       "mac = x''",
					       "actor = 'serviceu', user_id = 'ser'" };
	struct fixture *f = *state;
	char sql[256];
	assert_done(append(f, 5));
	for (size_t i = 0; i < COUNT_OF(columns); i++) {
		snprintf(sql, sizeof sql,
			 "CREATE TABLE copy AS SELECT * FROM audit; UPDATE audit SET %s WHERE sequence = 3",
			 columns[i]);
		attack(f, sql);
		assert_true(verify(f) > 0);
		assert_first_difference("record 3 ");
		attack(f, "DELETE FROM audit; INSERT INTO audit SELECT * FROM copy; DROP TABLE copy");
	}
	assert_int_equal(verify(f), 0);
}

TEST(a_record_that_was_removed_from_the_middle_is_missed)
{
	struct fixture *f = *state;
	assert_done(append(f, 5));
	attack(f, "DELETE FROM audit WHERE sequence = 3");
	assert_true(verify(f) > 0);
	assert_first_difference("records 3 to 3 are gone");
}

TEST(a_gap_that_was_closed_by_renumbering_is_found)
{
	struct fixture *f = *state;
	assert_done(append(f, 5));
	attack(f, "DELETE FROM audit WHERE sequence = 3; UPDATE audit SET sequence = 3 WHERE sequence = 4;"
		  "UPDATE audit SET sequence = 4 WHERE sequence = 5");
	assert_true(verify(f) > 0);
	assert_first_difference("record 3 ");
}

TEST(records_in_another_order_are_found)
{
	struct fixture *f = *state;
	assert_done(append(f, 5));
	attack(f, "UPDATE audit SET sequence = 99 WHERE sequence = 2; UPDATE audit SET sequence = 2 WHERE sequence = 4;"
		  "UPDATE audit SET sequence = 4 WHERE sequence = 99");
	assert_true(verify(f) > 0);
	assert_first_difference("record 2 ");
}

/* Each record is genuine, in its place, and of this keyring: only the one after it tells that it was another once. */
TEST(a_record_of_another_past_in_the_same_place_is_found)
{
	struct fixture *f = *state;
	assert_done(append(f, 3));
	attack(f, "CREATE TABLE records AS SELECT * FROM audit; CREATE TABLE heads AS SELECT * FROM audit_head");
	assert_done(create_user(f, ID_A, "ann@example.org"));
	attack(f, "CREATE TABLE other AS SELECT * FROM audit WHERE sequence = 4; DELETE FROM audit;"
		  "DELETE FROM audit_head;"
		  "INSERT INTO audit SELECT * FROM records; INSERT INTO audit_head SELECT * FROM heads");
	assert_done(append(f, 2));
	assert_int_equal(verify(f), 0);
	attack(f, "DELETE FROM audit WHERE sequence = 4; INSERT INTO audit SELECT * FROM other");
	assert_true(verify(f) > 0);
	assert_first_difference("record 5 ");
}

TEST(records_that_were_cut_off_the_end_are_missed)
{
	struct fixture *f = *state;
	assert_done(append(f, 5));
	attack(f, "DELETE FROM audit WHERE sequence >= 4");
	assert_true(verify(f) > 0);
	assert_first_difference("should end with record 5 and ends with 3");
}

TEST(records_that_were_cut_off_the_beginning_are_missed)
{
	struct fixture *f = *state;
	assert_done(append(f, 5));
	attack(f, "DELETE FROM audit WHERE sequence <= 2");
	assert_true(verify(f) > 0);
	assert_first_difference("records 1 to 2 are gone");
}

TEST(a_chain_that_was_emptied_is_missed)
{
	struct fixture *f = *state;
	assert_done(append(f, 5));
	attack(f, "DELETE FROM audit");
	assert_true(verify(f) > 0);
	assert_first_difference("should end with record 5");
}

TEST(a_record_that_was_added_is_found)
{
	struct fixture *f = *state;
	assert_done(append(f, 5));
	attack(f, "INSERT INTO audit SELECT 6, at, event, actor, user_id, object, detail, request_id, mac FROM audit "
		  "WHERE sequence = 5");
	assert_true(verify(f) > 0);
}

TEST(a_head_that_was_changed_cut_back_or_removed_is_found)
{
	static const char *const attacks[] = {
		"UPDATE audit_head SET sequence = 3",
		"UPDATE audit_head SET chain = zeroblob(32)",
		"UPDATE audit_head SET chain = x''",
		"UPDATE audit_head SET mac = zeroblob(32)",
		/* together with the records behind it, which is why the head has an HMAC */
		("UPDATE audit_head SET sequence = 3, chain = (SELECT mac FROM audit WHERE sequence = 3);"
		 "DELETE FROM audit WHERE sequence > 3"),
		"DELETE FROM audit_head",
	};
	struct fixture *f = *state;
	assert_done(append(f, 5));
	attack(f, "CREATE TABLE heads AS SELECT * FROM audit_head; CREATE TABLE records AS SELECT * FROM audit");
	for (size_t i = 0; i < COUNT_OF(attacks); i++) {
		attack(f, attacks[i]);
		assert_true(verify(f) > 0);
		attack(f, "DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM heads; DELETE FROM audit;"
			  "INSERT INTO audit SELECT * FROM records");
	}
	assert_int_equal(verify(f), 0);
}

TEST(a_chain_of_another_keyring_is_found)
{
	struct fixture *f = *state;
	assert_done(append(f, 5));
	keyring_free(f->keeper.keyring);
	f->keeper.keyring = make_keyring();
	assert_true(verify(f) > 0);
}

TEST(one_change_is_told_once)
{
	struct fixture *f = *state;
	assert_done(append(f, 50));
	attack(f, "UPDATE audit SET detail = 'other' WHERE sequence = 20");
	assert_int_equal(verify(f), 1);
}

TEST(very_many_differences_are_told_up_to_a_most)
{
	struct fixture *f = *state;
	assert_done(append(f, 1100));
	attack(f, "UPDATE audit SET detail = 'other'");
	assert_int_equal(verify(f), 1000);
}

TEST(once_the_chain_was_found_broken_nothing_is_recorded_any_more)
{
	struct fixture *f = *state;
	assert_done(append(f, 5));
	attack(f, "UPDATE audit SET detail = 'other' WHERE sequence = 2");
	assert_done(append(f, 1)); /* nobody has looked yet */
	assert_true(verify(f) > 0);
	assert_true(atomic_load(&f->keeper.audit_broken));
	assert_fault(append(f, 1), UNAVAILABLE);
	assert_told("audit verify");
}

TEST(what_can_not_be_recorded_is_not_done)
{
	struct fixture *f = *state;
	attack(f, "UPDATE audit_head SET mac = zeroblob(32)");
	assert_fault(create_user(f, ID_A, "ann@example.org"), TAMPERED);
	assert_int_equal(look_up(f, "SELECT count(*) FROM users"), 0);
	attack(f, "DELETE FROM audit_head");
	assert_fault(create_user(f, ID_A, "ann@example.org"), TAMPERED);
	assert_int_equal(look_up(f, "SELECT count(*) FROM users"), 0);
}

TEST(a_record_that_waits_past_the_head_is_not_overwritten)
{
	struct fixture *f = *state;
	assert_done(append(f, 2));
	attack(f, "INSERT INTO audit SELECT 3, at, event, actor, user_id, object, detail, request_id, mac FROM audit "
		  "WHERE sequence = 2");
	assert_fault(append(f, 1), TAMPERED);
}

/* ---- the state of the tables against the chain ---- */

TEST(a_state_that_the_chain_tells_is_without_difference)
{
	struct fixture *f = *state;
	assert_done(create_user(f, ID_A, "ann@example.org"));
	assert_int_equal(verify_by(f, audit_verify), 0);
	assert_int_equal(records, 1);
}

TEST(a_row_that_was_edited_is_told_with_its_table_and_id)
{
	struct fixture *f = *state;
	assert_done(create_user(f, ID_A, "ann@example.org"));
	attack(f, "UPDATE users SET created_at = 7");
	assert_int_equal(verify_by(f, audit_verify), 1);
	assert_first_difference("user " ID_A);
	assert_false(atomic_load(&f->keeper.audit_broken)); /* the chain itself is whole */
}

TEST(a_user_that_the_chain_does_not_know_is_told)
{
	struct fixture *f = *state;
	attack(f, "INSERT INTO users VALUES ('" ID_B "', 'bob', 1, 1, x'')");
	assert_true(verify_by(f, audit_verify) > 0);
	assert_first_difference("user " ID_B);
}

struct renaming {
	struct keeper *k;
	struct view from, to;
};

static int rename_job(struct connection *c, void *arg)
{
	const struct renaming *r = arg;
	return users_rename(r->k, c, &the_actor, r->from, r->to);
}

TEST(a_row_put_back_to_what_it_once_was_is_told)
{
	struct fixture *f = *state;
	struct renaming r = { &f->keeper, VIEW("ann@example.org"), VIEW("anna@example.org") };
	assert_done(create_user(f, ID_A, "ann@example.org"));
	attack(f, "CREATE TABLE copy AS SELECT * FROM users");
	assert_done(db_write(f->keeper.db, rename_job, &r));
	assert_int_equal(verify_by(f, audit_verify), 0);
	attack(f, "UPDATE users SET upn = c.upn, mac = c.mac FROM copy c");
	assert_true(verify_by(f, audit_verify) > 0);
	assert_first_difference("called otherwise");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		keeper_test(an_empty_chain_is_whole),
		keeper_test(a_chain_that_nobody_touched_is_whole_however_long),
		keeper_test(a_record_that_was_changed_in_any_column_is_named),
		keeper_test(a_record_that_was_removed_from_the_middle_is_missed),
		keeper_test(a_gap_that_was_closed_by_renumbering_is_found),
		keeper_test(records_in_another_order_are_found),
		keeper_test(a_record_of_another_past_in_the_same_place_is_found),
		keeper_test(records_that_were_cut_off_the_end_are_missed),
		keeper_test(records_that_were_cut_off_the_beginning_are_missed),
		keeper_test(a_chain_that_was_emptied_is_missed),
		keeper_test(a_record_that_was_added_is_found),
		keeper_test(a_head_that_was_changed_cut_back_or_removed_is_found),
		keeper_test(a_chain_of_another_keyring_is_found),
		keeper_test(one_change_is_told_once),
		keeper_test(very_many_differences_are_told_up_to_a_most),
		keeper_test(once_the_chain_was_found_broken_nothing_is_recorded_any_more),
		keeper_test(what_can_not_be_recorded_is_not_done),
		keeper_test(a_record_that_waits_past_the_head_is_not_overwritten),
		keeper_test(a_state_that_the_chain_tells_is_without_difference),
		keeper_test(a_row_that_was_edited_is_told_with_its_table_and_id),
		keeper_test(a_user_that_the_chain_does_not_know_is_told),
		keeper_test(a_row_put_back_to_what_it_once_was_is_told),
	};
	return RUN(tests);
}
