/* Writes JSON into a buffer: the keeper has no JSON library, and what it writes holds secrets. Commas are put where
 * they belong by looking at the last byte. */
#ifndef PFXD_KEEPER_JSON_H
#define PFXD_KEEPER_JSON_H

#include "buf.h"

void json_begin(struct buf *b, char bracket); /* '{' or '[' */
void json_end(struct buf *b, char bracket);   /* '}' or ']' */
void json_name(struct buf *b, const char *name);
void json_string(struct buf *b, struct view utf8);
void json_base64(struct buf *b, struct view bytes);

#endif
