/* One HTTP request on its way through the front: the HTTP threads fill it in, a worker reads it and writes the reply,
 * and an HTTP thread sends that. Only one thread has it at a time. */
#ifndef PFXD_REQUEST_H
#define PFXD_REQUEST_H

#include "body.h"
#include "protocol.h"
#include "reply.h"
#include "route.h"
#include "text.h"
#include "uri.h"

struct http;
struct peer;
struct MHD_Connection;

enum request_state {
	REQUEST_NEW,        /* its first line is there */
	REQUEST_COLLECTING, /* its headers, and parts of its body */
	REQUEST_WAITING,    /* suspended; a worker has it or will */
	REQUEST_ANSWERED,   /* the worker is done */
};

struct request {
	struct request *next; /* in the queue of the workers */
	struct http *http;
	struct MHD_Connection *connection;
	struct peer *peer;
	enum request_state state;
	int64_t began_ms;
	char id[UUID_TEXT + 1];

	struct uri uri;
	const struct route *route; /* NULL: there is none */
	const char *method;        /* the HTTP library's; valid until the request is done */
	struct buf *token_secret;  /* from Authorization; NULL when that is missing or malformed */
	bool has_fingerprint;      /* a client certificate was shown */
	uint8_t fingerprint[FINGERPRINT_BYTES];
	char if_none_match[ETAG_MAX_BYTES + 1];
	char device_id[UUID_TEXT + 1]; /* that the answer names */

	struct body body;
	struct reply reply;
	bool ends_connection; /* nobody can tell where the next request on it begins */
	bool told; /* its event is logged */
};

/* Makes the request whose first line names target. NULL without memory. */
struct request *request_new(struct http *http, struct MHD_Connection *connection, const char *target);
/* Wipes and frees; NULL is fine. */
void request_free(struct request *r);

/* The parts of the path that name something, decoded. MALFORMED_REQUEST or NOT_FOUND with a sentence. */
int request_upn(const struct request *r, struct view *ret);
int request_object_id(struct request *r, struct view *ret);
int request_thumbprint(const struct request *r, uint8_t ret[static THUMBPRINT_MAX_BYTES], struct view *ret_view);

/* A UPN, wherever it stands: MALFORMED_REQUEST unless it is 1 to UPN_MAX_BYTES of clean text. */
int check_upn(struct view upn);

/* A thumbprint in hex, SHA-1 or SHA-256, of either case. Returns its bytes' number, or 0 if it is none. */
size_t thumbprint_decode(struct view text, uint8_t ret[static THUMBPRINT_MAX_BYTES]);

#endif
