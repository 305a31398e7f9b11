/* What pfxctl prints: for people aligned tables, for scripts (--json) what the server said. */
#ifndef PFXD_PFXCTL_SHOW_H
#define PFXD_PFXCTL_SHOW_H

#include "buf.h"
#include "../shared/file.h"
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

/* Prints "title: secret" on a line, past the buffers of stdio. EXIT_LOCAL. */
int show_secret(const char *title, struct view secret);

/* Makes ready what --token-out names, before the server is asked: it shows a token once. A file that is there is kept,
 * unless --force is given. Without --token-out it does nothing. Free with file_abandon(). */
int token_out_begin(const struct cli *cli, struct file_new *ret);
/* Writes the token there, or on standard output. facts is the server's answer, "token" lifted out of it. */
int show_token(const struct cli *cli, struct file_new *out, struct view token_secret, json_t *facts);

#endif
