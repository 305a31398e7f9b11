/* What pfxctl prints: for people aligned tables, for scripts (--json) what the server said. */
#ifndef PFXD_PFXCTL_SHOW_H
#define PFXD_PFXCTL_SHOW_H

#include "buf.h"
#include "commands.h"

#include <jansson.h>

struct column {
	const char *title;
	const char *member; /* a string, a number, a truth value, or a list of strings; missing: "-" */
};

enum { SHOW_COLUMNS_MAX = 10 };

/* Prints member of answer, a list of objects, as a table, or answer itself where --json was given. empty is the line
 * for a list without elements. */
void show_list(const struct cli *cli, json_t *answer, const char *member, const struct column *columns, size_t count,
	       const char *empty);
/* The same for one object, a line for each column. */
void show_object(const struct cli *cli, json_t *answer, const struct column *columns, size_t count);
/* Prints json on one line. */
void show_json(const json_t *json);

/* Prints a token that the server shows this once: with --token-out into that file, else on standard output. facts is
 * the rest of the answer. */
int show_token(const struct cli *cli, struct view token_secret, json_t *facts);

#endif
