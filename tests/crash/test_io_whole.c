/* Input and output that fails while something goes over the whole database: a rotation of the keyring, a backup, a
 * verification, a restore, a start. At each system call on the files of the database's folder in turn, once, and until
 * the disk is mended or has room again. Who asked gets 503 or what he asked for, whole; what can not be read is not
 * called damaged; nothing that was acknowledged is lost; no copy is left behind; and when the disk is back, it can be
 * done: by the same keeper, or, where a start failed, by the next one.
 *
 * What fails until it is mended begins to do so at every third call; PFXD_CRASH_STEP=1: at each. */
#include "disk.h"
#include "world.h"

#include "fault.h"
#include "frame.h"
#include "log.h"
#include "protocol.h"

#include "keeper/rotation.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STEP = 3, FILE_MAX = 1 << 24, PEER_MS = 60 * 1000 };

static struct world w;
static char work[64], image[64];
static struct buf *brought;  /* a backup: of a time when the first identity had been deleted */
static struct buf *received; /* the backup that was made last */

struct act {
	const char *name;
	void (*prepare)(void); /* once: leaves in `work`, closed, what each run begins with */
	int (*run)(void);
	/* The disk is whole again; rc is what the act said. */
	void (*look)(int rc);
	int (*again)(void);    /* when it failed: without a restart, if the act is not a start itself */
	void (*done)(void);    /* what is true once it was done */
	bool starts;           /* the act is to open the database */
};

/* ---- files ---- */

static void read_file(const char *path, struct buf *ret)
{
	uint8_t block[8192];
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	buf_reset(ret);
	for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;)
		buf_put(ret, block, n);
	fclose(f);
	assert_true(buf_ok(ret));
}

static void write_file(const char *path, struct view bytes)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes.p, 1, bytes.len, f), bytes.len);
	assert_int_equal(fclose(f), 0);
}

static bool is_named(const char *name, const char *const *names)
{
	while (*names && strcmp(*names, name) != 0)
		names++;
	return *names != NULL;
}

/* How many files are in the folder beside those; they are removed if `removes`. */
static unsigned others(const char *folder, const char *const *but, bool removes)
{
	unsigned n = 0;
	char path[512];
	DIR *d = opendir(folder);
	for (struct dirent *entry; (entry = readdir(d));) {
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		if (entry->d_name[0] == '.' || is_named(entry->d_name, but))
			continue;
		n++;
		if (removes)
			unlink(path);
	}
	closedir(d);
	return n;
}

static const char *const of_database[] = { "pfxd.db", "pfxd.db-wal", "pfxd.db-shm", NULL };
static const char *const nothing[] = { NULL };

/* What an act begins with: at most these. */
static const char *const kept_names[] = { "pfxd.db", "pfxd.db-wal", "pfxd.db.restored", "pfxd.db.backup" };
static struct buf *kept[COUNT_OF(kept_names)];

static void keep_files(void)
{
	char path[128];
	for (size_t i = 0; i < COUNT_OF(kept_names); i++) {
		snprintf(path, sizeof path, "%s/%s", work, kept_names[i]);
		buf_free(kept[i]);
		kept[i] = NULL;
		if (access(path, F_OK) < 0)
			continue;
		kept[i] = buf_of(FILE_MAX);
		read_file(path, kept[i]);
	}
}

static void put_files_back(void)
{
	char path[128];
	others(work, nothing, true);
	for (size_t i = 0; i < COUNT_OF(kept_names); i++) {
		snprintf(path, sizeof path, "%s/%s", work, kept_names[i]);
		if (kept[i])
			write_file(path, buf_view(kept[i]));
	}
}

/* ---- root, on the local socket ---- */

struct peer {
	int fd;
	struct view file; /* what it sends when it is told to */
	struct buf *received;
};

static void send_file(struct peer *p)
{
	BUF frame = buf_of(PART_MAX_BYTES + KIB);
	for (struct view rest = p->file, part; rest.len > 0;) {
		assert_true(view_get(&rest, rest.len < PART_MAX_BYTES / 8 ? rest.len : PART_MAX_BYTES / 8, &part));
		const struct msg_part m = { part };
		frame_begin(frame, VERB_PART);
		if (put_part(frame, &m) < 0 || frame_send(p->fd, frame, clock_ms() + PEER_MS) < 0)
			return;
		buf_reset(frame);
	}
}

static void *be_root(void *arg)
{
	struct peer *p = arg;
	uint8_t verb;
	struct view fields;
	struct msg_progress progress;
	struct msg_part part;
	BUF frame = buf_of(PART_MAX_BYTES + KIB);
	while (frame_receive(p->fd, frame, PART_MAX_BYTES + KIB, clock_ms() + PEER_MS, &verb, &fields) == 0) {
		if (verb == VERB_PART && read_part(fields, &part) == 0)
			buf_put(p->received, part.bytes.p, part.bytes.len);
		else if (read_progress(fields, &progress) == 0 && progress.stage == STAGE_RECEIVING &&
			 progress.done == 0)
			send_file(p);
	}
	return NULL;
}

/* Progress and files go between the keeper's function and another thread. */
static int ask(answer_function *function, struct view file, struct buf *request, struct buf *answer)
{
	int pair[2];
	pthread_t thread;
	buf_reset(received);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	struct peer p = { .fd = pair[1], .file = file, .received = received };
	assert_int_equal(pthread_create(&thread, NULL, be_root, &p), 0);
	const struct caller root = { .fd = pair[0] };
	int rc = function(&w.keeper, &root, buf_view(request), answer);
	close(pair[0]);
	pthread_join(thread, NULL);
	close(pair[1]);
	return rc;
}

/* ---- what most begin with: two identities ---- */

static void prepare_two(void)
{
	assert_done(world_open(&w));
	assert_done(call_import(&w, &w.second));
	world_close(&w);
}

static void both_are_there(void)
{
	assert_true(device_gets(&w, &w.device, &w.first));
	assert_true(device_gets(&w, &w.device, &w.second));
}

static void look_at_both(int rc)
{
	(void)rc;
	both_are_there();
}

/* ---- a rotation of the keyring ---- */

static struct keyring *rotated;

/* Both identities under what is the older key once the keyring was rotated, which is noted as known. */
static void prepare_rotation(void)
{
	const atomic_bool stopping = false;
	assert_done(world_open(&w));
	assert_done(call_import(&w, &w.second));
	assert_done(rotation_turn(&w.keeper, true, &stopping));
	world_close(&w);
	w.keeper.keyring = rotated;
}

static int rotate(void)
{
	const atomic_bool stopping = false;
	return rotation_turn(&w.keeper, false, &stopping);
}

static int64_t under(size_t key)
{
	char sql[128];
	snprintf(sql, sizeof sql, "SELECT count(*) FROM identities WHERE key_id = '%s'",
		 keyring_wrapping_id(w.keeper.keyring, key));
	return look_up(&w, sql);
}

static void both_open(int rc)
{
	(void)rc;
	assert_int_equal(under(0) + under(1), 2);
	both_are_there();
	assert_int_equal(atomic_load(&w.keeper.not_rewrapped), 0);
}

static void is_rotated(void)
{
	both_open(0);
	assert_int_equal(under(0), 2);
	assert_int_equal(look_up(&w, "SELECT count(*) FROM audit WHERE event = 'keyring.rotate'"), 1);
	assert_int_equal(atomic_load(&w.keeper.to_rewrap), 0);
}

/* ---- a backup ---- */

static int back_up(void)
{
	BUF request = buf_of(KIB);
	BUF answer = buf_of(REQUEST_MAX);
	struct msg_backed_up m;
	int rc = ask(answer_backup, view_text(""), request, answer);
	if (rc < 0)
		return rc;
	assert_done(read_backed_up(buf_view(answer), &m));
	assert_int_equal(m.identities, 2);
	assert_int_equal(m.bytes, buf_len(received));
	return 0;
}

/* What was told to be a backup is one. */
static void is_whole(void)
{
	char folder[64], path[96];
	others(image, nothing, true);
	strcpy(folder, w.folder);
	strcpy(path, w.path);
	strcpy(w.folder, image);
	snprintf(w.path, sizeof w.path, "%s/pfxd.db", image);
	write_file(w.path, buf_view(received));
	assert_int_equal(look_up(&w, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
	assert_int_equal(look_up(&w, "SELECT count(*) FROM identities"), 2);
	strcpy(w.folder, folder);
	strcpy(w.path, path);
}

static void look_at_backup(int rc)
{
	if (rc == 0)
		is_whole();
}

/* ---- a verification ---- */

static int verify(struct view file, uint64_t identities)
{
	BUF request = buf_of(KIB);
	BUF answer = buf_of(REQUEST_MAX);
	struct msg_verified m;
	const struct msg_verify asked = { .bytes = file.len };
	assert_done(put_verify(request, &asked));
	int rc = ask(answer_verify_identities, file, request, answer);
	if (rc < 0)
		return rc;
	assert_done(read_verified(buf_view(answer), &m));
	assert_int_equal(m.total, identities);
	assert_int_equal(m.readable, identities);
	assert_int_equal(m.unreadable.len, 0);
	return 0;
}

static int verify_database(void)
{
	return verify(view_text(""), 2);
}

/* ---- what pfxctl inspect and pfxctl audit verify look at ---- */

static int inspect(void)
{
	BUF request = buf_of(KIB);
	BUF answer = buf_of(REQUEST_MAX);
	struct msg_inspection m;
	int rc = ask(answer_inspect, view_text(""), request, answer);
	if (rc < 0)
		return rc;
	assert_done(read_inspection(buf_view(answer), &m));
	assert_int_equal(m.state, DATABASE_WHOLE);
	assert_int_equal(m.identities, 2);
	buf_reset(answer);
	return ask(answer_verify, view_text(""), request, answer);
}

static void audit_is_believed(int rc)
{
	assert_false(atomic_load(&w.keeper.audit_broken));
	look_at_both(rc);
}

/* ---- a verification of a file, and a restore of it ---- */

static void prepare_brought(void)
{
	prepare_two();
	assert_done(world_open(&w));
	assert_done(call_delete(&w, &w.first));
	world_close(&w);
	read_file(w.path, brought);
	world_put(&w, work);
	prepare_two();
}

static int verify_file(void)
{
	return verify(buf_view(brought), 1);
}

static int restore(void)
{
	BUF request = buf_of(KIB);
	BUF answer = buf_of(REQUEST_MAX);
	struct msg_restored m;
	const struct msg_restore asked = { .bytes = buf_len(brought), .replace = 1 };
	assert_done(put_restore(request, &asked));
	int rc = ask(answer_restore, buf_view(brought), request, answer);
	if (rc < 0)
		return rc;
	assert_done(read_restored(buf_view(answer), &m));
	assert_int_equal(m.held, 1);
	assert_int_equal(m.identities, 1);
	assert_int_equal(m.unreadable, 0);
	return 0;
}

/* Nothing is written to what is to be replaced; where it was not to be, the service goes on. */
static void is_decided(int rc)
{
	char token[64];
	if (rc == 0)
		assert_fault(call_add_enrolment(&w, token), UNAVAILABLE);
	else
		both_are_there();
}

static void is_restored(void)
{
	char etag[64];
	BUF json = buf_of(REQUEST_MAX);
	assert_int_equal(look_up(&w, "SELECT count(*) FROM identities"), 1);
	assert_int_equal(look_up(&w, "SELECT count(*) FROM removals"), 1);
	assert_int_equal(look_up(&w, "SELECT count(*) FROM audit WHERE event = 'service.restore'"), 1);
	assert_fault(call_pull(&w, &w.device, NULL, json, etag), FORBIDDEN);
}

static void is_restored_by_next_start(void)
{
	world_close(&w);
	assert_done(world_open(&w));
	is_restored();
}

/* ---- starts ---- */

/* Closes the database and leaves what a keeper that was killed would: what it wrote last is in the log alone. */
static void close_as_if_killed(void)
{
	BUF database = buf_of(FILE_MAX);
	BUF log = buf_of(FILE_MAX);
	char path[128];
	snprintf(path, sizeof path, "%s-wal", w.path);
	read_file(w.path, database);
	read_file(path, log);
	assert_true(buf_len(log) > 0);
	world_close(&w);
	write_file(w.path, buf_view(database));
	write_file(path, buf_view(log));
}

static void prepare_restored(void)
{
	prepare_brought();
	assert_done(world_open(&w));
	assert_done(restore());
	close_as_if_killed();
}

static int start(void)
{
	return world_open(&w);
}

static void look_at_nothing(int rc)
{
	(void)rc;
}

/* Something is left of a backup, too. */
static void prepare_killed(void)
{
	char path[128];
	assert_done(world_open(&w));
	assert_done(call_import(&w, &w.second));
	close_as_if_killed();
	snprintf(path, sizeof path, "%s.backup", w.path);
	write_file(path, view_text("half of one"));
}

static void prepare_nothing(void)
{
	unlink(w.path);
}

static void is_begun(void)
{
	assert_int_equal(look_up(&w, "SELECT count(*) FROM tokens"), 1);
}

/* ---- failing ---- */

static void say(const struct act *act, size_t n, const char *when)
{
	print_error("%s, call %zu, %s: %s\n", act->name, n, when, fault_detail());
}

static void start_anew(void)
{
	world_close(&w);
	assert_done(world_open(&w));
	assert_int_equal(others(work, of_database, false), 0);
}

/* One failure at call n. False when there are not that many calls. What could not be removed is removed by the next
 * start, and after every second act that failed there is one. */
static bool fail_at(const struct act *act, enum disk_fault fault, size_t n, unsigned *refused)
{
	put_files_back();
	disk_watch(work);
	if (!act->starts)
		assert_done(world_open(&w));
	disk_break(fault, n);
	int rc = act->run();
	bool failed = disk_mend(), told = rc == -FAULT_UNAVAILABLE && failed && strchr(fault_detail(), ' ');
	if (rc < 0 && !told)
		say(act, n, "while it fails");
	assert_true(rc == 0 || told);
	*refused += rc < 0;
	act->look(rc);
	if (act->starts && rc < 0)
		world_close(&w);
	else if (!act->starts && (rc < 0 ? n % 2 : others(work, of_database, false)))
		start_anew();
	if (rc < 0 && (rc = act->again()) < 0)
		say(act, n, "afterwards");
	assert_done(rc);
	act->done();
	assert_sound(&w);
	assert_int_equal(others(work, of_database, false), 0);
	world_close(&w);
	disk_forget();
	return failed;
}

static void fail_everywhere(const struct act *act)
{
	static const char *const names[] = { "one call fails", "all calls fail from one on",
					     "all writes fail from one on",
					     "the disk is full from one write on" };
	const char *wanted = getenv("PFXD_CRASH_STEP");
	size_t step = wanted ? strtoul(wanted, NULL, 10) : STEP;
	unsigned all_refused = 0;
	world_put(&w, work);
	act->prepare();
	keep_files();
	for (int fault = 0; fault < DISK_FAULTS; fault++) {
		size_t n = 0;
		unsigned refused = 0;
		while (fail_at(act, (enum disk_fault)fault, n, &refused))
			n += fault == DISK_ONE_CALL ? 1 : step;
		print_message("%s, %s: before call %zu, %u times 503\n", act->name, names[fault], n, refused);
		assert_true(n > 3 || fault != DISK_ONE_CALL);
		all_refused += refused;
	}
	assert_true(all_refused > 0);
}

static const struct act rotation = { "a rotation", prepare_rotation, rotate, both_open, rotate, is_rotated, false };
static const struct act backup = { "a backup", prepare_two, back_up, look_at_backup, back_up, is_whole, false };
static const struct act verification = { "a verification", prepare_two, verify_database, look_at_both, verify_database,
					 both_are_there, false };
static const struct act inspection = { "an inspection", prepare_two, inspect, audit_is_believed, inspect,
				       both_are_there, false };
static const struct act verification_of_file = { "a verification of a file", prepare_brought, verify_file, look_at_both,
						 verify_file, both_are_there, false };
static const struct act restoring = { "a restore", prepare_brought, restore, is_decided, restore,
				      is_restored_by_next_start, false };
static const struct act restored_start = { "the start after a restore", prepare_restored, start, look_at_nothing, start,
					   is_restored, true };
static const struct act killed_start = { "the start after a kill", prepare_killed, start, look_at_nothing, start,
					 both_are_there, true };
static const struct act first_start = { "a first start", prepare_nothing, start, look_at_nothing, start, is_begun,
					true };

TEST(a_rotation_meets_an_error_at_each_call_and_every_identity_opens_all_the_time)
{
	struct keyring *before = w.keeper.keyring;
	rotated = world_rotated();
	fail_everywhere(&rotation);
	keyring_free(rotated);
	w.keeper.keyring = before;
}

TEST(a_rotation_that_the_disk_stopped_goes_on_by_itself)
{
	struct keyring *before = w.keeper.keyring;
	rotated = world_rotated();
	world_put(&w, work);
	prepare_rotation();
	disk_watch(work);
	assert_done(world_open(&w));
	disk_break(DISK_WRITES_UNTIL_MENDED, 0);
	assert_done(rotation_start(&w.keeper));
	while (!disk_has_failed())
		usleep(1000);
	disk_mend();
	while (under(0) < 2)
		usleep(10000);
	rotation_stop(&w.keeper);
	is_rotated();
	assert_sound(&w);
	world_close(&w);
	disk_forget();
	free(w.keeper.rotation);
	keyring_free(rotated);
	w.keeper.keyring = before;
}

TEST(a_backup_meets_an_error_at_each_call_and_is_whole_or_none)
{
	fail_everywhere(&backup);
}

TEST(a_verification_meets_an_error_at_each_call_and_calls_nothing_unreadable)
{
	fail_everywhere(&verification);
}

TEST(an_inspection_meets_an_error_at_each_call_and_calls_nothing_damaged)
{
	fail_everywhere(&inspection);
}

TEST(a_verification_of_a_file_meets_an_error_at_each_call_and_calls_nothing_damaged)
{
	fail_everywhere(&verification_of_file);
}

TEST(a_restore_meets_an_error_at_each_call_and_is_done_whole_or_the_service_goes_on)
{
	fail_everywhere(&restoring);
}

TEST(the_start_after_a_restore_meets_an_error_at_each_call_and_never_takes_the_old_database)
{
	fail_everywhere(&restored_start);
}

TEST(the_start_after_a_kill_meets_an_error_at_each_call_and_the_next_one_finds_everything)
{
	fail_everywhere(&killed_start);
}

TEST(a_first_start_meets_an_error_at_each_call_and_is_done_by_the_next_one)
{
	fail_everywhere(&first_start);
}

/* For the next test, after one that failed in the middle. */
static int tidy(void **state)
{
	(void)state;
	disk_mend();
	disk_forget();
	if (w.keeper.db)
		world_close(&w);
	return 0;
}

static int make(void **state)
{
	(void)state;
	log_init("test", LOG_LEVEL_CRITICAL, true);
	world_make(&w);
	world_folder(&w, "work", work);
	world_folder(&w, "image", image);
	signal(SIGTERM, SIG_IGN); /* a keeper that has restored asks itself to end */
	brought = buf_of(FILE_MAX);
	received = buf_of(FILE_MAX);
	return 0;
}

static int forget(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(kept); i++)
		buf_free(kept[i]);
	buf_free(brought);
	buf_free(received);
	world_free(&w);
	return 0;
}

#define io_test(name) cmocka_unit_test_teardown(name, tidy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		io_test(a_rotation_meets_an_error_at_each_call_and_every_identity_opens_all_the_time),
		io_test(a_rotation_that_the_disk_stopped_goes_on_by_itself),
		io_test(a_backup_meets_an_error_at_each_call_and_is_whole_or_none),
		io_test(a_verification_meets_an_error_at_each_call_and_calls_nothing_unreadable),
		io_test(an_inspection_meets_an_error_at_each_call_and_calls_nothing_damaged),
		io_test(a_verification_of_a_file_meets_an_error_at_each_call_and_calls_nothing_damaged),
		io_test(a_restore_meets_an_error_at_each_call_and_is_done_whole_or_the_service_goes_on),
		io_test(the_start_after_a_restore_meets_an_error_at_each_call_and_never_takes_the_old_database),
		io_test(the_start_after_a_kill_meets_an_error_at_each_call_and_the_next_one_finds_everything),
		io_test(a_first_start_meets_an_error_at_each_call_and_is_done_by_the_next_one),
	};
	return cmocka_run_group_tests(tests, make, forget);
}
