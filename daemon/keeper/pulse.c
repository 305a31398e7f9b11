/* The keeper asks itself. Keeper only. */
#include "pulse.h"

#include "fault.h"
#include "frame.h"
#include "protocol.h"

#include <sys/socket.h>

enum { SEND_MS = 1000, ANSWER_MAX_BYTES = 1024 };

static void hang_up(struct pulse *p)
{
	closep(&p->fd);
	p->fd = -1;
}

void pulse_begin(struct pulse *p)
{
	int pair[2];
	BUF question = buf_new(KIB);
	if (p->fd >= 0 || !question)
		return;
	p->answered = false;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	p->fd = pair[0];
	frame_begin(question, VERB_PING);
	if (serve_self(p->server, pair[1]) < 0 || frame_send(p->fd, question, clock_ms() + SEND_MS) < 0)
		hang_up(p);
}

bool pulse_has_answered(struct pulse *p)
{
	uint8_t verb;
	struct view fields;
	BUF answer = buf_new(ANSWER_MAX_BYTES);
	/* Something to read, or the end. */
	if (p->fd < 0 || !answer || !connection_is_stale(p->fd))
		return p->answered;
	p->answered = frame_receive(p->fd, answer, ANSWER_MAX_BYTES, clock_ms() + SEND_MS, &verb, &fields) == 0;
	hang_up(p);
	return p->answered;
}

int answer_ping(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	struct msg_nothing nothing;
	READER c = NULL;
	STATEMENT s = NULL;
	int rc = read_nothing(fields, &nothing);
	if (rc == 0)
		rc = db_read(k->db, &c);
	if (rc == 0)
		rc = statement_get(c, SQL_probe_read, &s);
	if (rc == 0)
		rc = statement_step(s);
	return rc < 0 ? rc : put_nothing(answer, &nothing);
}
