/* Takes request targets apart. Front. Everything here comes from the internet; it decides nothing, it only decodes. */
#include "uri.h"

#include "encode.h"
#include "fault.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Decodes in place. False, with the text unfinished, for a wrong escape or for what is not clean UTF-8 afterwards:
 * that is where %00 and %0A end. */
static bool decode(char *text, bool form)
{
	char *to = text;
	for (const char *from = text; *from; from++) {
		uint8_t byte = (uint8_t)*from;
		if (*from == '%') {
			if (!hex_decode(view_of(from + 1, strnlen(from + 1, 2)), &byte, 1))
				return false;
			from += 2;
			if (byte == 0)
				return false;
		} else if (form && *from == '+') {
			byte = ' ';
		}
		*to++ = (char)byte;
	}
	*to = '\0';
	return text_is_clean(view_text(text));
}

static void parse_path(char *path, struct uri *u)
{
	char *rest = *path == '/' ? path + 1 : NULL;
	for (char *part; (part = strsep(&rest, "/"));) {
		if (u->segment_count++ >= URI_SEGMENTS_MAX)
			return;
		struct segment *s = &u->segments[u->segment_count - 1];
		s->text = part;
		s->malformed = !decode(part, false);
	}
}

static void parse_query(char *query, struct uri *u)
{
	for (char *part; (part = strsep(&query, "&"));) {
		if (!*part)
			continue;
		if (u->query_count == URI_QUERY_MAX) {
			u->query_malformed = true;
			return;
		}
		struct parameter *p = &u->query[u->query_count++];
		p->value = part;
		p->name = strsep(&p->value, "=");
		if (!p->value)
			p->value = p->name + strlen(p->name);
		if (!decode(p->name, true) || !decode(p->value, true))
			u->query_malformed = true;
	}
}

/* Steps over "https://host:port". */
static char *path_of(char *target)
{
	if (strncasecmp(target, "http://", 7) != 0 && strncasecmp(target, "https://", 8) != 0)
		return target;
	char *host = strstr(target, "//") + 2;
	return host + strcspn(host, "/?");
}

void uri_show(const char *text, char *ret, size_t size)
{
	size_t len = 0;
	for (; *text && len + 3 < size; text++) {
		bool printable = *text > ' ' && *text < 0x7f;
		len += (size_t)snprintf(ret + len, size - len, printable ? "%c" : "%%%02X", (unsigned char)*text);
	}
	ret[len] = '\0';
}

int uri_parse(const char *raw, struct uri *ret)
{
	*ret = (struct uri){ .bytes = strdup(raw) };
	if (!ret->bytes)
		return fail(FAULT_INTERNAL, "no memory for the target of a request");
	char *query = path_of(ret->bytes);
	char *path = strsep(&query, "?");
	uri_show(path, ret->shown, sizeof ret->shown);
	parse_path(path, ret);
	if (query)
		parse_query(query, ret);
	return 0;
}

void uri_done(struct uri *u)
{
	free(u->bytes);
	u->bytes = NULL;
}

const char *uri_query(const struct uri *u, const char *name)
{
	for (size_t i = 0; i < u->query_count; i++)
		if (strcmp(u->query[i].name, name) == 0)
			return u->query[i].value;
	return NULL;
}

static bool is_listed(const char *words, const char *word)
{
	size_t len = strlen(word);
	for (; *words; words += strspn(words, " ")) {
		size_t n = strcspn(words, " ");
		if (n == len && memcmp(words, word, n) == 0)
			return true;
		words += n;
	}
	return false;
}

int uri_check_query(const struct uri *u, const char *allowed)
{
	if (u->query_malformed)
		return fail(FAULT_MALFORMED_REQUEST,
			    "the query has a wrong escape, or is not clean UTF-8, or is too long");
	for (size_t i = 0; i < u->query_count; i++) {
		const char *name = u->query[i].name;
		if (!is_listed(allowed, name))
			return fail(FAULT_MALFORMED_REQUEST, "the query parameter \"%s\" means nothing here", name);
		if (uri_query(u, name) != u->query[i].value)
			return fail(FAULT_MALFORMED_REQUEST, "the query parameter \"%s\" is given twice", name);
	}
	return 0;
}
