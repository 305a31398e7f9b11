/* Asks the keeper on this machine. pfxctl, as root on the server. */
#include "local.h"

#include "../shared/trouble.h"
#include "fault.h"
#include "frame.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SILENT_SECONDS = 3, SEND_SECONDS = 120, END_SECONDS = 120, FRAME_ROOM = 64, LINE_CHARS = 60 };

static int no_answer(void)
{
	return trouble(EXIT_LATER, "the keeper does not answer at its local socket: %s; systemctl start pfxd.target "
		       "starts it; where that does not help systemctl status pfxd-keeper tells more", fault_detail());
}

int local_other_version(void)
{
	return trouble(EXIT_REFUSED, "the keeper's answer is none: it is of another version than pfxctl");
}

static int take(uint8_t got, enum verb verb, struct view fields)
{
	struct msg_error error;
	if (got == verb)
		return EXIT_DONE;
	if (got != VERB_ERROR || read_error(fields, &error) < 0)
		return local_other_version();
	return trouble_coded(error.fault == FAULT_UNAVAILABLE ? EXIT_LATER : EXIT_REFUSED, fault_code(-error.fault),
			     "%s: %.*s", fault_code(-error.fault), (int)error.detail.len, (const char *)error.detail.p);
}

/* Who sits before it is told what he waits for. */
static void tell_of_waiting(int fd, unsigned seconds)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	if (isatty(STDERR_FILENO) && poll(&p, 1, SILENT_SECONDS * 1000) == 0)
		fprintf(stderr, "pfxctl: waiting for the keeper's answer, %u seconds at most\n", seconds);
}

/* With one answer. */
static int ask(const struct server *server, enum verb verb, unsigned seconds, struct buf *answer,
	       struct view *ret_fields)
{
	char path[PATH_BYTES];
	uint8_t got = 0;
	int64_t until_ms = clock_ms() + (int64_t)seconds * 1000;
	BUF question = buf_new(FRAME_HEADER_BYTES);
	int rc = question ? path_join(path, server->runtime, LOCAL_SOCKET) : trouble(EXIT_LOCAL, "no memory");
	if (rc)
		return rc;
	FD fd = unix_connect(path);
	if (fd < 0)
		return no_answer();
	frame_begin(question, (uint8_t)verb);
	if (frame_send(fd, question, until_ms) < 0)
		return no_answer();
	tell_of_waiting(fd, seconds);
	if (frame_receive(fd, answer, FRAME_MAX_BYTES, until_ms, &got, ret_fields) < 0)
		return no_answer();
	return take(got, verb, *ret_fields);
}

/* Before what takes long: a socket of systemd's takes connections also where no keeper comes to answer them. */
static int check_answers(const struct server *server, struct buf *answer)
{
	struct view fields;
	int rc = ask(server, VERB_HEALTH, LOCAL_ANSWER_SECONDS, answer, &fields);
	buf_reset(answer);
	return rc;
}

int local_ask(const struct server *server, enum verb verb, unsigned seconds, struct buf *answer,
	      struct view *ret_fields)
{
	int rc = seconds > LOCAL_ANSWER_SECONDS ? check_answers(server, answer) : EXIT_DONE;
	return rc ? rc : ask(server, verb, seconds, answer, ret_fields);
}

/* ---- what takes long ---- */

/* On a terminal, over the line before. */
static void show_progress(const struct msg_progress *m)
{
	static const char *const words[] = {
		[STAGE_COPYING] = "copying", [STAGE_CHECKING] = "checking", [STAGE_SENDING] = "writing",
		[STAGE_RECEIVING] = "handing over", [STAGE_HOLDING] = "holding devices", [STAGE_VERIFYING] = "verified",
	};
	char line[LINE_CHARS + 1];
	if (!isatty(STDERR_FILENO) || m->stage == 0)
		return;
	if (m->stage == STAGE_VERIFYING)
		snprintf(line, sizeof line, "%llu of %llu %s", (unsigned long long)m->done,
			 (unsigned long long)m->total, words[m->stage]);
	else if (m->total)
		snprintf(line, sizeof line, "%s, %llu %%", words[m->stage],
			 (unsigned long long)((double)m->done / (double)m->total * 100));
	else
		snprintf(line, sizeof line, "%s", words[m->stage]);
	fprintf(stderr, "\r%-*s", LINE_CHARS, line);
}

static void end_progress(void)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%*s\r", LINE_CHARS, "");
}

static int read_next(int file, struct buf *bytes, uint64_t left)
{
	size_t most = left < PART_MAX_BYTES ? (size_t)left : PART_MAX_BYTES;
	buf_reset(bytes);
	uint8_t *at = buf_reserve(bytes, most);
	ssize_t n = at ? read(file, at, most) : -1;
	if (n <= 0)
		return trouble(EXIT_LOCAL, "the file can not be read: %s", n == 0 ? "it has become shorter" :
			       strerror(errno));
	buf_truncate(bytes, (size_t)n);
	return EXIT_DONE;
}

/* A keeper that wants no more has said why: that is received next. A part that can not be sent is no trouble here. */
static int send_file(int fd, const struct local_talk *talk)
{
	BUF bytes = buf_new(PART_MAX_BYTES);
	BUF frame = buf_new(PART_MAX_BYTES + FRAME_ROOM);
	int rc = bytes && frame ? EXIT_DONE : trouble(EXIT_LOCAL, "no memory");
	for (uint64_t sent = 0; rc == EXIT_DONE && sent < talk->file_bytes; sent += buf_len(bytes)) {
		const struct msg_progress progress = { STAGE_RECEIVING, sent, talk->file_bytes };
		show_progress(&progress);
		rc = read_next(talk->file, bytes, talk->file_bytes - sent);
		if (rc)
			return rc;
		const struct msg_part part = { buf_view(bytes) };
		frame_begin(frame, VERB_PART);
		put_part(frame, &part);
		if (frame_send(fd, frame, clock_ms() + SEND_SECONDS * 1000) < 0)
			return EXIT_DONE;
	}
	return rc;
}

/* One frame. *ret_over: it is the answer. */
static int take_next(int fd, const struct local_talk *talk, struct buf *answer, struct view *ret_fields, bool *ret_over)
{
	struct msg_progress progress;
	struct msg_part part;
	uint8_t verb = 0;
	*ret_over = false;
	if (frame_receive(fd, answer, FRAME_MAX_BYTES, clock_ms() + LOCAL_VERIFY_SECONDS * 1000, &verb, ret_fields) < 0)
		return no_answer();
	if (verb == VERB_PROGRESS && read_progress(*ret_fields, &progress) == 0) {
		show_progress(&progress);
		if (progress.stage == STAGE_SENDING && progress.done == 0 && talk->on_size)
			return talk->on_size(talk->arg, progress.total);
		return progress.stage == STAGE_RECEIVING && talk->file >= 0 ? send_file(fd, talk) : EXIT_DONE;
	}
	if (verb == VERB_PART && talk->on_part && read_part(*ret_fields, &part) == 0)
		return talk->on_part(talk->arg, part.bytes);
	*ret_over = true;
	return take(verb, talk->verb, *ret_fields);
}

/* When it closes this connection, it takes no new ones any more: who connects then is answered by the next keeper. */
static int await_end(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	if (poll(&p, 1, END_SECONDS * 1000) > 0)
		return EXIT_DONE;
	return trouble(EXIT_LATER, "the keeper did not end within %d seconds, as it said it would", END_SECONDS);
}

int local_talk(const struct server *server, const struct local_talk *talk, struct buf *answer, struct view *ret_fields)
{
	char path[PATH_BYTES];
	bool over = false;
	int rc = path_join(path, server->runtime, LOCAL_SOCKET);
	if (rc == EXIT_DONE)
		rc = check_answers(server, answer);
	FD fd = rc == EXIT_DONE ? unix_connect(path) : -1;
	if (rc == EXIT_DONE && (fd < 0 || frame_send(fd, talk->question, clock_ms() + SEND_SECONDS * 1000) < 0))
		rc = no_answer();
	while (rc == EXIT_DONE && !over)
		rc = take_next(fd, talk, answer, ret_fields, &over);
	if (rc == EXIT_DONE && talk->until_end)
		rc = await_end(fd);
	end_progress();
	return rc;
}
