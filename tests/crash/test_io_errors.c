/* Input and output that fails: at each system call on the database's files in turn, once, and until the disk is
 * mended or has room again. What must write gets 503 and leaves nothing; the service goes on without a restart; and
 * nothing that was acknowledged is lost by what the kernel did with the pages that it could not write. */
#include "disk.h"
#include "world.h"

#include "fault.h"
#include "keeper/db_parts.h"
#include "log.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static struct world w;
static char work[64], image[64];

struct act {
	int (*run)(void);
	const char *sql; /* tells a number that the act changes */
	int64_t before, after;
	int again;       /* what it says when it was done already */
};

static int import_second(void)
{
	return call_import(&w, &w.second);
}

static int enroll_other(void)
{
	return call_enroll(&w, w.token, &w.other);
}

static int revoke_device(void)
{
	return call_revoke(&w, &w.device);
}

static int delete_first(void)
{
	return call_delete(&w, &w.first);
}

static const struct act import = { import_second, "SELECT count(*) FROM identities", 1, 2, 0 };
static const struct act enrolment = { enroll_other, "SELECT count(*) FROM devices", 1, 2, 0 };
static const struct act revocation = { revoke_device, "SELECT count(*) FROM devices WHERE state = 1", 1, 0, 0 };
static const struct act deletion = { delete_first, "SELECT count(*) FROM identities", 1, 0, -FAULT_NOT_FOUND };

static void begin(void)
{
	world_put(&w, work);
	disk_watch(work);
	assert_done(world_open(&w));
}

/* What a power cut now leaves. */
static int64_t number_in_image(const struct act *act, enum disk_left left, uint64_t seed)
{
	struct world *v = &w;
	char folder[64], path[96];
	strcpy(folder, v->folder);
	strcpy(path, v->path);
	disk_cut(disk_steps(), left, seed, image);
	strcpy(v->folder, image);
	snprintf(v->path, sizeof v->path, "%s/pfxd.db", image);
	int64_t n = look_up(v, act->sql);
	assert_int_equal(look_up(v, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
	strcpy(v->folder, folder);
	strcpy(v->path, path);
	return n;
}

static void assert_number(const struct act *act, int64_t n)
{
	for (uint64_t seed = 0; seed < 2; seed++)
		for (int left = 0; left < DISK_LEFT_COUNT; left++)
			assert_int_equal(number_in_image(act, (enum disk_left)left, seed), n);
}

/* A device that has everything is told so without a write. */
static void assert_304(const char *etag)
{
	char same[64];
	BUF json = buf_of(REQUEST_MAX);
	assert_int_equal(call_pull(&w, &w.device, etag, json, same), 1);
	assert_fault(call_pull(&w, &w.device, NULL, json, same), UNAVAILABLE);
}

/* One failure at call n. False when there are not that many calls. */
static bool fail_at(const struct act *act, enum disk_fault fault, size_t n)
{
	char etag[64];
	BUF json = buf_of(REQUEST_MAX);
	begin();
	assert_done(call_pull(&w, &w.device, NULL, json, etag));
	disk_break(fault, n);
	int rc = act->run();
	bool sure = rc == 0 || !strstr(fault_detail(), "may or may not");
	if (rc < 0 && rc != -FAULT_UNAVAILABLE)
		print_error("call %zu: %s\n", n, fault_detail());
	assert_true(rc == 0 || rc == -FAULT_UNAVAILABLE);
	assert_true(sure || fault != DISK_ONE_CALL);
	if (rc < 0 && fault > DISK_CALLS_UNTIL_MENDED)
		assert_304(etag);
	bool failed = disk_mend();
	if (sure)
		assert_number(act, rc == 0 ? act->after : act->before);
	int again = act->run();
	assert_true(again == 0 || (again == act->again && (rc == 0 || !sure)));
	assert_sound(&w);
	assert_number(act, act->after);
	assert_done(db_truncate_log(w.keeper.db));
	assert_number(act, act->after);
	world_close(&w);
	disk_forget();
	return failed;
}

static void fail_everywhere(const struct act *act)
{
	static const char *const names[] = { "one call fails", "all calls fail from one on",
					     "all writes fail from one on",
					     "the disk is full from one write on" };
	for (int fault = 0; fault < DISK_FAULTS; fault++) {
		size_t n = 0;
		while (fail_at(act, (enum disk_fault)fault, n))
			n++;
		print_message("%s: %zu calls\n", names[fault], n);
		assert_true(n > 3);
	}
}

TEST(an_import_meets_an_error_at_each_call_and_is_there_whole_or_not_at_all)
{
	fail_everywhere(&import);
}

TEST(an_enrolment_meets_an_error_at_each_call_and_its_token_stays_good_for_one_device)
{
	fail_everywhere(&enrolment);
}

TEST(a_revocation_meets_an_error_at_each_call_and_holds_once_it_was_acknowledged)
{
	fail_everywhere(&revocation);
}

TEST(a_deletion_meets_an_error_at_each_call_and_holds_once_it_was_acknowledged)
{
	fail_everywhere(&deletion);
}

/* ---- what the kernel forgets ---- */

/* SQLite copies a part of the log, without a sync, while a reader holds the rest. The sync at the end of the rest then
 * fails, and the kernel takes all for written. Whoever believes SQLite's note of what was copied, empties the log. */
static bool copy_in_two_parts(size_t n)
{
	char token[64];
	READER c = NULL;
	begin();
	assert_done(import.run());
	assert_done(db_read(w.keeper.db, &c));
	STATEMENT s = NULL;
	assert_done(statement_get(c, SQL_probe_read, &s)); /* the reader's moment is that of its first statement */
	statement_step(s);
	assert_done(call_add_enrolment(&w, token));
	assert_done(db_copy_log(w.keeper.db->writer));
	statement_done(s);
	s = NULL;
	db_read_done(c);
	c = NULL;
	disk_break(DISK_ONE_CALL, n);
	int rc = db_truncate_log(w.keeper.db);
	bool failed = disk_mend();
	assert_true(rc == 0 || rc == -FAULT_UNAVAILABLE);
	assert_done(db_truncate_log(w.keeper.db));
	assert_number(&import, import.after);
	assert_sound(&w);
	assert_number(&import, import.after);
	world_close(&w);
	disk_forget();
	return failed;
}

TEST(what_was_copied_before_a_sync_failed_is_copied_once_more)
{
	size_t n = 0;
	while (copy_in_two_parts(n))
		n++;
	assert_true(n > 3);
}

/* ---- readers ---- */

TEST(a_reader_that_stays_is_told_to_come_again_when_the_database_is_opened_anew)
{
	struct connection *c = NULL;
	STATEMENT s = NULL;
	char token[64];
	begin();
	assert_done(db_read(w.keeper.db, &c));
	assert_done(statement_get(c, SQL_identities_count, &s));
	assert_int_equal(statement_step(s), 1);
	disk_break(DISK_ONE_CALL, 0);
	assert_fault(call_add_enrolment(&w, token), UNAVAILABLE);
	disk_mend();
	assert_fault(call_add_enrolment(&w, token), UNAVAILABLE); /* it is still there */
	assert_int_equal(statement_step(s), 0 - (int)FAULT_UNAVAILABLE);
	statement_done(s);
	s = NULL;
	db_read_done(c);
	assert_done(call_add_enrolment(&w, token));
	assert_sound(&w);
	world_close(&w);
	disk_forget();
}

/* ---- commits that are shared ---- */

enum { MEMBERS = 12 };

struct batch {
	pthread_barrier_t first_runs;
	atomic_int waiting, ran;
	bool broken; /* when all have run, before the commit, the disk takes no more */
};

struct member {
	struct batch *batch;
	pthread_t thread;
	int64_t id;
	int says, rc;
	size_t steps; /* of the disk, when it was answered */
};

static int put_row(struct connection *c, int64_t id)
{
	STATEMENT s = NULL;
	assert_done(statement_get(c, SQL_chain_insert, &s));
	bind_blob(s, 1, view_of(&id, sizeof id));
	bind_blob(s, 2, view_text("der"));
	return statement_run(s);
}

static int run_member(struct connection *c, void *arg)
{
	const struct member *m = arg;
	int rc = put_row(c, m->id);
	if (atomic_fetch_add(&m->batch->ran, 1) + 1 == MEMBERS && m->batch->broken)
		disk_break(DISK_WRITES_UNTIL_MENDED, 0);
	return rc == 0 && m->says < 0 ? fail((enum fault)-m->says, "no") : rc;
}

/* Holds the writer until all others wait: they then share the next commit. */
static int hold_writer(struct connection *c, void *arg)
{
	struct batch *b = arg;
	pthread_barrier_wait(&b->first_runs);
	while (atomic_load(&b->waiting) < MEMBERS)
		usleep(1000);
	usleep(50000); /* from counting themselves to standing in the queue */
	return put_row(c, 1000);
}

static void *be_member(void *arg)
{
	struct member *m = arg;
	atomic_fetch_add(&m->batch->waiting, 1);
	m->rc = db_write(w.keeper.db, run_member, m);
	m->steps = disk_steps();
	return NULL;
}

static void *be_first(void *arg)
{
	return (void *)(intptr_t)db_write(w.keeper.db, hold_writer, arg);
}

/* Every third member is refused by its own job. */
static void share_a_commit(struct member *members, bool broken)
{
	struct batch b = { .broken = broken };
	pthread_t first;
	void *rc;
	pthread_barrier_init(&b.first_runs, NULL, 2);
	assert_int_equal(pthread_create(&first, NULL, be_first, &b), 0);
	pthread_barrier_wait(&b.first_runs);
	for (int i = 0; i < MEMBERS; i++) {
		members[i] = (struct member){ .batch = &b, .id = i, .says = i % 3 ? 0 : -FAULT_CONFLICT };
		assert_int_equal(pthread_create(&members[i].thread, NULL, be_member, &members[i]), 0);
	}
	pthread_join(first, &rc);
	assert_null(rc);
	for (int i = 0; i < MEMBERS; i++)
		pthread_join(members[i].thread, NULL);
	pthread_barrier_destroy(&b.first_runs);
}

static const struct act rows = { NULL,
	"SELECT count(*) FROM chain_certificates WHERE der = CAST('der' AS BLOB)", 0, 0, 0 };

TEST(nobody_is_answered_before_the_commit_that_he_shares_is_on_the_disk)
{
	struct member members[MEMBERS];
	char sql[128];
	begin();
	share_a_commit(members, false);
	for (int i = 0; i < MEMBERS; i++) {
		assert_int_equal(members[i].rc, members[i].says);
		disk_cut(members[i].steps, DISK_NONE, 0, image);
		strcpy(w.folder, image);
		snprintf(w.path, sizeof w.path, "%s/pfxd.db", image);
		snprintf(sql, sizeof sql,
			 "SELECT count(*) FROM chain_certificates WHERE sha256 = x'%02x00000000000000'", i);
		assert_int_equal(look_up(&w, sql), members[i].says == 0);
	}
	world_close(&w);
	disk_forget();
}

TEST(a_commit_that_fails_fails_all_who_share_it)
{
	struct member members[MEMBERS];
	char token[64];
	begin();
	share_a_commit(members, true);
	for (int i = 0; i < MEMBERS; i++)
		assert_fault(members[i].rc, UNAVAILABLE);
	assert_true(disk_mend());
	assert_done(call_add_enrolment(&w, token));
	assert_number(&rows, 1); /* the first one's, which was committed before */
	assert_sound(&w);
	world_close(&w);
	disk_forget();
}

/* For the next test, after one that failed in the middle. */
static int tidy(void **state)
{
	(void)state;
	disk_mend();
	disk_forget();
	return 0;
}

static int make(void **state)
{
	(void)state;
	log_init("test", LOG_LEVEL_CRITICAL, true);
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

#define io_test(name) cmocka_unit_test_teardown(name, tidy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		io_test(an_import_meets_an_error_at_each_call_and_is_there_whole_or_not_at_all),
		io_test(an_enrolment_meets_an_error_at_each_call_and_its_token_stays_good_for_one_device),
		io_test(a_revocation_meets_an_error_at_each_call_and_holds_once_it_was_acknowledged),
		io_test(a_deletion_meets_an_error_at_each_call_and_holds_once_it_was_acknowledged),
		io_test(what_was_copied_before_a_sync_failed_is_copied_once_more),
		io_test(a_reader_that_stays_is_told_to_come_again_when_the_database_is_opened_anew),
		io_test(nobody_is_answered_before_the_commit_that_he_shares_is_on_the_disk),
		io_test(a_commit_that_fails_fails_all_who_share_it),
	};
	return cmocka_run_group_tests(tests, make, forget);
}
