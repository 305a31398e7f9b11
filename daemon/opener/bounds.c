/* Limits of an opener. Its signal handlers do nothing but write() and _exit(). */
#include "bounds.h"

#include "fault.h"
#include "frame.h"
#include "harden.h"
#include "protocol.h"

#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>

enum { EXIT_LIMIT = 75, NICE = 10 };

struct ready_frame {
	uint8_t at[256];
	size_t len;
};

/* For the handlers, which get no argument. */
static int answer_fd = -1;
static struct ready_frame too_expensive, too_busy;
static volatile sig_atomic_t answer_pending; /* a request was read and nothing of its answer was written */

/* Nothing here waits for anything, so time that passes without computing is the machine's doing, not the request's. */
static void on_limit(int number)
{
	const struct ready_frame *frame = number == SIGALRM ? &too_busy : &too_expensive;
	if (answer_pending) {
		ssize_t written = write(answer_fd, frame->at, frame->len);
		(void)written;
	}
	_exit(EXIT_LIMIT);
}

static void make_frame(enum fault fault, const char *detail, struct ready_frame *ret)
{
	const struct msg_error m = { .fault = (uint8_t)fault, .detail = view_text(detail) };
	BUF b = buf_new(sizeof ret->at);
	if (!b)
		_exit(EXIT_LIMIT);
	frame_begin(b, VERB_ERROR);
	put_error(b, &m);
	buf_poke_u32(b, 0, (uint32_t)(buf_len(b) - 4));
	ret->len = buf_len(b);
	memcpy(ret->at, buf_data(b), ret->len);
}

static void must(int rc, const char *what)
{
	if (rc == 0)
		return;
	perror(what);
	_exit(70);
}

static void set_limit(int what, rlim_t value, const char *name)
{
	struct rlimit old;
	must(limit_get(what, &old), name);
	if (value > old.rlim_max)
		value = old.rlim_max;
	const struct rlimit limit = { value, value };
	must(limit_set(what, &limit), name);
}

void bounds_lock_in(int fd, unsigned life_cpu_seconds)
{
	const struct sigaction action = { .sa_handler = on_limit };
	answer_fd = fd;
	make_frame(FAULT_TOO_EXPENSIVE, "opening this took longer than is allowed", &too_expensive);
	make_frame(FAULT_UNAVAILABLE, "this machine is too busy to open it: try again later", &too_busy);
	must(sigaction(SIGXCPU, &action, NULL), "SIGXCPU");
	must(sigaction(SIGALRM, &action, NULL), "SIGALRM");
	signal(SIGXFSZ, SIG_IGN); /* a log line to a plain file is lost; it is not worth a life */
	set_limit(RLIMIT_NOFILE, (rlim_t)fd + 1, "RLIMIT_NOFILE"); /* poll() asks for at least one */
	set_limit(RLIMIT_FSIZE, 0, "RLIMIT_FSIZE");
	set_limit(RLIMIT_NPROC, 0, "RLIMIT_NPROC"); /* root is not bound by it */
	set_limit(RLIMIT_CPU, life_cpu_seconds, "RLIMIT_CPU");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	set_limit(RLIMIT_AS, MEMORY_MAX_BYTES, "RLIMIT_AS"); /* sanitizers take terabytes of addresses */
#endif
	/* Its unit may have seen to that, and taken the call away. */
	if (getpriority(PRIO_PROCESS, 0) < NICE && setpriority(PRIO_PROCESS, 0, NICE) < 0)
		perror("pfxd-opener: nice");
}

static rlim_t cpu_used(void)
{
	struct rusage used;
	getrusage(RUSAGE_SELF, &used);
	return (rlim_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + 1;
}

static rlim_t cpu_hard(void)
{
	struct rlimit limit = { 0, 0 };
	limit_get(RLIMIT_CPU, &limit);
	return limit.rlim_max;
}

bool bounds_allow(unsigned cpu_seconds)
{
	return cpu_used() + cpu_seconds < cpu_hard();
}

void bounds_begin(unsigned cpu_seconds)
{
	const struct rlimit limit = { cpu_used() + cpu_seconds, cpu_hard() };
	unsigned wall = 3 * cpu_seconds > REQUEST_WALL_SECONDS ? 3 * cpu_seconds : REQUEST_WALL_SECONDS;
	must(limit_set(RLIMIT_CPU, &limit), "RLIMIT_CPU");
	alarm(wall);
	answer_pending = 1;
}

void bounds_answering(void)
{
	answer_pending = 0;
}

void bounds_end(void)
{
	answer_pending = 0;
	alarm(0);
}

/* ---- memory ---- */

static bool was_short;

static void *watched_malloc(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	void *p = malloc(size);
	was_short |= !p && size > 0;
	return p;
}

static void *watched_realloc(void *old, size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	void *p = realloc(old, size);
	was_short |= !p && size > 0;
	return p;
}

static void watched_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	free(p);
}

void memory_watch(void)
{
	CRYPTO_set_mem_functions(watched_malloc, watched_realloc, watched_free);
}

bool memory_was_short(void)
{
	return was_short;
}
