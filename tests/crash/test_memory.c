/* The allocations of the keeper at one import, one pull and one enrolment fail in turn. That request alone gets 503
 * or 500, nothing of it is stored half, and the next one is answered. */
#include "memory.h"
#include "world.h"

#include "fault.h"
#include "log.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of an import and of a pull each one, of an enrolment every 16th; PFXD_CRASH_STEP=1: of that too. */
enum { IMPORT_STEP = 1, ENROLMENT_STEP = 16 };

static struct world w;
static char work[64];

static size_t step(size_t usual)
{
	const char *wanted = getenv("PFXD_CRASH_STEP");
	return wanted ? strtoul(wanted, NULL, 10) : usual;
}

static void assert_told_so(int rc, size_t n)
{
	if (rc < 0 && rc != -FAULT_UNAVAILABLE && rc != -FAULT_INTERNAL)
		print_error("allocation %zu: %d, %s\n", n, rc, fault_detail());
	assert_true(rc == 0 || rc == -FAULT_UNAVAILABLE || rc == -FAULT_INTERNAL);
}

/* The one after it, which has memory. */
static void assert_answered(int rc, size_t n)
{
	if (rc < 0)
		print_error("after allocation %zu: %s\n", n, fault_detail());
	assert_done(rc);
}

static void begin(void)
{
	if (!memory_is_ours())
		skip();
	world_put(&w, work);
	assert_done(world_open(&w));
}

static void break_at(size_t n)
{
	w.short_of_memory = true;
	w.fail_at = n;
}

/* Whether an allocation failed: false when there were not that many. */
static bool mend(void)
{
	w.short_of_memory = false;
	return w.failed;
}

static int64_t identities(void)
{
	return look_up(&w, "SELECT count(*) FROM identities");
}

TEST(each_allocation_of_an_import_fails_and_it_is_there_whole_or_not_at_all)
{
	size_t n = 0;
	begin();
	for (bool failed = true; failed; n += step(IMPORT_STEP)) {
		break_at(n);
		int rc = call_import(&w, &w.second);
		failed = mend();
		assert_told_so(rc, n);
		/* Where memory is short for the answer alone, it is there. */
		assert_int_equal(identities(), rc == 0 || identities() == 2 ? 2 : 1);
		assert_answered(call_import(&w, &w.second), n);
		assert_int_equal(identities(), 2);
		if (n % 64 == 0)
			assert_true(device_gets(&w, &w.device, &w.second));
		assert_answered(call_delete(&w, &w.second), n);
	}
	assert_sound(&w);
	print_message("%zu allocations\n", n);
	assert_true(n > 100);
}

/* ---- a pull: OpenSSL does not survive the want of memory everywhere, and takes the keeper with it ---- */

enum { DIED_IN_OPENSSL = 3 };

static _Atomic size_t *reached; /* shared with the child */

static void look_where(int number)
{
	void *frames[3]; /* this function, the kernel's return from it, and where it happened */
	Dl_info where;
	bool in_openssl = backtrace(frames, 3) == 3 && dladdr(frames[2], &where) &&
			  strstr(where.dli_fname, "libcrypto");
	_exit(in_openssl ? DIED_IN_OPENSSL : 128 + number);
}

/* In a child: pulls from allocation n on, until none fails or the process ends. */
static _Noreturn void pull_in_child(size_t n)
{
	signal(SIGSEGV, look_where);
	if (world_open(&w) < 0)
		_exit(4);
	for (bool failed = true; failed; n++) {
		char etag[64];
		BUF json = buf_of(REQUEST_MAX);
		atomic_store(reached, n);
		break_at(n);
		int rc = call_pull(&w, &w.device, NULL, json, etag);
		failed = mend();
		if (rc != 0 && rc != -FAULT_UNAVAILABLE && rc != -FAULT_INTERNAL)
			_exit(1);
		buf_reset(json);
		if (call_pull(&w, &w.device, NULL, json, etag) != 0)
			_exit(2);
	}
	_exit(0);
}

TEST(each_allocation_of_a_pull_fails_and_the_next_one_gets_everything)
{
	unsigned died = 0;
	int status = -1;
	void *unused[1];
	begin();
	world_close(&w);
	reached = mmap(NULL, sizeof *reached, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(reached != MAP_FAILED);
	backtrace(unused, 1); /* its library is loaded at the first call */
	for (size_t n = 0; status != 0; n = atomic_load(reached) + 1) {
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0)
			pull_in_child(n);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (status != 0 && WEXITSTATUS(status) != DIED_IN_OPENSSL)
			print_error("allocation %zu: status %d\n", atomic_load(reached), status);
		assert_true(status == 0 || WEXITSTATUS(status) == DIED_IN_OPENSSL);
		died += status != 0;
	}
	assert_done(world_open(&w));
	assert_true(device_gets(&w, &w.device, &w.first));
	assert_sound(&w);
	print_message("%zu allocations; at %u of them OpenSSL ended the process\n", atomic_load(reached), died);
	assert_true(atomic_load(reached) > 100 && died < atomic_load(reached) / 50);
}

/* ---- an enrolment ---- */

TEST(each_allocation_of_an_enrolment_fails_and_its_token_is_spent_once_or_not_at_all)
{
	size_t n = 0;
	begin();
	for (bool failed = true; failed; n += step(ENROLMENT_STEP)) {
		char token[64];
		assert_done(call_add_enrolment(&w, token));
		break_at(n);
		int rc = call_enroll(&w, token, &w.other);
		failed = mend();
		assert_told_so(rc, n);
		/* Where the answer alone was lost the same request gets it again. */
		assert_answered(call_enroll(&w, token, &w.other), n);
		assert_fault(call_enroll(&w, token, &w.third), TOKEN_SPENT);
		assert_answered(call_revoke(&w, &w.other), n);
	}
	assert_sound(&w);
	print_message("%zu allocations\n", n);
	assert_true(n > 100);
}

/* Also after a test that failed in the middle. */
static int tidy(void **state)
{
	(void)state;
	memory_mend();
	w.short_of_memory = false;
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
	return 0;
}

static int forget(void **state)
{
	(void)state;
	world_free(&w);
	return 0;
}

#define memory_test(name) cmocka_unit_test_teardown(name, tidy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		memory_test(each_allocation_of_an_import_fails_and_it_is_there_whole_or_not_at_all),
		memory_test(each_allocation_of_a_pull_fails_and_the_next_one_gets_everything),
		memory_test(each_allocation_of_an_enrolment_fails_and_its_token_is_spent_once_or_not_at_all),
	};
	return cmocka_run_group_tests(tests, make, forget);
}
