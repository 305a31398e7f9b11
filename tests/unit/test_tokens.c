/* Administrators' tokens: roles, ends, and the last admin. */
#include "keeper_fixture.h"

#include "../../daemon/keeper/seal.h"
#include "../../daemon/keeper/tokens.h"

static const int all_roles[] = { ROLE_IMPORTER, ROLE_ENROLLER, ROLE_AUDITOR, ROLE_OPERATOR, ROLE_ADMIN };
static const char *const role_names[] = { "importer", "enroller", "auditor", "operator", "admin" };

struct adding {
	struct fixture *f;
	struct row_token row;
};

static int add_job(struct connection *c, void *arg)
{
	const struct adding *a = arg;
	return tokens_add(&a->f->keeper, c, &the_actor, &a->row);
}

/* Adds the token secret under id. expires_in 0: never. */
static int add(struct fixture *f, const char *id, const char *secret, const char *role, int64_t expires_in)
{
	uint8_t hash[32];
	assert_done(digest_sha256(view_text(secret), hash));
	struct adding a = { f,
			    { .id = view_text(id),
			      .token_sha256 = view_of(hash, sizeof hash),
			      .name = VIEW("a name"),
			      .role = view_text(role),
			      .created_at = now_seconds(),
			      .expires_at = expires_in ? now_seconds() + expires_in : 0 } };
	return db_write(f->keeper.db, add_job, &a);
}

struct deleting {
	struct fixture *f;
	const char *id;
};

static int delete_job(struct connection *c, void *arg)
{
	const struct deleting *d = arg;
	return tokens_delete(&d->f->keeper, c, &the_actor, view_text(d->id));
}

static int delete(struct fixture *f, const char *id)
{
	struct deleting d = { f, id };
	return db_write(f->keeper.db, delete_job, &d);
}

static int authorize(struct fixture *f, const char *secret, int roles)
{
	READER c = NULL;
	ROW(token, token);
	assert_done(db_read(f->keeper.db, &c));
	return tokens_authorize(&f->keeper, c, view_text(secret), roles, &token);
}

TEST(roles_have_names_and_nothing_else_is_one)
{
	for (size_t i = 0; i < COUNT_OF(all_roles); i++)
		assert_int_equal(role_of(view_text(role_names[i])), all_roles[i]);
	static const char *const wrong[] = { "", "Admin", "admin ", "adm", "admins", "root", "any" };
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_int_equal(role_of(view_text(wrong[i])), 0);
	assert_int_equal(role_of(VIEW("admin\0")), 0);
}

TEST(each_role_may_what_it_is_named_for_and_no_more)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < COUNT_OF(all_roles); i++) {
		char id[UUID_TEXT + 1];
		uuid_make(id);
		assert_done(add(f, id, role_names[i], role_names[i], 0));
		assert_done(authorize(f, role_names[i], all_roles[i]));
		assert_done(authorize(f, role_names[i], ROLE_ANY));
		assert_fault(authorize(f, role_names[i], ROLE_ANY & ~all_roles[i]), FORBIDDEN);
		assert_told(role_names[i]);
		assert_fault(authorize(f, role_names[i], 0), FORBIDDEN);
	}
}

TEST(a_token_that_nobody_made_is_unauthorized)
{
	struct fixture *f = *state;
	assert_done(add(f, ID_A, "secret", "admin", 0));
	static const char *const wrong[] = { "", "secre", "secret ", "Secret", "secrets" };
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_fault(authorize(f, wrong[i], ROLE_ANY), UNAUTHORIZED);
}

TEST(only_the_hash_of_a_token_is_kept_and_it_is_no_token)
{
	struct fixture *f = *state;
	uint8_t hash[33] = { 0 };
	assert_done(add(f, ID_A, "secret", "admin", 0));
	assert_int_equal(look_up(f, "SELECT count(*) FROM tokens WHERE instr(id || name || role, 'secret')"), 0);
	assert_done(digest_sha256(VIEW("secret"), hash));
	assert_fault(authorize(f, (const char *)hash, ROLE_ANY), UNAUTHORIZED);
}

TEST(a_token_ends_at_its_second)
{
	struct fixture *f = *state;
	assert_done(add(f, ID_A, "lasting", "admin", 60));
	assert_done(add(f, ID_B, "ended", "admin", -1));
	assert_done(add(f, "cccccccc-cccc-4ccc-8ccc-cccccccccccc", "just ended", "auditor", 0));
	assert_done(authorize(f, "lasting", ROLE_ADMIN));
	assert_fault(authorize(f, "ended", ROLE_ADMIN), UNAUTHORIZED);
	assert_told("expired");
	assert_done(authorize(f, "just ended", ROLE_AUDITOR));
}

TEST(a_token_that_was_deleted_is_unauthorized)
{
	struct fixture *f = *state;
	assert_done(add(f, ID_A, "one", "auditor", 0));
	assert_done(delete(f, ID_A));
	assert_fault(authorize(f, "one", ROLE_ANY), UNAUTHORIZED);
	assert_fault(delete(f, ID_A), NOT_FOUND);
}

TEST(the_last_admin_token_stays)
{
	struct fixture *f = *state;
	assert_done(add(f, ID_A, "one", "admin", 0));
	assert_done(add(f, "cccccccc-cccc-4ccc-8ccc-cccccccccccc", "other", "importer", 0));
	assert_fault(delete(f, ID_A), CONFLICT);
	assert_done(authorize(f, "one", ROLE_ADMIN));
	assert_done(add(f, ID_B, "two", "admin", 0));
	assert_done(delete(f, ID_A));
	assert_fault(delete(f, ID_B), CONFLICT);
}

TEST(an_admin_token_that_ended_does_not_count_as_another)
{
	struct fixture *f = *state;
	assert_done(add(f, ID_A, "one", "admin", 0));
	assert_done(add(f, ID_B, "ended", "admin", -5));
	assert_fault(delete(f, ID_A), CONFLICT);
	assert_done(delete(f, ID_B)); /* it is not the last one that is valid */
}

TEST(a_token_that_is_known_is_not_added_twice)
{
	struct fixture *f = *state;
	assert_done(add(f, ID_A, "one", "admin", 0));
	assert_fault(add(f, ID_B, "one", "auditor", 0), AGAIN);
	assert_fault(add(f, ID_A, "two", "auditor", 0), AGAIN);
}

TEST(a_token_that_was_promoted_behind_our_back_is_refused)
{
	struct fixture *f = *state;
	assert_done(add(f, ID_A, "one", "auditor", 0));
	attack(f, "UPDATE tokens SET role = 'admin'");
	assert_fault(authorize(f, "one", ROLE_ANY), TAMPERED);
	assert_told(ID_A);
}

TEST(a_token_whose_hash_was_replaced_is_refused)
{
	struct fixture *f = *state;
	uint8_t hash[32];
	char sql[256], hex[65];
	assert_done(add(f, ID_A, "one", "admin", 0));
	assert_done(digest_sha256(VIEW("mine"), hash));
	for (size_t i = 0; i < sizeof hash; i++)
		snprintf(hex + 2 * i, 3, "%02x", hash[i]);
	snprintf(sql, sizeof sql, "UPDATE tokens SET token_sha256 = x'%s'", hex);
	attack(f, sql);
	assert_fault(authorize(f, "mine", ROLE_ANY), TAMPERED);
}

TEST(tokens_are_listed_without_their_secrets)
{
	struct fixture *f = *state;
	READER c = NULL;
	BUF list = buf_of(MIB);
	struct msg_token_facts facts;
	assert_done(add(f, ID_A, "one", "admin", 0));
	assert_done(add(f, ID_B, "two", "auditor", 60));
	assert_done(db_read(f->keeper.db, &c));
	assert_done(tokens_put_facts(f->keeper.keyring, c, list));
	struct view rest = buf_view(list);
	assert_done(get_token_facts(&rest, &facts));
	assert_text(facts.id, ID_A);
	assert_text(facts.role, "admin");
	assert_int_equal(facts.expires_at, 0);
	assert_done(get_token_facts(&rest, &facts));
	assert_text(facts.id, ID_B);
	assert_int_equal(rest.len, 0);
}

TEST(making_and_deleting_are_recorded_with_the_role)
{
	struct fixture *f = *state;
	assert_done(add(f, ID_A, "one", "importer", 0));
	assert_done(delete(f, ID_A));
	assert_int_equal(look_up(f, "SELECT count(*) FROM audit WHERE object = '" ID_A "' AND detail = 'importer' AND "
				    "event IN ('token.create', 'token.delete')"), 2);
}

/* What the chain tells of tokens against their rows. */
static int differences(struct fixture *f, const char *part)
{
	READER c = NULL;
	BUF list = buf_of(MIB);
	uint64_t records;
	struct msg_string difference;
	int n = 0;
	assert_done(db_read(f->keeper.db, &c));
	assert_done(audit_verify(&f->keeper, c, &records, list));
	for (struct view rest = buf_view(list); rest.len > 0;) {
		assert_done(get_string(&rest, &difference));
		n += memmem(difference.value.p, difference.value.len, part, strlen(part)) != NULL;
	}
	return n;
}

TEST(a_token_row_that_is_put_back_or_taken_away_is_told_by_the_audit)
{
	struct fixture *f = *state;
	assert_done(add(f, ID_A, "one", "auditor", 0));
	assert_done(add(f, ID_B, "two", "admin", 0));
	attack(f, "CREATE TABLE copy AS SELECT * FROM tokens");
	assert_done(delete(f, ID_A));
	assert_int_equal(differences(f, "token"), 0);
	attack(f, "INSERT INTO tokens SELECT * FROM copy WHERE role = 'auditor'");
	assert_int_equal(differences(f, "token " ID_A " was revoked, but its row is there again"), 1);
	attack(f, "DELETE FROM tokens WHERE role = 'admin'");
	assert_int_equal(differences(f, "token " ID_B " was made and never revoked, but its row is gone"), 1);
}

TEST(there_is_room_for_ten_thousand_tokens_and_no_more)
{
	struct fixture *f = *state;
	attack(f, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) INSERT INTO tokens "
		  "SELECT i, CAST(i AS BLOB), '', '', 0, 0, x'' FROM n");
	assert_done(add(f, ID_A, "the last", "auditor", 0));
	assert_fault(add(f, ID_B, "one more", "auditor", 0), CONFLICT);
	assert_told("there are 10000 tokens already");
	attack(f, "DELETE FROM tokens WHERE id = '1'");
	assert_done(add(f, ID_B, "one more", "auditor", 0));
}

static int replace_job(struct connection *c, void *arg)
{
	struct fixture *f = arg;
	uint8_t sha256[32];
	uint64_t count = 99;
	assert_done(digest_sha256(VIEW("new"), sha256));
	int rc = tokens_replace_all(&f->keeper, c, &the_actor, view_of(sha256, sizeof sha256), &count);
	assert_int_equal(count, 2);
	return rc;
}

TEST(one_takes_the_place_of_all_and_each_is_recorded)
{
	struct fixture *f = *state;
	assert_done(add(f, ID_A, "one", "admin", 0));
	assert_done(add(f, ID_B, "two", "enroller", 60));
	assert_done(db_write(f->keeper.db, replace_job, f));
	assert_fault(authorize(f, "one", ROLE_ANY), UNAUTHORIZED);
	assert_fault(authorize(f, "two", ROLE_ANY), UNAUTHORIZED);
	assert_done(authorize(f, "new", ROLE_ADMIN));
	assert_int_equal(differences(f, "token"), 0);
	assert_int_equal(look_up(f, "SELECT count(*) FROM audit WHERE event = 'token.delete'"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roles_have_names_and_nothing_else_is_one),
		keeper_test(each_role_may_what_it_is_named_for_and_no_more),
		keeper_test(a_token_that_nobody_made_is_unauthorized),
		keeper_test(only_the_hash_of_a_token_is_kept_and_it_is_no_token),
		keeper_test(a_token_ends_at_its_second),
		keeper_test(a_token_that_was_deleted_is_unauthorized),
		keeper_test(the_last_admin_token_stays),
		keeper_test(an_admin_token_that_ended_does_not_count_as_another),
		keeper_test(a_token_that_is_known_is_not_added_twice),
		keeper_test(a_token_that_was_promoted_behind_our_back_is_refused),
		keeper_test(a_token_whose_hash_was_replaced_is_refused),
		keeper_test(tokens_are_listed_without_their_secrets),
		keeper_test(making_and_deleting_are_recorded_with_the_role),
		keeper_test(a_token_row_that_is_put_back_or_taken_away_is_told_by_the_audit),
		keeper_test(there_is_room_for_ten_thousand_tokens_and_no_more),
		keeper_test(one_takes_the_place_of_all_and_each_is_recorded),
	};
	return RUN(tests);
}
