/* Rows that carry authority: every column of every table is under the HMAC. Made from the same lists as the rows, so a
 * column that is added is tested. */
#include "keeper_fixture.h"

#include "../../daemon/keeper/rows.h"

#include "protocol.h"

/* ---- two rows of each table, a and b, that differ in every column ---- */

static struct view text_of(const char *column, char which)
{
	static char texts[64][40];
	static unsigned next;
	char *text = texts[next++ % COUNT_OF(texts)];
	snprintf(text, sizeof texts[0], "%c-%s", which, column);
	return view_text(text);
}

#define VALUE_text(column, which) text_of(column, which)
#define VALUE_blob(column, which) text_of(column, which)
#define VALUE_number(column, which) ((which) + (int64_t)sizeof(column))
#define FILL_COLUMN(type, name) .name = VALUE_##type(#name, which),

#define R(table) \
	static struct row_##table some_##table(char which) \
	{ \
		return (struct row_##table){ ROW_##table(FILL_COLUMN) .bytes = NULL }; \
	}
ROWS(R)
#undef R

/* ---- storing and loading them; foreign keys are the attacker's to ignore, so rows are put by SQL ---- */

static sqlite3_stmt *prepare_raw(sqlite3 *handle, const char *table, const char *names, int columns)
{
	char sql[1024];
	int len = snprintf(sql, sizeof sql, "INSERT INTO %s (%s mac%s) VALUES (?", table, names,
			   strcmp(table, "identities") == 0 ? ", key_id, wrapped_key, sealed_modern, sealed_legacy" :
			   strcmp(table, "devices") == 0 ? ", last_pull_at" : "");
	for (int i = 1; i <= columns; i++)
		len += snprintf(sql + len, sizeof sql - (size_t)len, ", ?");
	snprintf(sql + len, sizeof sql - (size_t)len, "%s)",
		 strcmp(table, "identities") == 0 ? ", 'k', x'00', x'00', x'00'" :
		 strcmp(table, "devices") == 0 ? ", 0" : "");
	sqlite3_stmt *s = NULL;
	if (sqlite3_prepare_v2(handle, sql, -1, &s, NULL) != SQLITE_OK)
		print_error("%s: %s\n", sql, sqlite3_errmsg(handle));
	assert_non_null(s);
	return s;
}

static void raw_text(sqlite3_stmt *s, int n, struct view v)
{
	sqlite3_bind_text(s, n, v.len ? (const char *)v.p : "", (int)v.len, SQLITE_STATIC);
}

static void raw_blob(sqlite3_stmt *s, int n, struct view v)
{
	sqlite3_bind_blob(s, n, v.len ? (const void *)v.p : "", (int)v.len, SQLITE_STATIC);
}

static void raw_number(sqlite3_stmt *s, int n, int64_t v)
{
	sqlite3_bind_int64(s, n, v);
}

#define NAME_COLUMN(type, name) #name ", "
#define RAW_COLUMN(type, name) raw_##type(s, ++n, row->name);
#define COMPARE_text(a, b) assert_true(view_equal(a, b))
#define COMPARE_blob(a, b) assert_true(view_equal(a, b))
#define COMPARE_number(a, b) assert_int_equal(a, b)
#define COMPARE_COLUMN(type, name) COMPARE_##type(back.name, row.name);

#define TABLE_user "users"
#define TABLE_name "names"
#define TABLE_identity "identities"
#define TABLE_device "devices"
#define TABLE_device_certificate "device_certificates"
#define TABLE_enrolment "enrolments"
#define TABLE_removal "removals"
#define TABLE_token "tokens"

/* How each type of column is changed by one who has the disk. */
#define EDIT_text(name) #name " = " #name " || 'x'"
#define EDIT_blob(name) #name " = CAST(" #name " || 'x' AS BLOB)"
#define EDIT_number(name) #name " = " #name " + 1"

static void expect_tampered(struct fixture *f, int (*load)(struct fixture *f), const char *table, const char *edit)
{
	char sql[512];
	snprintf(sql, sizeof sql, "CREATE TABLE copy AS SELECT * FROM %s; UPDATE %s SET %s;", table, table, edit);
	attack(f, sql);
	int rc = load(f);
	if (rc != -FAULT_TAMPERED)
		print_error("%s SET %s was not found\n", table, edit);
	assert_fault(rc, TAMPERED);
	snprintf(sql, sizeof sql, "DELETE FROM %s; INSERT INTO %s SELECT * FROM copy; DROP TABLE copy;", table, table);
	attack(f, sql);
}

#define EDIT_COLUMN(type, name) expect_tampered(f, load, sql_table, EDIT_##type(name));

#define R(table) \
	static void store_##table(struct fixture *f, const struct row_##table *row) \
	{ \
		sqlite3 *handle = NULL; \
		uint8_t mac[32]; \
		int n = 0; \
		assert_done(mac_##table(f->keeper.keyring, row, mac)); \
		assert_int_equal(sqlite3_open(f->path, &handle), SQLITE_OK); \
		sqlite3_stmt *s = prepare_raw(handle, TABLE_##table, ROW_##table(NAME_COLUMN), columns_##table); \
		ROW_##table(RAW_COLUMN) \
		raw_blob(s, ++n, view_of(mac, sizeof mac)); \
		assert_int_equal(sqlite3_step(s), SQLITE_DONE); \
		sqlite3_finalize(s); \
		sqlite3_close(handle); \
	} \
	/* Loads the first row of the table; to where the caller wants it, if at all. */ \
	static int fetch_##table(struct fixture *f, struct row_##table *ret) \
	{ \
		READER c = NULL; \
		STATEMENT s = NULL; \
		assert_done(db_read(f->keeper.db, &c)); \
		assert_done(statement_get(c, SQL_all_##table, &s)); \
		assert_int_equal(statement_step(s), 1); \
		return load_##table(f->keeper.keyring, s, ret); \
	} \
	static int try_##table(struct fixture *f) \
	{ \
		ROW(table, row); \
		return fetch_##table(f, &row); \
	} \
	TEST(a_##table##_is_loaded_as_it_was_stored) \
	{ \
		struct fixture *f = *state; \
		struct row_##table row = some_##table('a'); \
		ROW(table, back); \
		store_##table(f, &row); \
		assert_done(fetch_##table(f, &back)); \
		ROW_##table(COMPARE_COLUMN) \
	} \
	TEST(a_##table##_that_was_edited_in_any_column_is_refused) \
	{ \
		struct fixture *f = *state; \
		struct row_##table row = some_##table('a'); \
		int (*load)(struct fixture *) = try_##table; \
		const char *sql_table = TABLE_##table; \
		store_##table(f, &row); \
		ROW_##table(EDIT_COLUMN) \
		expect_tampered(f, load, sql_table, "mac = zeroblob(32)"); \
		expect_tampered(f, load, sql_table, "mac = x''"); \
		expect_tampered(f, load, sql_table, "mac = CAST(substr(mac, 1, 31) AS BLOB)"); \
		assert_done(load(f)); \
	} \
	TEST(a_##table##_with_the_mac_of_another_is_refused) \
	{ \
		struct fixture *f = *state; \
		struct row_##table a = some_##table('a'), b = some_##table('b'); \
		store_##table(f, &a); \
		store_##table(f, &b); \
		attack(f, "UPDATE " TABLE_##table " SET mac = (SELECT o.mac FROM " TABLE_##table " o " \
			  "WHERE o.rowid <> " TABLE_##table ".rowid)"); \
		assert_fault(try_##table(f), TAMPERED); \
	} \
	TEST(a_##table##_of_another_keyring_is_refused) \
	{ \
		struct fixture *f = *state; \
		struct row_##table row = some_##table('a'); \
		store_##table(f, &row); \
		keyring_free(f->keeper.keyring); \
		f->keeper.keyring = make_keyring(); \
		assert_fault(try_##table(f), TAMPERED); \
		assert_told("keyring"); \
	}
ROWS(R)
#undef R

TEST(the_error_names_the_record)
{
	struct fixture *f = *state;
	struct row_user user = some_user('a');
	struct row_enrolment enrolment = some_enrolment('a');
	enrolment.token_sha256 = VIEW("\x01\xab\xff");
	store_user(f, &user);
	store_enrolment(f, &enrolment);
	attack(f, "UPDATE users SET state = 7; UPDATE enrolments SET expires_at = 7;");
	assert_fault(try_user(f), TAMPERED);
	assert_told("user a-id ");
	assert_fault(try_enrolment(f), TAMPERED);
	assert_told("enrolment 01abff "); /* bytes as hex */
}

TEST(columns_do_not_run_into_each_other)
{
	struct fixture *f = *state;
	struct row_user one = some_user('a'), two = one;
	uint8_t mac_of_one[32], mac_of_two[32];
	one.id = VIEW("ab");
	one.upn = VIEW("c");
	two.id = VIEW("a");
	two.upn = VIEW("bc");
	assert_done(mac_user(f->keeper.keyring, &one, mac_of_one));
	assert_done(mac_user(f->keeper.keyring, &two, mac_of_two));
	assert_memory_not_equal(mac_of_one, mac_of_two, sizeof mac_of_one);
}

TEST(empty_columns_and_extreme_numbers_are_kept)
{
	struct fixture *f = *state;
	struct row_enrolment row = some_enrolment('a');
	ROW(enrolment, back);
	row.name = row.csr_sha256 = VIEW("");
	row.created_at = INT64_MIN;
	row.expires_at = INT64_MAX;
	row.token_sha256 = VIEW("\0\1\0");
	store_enrolment(f, &row);
	assert_done(fetch_enrolment(f, &back));
	assert_int_equal(back.name.len, 0);
	assert_int_equal(back.csr_sha256.len, 0);
	assert_int_equal(back.created_at, INT64_MIN);
	assert_int_equal(back.expires_at, INT64_MAX);
	assert_true(view_equal(back.token_sha256, VIEW("\0\1\0")));
}

TEST(a_row_that_is_too_large_is_refused_and_not_cut)
{
	struct fixture *f = *state;
	struct row_user row = some_user('a');
	uint8_t mac[32];
	BUF large = buf_of(MIB);
	memset(buf_reserve(large, 300 * KIB), 'x', 300 * KIB);
	row.upn = buf_view(large);
	assert_fault(mac_user(f->keeper.keyring, &row, mac), INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define R(table) \
		keeper_test(a_##table##_is_loaded_as_it_was_stored), \
		keeper_test(a_##table##_that_was_edited_in_any_column_is_refused), \
		keeper_test(a_##table##_with_the_mac_of_another_is_refused), \
		keeper_test(a_##table##_of_another_keyring_is_refused),
		ROWS(R)
#undef R
		keeper_test(the_error_names_the_record),
		keeper_test(columns_do_not_run_into_each_other),
		keeper_test(empty_columns_and_extreme_numbers_are_kept),
		keeper_test(a_row_that_is_too_large_is_refused_and_not_cut),
	};
	return RUN(tests);
}
