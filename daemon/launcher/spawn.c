/* From fork() to execve(). Launcher. The launcher has one thread, so the child may use all of libc. */
#include "spawn.h"

#include "fault.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FIRST_PASSED = 3,
	NOT_EXECUTED = 127,
	ENVIRONMENT_MAX = 24,
	ENVIRONMENT_TEXT_MAX = 4096,
	OPENER_MEMORY_MAX_BYTES = 768 * 1024 * 1024,
	OPENER_FILES_MAX = 16,
	OPENER_CPU_MAX_SECONDS = 600, /* an opener sets itself less */
	OPENER_NICE = 10,
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool sanitized = true; /* their shadow memory is larger than any limit */
#else
static const bool sanitized = false;
#endif

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	log_detail(EVENT_ROOM_NOT_STARTED, "a child can not be set up: %s: %s", what, strerror(errno));
	_exit(NOT_EXECUTED);
}

/* ---- the environment ---- */

struct environment {
	char *entries[ENVIRONMENT_MAX + 1];
	size_t count, used;
	char text[ENVIRONMENT_TEXT_MAX];
};

static void set(struct environment *e, const char *name, const char *value)
{
	size_t room = sizeof e->text - e->used;
	int len = snprintf(e->text + e->used, room, "%s=%s", name, value);
	if (e->count == ENVIRONMENT_MAX || len < 0 || (size_t)len >= room)
		return;
	e->entries[e->count++] = e->text + e->used;
	e->used += (size_t)len + 1;
}

/* For tests only, which move the clock or look for mistakes in memory. */
static void pass_on(struct environment *e)
{
	static const char *const names[] = {
		"LD_PRELOAD", "FAKETIME", "FAKETIME_TIMESTAMP_FILE", "FAKETIME_NO_CACHE", "FAKETIME_DONT_RESET",
		"FAKETIME_DONT_FAKE_MONOTONIC", "FAKETIME_SHARED", "DONT_FAKE_MONOTONIC", "ASAN_OPTIONS",
		"LSAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS",
	};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		const char *value = getenv(names[i]);
		if (value)
			set(e, names[i], value);
	}
}

static void set_passed(struct environment *e, const struct spawn *s)
{
	char number[24], names[128] = "";
	size_t len = 0;
	for (size_t i = 0; i < s->passed_count; i++)
		len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", i ? ":" : "", s->passed[i].name);
	snprintf(number, sizeof number, "%zu", s->passed_count);
	set(e, "LISTEN_FDS", number);
	set(e, "LISTEN_FDNAMES", names);
	snprintf(number, sizeof number, "%ld", (long)getpid());
	set(e, "LISTEN_PID", number);
}

/* ---- the child ---- */

/* Puts the sockets at 3, 4 … and closes everything above. They are moved up first: one may stand where another goes. */
static void arrange_descriptors(const struct spawn *s)
{
	int high[PASSED_MAX];
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	must(null, "/dev/null");
	must(dup2(null, STDIN_FILENO), "standard input");
	/* The launcher's standard output carries one line, and that is its own. */
	must(dup2(STDERR_FILENO, STDOUT_FILENO), "standard output");
	for (size_t i = 0; i < s->passed_count; i++)
		must(high[i] = fcntl(s->passed[i].fd, F_DUPFD_CLOEXEC, FIRST_PASSED + PASSED_MAX), "a passed socket");
	for (size_t i = 0; i < s->passed_count; i++)
		must(dup2(high[i], FIRST_PASSED + (int)i), "a passed socket");
	must(close_range(FIRST_PASSED + (unsigned)s->passed_count, ~0u, 0), "close_range");
}

static void limit(__rlimit_resource_t what, rlim_t most)
{
	const struct rlimit l = { most, most };
	must(setrlimit(what, &l), "a limit");
}

static void confine(void)
{
	struct stat log;
	if (!sanitized) {
		limit(RLIMIT_AS, OPENER_MEMORY_MAX_BYTES);
		limit(RLIMIT_NOFILE, OPENER_FILES_MAX);
	}
	/* The limit would hit the log as well, where that is a file. */
	if (fstat(STDERR_FILENO, &log) < 0 || !S_ISREG(log.st_mode))
		limit(RLIMIT_FSIZE, 0);
	limit(RLIMIT_CPU, OPENER_CPU_MAX_SECONDS);
	must(setpriority(PRIO_PROCESS, 0, OPENER_NICE), "a low priority");
}

__attribute__((noreturn))
static void be_child(const struct spawn *s, pid_t parent)
{
	struct environment e = { .count = 0 };
	sigset_t none;
	must(prctl(PR_SET_PDEATHSIG, SIGKILL), "PR_SET_PDEATHSIG");
	if (getppid() != parent)
		_exit(NOT_EXECUTED); /* it died before that took hold */
	/* A group of its own: Ctrl-C is for the launcher, which ends the rooms in their order. */
	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	arrange_descriptors(s);
	limit(RLIMIT_CORE, 0);
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
	if (s->confined)
		confine();
	set(&e, "PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
	if (s->notify)
		set(&e, "NOTIFY_SOCKET", s->notify);
	if (s->passed_count > 0)
		set_passed(&e, s);
	/* Whose standard error is the journal may write entries there. */
	if (getenv("JOURNAL_STREAM"))
		set(&e, "JOURNAL_STREAM", getenv("JOURNAL_STREAM"));
	pass_on(&e);
	execve(s->program, (char *const *)(void *)s->arguments, e.entries);
	must(-1, s->program);
	abort();
}

pid_t spawn(const struct spawn *s)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid < 0)
		return fail(FAULT_UNAVAILABLE, "no new process: %s", strerror(errno));
	if (pid == 0)
		be_child(s, parent);
	return pid;
}
