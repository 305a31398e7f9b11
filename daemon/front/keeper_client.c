/* Speaks to the keeper. Front. It waits for a keeper that is being started again, and never sends a second time what
 * might have changed something the first time. */
#include "keeper_client.h"

#include "body.h"
#include "fault.h"
#include "frame.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CONNECT_PAUSE_FIRST_MS = 20, CONNECT_PAUSE_LAST_MS = 320, RETRY_MAX_SECONDS = 86400 };

struct keeper {
	const char *path;
	int fd;
	struct buf *out, *in;
	int64_t deadline_ms;
	bool repeatable, asked;
	uint32_t retry_after;
	struct body *input;
};

struct keeper *keeper_new(const char *path)
{
	struct keeper *k = calloc(1, sizeof *k);
	if (!k)
		return NULL;
	k->path = path;
	k->fd = -1;
	k->out = buf_new(FRAME_MAX_BYTES);
	k->in = buf_new(FRAME_MAX_BYTES);
	if (k->out && k->in)
		return k;
	keeper_free(k);
	return NULL;
}

static void disconnect(struct keeper *k)
{
	closep(&k->fd);
	k->fd = -1;
}

void keeper_free(struct keeper *k)
{
	if (!k)
		return;
	disconnect(k);
	buf_free(k->out);
	buf_free(k->in);
	free(k);
}

void keeper_begin(struct keeper *k, int64_t deadline_ms, bool repeatable, struct body *input)
{
	k->deadline_ms = deadline_ms;
	k->repeatable = repeatable;
	k->asked = false;
	k->retry_after = 0;
	k->input = input;
}

void keeper_done(struct keeper *k)
{
	buf_reset(k->out);
	if (k->in)
		buf_reset(k->in);
}

bool keeper_was_asked(const struct keeper *k)
{
	return k->asked;
}

uint32_t keeper_retry_after(const struct keeper *k)
{
	return k->retry_after;
}

struct buf *keeper_take_answer(struct keeper *k)
{
	struct buf *answer = k->in;
	k->in = NULL;
	return answer;
}

static void pause_ms(int64_t ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	nanosleep(&t, NULL);
}

/* A connection that works as far as one can see; tries again until the deadline, for a keeper may be starting. */
static int connect_keeper(struct keeper *k)
{
	if (k->fd >= 0 && connection_is_stale(k->fd))
		disconnect(k);
	for (int64_t wait = CONNECT_PAUSE_FIRST_MS; k->fd < 0; wait *= 2) {
		k->fd = unix_connect(k->path);
		if (k->fd >= 0)
			break;
		if (clock_ms() + wait >= k->deadline_ms) {
			k->fd = -1;
			return fail(FAULT_UNAVAILABLE, "the keeper can not be reached right now");
		}
		if (wait > CONNECT_PAUSE_LAST_MS)
			wait = CONNECT_PAUSE_LAST_MS;
		pause_ms(wait);
	}
	return 0;
}

/* Sends the frame whole. A frame that went out in part was not acted upon, so another connection may have it. */
static int send_request(struct keeper *k)
{
	for (;;) {
		int rc = connect_keeper(k);
		if (rc == 0)
			rc = frame_send(k->fd, k->out, k->deadline_ms);
		if (rc == 0 || rc == -FAULT_UNAVAILABLE)
			return rc;
		disconnect(k);
		if (rc != -FAULT_CLOSED)
			return rc;
		pause_ms(CONNECT_PAUSE_FIRST_MS);
	}
}

static int send_and_receive(struct keeper *k, uint8_t *ret_verb, struct view *ret_fields)
{
	for (bool again = k->repeatable;; again = false) {
		int rc = send_request(k);
		if (rc < 0)
			return rc;
		rc = frame_receive(k->fd, k->in, FRAME_MAX_BYTES, k->deadline_ms, ret_verb, ret_fields);
		if (rc == 0)
			return 0;
		disconnect(k);
		if (rc != -FAULT_CLOSED || !again)
			return rc;
	}
}

/* Turns the keeper's error into this thread's. */
static int told(struct keeper *k, struct view fields)
{
	struct msg_error error;
	char detail[FAULT_DETAIL_MAX];
	int rc = read_error(fields, &error);
	if (rc < 0)
		return rc;
	k->retry_after = error.retry_after;
	if (!text_copy(error.detail, detail, sizeof detail))
		detail[0] = '\0';
	bool known = error.fault > FAULT_OK && error.fault < FAULT_COUNT;
	return fail(known ? (enum fault)error.fault : FAULT_INTERNAL, "%s", detail);
}

static int exchange(struct keeper *k, enum verb verb, struct view *ret)
{
	uint8_t got;
	k->asked = true;
	if (!k->in)
		k->in = buf_new(FRAME_MAX_BYTES);
	if (!k->in)
		return fail(FAULT_INTERNAL, "no memory for the keeper's answer");
	if (k->input)
		body_done(k->input);
	k->input = NULL;
	int rc = send_and_receive(k, &got, ret);
	buf_reset(k->out);
	if (rc == -FAULT_TIMED_OUT && k->repeatable)
		return fail(FAULT_UNAVAILABLE, "the keeper took too long");
	if (rc == -FAULT_TIMED_OUT)
		return fail(FAULT_UNAVAILABLE, "the keeper took too long over this, which may or may not be done");
	if (rc == -FAULT_CLOSED)
		return fail(FAULT_UNAVAILABLE,
			    "the keeper was lost while it worked on this, which may or may not be done");
	if (rc < 0)
		return rc;
	if (got == VERB_ERROR)
		return told(k, *ret);
	if (got != verb)
		return fail(FAULT_BAD_FRAME, "the keeper answers %s to %s", verb_name(got), verb_name((uint8_t)verb));
	return 0;
}

/* A frame that can not be read leaves the two sides apart: what follows on that connection means nothing. */
static int checked(struct keeper *k, int rc)
{
	if (rc == -FAULT_BAD_FRAME)
		disconnect(k);
	return rc;
}

#define C(name, verb, message, answer) \
	int keeper_##name(struct keeper *k, const struct msg_##message *m, struct msg_##answer *ret) \
	{ \
		struct view fields = view_text(""); \
		frame_begin(k->out, VERB_##verb); \
		int rc = put_##message(k->out, m); \
		if (rc == 0) \
			rc = exchange(k, VERB_##verb, &fields); \
		if (rc == 0) \
			rc = read_##answer(fields, ret); \
		return checked(k, rc); \
	}
KEEPER_CALLS(C)
#undef C
