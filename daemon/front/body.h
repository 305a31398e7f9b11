/* The body of a request: bytes, then fields. What is a secret in it is lifted out of the text before the JSON library
 * sees that, and all of it is released before a frame made of it is sent. */
#ifndef PFXD_BODY_H
#define PFXD_BODY_H

#include "buf.h"

#include <jansson.h>

struct body {
	size_t received;    /* bytes, the discarded ones too */
	uint64_t declared;  /* Content-Length; 0 if there is none */
	bool keep;          /* it is wanted; else it is read and thrown away */
	bool is_json;       /* its Content-Type */
	bool too_large;
	bool crowded;        /* all bodies together were too much */
	size_t counted;      /* bytes of raw in the sum of all */
	struct buf *raw;
	struct buf *secrets; /* lifted strings */
	struct buf *decoded; /* base64 */
	struct buf *list;    /* of records that a handler makes */
	json_t *json;
};

/* Wipes and frees what there is of it. Views that body_read() gave end here. */
void body_done(struct body *b);

/* Keeps or discards one piece; max bounds what is kept of this body, BODIES_MAX_BYTES what is kept of all of them: who
 * has shown no more than some certificate or token must not make a front hold any amount of memory. */
enum { BODIES_MAX_BYTES = 64 * 1024 * 1024 };
void body_add(struct body *b, const void *p, size_t len, size_t max);

enum field_kind {
	FIELD_TEXT,     /* clean UTF-8; most: bytes; ret: struct view */
	FIELD_PEM,      /* any text; most: bytes; ret: struct view */
	FIELD_SECRET,   /* a lifted string; most: bytes; ret: struct view */
	FIELD_BASE64,   /* most: bytes when decoded; ret: struct view. At most one in a body */
	FIELD_BASE64_SECRET, /* the same, lifted */
	FIELD_NUMBER,   /* a whole number from least to most; ret: uint32_t */
	FIELD_USAGES,   /* an array of usages, each once; ret: uint8_t, a set of enum usage */
	FIELD_ARRAY,    /* ret: json_t *, borrowed */
};

struct field {
	const char *name; /* NULL ends the list */
	enum field_kind kind;
	bool required;
	size_t least, most;
	void *ret; /* left alone where the body has no such field */
};

/* Reads the whole body, an object of these fields and no others, and drops its text. What ret points at lives until
 * body_done(). Errors: TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, UNAVAILABLE when all bodies together are too much,
 * MALFORMED_REQUEST with a sentence that names the field. */
int body_read(struct body *b, const struct field *fields);

/* The same for an object inside of it. */
int body_read_object(struct body *b, json_t *object, const struct field *fields);

#endif
