/* What the log says of a request: what was asked, of whom it was about what the path names, and how it ended. Front. Never a
 * body, a query or a header. */
#include "request_log.h"

#include "clock.h"
#include "encode.h"
#include "fault.h"
#include "http.h"
#include "log.h"
#include "request.h"

#include <string.h>

enum { CALL_MAX = 96, METHOD_MAX = 16, THUMBPRINT_CHARS = 2 * THUMBPRINT_MAX_BYTES };

/* All that is told, as texts; empty where there is none. */
struct told {
	char call[CALL_MAX], method[METHOD_MAX], status[8], ms[24], thumbprint[THUMBPRINT_CHARS + 1];
	struct view path, code, user, device, detail;
	enum log_kind detail_kind;
};

/* The segment of the path that stands for this part of its template. */
static struct view named(const struct request *r, const char *part, unsigned segment)
{
	bool has = r->route && strstr(r->route->path, part) && !r->uri.segments[segment].malformed;
	return view_text(has ? r->uri.segments[segment].text : "");
}

static struct view user_of(const struct request *r)
{
	struct view user = named(r, "/users/{upn}", SEGMENT_NAME);
	return user.len <= UPN_MAX_BYTES ? user : view_text("");
}

static struct view device_of(const struct request *r)
{
	struct view device = named(r, "/devices/{id}", SEGMENT_NAME);
	return uuid_is_valid(device) ? device : view_text(r->device_id);
}

/* In lower case, as the keeper tells them. */
static void tell_thumbprint(const struct request *r, struct told *ret)
{
	uint8_t bytes[THUMBPRINT_MAX_BYTES];
	size_t len = thumbprint_decode(named(r, "/{thumbprint}", SEGMENT_THUMBPRINT), bytes);
	if (len > 0)
		hex_encode(view_of(bytes, len), ret->thumbprint);
}

/* Where there is no such call, method and path as they came: who talks to the wrong port sees it here. */
static void tell_call(const struct request *r, struct told *ret)
{
	if (r->route) {
		snprintf(ret->call, sizeof ret->call, "%s %s", r->route->method, r->route->path);
		return;
	}
	uri_show(r->method ? r->method : "?", ret->method, sizeof ret->method);
	ret->path = view_text(r->uri.shown);
}

static void tell_end(const struct request *r, struct told *ret)
{
	const struct reply *reply = &r->reply;
	if (reply->status == 0) {
		ret->detail = view_text("the client went away or took too long, or the service ended");
		return;
	}
	snprintf(ret->status, sizeof ret->status, "%d", reply->status);
	if (!reply->fault)
		return;
	ret->code = view_text(fault_code(reply->fault));
	ret->detail = view_text(reply->detail);
	/* A sentence about what the client sent may name whom it likes. */
	ret->detail_kind = fault_is_own(reply->fault) ? LOG_PLAIN : LOG_PERSON;
}

static enum log_level level_of(const struct request *r)
{
	int level = r->reply.fault ? fault_level(r->reply.fault) : LOG_LEVEL_INFO;
	if (r->http->role == ROLE_HEALTH && r->route)
		return LOG_LEVEL_DEBUG;
	return level < LOG_LEVEL_INFO ? (enum log_level)level : LOG_LEVEL_INFO;
}

void request_log(struct request *r)
{
	struct told t = { .detail_kind = LOG_PLAIN };
	snprintf(t.ms, sizeof t.ms, "%lld", (long long)(clock_ms() - r->began_ms));
	tell_call(r, &t);
	tell_thumbprint(r, &t);
	tell_end(r, &t);
	const struct log_field fields[] = {
		{ "call", view_text(t.call), LOG_PLAIN },
		{ "method", view_text(t.method), LOG_PLAIN },
		{ "path", t.path, LOG_PERSON }, /* it may name one */
		{ "status", view_text(t.status), LOG_PLAIN },
		{ "code", t.code, LOG_PLAIN },
		{ "ms", view_text(t.ms), LOG_PLAIN },
		{ "user", user_of(r), LOG_PERSON },
		{ "device", device_of(r), LOG_PLAIN },
		{ "thumbprint", view_text(t.thumbprint), LOG_PLAIN },
		{ "detail", t.detail, t.detail_kind },
		{ "request_id", view_text(r->id), LOG_PLAIN },
		{ 0 },
	};
	bool done = r->reply.status > 0 && r->reply.status < 400;
	log_event_at(level_of(r), done ? EVENT_REQUEST_DONE : EVENT_REQUEST_FAILED, fields);
	r->told = true;
}
