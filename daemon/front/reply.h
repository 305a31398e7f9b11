/* The answer to a request, before it is HTTP. */
#ifndef PFXD_REPLY_H
#define PFXD_REPLY_H

#include "buf.h"
#include "fault.h"

#include <jansson.h>

struct request;

enum { REPLY_ALLOW_MAX = 64, RETRY_AFTER_SECONDS = 2 };

struct reply {
	int status;
	int fault;             /* 0, or the negative code that was told */
	char detail[FAULT_DETAIL_MAX]; /* why, for the log */
	const char *type;      /* of the content; NULL: there is none */
	struct buf *body;      /* owned, until it is sent */
	struct view content;   /* what of body is sent */
	struct view etag;      /* in body */
	uint32_t retry_after;  /* seconds; 0: not told */
	char allow[REPLY_ALLOW_MAX];
};

void reply_done(struct reply *reply);

/* Each forgets what the reply said before, and returns 0 or INTERNAL without memory. */
int reply_nothing(struct request *r, int status);
/* Takes json over, also on failure; NULL counts as no memory. */
int reply_json(struct request *r, int status, json_t *json);
/* Takes body over, also on failure; content is the part of it that is sent. */
int reply_bytes(struct request *r, int status, const char *type, struct buf *body, struct view content);

/* Tells code with this thread's fault_detail(), as RFC 9457 has it; what is the rooms' own business is for the log
 * alone, and the client gets a general sentence. retry_after 0: where the status wants one, RETRY_AFTER_SECONDS. Can not
 * fail: without memory the answer has no body. */
void reply_problem(struct request *r, int code, uint32_t retry_after);

/* Appends json as text. False without memory. */
bool json_write(const json_t *json, struct buf *ret);

#endif
