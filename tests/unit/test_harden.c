/* What a process gives up for good. Each attempt is made by a child, which is then rid of it. */
#include "unit.h"

#include "harden.h"

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RAN = 0, OTHERWISE = 9 }; /* else: errno */

static char name[] = "true";
static char *const arguments[] = { name, NULL };

static void run_by_execve(void)
{
	execv("/bin/true", arguments);
}

static void run_by_execveat(void)
{
	syscall(SYS_execveat, -1, "/bin/true", arguments, NULL, 0);
}

static void *in_thread(void *arg)
{
	(void)arg;
	run_by_execve();
	return (void *)(intptr_t)errno;
}

static void run_by_thread(void)
{
	pthread_t thread;
	void *error = NULL;
	if (pthread_create(&thread, NULL, in_thread, NULL) == 0)
		pthread_join(thread, &error);
	errno = (int)(intptr_t)error;
}

static void run_by_child(void)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		run_by_execve();
		_exit(errno);
	}
	waitpid(pid, &status, 0);
	errno = WEXITSTATUS(status);
}

/* What becomes of an attempt, after the process was hardened or as it is. */
static int outcome(void (*run)(void), bool hardened)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		if (hardened) {
			harden_process();
			harden_no_exec();
		}
		run();
		_exit(errno);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : OTHERWISE;
}

TEST(no_other_program_is_run_in_whatever_way)
{
	void (*const ways[])(void) = { run_by_execve, run_by_execveat, run_by_thread, run_by_child };
	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
		assert_int_equal(outcome(ways[i], false), RAN);
		assert_int_equal(outcome(ways[i], true), EPERM);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_other_program_is_run_in_whatever_way),
	};
	return RUN(tests);
}
