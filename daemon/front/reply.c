/* Makes answers: JSON, bytes, and problems. Front. A secret never passes through json_t here: see json_quote(). */
#include "reply.h"

#include "protocol.h"
#include "request.h"

#include <string.h>

void reply_done(struct reply *reply)
{
	buf_free(reply->body);
	*reply = (struct reply){ 0 };
}

static void start(struct request *r, int status)
{
	char allow[REPLY_ALLOW_MAX];
	memcpy(allow, r->reply.allow, sizeof allow);
	reply_done(&r->reply);
	r->reply.status = status;
	memcpy(r->reply.allow, allow, sizeof allow);
}

int reply_nothing(struct request *r, int status)
{
	start(r, status);
	return 0;
}

int reply_bytes(struct request *r, int status, const char *type, struct buf *body, struct view content)
{
	start(r, status);
	r->reply.type = type;
	r->reply.body = body;
	r->reply.content = content;
	return buf_ok(body) ? 0 : fail(FAULT_INTERNAL, "no memory for an answer");
}

static int append(const char *text, size_t len, void *ret)
{
	buf_put(ret, text, len);
	return 0;
}

bool json_write(const json_t *json, struct buf *ret)
{
	return json && json_dump_callback(json, append, ret, JSON_COMPACT) == 0 && buf_ok(ret);
}

static int reply_json_as(struct request *r, int status, const char *type, json_t *json)
{
	struct buf *body = buf_new(FRAME_MAX_BYTES);
	bool written = body && json_write(json, body);
	json_decref(json);
	if (written)
		return reply_bytes(r, status, type, body, buf_view(body));
	buf_free(body);
	return fail(FAULT_INTERNAL, "no memory for an answer");
}

int reply_json(struct request *r, int status, json_t *json)
{
	return reply_json_as(r, status, "application/json", json);
}

static const char *public_detail(int code, const char *detail)
{
	return fault_is_public(code) && code != -FAULT_INTERNAL ? detail :
	       "the cause is in the service's log, under this request's id";
}

void reply_problem(struct request *r, int code, uint32_t retry_after)
{
	int status = fault_status(code);
	char type[64], detail[FAULT_DETAIL_MAX];
	snprintf(detail, sizeof detail, "%s", fault_detail());
	snprintf(type, sizeof type, "urn:pfxd:problem:%s", fault_code(code));
	json_t *problem = json_pack("{s:s, s:s, s:i, s:s, s:s, s:s}", "type", type, "title", fault_title(code),
				    "status", status, "detail", public_detail(code, detail), "code", fault_code(code),
				    "requestId", r->id);
	if (reply_json_as(r, status, "application/problem+json", problem) < 0)
		reply_nothing(r, status);
	r->reply.fault = code;
	memcpy(r->reply.detail, detail, sizeof detail);
	if (status == 503 || status == 429)
		r->reply.retry_after = retry_after ? retry_after : RETRY_AFTER_SECONDS;
}
