/* Asks the keeper on this machine. pfxctl, as root on the server. */
#include "local.h"

#include "../shared/trouble.h"
#include "fault.h"
#include "frame.h"

static int no_answer(void)
{
	return trouble(EXIT_LATER, "the keeper does not answer at its local socket: %s; systemctl status pfxd-keeper "
		       "tells more", fault_detail());
}

static int take(uint8_t got, enum verb verb, struct view fields)
{
	struct msg_error error;
	if (got == verb)
		return EXIT_DONE;
	if (got != VERB_ERROR || read_error(fields, &error) < 0)
		return trouble(EXIT_REFUSED, "the keeper's answer is none: it is of another version");
	return trouble_coded(error.fault == FAULT_UNAVAILABLE ? EXIT_LATER : EXIT_REFUSED, fault_code(-error.fault),
			     "%s: %.*s", fault_code(-error.fault), (int)error.detail.len, (const char *)error.detail.p);
}

int local_ask(const struct server *server, enum verb verb, unsigned seconds, struct buf *answer,
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
	if (frame_send(fd, question, until_ms) < 0 ||
	    frame_receive(fd, answer, FRAME_MAX_BYTES, until_ms, &got, ret_fields) < 0)
		return no_answer();
	return take(got, verb, *ret_fields);
}
