/* The target of a request, taken apart and decoded. The HTTP library's own decoding is switched off: it turns %2F
 * into a separator and ends the path at %00. */
#ifndef PFXD_URI_H
#define PFXD_URI_H

#include "buf.h"

enum { URI_SEGMENTS_MAX = 6, URI_QUERY_MAX = 8, URI_SHOWN_MAX = 80 };

struct segment {
	char *text;     /* decoded, ended */
	bool malformed; /* a wrong escape, or not clean UTF-8: it is left as it came */
};

struct parameter {
	char *name, *value; /* decoded as a form: + is a space */
};

struct uri {
	char *bytes; /* owned; the rest points into it */
	struct segment segments[URI_SEGMENTS_MAX];
	size_t segment_count; /* more than URI_SEGMENTS_MAX: a path that no route has */
	struct parameter query[URI_QUERY_MAX];
	size_t query_count;
	bool query_malformed;
	char shown[URI_SHOWN_MAX + 1]; /* the path as it came, printable and cut, for the log; never the query */
};

/* Takes raw apart: a path or, RFC 9112 section 3.2.2, a whole URL. INTERNAL without memory; what is wrong with the
 * text itself is told in ret, for the route to judge. End with uri_done(). */
int uri_parse(const char *raw, struct uri *ret);
void uri_done(struct uri *u);

/* Writes text as printable characters without a space, the others as %XX, and cuts it to size. */
void uri_show(const char *text, char *ret, size_t size);

/* The value of a query parameter, or NULL. */
const char *uri_query(const struct uri *u, const char *name);

/* MALFORMED_REQUEST unless each parameter is one of allowed, a list with spaces between, and there once. */
int uri_check_query(const struct uri *u, const char *allowed);

#endif
