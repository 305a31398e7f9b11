/* The listing of a bulk import: comma-separated lines (RFC 4180, fields without line breaks). pfxctl. */
#include "import.h"

#include "../shared/trouble.h"

#include <stdlib.h>
#include <string.h>

enum { LISTING_MAX_BYTES = 64 * 1024 * 1024, FIELDS = 3 };

int import_items_add(struct import_items *items, const char *upn, const char *file, const char *password_file)
{
	if ((items->count & (items->count - 1)) == 0) { /* full at each power of two */
		size_t room = items->count ? 2 * items->count : 1;
		struct import_item *more = reallocarray(items->at, room, sizeof *more);
		if (!more)
			return trouble(EXIT_LOCAL, "no memory");
		items->at = more;
	}
	struct import_item *item = &items->at[items->count++];
	*item = (struct import_item){ strdup(upn), strdup(file), password_file ? strdup(password_file) : NULL };
	if (!item->upn || !item->file || (password_file && !item->password_file))
		return trouble(EXIT_LOCAL, "no memory");
	return EXIT_DONE;
}

void import_items_done(struct import_items *items)
{
	for (size_t i = 0; i < items->count; i++) {
		free(items->at[i].upn);
		free(items->at[i].file);
		free(items->at[i].password_file);
	}
	free(items->at);
	*items = (struct import_items){ 0 };
}

/* Takes a field off the front of *line, in place, and ends it. False for a quote out of place. */
static bool take_field(char **line, char **ret)
{
	char *from = *line, *to = *line;
	bool quoted = *from == '"';
	*ret = to;
	from += quoted;
	while (*from && (quoted || *from != ',')) {
		if (quoted && from[0] == '"' && from[1] != '"')
			break;
		from += quoted && from[0] == '"'; /* two quotes are one */
		*to++ = *from++;
	}
	if (quoted && *from++ != '"')
		return false;
	if (*from && *from != ',')
		return false;
	*line = *from ? from + 1 : NULL;
	*to = '\0';
	return true;
}

/* How many fields the line has; 0 if it is not well formed or has more than FIELDS. */
static size_t take_fields(char *line, char *fields[FIELDS])
{
	size_t count = 0;
	while (line)
		if (count == FIELDS || !take_field(&line, &fields[count++]))
			return 0;
	return count;
}

static int add_line(struct import_items *items, const char *name, unsigned number, const char *folder, char *line)
{
	char *fields[FIELDS] = { 0 };
	char file[PATH_BYTES], password_file[PATH_BYTES];
	if (!line[0] || line[0] == '#' || (number == 1 && strncmp(line, "upn,", 4) == 0))
		return EXIT_DONE;
	size_t count = take_fields(line, fields);
	if (count < 2 || !fields[0][0] || !fields[1][0])
		return trouble(EXIT_USAGE, "%s line %u is not upn,pfx-file,password-file", name, number);
	bool has_password = count == FIELDS && fields[2][0];
	int rc = path_join(file, folder, fields[1]);
	if (rc == EXIT_DONE && has_password)
		rc = path_join(password_file, folder, fields[2]);
	return rc ? rc : import_items_add(items, fields[0], file, has_password ? password_file : NULL);
}

int import_list_read(const char *path, struct import_items *ret)
{
	char folder[PATH_BYTES];
	BUF text = buf_new(LISTING_MAX_BYTES + 1);
	int rc = text ? file_read(path, LISTING_MAX_BYTES, text) : trouble(EXIT_LOCAL, "no memory");
	if (rc)
		return rc;
	path_folder(folder, strcmp(path, "-") == 0 ? "" : path);
	struct view rest = buf_view(text);
	for (unsigned number = 1; rc == EXIT_DONE && rest.len > 0; number++) {
		const uint8_t *end = memchr(rest.p, '\n', rest.len);
		size_t len = end ? (size_t)(end - rest.p) : rest.len;
		char *line = strndup((const char *)rest.p, len);
		if (!line)
			return trouble(EXIT_LOCAL, "no memory");
		line[strcspn(line, "\r")] = '\0';
		rc = add_line(ret, path, number, folder, line);
		free(line);
		rest = view_of(rest.p + len + (end != NULL), rest.len - len - (end != NULL));
	}
	return rc;
}
