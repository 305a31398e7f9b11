/* Prints answers. pfxctl. Text from the server is disarmed before a terminal sees it; a token is written straight to
 * its descriptor, past the buffers of stdio. */
#include "show.h"

#include "../shared/file.h"
#include "../shared/json_text.h"
#include "../shared/trouble.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CELL_MAX = 512 };

static void put_value(char *cell, const json_t *value)
{
	size_t len = 0, i;
	json_t *one;
	if (json_is_string(value) && json_string_length(value) > 0)
		snprintf(cell, CELL_MAX, "%s", json_string_value(value));
	else if (json_is_integer(value))
		snprintf(cell, CELL_MAX, "%lld", (long long)json_integer_value(value));
	else if (json_is_boolean(value))
		snprintf(cell, CELL_MAX, "%s", json_is_true(value) ? "yes" : "no");
	json_array_foreach(value, i, one) {
		const char *text = json_string_value(one);
		int n = snprintf(cell + len, CELL_MAX - len, "%s%s", i ? "," : "", text ? text : "?");
		len += n > 0 ? (size_t)n : 0;
		if (len >= CELL_MAX)
			break;
	}
}

/* What stands in a cell of the table, or a '-'. */
static void cell_text(char cell[static CELL_MAX], const json_t *object, const char *member)
{
	cell[0] = '\0';
	put_value(cell, json_object_get(object, member));
	if (!cell[0])
		strcpy(cell, "-");
	text_disarm(cell);
}

/* Characters, not bytes; wide ones count as one. */
static int width_of(const char *text)
{
	int width = 0;
	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void print_cell(const char *text, int width, bool last)
{
	printf("%s%*s", text, last ? 0 : width - width_of(text) + 2, "");
	if (last)
		putchar('\n');
}

static void print_table(const json_t *rows, const struct column *columns, size_t count)
{
	int widths[SHOW_COLUMNS_MAX] = { 0 };
	char cell[CELL_MAX];
	size_t i;
	json_t *row;
	for (size_t c = 0; c < count; c++)
		widths[c] = width_of(columns[c].title);
	json_array_foreach(rows, i, row)
		for (size_t c = 0; c < count; c++) {
			cell_text(cell, row, columns[c].member);
			widths[c] = width_of(cell) > widths[c] ? width_of(cell) : widths[c];
		}
	for (size_t c = 0; c < count; c++)
		print_cell(columns[c].title, widths[c], c + 1 == count);
	json_array_foreach(rows, i, row)
		for (size_t c = 0; c < count; c++) {
			cell_text(cell, row, columns[c].member);
			print_cell(cell, widths[c], c + 1 == count);
		}
}

void show_json(const json_t *json)
{
	/* ASCII: no sequence that a terminal might act on. */
	json_dumpf(json, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
	putchar('\n');
}

void show_list(const struct cli *cli, json_t *answer, const char *member, const struct column *columns, size_t count,
	       const char *empty)
{
	const json_t *rows = json_object_get(answer, member);
	if (cli->value[OPT_JSON])
		show_json(answer);
	else if (json_array_size(rows) == 0)
		puts(empty);
	else
		print_table(rows, columns, count);
}

void show_object(const struct cli *cli, json_t *answer, const struct column *columns, size_t count)
{
	int width = 0;
	char cell[CELL_MAX];
	if (cli->value[OPT_JSON]) {
		show_json(answer);
		return;
	}
	for (size_t c = 0; c < count; c++)
		width = width_of(columns[c].title) > width ? width_of(columns[c].title) : width;
	for (size_t c = 0; c < count; c++) {
		cell_text(cell, answer, columns[c].member);
		print_cell(columns[c].title, width, false);
		print_cell(cell, 0, true);
	}
}

static bool write_all(struct view bytes_secret)
{
	fflush(stdout);
	while (bytes_secret.len > 0) {
		ssize_t n = write(STDOUT_FILENO, bytes_secret.p, bytes_secret.len);
		if (n <= 0)
			return false;
		bytes_secret = view_of(bytes_secret.p + n, bytes_secret.len - (size_t)n);
	}
	return true;
}

static int write_out(struct view bytes_secret)
{
	if (write_all(bytes_secret))
		return EXIT_DONE;
	return trouble(EXIT_LOCAL, "can not write the token to standard output; revoke it and make another");
}

int show_secret(const char *title, struct view secret)
{
	BUF line_secret = buf_new(SECRET_LINE_MAX_BYTES);
	if (!line_secret)
		return trouble(EXIT_LOCAL, "no memory");
	buf_printf(line_secret, "%s: ", title);
	buf_put(line_secret, secret.p, secret.len);
	buf_put_u8(line_secret, '\n');
	if (buf_ok(line_secret) && write_all(buf_view(line_secret)))
		return EXIT_DONE;
	return trouble(EXIT_LOCAL, "can not write the %s to standard output", title);
}

static int write_json(struct view token_secret, json_t *facts)
{
	const char *name;
	json_t *value;
	BUF line_secret = buf_new(65536);
	if (!line_secret)
		return trouble(EXIT_LOCAL, "no memory");
	json_put_open(line_secret, NULL, '{');
	json_object_foreach(facts, name, value)
		if (strcmp(name, "token") == 0)
			json_put_text(line_secret, name, token_secret);
		else
			json_put_json(line_secret, name, value);
	buf_put_text(line_secret, "}\n");
	return write_out(buf_view(line_secret));
}

int token_out_begin(const struct cli *cli, struct file_new *ret)
{
	const char *path = cli->value[OPT_TOKEN_OUT];
	*ret = (struct file_new){ .fd = -1 };
	if (!path)
		return EXIT_DONE;
	if (!path[0])
		return trouble(EXIT_USAGE, "--token-out is empty");
	if (!cli->value[OPT_FORCE] && file_exists(path))
		return trouble(EXIT_LOCAL, "%s is there already, and may hold a token that is valid; give another "
			       "--token-out, or --force to overwrite it", path);
	return file_begin(path, 0600, ret);
}

int show_token(const struct cli *cli, struct file_new *out, struct view token_secret, json_t *facts)
{
	const char *path = cli->value[OPT_TOKEN_OUT];
	if (!token_is_valid(token_secret))
		return trouble(EXIT_REFUSED, "the server's answer holds no token");
	if (!path && cli->value[OPT_JSON])
		return write_json(token_secret, facts);
	BUF line_secret = buf_new(TOKEN_FILE_CHARS + 1);
	if (!line_secret)
		return trouble(EXIT_LOCAL, "no memory");
	buf_put(line_secret, token_secret.p, token_secret.len);
	buf_put_u8(line_secret, '\n');
	if (!path)
		return write_out(buf_view(line_secret));
	int rc = file_finish(out, buf_view(line_secret), cli->value[OPT_FORCE] != NULL);
	if (rc)
		return rc;
	json_object_del(facts, "token"); /* the number that stands for it */
	if (cli->value[OPT_JSON])
		show_json(facts);
	return EXIT_DONE;
}
