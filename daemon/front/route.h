/* Every call that the two interfaces and the health listener have, in one table. */
#ifndef PFXD_ROUTE_H
#define PFXD_ROUTE_H

#include "protocol.h"
#include "uri.h"

struct request;
struct keeper;

enum role { ROLE_DEVICE, ROLE_ADMIN, ROLE_HEALTH };

enum route_flag {
	ROUTE_OPEN = 1,    /* on the devices' interface: needs no client certificate */
	ROUTE_IMPORTS = 2, /* waits among the imports, so that what is slow never holds what must be quick */
	ROUTE_INLINE = 4,  /* answered by the HTTP thread: asks no keeper, and waits for nothing */
};

struct route {
	enum role role;
	const char *method;
	const char *path;     /* {upn} and the like take one segment that is not empty */
	enum verb verb;       /* what it asks the keeper for */
	uint32_t body_max;    /* bytes; 0: takes no body */
	const char *query;    /* the parameters it knows, with spaces between */
	unsigned flags;       /* of enum route_flag */
	/* Fills r's reply and returns 0, or a negative code. keeper is NULL for ROUTE_INLINE. */
	int (*handle)(struct request *r, struct keeper *keeper);
};

enum {
	ROUTE_ALLOW_MAX = 64,
	/* Bodies that may come before anybody is known to be entitled are small, whatever max_body_bytes says. */
	BODY_SMALL_MAX_BYTES = 64 * KIB,
	BODY_RECEIPTS_MAX_BYTES = MIB,
	SEGMENT_NAME = 2,       /* /v1/users/{upn}, /v1/devices/{id} */
	SEGMENT_THUMBPRINT = 4, /* /v1/users/{upn}/certificates/{thumbprint} */
};

/* The route of a request, or NULL. */
const struct route *route_find(enum role role, const char *method, const struct uri *uri);

/* Why route_find() found none: NOT_FOUND, or METHOD_NOT_ALLOWED with what the path does take in ret_allow. */
int route_refuse(enum role role, const struct uri *uri, char ret_allow[static ROUTE_ALLOW_MAX]);

/* For counters: the number of routes, and one by its index; route_index() is below the number. */
size_t route_count(void);
const struct route *route_at(size_t index);
size_t route_index(const struct route *route);

#endif
