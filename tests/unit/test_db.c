/* The driver: transactions that share a commit, readers that see one moment, and a disk that fills. */
#include "keeper_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "protocol.h"

enum { THREADS = 32, JOBS_EACH = 25 };

/* ---- opening ---- */

TEST(a_new_database_has_every_table_and_is_kept)
{
	struct fixture *f = *state;
	assert_done(create_user(f, ID_A, "ann@example.org"));
	db_close(f->keeper.db);
	assert_done(db_open(f->path, &f->keeper.db));
	assert_int_equal(look_up(f, "SELECT count(*) FROM users"), 1);
	assert_string_equal(db_path(f->keeper.db), f->path);
}

TEST(a_newer_database_is_refused_and_left_as_it_is)
{
	struct fixture *f = *state;
	db_close(f->keeper.db);
	f->keeper.db = NULL;
	attack(f, "PRAGMA user_version = 99");
	assert_fault(db_open(f->path, &f->keeper.db), CONFLICT);
	assert_told("99");
	assert_int_equal(look_up(f, "PRAGMA user_version"), 99);
}

TEST(a_file_that_is_no_database_is_refused)
{
	struct fixture *f = *state;
	db_close(f->keeper.db);
	f->keeper.db = NULL;
	FILE *file = fopen(f->path, "w");
	for (int i = 0; i < 5000; i++)
		fputs("this is not a database\n", file);
	fclose(file);
	assert_fault(db_open(f->path, &f->keeper.db), TAMPERED);
}

TEST(a_folder_that_is_not_there_is_unavailable)
{
	struct db *db = NULL;
	assert_fault(db_open("/nonexistent/pfxd.db", &db), UNAVAILABLE);
	assert_null(db);
}

/* ---- looking at the file ---- */

enum { CHECK_SECONDS = 60 };

/* Overwrites the first bytes of a table's first page. */
static void damage(struct fixture *f, const char *table)
{
	char sql[128];
	static const uint8_t garbage[64] = { 0xff, 0xff, 0xff, 0xff };
	snprintf(sql, sizeof sql, "SELECT rootpage FROM sqlite_master WHERE name = '%s'", table);
	int64_t page = look_up(f, sql), size = look_up(f, "PRAGMA page_size");
	db_close(f->keeper.db);
	f->keeper.db = NULL;
	FILE *file = fopen(f->path, "r+");
	assert_non_null(file);
	assert_int_equal(fseek(file, (page - 1) * size, SEEK_SET), 0);
	assert_int_equal(fwrite(garbage, 1, sizeof garbage, file), sizeof garbage);
	fclose(file);
	assert_done(db_open(f->path, &f->keeper.db));
}

TEST(a_file_that_is_whole_is_told_with_its_version_and_size)
{
	struct fixture *f = *state;
	READER c = NULL;
	uint32_t version = 0;
	uint64_t bytes = 0;
	assert_done(db_read(f->keeper.db, &c));
	assert_done(db_check(c, CHECK_SECONDS));
	assert_done(db_size(c, &version, &bytes));
	assert_int_equal(version, look_up(f, "PRAGMA user_version"));
	assert_int_equal(bytes, look_up(f, "PRAGMA page_count") * 4096);
}

TEST(a_page_that_was_damaged_is_found)
{
	struct fixture *f = *state;
	READER c = NULL;
	damage(f, "receipts");
	assert_done(db_read(f->keeper.db, &c));
	assert_fault(db_check(c, CHECK_SECONDS), TAMPERED);
	assert_told("damaged");
}

TEST(looking_at_the_file_ends_when_its_time_is_over_and_the_reader_stays_good)
{
	struct fixture *f = *state;
	READER c = NULL;
	uint32_t version = 0;
	uint64_t bytes = 0;
	assert_done(db_read(f->keeper.db, &c));
	assert_fault(db_check(c, 0), TIMED_OUT);
	assert_done(db_size(c, &version, &bytes));
	assert_done(db_check(c, CHECK_SECONDS));
}

/* ---- jobs ---- */

struct job {
	int64_t id;     /* of the chain certificate that it inserts */
	int rc;         /* what it then returns */
};

static int put_chain(struct connection *c, int64_t id)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_chain_insert, &s);
	assert_done(rc);
	bind_blob(s, 1, view_of(&id, sizeof id));
	bind_blob(s, 2, VIEW("der"));
	return statement_run(s);
}

static int run_job(struct connection *c, void *arg)
{
	const struct job *job = arg;
	assert_done(put_chain(c, job->id));
	return job->rc < 0 ? fail((enum fault)-job->rc, "job %lld says no", (long long)job->id) : job->rc;
}

static int64_t count_chain(struct fixture *f)
{
	return look_up(f, "SELECT count(*) FROM chain_certificates");
}

TEST(a_job_that_was_done_is_in_the_file)
{
	struct fixture *f = *state;
	struct job job = { .id = 1 };
	assert_done(db_write(f->keeper.db, run_job, &job));
	assert_int_equal(count_chain(f), 1);
}

TEST(a_job_that_failed_leaves_nothing_but_its_sentence)
{
	struct fixture *f = *state;
	struct job job = { .id = 1, .rc = -FAULT_CONFLICT };
	assert_fault(db_write(f->keeper.db, run_job, &job), CONFLICT);
	assert_string_equal(fault_detail(), "job 1 says no");
	assert_int_equal(count_chain(f), 0);
}

/* The first job holds the writer until all others wait; they are then one batch. */
struct batch {
	struct fixture *f;
	pthread_barrier_t first_runs;
	atomic_int waiting, ran;
	int64_t in_file, in_transaction; /* how many rows the last of them saw */
};

struct member {
	struct batch *batch;
	struct job job;
	int rc;
	char detail[FAULT_DETAIL_MAX];
};

static int hold_writer(struct connection *c, void *arg)
{
	struct batch *b = arg;
	pthread_barrier_wait(&b->first_runs);
	for (int i = 0; atomic_load(&b->waiting) < THREADS && i < 5000; i++)
		usleep(1000);
	usleep(50000); /* from counting themselves to standing in the queue */
	return put_chain(c, 1000);
}

static int64_t count_here(struct connection *c)
{
	STATEMENT s = NULL;
	int64_t n = 0;
	assert_done(statement_get(c, SQL_chain_get, &s));
	for (int64_t id = 0; id <= 1000; id++) {
		bind_blob(s, 1, view_of(&id, sizeof id));
		n += statement_step(s) == 1;
		statement_done(s);
	}
	return n;
}

static int run_member(struct connection *c, void *arg)
{
	struct member *m = arg;
	int rc = run_job(c, &m->job);
	if (atomic_fetch_add(&m->batch->ran, 1) + 1 == THREADS) {
		m->batch->in_file = count_chain(m->batch->f);
		m->batch->in_transaction = count_here(c);
	}
	return rc;
}

static void *be_member(void *arg)
{
	struct member *m = arg;
	atomic_fetch_add(&m->batch->waiting, 1);
	m->rc = db_write(m->batch->f->keeper.db, run_member, m);
	snprintf(m->detail, sizeof m->detail, "%s", fault_detail());
	return NULL;
}

static void *be_first(void *arg)
{
	struct batch *b = arg;
	return (void *)(intptr_t)db_write(b->f->keeper.db, hold_writer, b);
}

TEST(jobs_that_wait_share_one_commit_and_one_that_fails_costs_the_others_nothing)
{
	struct batch b = { .f = *state };
	struct member members[THREADS];
	pthread_t first, threads[THREADS];
	void *rc;
	pthread_barrier_init(&b.first_runs, NULL, 2);
	assert_int_equal(pthread_create(&first, NULL, be_first, &b), 0);
	pthread_barrier_wait(&b.first_runs);
	for (int i = 0; i < THREADS; i++) {
		members[i] = (struct member){ .batch = &b, .job = { .id = i, .rc = i % 4 ? i : -FAULT_CONFLICT } };
		assert_int_equal(pthread_create(&threads[i], NULL, be_member, &members[i]), 0);
	}
	pthread_join(first, &rc);
	assert_null(rc);
	for (int i = 0; i < THREADS; i++) {
		char own[32];
		pthread_join(threads[i], NULL);
		assert_int_equal(members[i].rc, members[i].job.rc);
		snprintf(own, sizeof own, "job %d says no", i);
		if (members[i].rc < 0)
			assert_string_equal(members[i].detail, own); /* and not another thread's */
	}
	/* The last of the batch saw the rows of all before it, and the file none of them yet. */
	assert_int_equal(b.in_file, 1);
	assert_true(b.in_transaction >= THREADS - THREADS / 4);
	assert_int_equal(count_chain(b.f), 1 + THREADS - THREADS / 4);
	pthread_barrier_destroy(&b.first_runs);
}

struct many {
	struct fixture *f;
	int number;
	int wrong;
};

static void *write_many(void *arg)
{
	struct many *m = arg;
	for (int i = 0; i < JOBS_EACH; i++) {
		struct job job = { .id = m->number * JOBS_EACH + i, .rc = i % 5 == 0 ? -FAULT_NOT_FOUND : 0 };
		m->wrong += db_write(m->f->keeper.db, run_job, &job) != job.rc;
	}
	return NULL;
}

TEST(many_threads_write_and_exactly_what_was_done_is_there)
{
	struct many many[THREADS];
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++) {
		many[i] = (struct many){ .f = *state, .number = i };
		assert_int_equal(pthread_create(&threads[i], NULL, write_many, &many[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(many[i].wrong, 0);
	}
	assert_int_equal(count_chain(*state), THREADS * (JOBS_EACH - JOBS_EACH / 5));
}

/* ---- reading ---- */

static int64_t count_users(struct connection *c)
{
	STATEMENT s = NULL;
	int64_t n = 0;
	assert_done(statement_get(c, SQL_all_user, &s));
	while (statement_step(s) > 0)
		n++;
	return n;
}

TEST(a_reader_sees_one_moment_and_the_next_reader_the_next)
{
	struct fixture *f = *state;
	READER old = NULL;
	READER new = NULL;
	assert_done(create_user(f, ID_A, "ann@example.org"));
	assert_done(db_read(f->keeper.db, &old));
	assert_int_equal(count_users(old), 1);
	assert_done(create_user(f, ID_B, "bob@example.org"));
	assert_int_equal(count_users(old), 1);
	assert_done(db_read(f->keeper.db, &new));
	assert_int_equal(count_users(new), 2);
}

static int look_while_writing(struct connection *c, void *arg)
{
	struct fixture *f = arg;
	READER reader = NULL;
	assert_done(put_chain(c, 1));
	assert_done(db_read(f->keeper.db, &reader));
	assert_int_equal(count_here(c), 1);
	assert_int_equal(count_here(reader), 0);
	return 0;
}

TEST(what_is_not_committed_is_seen_by_nobody_else)
{
	struct fixture *f = *state;
	assert_done(db_write(f->keeper.db, look_while_writing, f));
}

TEST(the_most_readers_are_served_and_the_next_is_told_to_come_again)
{
	struct fixture *f = *state;
	struct connection *readers[DB_READERS_MAX], *more = NULL;
	for (int i = 0; i < DB_READERS_MAX; i++)
		assert_done(db_read(f->keeper.db, &readers[i]));
	assert_fault(db_read(f->keeper.db, &more), UNAVAILABLE);
	db_read_done(readers[0]);
	assert_done(db_read(f->keeper.db, &readers[0]));
	for (int i = 0; i < DB_READERS_MAX; i++)
		db_read_done(readers[i]);
}

TEST(a_reader_can_not_write)
{
	struct fixture *f = *state;
	READER c = NULL;
	assert_done(db_read(f->keeper.db, &c));
	assert_true(put_chain(c, 1) < 0);
}

TEST(giving_back_no_reader_is_fine)
{
	db_read_done(NULL);
	statement_done(NULL);
}

/* ---- statements ---- */

static int insert_twice(struct connection *c, void *arg)
{
	STATEMENT s = NULL;
	(void)arg;
	for (int i = 0; i < 2; i++) {
		assert_done(statement_get(c, SQL_user_insert, &s));
		bind_text(s, 1, VIEW("it's \"quoted\"; DROP TABLE users; --"));
		bind_text(s, 2, VIEW("name"));
		bind_number(s, 3, 1);
		bind_number(s, 4, 1);
		bind_blob(s, 5, VIEW("\0value"));
		if (i == 0)
			assert_done(statement_run(s));
		else
			assert_fault(statement_run(s), AGAIN);
		statement_done(s);
	}
	s = NULL;
	assert_done(put_chain(c, 7)); /* and the transaction goes on */
	return 0;
}

TEST(a_constraint_is_try_again_and_the_transaction_goes_on)
{
	struct fixture *f = *state;
	READER c = NULL;
	STATEMENT s = NULL;
	assert_done(db_write(f->keeper.db, insert_twice, NULL));
	assert_int_equal(count_chain(f), 1);
	assert_done(db_read(f->keeper.db, &c));
	assert_done(statement_get(c, SQL_user_get, &s));
	bind_text(s, 1, VIEW("it's \"quoted\"; DROP TABLE users; --"));
	assert_int_equal(statement_step(s), 1);
	assert_true(view_equal(column_view(s, 4), VIEW("\0value")));
	assert_int_equal(statement_step(s), 0);
}

static int bind_nothing(struct connection *c, void *arg)
{
	STATEMENT s = NULL;
	(void)arg;
	assert_done(statement_get(c, SQL_chain_insert, &s));
	bind_number(s, 9, 1); /* there is no $9 */
	return statement_run(s);
}

TEST(a_parameter_that_is_not_there_is_our_own_error_and_does_not_stick)
{
	struct fixture *f = *state;
	struct job job = { .id = 1 };
	assert_fault(db_write(f->keeper.db, bind_nothing, NULL), INTERNAL);
	assert_done(db_write(f->keeper.db, run_job, &job));
}

static int orphan(struct connection *c, void *arg)
{
	STATEMENT s = NULL;
	(void)arg;
	assert_done(statement_get(c, SQL_name_insert, &s));
	bind_text(s, 1, VIEW("ann"));
	bind_text(s, 2, VIEW("nobody"));
	bind_text(s, 3, VIEW("Ann"));
	bind_blob(s, 4, VIEW(""));
	return statement_run(s);
}

TEST(a_row_whose_owner_is_not_there_is_refused)
{
	struct fixture *f = *state;
	assert_fault(db_write(f->keeper.db, orphan, NULL), AGAIN);
	assert_int_equal(look_up(f, "SELECT count(*) FROM names"), 0);
}

static int delete_user_names(struct connection *c, void *arg)
{
	int64_t *changed = arg;
	STATEMENT s = NULL;
	assert_done(statement_get(c, SQL_names_delete, &s));
	bind_text(s, 1, VIEW(ID_A));
	assert_done(statement_run(s));
	*changed = rows_changed(c);
	return 0;
}

TEST(changed_rows_are_counted)
{
	struct fixture *f = *state;
	int64_t changed = -1;
	assert_done(create_user(f, ID_A, "ann@example.org"));
	assert_done(db_write(f->keeper.db, delete_user_names, &changed));
	assert_int_equal(changed, 1);
	assert_done(db_write(f->keeper.db, delete_user_names, &changed));
	assert_int_equal(changed, 0);
}

/* ---- what was deleted, and what does not fit ---- */

static const char marker[] = "a-marker-that-is-nowhere-else";

static int put_marker(struct connection *c, void *arg)
{
	STATEMENT s = NULL;
	(void)arg;
	assert_done(statement_get(c, SQL_user_insert, &s));
	bind_text(s, 1, VIEW("marked"));
	bind_text(s, 2, VIEW(marker));
	bind_number(s, 3, 1);
	bind_number(s, 4, 1);
	bind_blob(s, 5, VIEW(""));
	return statement_run(s);
}

static int replace_marker(struct connection *c, void *arg)
{
	STATEMENT s = NULL;
	(void)arg;
	assert_done(statement_get(c, SQL_user_update, &s));
	bind_text(s, 1, VIEW("marked"));
	bind_text(s, 2, VIEW(""));
	bind_number(s, 3, 1);
	bind_blob(s, 4, VIEW(""));
	return statement_run(s);
}

static bool file_holds_marker(const char *path, const char *ending)
{
	char name[96];
	snprintf(name, sizeof name, "%s%s", path, ending);
	FILE *file = fopen(name, "r");
	if (!file)
		return false;
	BUF all = buf_of(1 << 26);
	uint8_t block[4096];
	for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;)
		buf_put(all, block, n);
	fclose(file);
	assert_true(buf_ok(all));
	return memmem(buf_data(all), buf_len(all), marker, sizeof marker - 1) != NULL;
}

TEST(what_was_deleted_is_in_no_file_once_the_log_is_emptied)
{
	struct fixture *f = *state;
	assert_done(db_write(f->keeper.db, put_marker, NULL));
	assert_done(db_truncate_log(f->keeper.db));
	assert_true(file_holds_marker(f->path, ""));
	assert_done(db_write(f->keeper.db, replace_marker, NULL));
	assert_done(db_truncate_log(f->keeper.db));
	assert_false(file_holds_marker(f->path, ""));
	assert_false(file_holds_marker(f->path, "-wal"));
}

static int fill(struct connection *c, void *arg)
{
	STATEMENT s = NULL;
	BUF bytes = buf_of(1 << 23);
	assert_true(buf_reserve(bytes, *(const size_t *)arg));
	assert_done(statement_get(c, SQL_meta_put, &s));
	bind_text(s, 1, VIEW("filling"));
	bind_blob(s, 2, buf_view(bytes));
	return statement_run(s);
}

static void assert_gives_back(struct fixture *f)
{
	size_t none = 0, pages = DB_FREE_PAGES_KEPT + DB_GIVE_BACK_PAGES;
	size_t many = pages * (size_t)look_up(f, "PRAGMA page_size");
	assert_int_equal(db_give_back(f->keeper.db), 0);
	assert_done(db_write(f->keeper.db, fill, &many));
	assert_int_equal(db_give_back(f->keeper.db), 0);
	assert_done(db_write(f->keeper.db, fill, &none));
	int64_t left = look_up(f, "PRAGMA freelist_count");
	assert_in_range(left, DB_FREE_PAGES_KEPT + 1, pages + 8);
	for (; left > DB_FREE_PAGES_KEPT; left = look_up(f, "PRAGMA freelist_count")) {
		int64_t most = left - DB_FREE_PAGES_KEPT;
		assert_int_equal(db_give_back(f->keeper.db), most < DB_GIVE_BACK_PAGES ? most : DB_GIVE_BACK_PAGES);
	}
	assert_int_equal(left, DB_FREE_PAGES_KEPT);
	assert_int_equal(db_give_back(f->keeper.db), 0);
}

TEST(free_pages_are_given_back_some_at_a_time_and_some_are_kept)
{
	assert_gives_back(*state);
}

/* As they all were once. */
TEST(a_file_with_pages_of_8192_bytes_keeps_them_and_is_as_good)
{
	struct fixture *f = *state;
	struct job job = { .id = 1 };
	db_close(f->keeper.db);
	f->keeper.db = NULL;
	assert_int_equal(unlink(f->path), 0);
	attack(f, "PRAGMA page_size=8192; PRAGMA auto_vacuum=INCREMENTAL; VACUUM");
	assert_done(db_open(f->path, &f->keeper.db));
	assert_int_equal(look_up(f, "PRAGMA page_size"), 8192);
	assert_gives_back(f);
	assert_done(db_write(f->keeper.db, run_job, &job));
	assert_done(db_truncate_log(f->keeper.db));
	assert_int_equal(count_chain(f), 1);
	READER c = NULL;
	uint32_t version = 0;
	uint64_t bytes = 0;
	assert_done(db_read(f->keeper.db, &c));
	assert_done(db_check(c, CHECK_SECONDS));
	assert_done(db_size(c, &version, &bytes));
	assert_int_equal(bytes, look_up(f, "PRAGMA page_count") * 8192);
	assert_int_equal(look_up(f, "PRAGMA page_size"), 8192);
}

TEST(a_reader_that_is_out_keeps_the_log_from_being_emptied_and_costs_nothing_else)
{
	struct fixture *f = *state;
	struct job job = { .id = 1 };
	struct connection *c = NULL;
	assert_done(db_read(f->keeper.db, &c));
	assert_int_equal(count_here(c), 0);
	assert_done(db_write(f->keeper.db, run_job, &job));
	assert_fault(db_truncate_log(f->keeper.db), AGAIN);
	job.id = 2;
	assert_done(db_write(f->keeper.db, run_job, &job));
	db_read_done(c);
	assert_done(db_truncate_log(f->keeper.db));
	assert_int_equal(count_chain(f), 2);
}

static int put_much(struct connection *c, void *arg)
{
	int64_t id = (intptr_t)arg;
	STATEMENT s = NULL;
	BUF der = buf_of(MIB);
	memset(buf_reserve(der, MIB), 'x', MIB);
	assert_done(statement_get(c, SQL_chain_insert, &s));
	bind_blob(s, 1, view_of(&id, sizeof id));
	bind_blob(s, 2, buf_view(der));
	return statement_run(s);
}

/* Runs in a child, which may not make files larger than they are. */
static bool write_on_a_full_disk(struct fixture *f)
{
	struct rlimit limit;
	struct job job = { .id = 5 };
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	rlim_t before = limit.rlim_cur;
	limit.rlim_cur = MIB / 2;
	setrlimit(RLIMIT_FSIZE, &limit);
	bool refused = db_write(f->keeper.db, put_much, (void *)1) == -FAULT_UNAVAILABLE;
	limit.rlim_cur = before;
	setrlimit(RLIMIT_FSIZE, &limit);
	return refused && db_write(f->keeper.db, run_job, &job) == 0 && count_chain(f) == 1;
}

TEST(a_full_disk_is_unavailable_and_when_there_is_room_it_goes_on)
{
	struct fixture *f = *state;
	int status;
	/* SQLite's connections do not survive a fork: the child opens its own. */
	db_close(f->keeper.db);
	f->keeper.db = NULL;
	pid_t pid = fork();
	if (pid == 0)
		_exit(db_open(f->path, &f->keeper.db) == 0 && write_on_a_full_disk(f) ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_done(db_open(f->path, &f->keeper.db));
	assert_int_equal(count_chain(f), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		keeper_test(a_new_database_has_every_table_and_is_kept),
		keeper_test(a_newer_database_is_refused_and_left_as_it_is),
		keeper_test(a_file_that_is_no_database_is_refused),
		cmocka_unit_test(a_folder_that_is_not_there_is_unavailable),
		keeper_test(a_file_that_is_whole_is_told_with_its_version_and_size),
		keeper_test(a_page_that_was_damaged_is_found),
		keeper_test(looking_at_the_file_ends_when_its_time_is_over_and_the_reader_stays_good),
		keeper_test(a_job_that_was_done_is_in_the_file),
		keeper_test(a_job_that_failed_leaves_nothing_but_its_sentence),
		keeper_test(jobs_that_wait_share_one_commit_and_one_that_fails_costs_the_others_nothing),
		keeper_test(many_threads_write_and_exactly_what_was_done_is_there),
		keeper_test(a_reader_sees_one_moment_and_the_next_reader_the_next),
		keeper_test(what_is_not_committed_is_seen_by_nobody_else),
		keeper_test(the_most_readers_are_served_and_the_next_is_told_to_come_again),
		keeper_test(a_reader_can_not_write),
		cmocka_unit_test(giving_back_no_reader_is_fine),
		keeper_test(a_constraint_is_try_again_and_the_transaction_goes_on),
		keeper_test(a_parameter_that_is_not_there_is_our_own_error_and_does_not_stick),
		keeper_test(a_row_whose_owner_is_not_there_is_refused),
		keeper_test(changed_rows_are_counted),
		keeper_test(free_pages_are_given_back_some_at_a_time_and_some_are_kept),
		keeper_test(a_file_with_pages_of_8192_bytes_keeps_them_and_is_as_good),
		keeper_test(what_was_deleted_is_in_no_file_once_the_log_is_emptied),
		keeper_test(a_reader_that_is_out_keeps_the_log_from_being_emptied_and_costs_nothing_else),
		keeper_test(a_full_disk_is_unavailable_and_when_there_is_room_it_goes_on),
	};
	return RUN(tests);
}
