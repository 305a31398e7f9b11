/* JSON by hand where it holds secrets, and short ways to read what a json_t says. */
#ifndef PFXD_CLIENTS_JSON_TEXT_H
#define PFXD_CLIENTS_JSON_TEXT_H

#include "buf.h"

#include <jansson.h>

/* Each appends to an object or array that is being written ("{" or "[" begins it), with a comma where one is due.
 * value is UTF-8. */
void json_put_text(struct buf *b, const char *name, struct view value); /* "name":"value"; name NULL: an element */
void json_put_json(struct buf *b, const char *name, const json_t *value); /* without secrets; ASCII */
void json_put_open(struct buf *b, const char *name, char bracket);      /* "name":[ */

/* Parses an answer that holds no secret. EXIT_REFUSED if it is not a JSON object. Free with json_decref(). */
int json_read(struct view text, json_t **ret);
/* The same for one in which the members called names (NULL ends them) are secrets: see json_lift(). */
int json_read_lifted(struct view text_secret, const char *const names[], struct buf *ret_secrets, json_t **ret);

/* The string of a member; "" where there is none. Borrowed from object. */
const char *json_get_text(const json_t *object, const char *name);

static inline void json_freep(json_t **json) { json_decref(*json); }
#define JSON __attribute__((cleanup(json_freep))) json_t *

#endif
