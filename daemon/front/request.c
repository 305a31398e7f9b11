/* A request's life, and the names in its path. Front. */
#include "request.h"

#include "clock.h"
#include "encode.h"
#include "fault.h"

#include <ctype.h>
#include <stdlib.h>

struct request *request_new(struct http *http, struct MHD_Connection *connection, const char *target)
{
	struct request *r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	r->http = http;
	r->connection = connection;
	r->began_ms = clock_ms();
	uuid_make(r->id);
	if (uri_parse(target, &r->uri) < 0) {
		free(r);
		return NULL;
	}
	return r;
}

void request_free(struct request *r)
{
	if (!r)
		return;
	uri_done(&r->uri);
	buf_free(r->token_secret);
	body_done(&r->body);
	reply_done(&r->reply);
	free(r);
}

int check_upn(struct view upn)
{
	if (upn.len == 0 || upn.len > UPN_MAX_BYTES || !text_is_clean(upn))
		return fail(FAULT_MALFORMED_REQUEST, "a UPN is 1 to %d bytes of UTF-8 without control characters",
			    UPN_MAX_BYTES);
	return 0;
}

int request_upn(const struct request *r, struct view *ret)
{
	const struct segment *s = &r->uri.segments[SEGMENT_NAME];
	if (s->malformed)
		return fail(FAULT_MALFORMED_REQUEST, "the UPN in the path has a wrong escape, or is not clean UTF-8");
	*ret = view_text(s->text);
	return check_upn(*ret);
}

int request_object_id(struct request *r, struct view *ret)
{
	struct segment *s = &r->uri.segments[SEGMENT_NAME];
	for (char *p = s->text; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	if (s->malformed || !uuid_is_valid(view_text(s->text)))
		return fail(FAULT_NOT_FOUND, "nothing here has such an id: an id is a UUID");
	*ret = view_text(s->text);
	return 0;
}

size_t thumbprint_decode(struct view text, uint8_t ret[static THUMBPRINT_MAX_BYTES])
{
	enum { SHA1_BYTES = 20, SHA256_BYTES = 32 };
	if (hex_decode(text, ret, SHA1_BYTES))
		return SHA1_BYTES;
	return hex_decode(text, ret, SHA256_BYTES) ? SHA256_BYTES : 0;
}

int request_thumbprint(const struct request *r, uint8_t ret[static THUMBPRINT_MAX_BYTES], struct view *ret_view)
{
	size_t len = thumbprint_decode(view_text(r->uri.segments[SEGMENT_THUMBPRINT].text), ret);
	if (len == 0)
		return fail(FAULT_MALFORMED_REQUEST, "a thumbprint is 40 or 64 hexadecimal digits");
	*ret_view = view_of(ret, len);
	return 0;
}
