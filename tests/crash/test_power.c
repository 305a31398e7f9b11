/* Power cuts: before every write, sync and change of a name of one act, and after it, with all, none, and some of
 * what was not synced. Each time the keeper must start, find all that it had acknowledged, and find the act whole or
 * not at all.
 *
 * * A new act that writes gets a line in `acts`. PFXD_CRASH_SEED and
 * PFXD_CRASH_SOME, the number of random subsets for each cut, are for longer runs by hand. */
#include "disk.h"
#include "world.h"

#include "fault.h"
#include "log.h"

#include "keeper/copies.h"
#include "keeper/health.h"
#include "keeper/rewrap.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct world w;
static char work[64], image[64];
static uint64_t seed = 1;
static unsigned some = 2;

struct act {
	const char *name;
	void (*prepare)(void);
	int (*run)(void);
	/* In an image: whether the act is there, whole. It may go on with it: the image is not looked at again. */
	bool (*is_there)(void);
	bool opens; /* the act is to open the database */
};

/* ---- the acts ---- */

static int import_second(void)
{
	return call_import(&w, &w.second);
}

static bool second_is_there(void)
{
	bool there = device_gets(&w, &w.device, &w.second);
	assert_int_equal(look_up(&w, "SELECT count(*) FROM identities"), there ? 2 : 1);
	assert_int_equal(look_up(&w, "SELECT count(*) FROM audit WHERE event = 'identity.import'"), there ? 2 : 1);
	assert_true(device_gets(&w, &w.device, &w.first));
	assert_done(call_import(&w, &w.second));
	assert_true(device_gets(&w, &w.device, &w.second));
	return there;
}

static int delete_first(void)
{
	return call_delete(&w, &w.first);
}

static bool first_is_gone(void)
{
	bool gone = !device_gets(&w, &w.device, &w.first);
	assert_int_equal(look_up(&w, "SELECT count(*) FROM identities"), gone ? 0 : 1);
	assert_int_equal(look_up(&w, "SELECT count(*) FROM removals"), gone ? 1 : 0);
	if (gone)
		assert_fault(call_delete(&w, &w.first), NOT_FOUND);
	else
		assert_done(call_delete(&w, &w.first));
	return gone;
}

static int enroll_other(void)
{
	return call_enroll(&w, w.token, &w.other);
}

/* A token is good for one device, whatever happened. */
static bool other_is_enrolled(void)
{
	bool there = look_up(&w, "SELECT count(*) FROM devices") == 2;
	assert_int_equal(look_up(&w, "SELECT count(*) FROM device_certificates"), there ? 2 : 1);
	if (there)
		assert_fault(call_enroll(&w, w.token, &w.third), TOKEN_SPENT);
	assert_done(call_enroll(&w, w.token, &w.other));
	assert_true(device_gets(&w, &w.other, &w.first));
	assert_fault(call_enroll(&w, w.token, &w.third), TOKEN_SPENT);
	assert_int_equal(look_up(&w, "SELECT count(*) FROM devices"), 2);
	return there;
}

static int revoke_device(void)
{
	return call_revoke(&w, &w.device);
}

static bool device_is_revoked(void)
{
	char etag[64];
	BUF json = buf_of(REQUEST_MAX);
	int rc = call_pull(&w, &w.device, NULL, json, etag);
	assert_true(rc == 0 || rc == -FAULT_FORBIDDEN);
	return rc < 0;
}

/* Back to the version before the last migration, which is 999_crash.sql. */
static void undo_migration(void)
{
	char sql[128];
	snprintf(sql, sizeof sql, "DROP INDEX crash_audit; DROP TABLE crash_copies; PRAGMA user_version = %lld",
		 (long long)look_up(&w, "PRAGMA user_version") - 1);
	run_sql(&w, sql);
}

static int open_database(void)
{
	return world_open(&w);
}

static bool is_migrated(void)
{
	assert_int_equal(look_up(&w, "SELECT count(*) FROM crash_copies"), 1);
	assert_int_equal(look_up(&w, "SELECT count(*) FROM sqlite_master WHERE name = 'crash_audit'"), 1);
	assert_true(device_gets(&w, &w.device, &w.first));
	return true; /* to open it was to migrate it */
}

/* ---- a database that the first version has filled ---- */

static void run_file(sqlite3 *handle, const char *path)
{
	static char text[65536];
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	text[fread(text, 1, sizeof text - 1, f)] = '\0';
	fclose(f);
	assert_int_equal(sqlite3_exec(handle, text, NULL, NULL, NULL), SQLITE_OK);
}

/* One statement for each table, of all columns that it had; those that are no more get so many zeros. */
static const char copy_tables[] =
	"SELECT 'INSERT INTO ' || name || ' (' || c || ') SELECT ' || v || ' FROM newest.' || name FROM "
	"(SELECT name, (SELECT group_concat(name) FROM pragma_table_info(m.name, 'main')) AS c, "
	"(SELECT group_concat(CASE WHEN name IN (SELECT name FROM pragma_table_info(m.name, 'newest')) THEN name "
	"ELSE 'zeroblob(1500)' END) FROM pragma_table_info(m.name, 'main')) AS v FROM main.sqlite_master m "
	"WHERE type = 'table')";

static int run_row(void *handle, int count, char **values, char **names)
{
	(void)count;
	(void)names;
	return sqlite3_exec(handle, values[0], NULL, NULL, NULL);
}

static void go_back_to_first_version(void)
{
	char first[96], attach[128];
	sqlite3 *handle = NULL;
	snprintf(first, sizeof first, "%s/first", work);
	snprintf(attach, sizeof attach, "ATTACH '%s' AS newest", w.path);
	assert_int_equal(sqlite3_open(first, &handle), SQLITE_OK);
	run_file(handle, "sql/001_tables.sql");
	assert_int_equal(sqlite3_exec(handle, attach, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, copy_tables, run_row, handle, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, "PRAGMA main.user_version = 1", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(handle), SQLITE_OK);
	assert_int_equal(rename(first, w.path), 0);
}

static bool is_of_newest_version(void)
{
	static const char *const made[] = { "identities_recipient", "identities_key_identifier", "identities_key" };
	char sql[128];
	for (size_t i = 0; i < COUNT_OF(made); i++) {
		snprintf(sql, sizeof sql, "SELECT count(*) FROM sqlite_master WHERE name = '%s'", made[i]);
		assert_int_equal(look_up(&w, sql), 1);
	}
	assert_int_equal(look_up(&w, "SELECT count(*) FROM identities WHERE key_identifier = x''"), 1);
	assert_int_equal(look_up(&w, "SELECT count(*) FROM pragma_table_info('identities') "
				     "WHERE name IN ('sealed_key', 'sealed_certificate')"), 0);
	return is_migrated();
}

/* ---- a rotation of the keyring ---- */

static void import_more(void)
{
	assert_done(world_open(&w));
	assert_done(call_import(&w, &w.second));
	world_close(&w);
}

static int rewrap(void)
{
	const atomic_bool stopping = false;
	int rc = health_rewrap(&w.keeper);
	return rc < 0 ? rc : rewrap_all(&w.keeper, false, &stopping);
}

static int64_t under(size_t key)
{
	char sql[128];
	snprintf(sql, sizeof sql, "SELECT count(*) FROM identities WHERE key_id = '%s'",
		 keyring_wrapping_id(w.keeper.keyring, key));
	return look_up(&w, sql);
}

static bool is_rewrapped(void)
{
	bool there = under(0) == 2;
	assert_int_equal(under(0) + under(1), 2);
	for (int n = 0; n < 2; n++) {
		assert_true(device_gets(&w, &w.device, &w.first));
		assert_true(device_gets(&w, &w.device, &w.second));
		assert_done(rewrap());
		assert_int_equal(under(0), 2);
	}
	return there;
}

/* ---- a restore ---- */

/* What is brought back knows nothing of the first identity any more. */
static void make_backup(void)
{
	char to[128];
	assert_done(world_open(&w));
	assert_done(call_delete(&w, &w.first));
	world_close(&w);
	snprintf(to, sizeof to, "%s/brought", work);
	assert_int_equal(rename(w.path, to), 0);
	world_put(&w, work);
}

/* From the moment at which the copy is whole and synced, over the end of this keeper, to the start of the next. */
static int restore(void)
{
	struct copy copy = { .k = &w.keeper };
	snprintf(copy.path, sizeof copy.path, "%s/brought", work);
	int rc = call_import(&w, &w.second); /* so that the old one has a log */
	db_shut(w.keeper.db, true);
	if (rc == 0)
		rc = copy_take_over(&copy);
	world_close(&w);
	return rc < 0 ? rc : world_open(&w);
}

static bool is_restored(void)
{
	char path[128];
	bool there = look_up(&w, "SELECT count(*) FROM removals") == 1;
	assert_int_equal(device_gets(&w, &w.device, &w.first), !there);
	if (there)
		assert_int_equal(look_up(&w, "SELECT count(*) FROM identities"), 0);
	snprintf(path, sizeof path, "%s.restored", w.path);
	assert_int_equal(access(path, F_OK), -1);
	return there;
}

/* ---- a first start ---- */

static void take_everything_away(void)
{
	unlink(w.path);
}

static bool is_begun(void)
{
	assert_int_equal(look_up(&w, "SELECT count(*) FROM tokens"), 1);
	return !w.was_empty;
}

static const struct act acts[] = {
	{ "an import", NULL, import_second, second_is_there, false },
	{ "an enrolment", NULL, enroll_other, other_is_enrolled, false },
	{ "a revocation", NULL, revoke_device, device_is_revoked, false },
	{ "a deletion", NULL, delete_first, first_is_gone, false },
	{ "a migration", undo_migration, open_database, is_migrated, true },
	{ "four migrations", go_back_to_first_version, open_database, is_of_newest_version, true },
	{ "a rotation", import_more, rewrap, is_rewrapped, false },
	{ "a restore", make_backup, restore, is_restored, false },
	{ "a first start", take_everything_away, open_database, is_begun, true },
};

/* ---- cutting ---- */

struct tally {
	unsigned images, with, without;
};

static void look_at(const struct act *act, size_t cut, enum disk_left left, bool acknowledged, struct tally *t)
{
	static const char *const lefts[] = { "all", "none", "some" };
	snprintf(w.folder, sizeof w.folder, "%s", image);
	snprintf(w.path, sizeof w.path, "%s/pfxd.db", image);
	int rc = world_open(&w);
	if (rc < 0)
		print_error("%s, cut at %zu, %s of what was not synced: %s\n", act->name, cut, lefts[left],
			    fault_detail());
	assert_done(rc);
	assert_sound(&w);
	bool there = act->is_there();
	if (acknowledged && !there)
		print_error("%s is lost, cut at %zu, %s of what was not synced\n", act->name, cut, lefts[left]);
	assert_true(there || !acknowledged);
	t->images++;
	t->with += there;
	t->without += !there;
	world_close(&w);
}

static void cut_everywhere(const struct act *act, size_t first, size_t acknowledged, size_t last, struct tally *t)
{
	for (size_t cut = first; cut <= last; cut++)
		for (unsigned n = 0; n < 2 + some; n++) {
			enum disk_left left = n < 2 ? (enum disk_left)n : DISK_SOME;
			disk_cut(cut, left, seed * 1000003 + cut * 101 + n, image);
			look_at(act, cut, left, cut >= acknowledged, t);
		}
}

/* After the act: another commit, the log copied and emptied, one more commit into the empty log, and an end. */
static void go_on(void)
{
	char token[64];
	assert_done(call_add_enrolment(&w, token));
	assert_done(db_truncate_log(w.keeper.db));
	assert_done(call_add_enrolment(&w, token));
	world_close(&w);
}

static void cut(const char *name)
{
	const struct act *act = acts;
	struct tally t = { 0 };
	while (strcmp(act->name, name) != 0)
		act++;
	world_put(&w, work);
	if (act->prepare)
		act->prepare();
	disk_watch(work);
	if (!act->opens)
		assert_done(world_open(&w));
	size_t first = disk_steps();
	assert_done(act->run());
	size_t acknowledged = disk_steps();
	go_on();
	cut_everywhere(act, first, acknowledged, disk_steps(), &t);
	print_message("%s: steps %zu to %zu, acknowledged at %zu; %u images, in %u of them it is not there\n", name,
		      first, disk_steps(), acknowledged, t.images, t.without);
	disk_forget();
	assert_true(acknowledged > first && t.with > 0);
	assert_true(t.without > 0 || act->is_there == is_migrated || act->is_there == is_of_newest_version);
}

TEST(an_import_survives_a_power_cut_whole_or_was_never_there)
{
	cut("an import");
}

TEST(an_enrolment_survives_a_power_cut_and_its_token_enrols_one_device)
{
	cut("an enrolment");
}

TEST(a_revocation_survives_a_power_cut)
{
	cut("a revocation");
}

TEST(a_deletion_survives_a_power_cut)
{
	cut("a deletion");
}

TEST(a_migration_that_is_cut_is_done_by_the_next_start)
{
	cut("a migration");
}

TEST(migrations_from_the_first_version_that_are_cut_are_done_by_the_next_start)
{
	cut("four migrations");
}

TEST(a_rotation_that_is_cut_leaves_every_row_under_one_key_and_goes_on)
{
	struct keyring *before = w.keeper.keyring;
	w.keeper.keyring = world_rotated();
	cut("a rotation");
	keyring_free(w.keeper.keyring);
	w.keeper.keyring = before;
}

TEST(a_restore_that_is_cut_leaves_the_old_database_or_the_new_one)
{
	cut("a restore");
}

TEST(a_first_start_that_is_cut_is_done_by_the_next_one)
{
	cut("a first start");
}

/* ---- the disk of these tests itself ---- */

static void write_file(const char *text, bool sync)
{
	char path[96];
	snprintf(path, sizeof path, "%s/probe", work);
	fclose(fopen(path, "w"));
	disk_watch(work);
	int fd = open64(path, O_RDWR);
	assert_int_equal(pwrite64(fd, text, strlen(text), 0), (ssize_t)strlen(text));
	if (sync)
		assert_int_equal(fsync(fd), 0);
	close(fd);
}

static int64_t size_in_image(void)
{
	char path[96];
	snprintf(path, sizeof path, "%s/probe", image);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	int64_t size = ftell(f);
	fclose(f);
	return size;
}

TEST(the_disk_of_these_tests_loses_what_was_not_synced_and_keeps_what_was)
{
	write_file("some bytes", false);
	disk_cut(disk_steps(), DISK_NONE, 1, image);
	assert_int_equal(size_in_image(), 0);
	disk_cut(disk_steps(), DISK_ALL, 1, image);
	assert_int_equal(size_in_image(), 10);
	write_file("some bytes", true);
	disk_cut(disk_steps(), DISK_NONE, 1, image);
	assert_int_equal(size_in_image(), 10);
	disk_cut(disk_steps() - 1, DISK_NONE, 1, image);
	assert_int_equal(size_in_image(), 0);
	disk_forget();
}

TEST(a_sync_that_failed_leaves_what_was_written_before_in_doubt_for_ever)
{
	char path[96];
	write_file("some bytes", false);
	snprintf(path, sizeof path, "%s/probe", work);
	int fd = open64(path, O_RDWR);
	disk_break(DISK_ONE_CALL, 0);
	assert_int_equal(fsync(fd), -1);
	assert_true(disk_mend());
	assert_int_equal(fsync(fd), 0);
	disk_cut(disk_steps(), DISK_NONE, 1, image);
	assert_int_equal(size_in_image(), 0);
	assert_int_equal(pwrite64(fd, "other", 5, 0), 5);
	assert_int_equal(fsync(fd), 0);
	disk_cut(disk_steps(), DISK_NONE, 1, image);
	assert_int_equal(size_in_image(), 5);
	close(fd);
	disk_forget();
	unlink(path);
}

static int make(void **state)
{
	(void)state;
	if (getenv("PFXD_CRASH_SEED"))
		seed = strtoull(getenv("PFXD_CRASH_SEED"), NULL, 10);
	if (getenv("PFXD_CRASH_SOME"))
		some = (unsigned)strtoul(getenv("PFXD_CRASH_SOME"), NULL, 10);
	log_init("test", LOG_LEVEL_CRITICAL, true);
	print_message("seed %llu, %u random subsets for each cut\n", (unsigned long long)seed, some);
	world_make(&w);
	world_folder(&w, "work", work);
	world_folder(&w, "image", image);
	return 0;
}

static int forget(void **state)
{
	(void)state;
	world_free(&w);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_disk_of_these_tests_loses_what_was_not_synced_and_keeps_what_was),
		cmocka_unit_test(a_sync_that_failed_leaves_what_was_written_before_in_doubt_for_ever),
		cmocka_unit_test(an_import_survives_a_power_cut_whole_or_was_never_there),
		cmocka_unit_test(an_enrolment_survives_a_power_cut_and_its_token_enrols_one_device),
		cmocka_unit_test(a_revocation_survives_a_power_cut),
		cmocka_unit_test(a_deletion_survives_a_power_cut),
		cmocka_unit_test(a_migration_that_is_cut_is_done_by_the_next_start),
		cmocka_unit_test(migrations_from_the_first_version_that_are_cut_are_done_by_the_next_start),
		cmocka_unit_test(a_rotation_that_is_cut_leaves_every_row_under_one_key_and_goes_on),
		cmocka_unit_test(a_restore_that_is_cut_leaves_the_old_database_or_the_new_one),
		cmocka_unit_test(a_first_start_that_is_cut_is_done_by_the_next_one),
	};
	return cmocka_run_group_tests(tests, make, forget);
}
