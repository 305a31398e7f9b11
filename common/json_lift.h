/* Takes secrets out of a JSON text before a JSON library sees it, so that none is ever in a json_t. */
#ifndef PFXD_JSON_LIFT_H
#define PFXD_JSON_LIFT_H

#include "buf.h"

/* Copies json (RFC 8259) into ret_plain, but each string that is the value of a member called one of names (NULL
 * ends the list), at any depth, goes into ret_secrets, unescaped, as u32 length and bytes; in its place stands a
 * string with its number, "0" first. What is not a string stays for the JSON library to refuse.
 * Errors: MALFORMED_REQUEST for a string that is not well formed; TOO_LARGE when a buffer is full;
 * UNAVAILABLE without memory. */
int json_lift(struct view json, const char *const names[], struct buf *ret_plain, struct buf *ret_secrets);

/* The secret that a lifted string stands for: a view into secrets. False for a text that is no such number. */
bool json_lifted(const struct buf *secrets, const char *text, struct view *ret);

#endif
