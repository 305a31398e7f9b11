/* Runs other programs of this machine, such as systemd-creds. pfxctl. Secrets pass by pipes alone; nothing of this
 * program's environment and none of its descriptors goes along. */
#include "child.h"

#include "../shared/trouble.h"
#include "frame.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

enum { PART_BYTES = 4096, ERRORS_MAX_BYTES = 16384, SIGNALLED = 128 };

/* The two ends of the child's standard descriptors: ours and, until it runs, its own. */
struct pipes {
	int input[2], output[2], errors[2];
};

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void pipes_close(struct pipes *p)
{
	int *const all[] = { &p->input[0], &p->input[1], &p->output[0], &p->output[1], &p->errors[0], &p->errors[1] };
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		close_one(all[i]);
}
#define PIPES __attribute__((cleanup(pipes_close))) struct pipes

/* Above the standard descriptors: one of those may be closed, and is where the child's goes. */
static bool move_up(int *fd)
{
	int high = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	close(*fd);
	*fd = high;
	return high >= 0;
}

static bool make_pipe(int ret[2])
{
	return pipe2(ret, O_CLOEXEC) == 0 && move_up(&ret[0]) && move_up(&ret[1]);
}

static int start(const struct child *child, struct pipes *p, pid_t *ret)
{
	static const char *const environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, defaults;
	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	int rc = posix_spawn_file_actions_adddup2(&actions, p->input[0], STDIN_FILENO);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(&actions, p->output[1], STDOUT_FILENO);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(&actions, p->errors[1], STDERR_FILENO);
	if (rc == 0)
		rc = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
	if (rc == 0)
		rc = posix_spawn(ret, child->program, &actions, &attributes, (char *const *)(uintptr_t)child->arguments,
				 (char *const *)(uintptr_t)environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return rc == 0 ? EXIT_DONE : trouble(EXIT_LOCAL, "can not run %s: %s", child->program, strerror(rc));
}

/* Writes what fits of *rest; closes the pipe when all is written or nobody reads. */
static void feed(int *fd, struct view *rest)
{
	ssize_t n = rest->len > 0 ? write(*fd, rest->p, rest->len) : 0;
	if (n > 0)
		*rest = view_of(rest->p + n, rest->len - (size_t)n);
	if (rest->len == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_one(fd);
}

/* Takes what is there into b; closes the pipe at its end, and when b is full: who writes on then is ended by that. */
static void drain(int *fd, struct buf *b)
{
	uint8_t part_secret[PART_BYTES];
	ssize_t n = read(*fd, part_secret, sizeof part_secret);
	if (n > 0)
		buf_put(b, part_secret, (size_t)n);
	if (n == 0 || !buf_ok(b) || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_one(fd);
	explicit_bzero(part_secret, sizeof part_secret);
}

/* Until it has closed its output. False when the time is over. */
static bool converse(struct pipes *p, struct view input_secret, int64_t until_ms, struct buf *output_secret,
		     struct buf *errors)
{
	fcntl(p->input[1], F_SETFL, O_NONBLOCK);
	while (p->output[0] >= 0 || p->errors[0] >= 0) {
		int64_t left_ms = until_ms - clock_ms();
		struct pollfd polled[] = {
			{ .fd = p->input[1], .events = POLLOUT },
			{ .fd = p->output[0], .events = POLLIN },
			{ .fd = p->errors[0], .events = POLLIN },
		};
		if (left_ms <= 0)
			return false;
		if (poll(polled, 3, (int)left_ms) <= 0)
			continue;
		if (polled[0].revents)
			feed(&p->input[1], &input_secret);
		if (polled[1].revents)
			drain(&p->output[0], output_secret);
		if (polled[2].revents)
			drain(&p->errors[0], errors);
	}
	return true;
}

/* It may live on without its output. */
static bool ends_until(pid_t pid, int64_t until_ms)
{
	FD fd = pidfd_open(pid, 0);
	for (int64_t left_ms; fd >= 0 && (left_ms = until_ms - clock_ms()) > 0;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		if (poll(&p, 1, (int)left_ms) > 0)
			return true;
	}
	return false;
}

static int wait_for(pid_t pid)
{
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFSIGNALED(status) ? SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The last line that is not empty. */
static void last_line(struct buf *errors, char ret[static CHILD_SAID_MAX])
{
	struct view text = buf_view(errors);
	while (text.len > 0 && text.p[text.len - 1] == '\n')
		text.len--;
	const uint8_t *before = text.len > 0 ? memrchr(text.p, '\n', text.len) : NULL;
	size_t from = before ? (size_t)(before - text.p) + 1 : 0;
	snprintf(ret, CHILD_SAID_MAX, "%.*s", (int)(text.len - from), (const char *)text.p + from);
	text_disarm(ret);
}

int child_run(const struct child *child, struct buf *ret_secret, char ret_said[static CHILD_SAID_MAX], int *ret_status)
{
	pid_t pid = 0;
	PIPES p = { { -1, -1 }, { -1, -1 }, { -1, -1 } };
	BUF errors = buf_new(ERRORS_MAX_BYTES);
	ret_said[0] = '\0';
	if (!errors || !make_pipe(p.input) || !make_pipe(p.output) || !make_pipe(p.errors))
		return trouble(EXIT_LOCAL, "can not run %s: no descriptors or no memory", child->program);
	int rc = start(child, &p, &pid);
	if (rc)
		return rc;
	close_one(&p.input[0]);
	close_one(&p.output[1]);
	close_one(&p.errors[1]);
	int64_t until_ms = clock_ms() + (int64_t)child->seconds * 1000;
	bool ended = converse(&p, child->input_secret, until_ms, ret_secret, errors) && ends_until(pid, until_ms);
	if (!ended)
		kill(pid, SIGKILL);
	*ret_status = wait_for(pid);
	if (!ended)
		return trouble(EXIT_LOCAL, "%s did not end within %u seconds", child->program, child->seconds);
	if (!buf_ok(ret_secret))
		return trouble(EXIT_LOCAL, "%s wrote more than was expected", child->program);
	last_line(errors, ret_said);
	return EXIT_DONE;
}
