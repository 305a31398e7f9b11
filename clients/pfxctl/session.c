/* Calls of the admin interface. pfxctl. The token goes from its file into a wiping buffer and from there into one
 * header; it is in no argument, no environment and no message. */
#include "session.h"

#include "../shared/trouble.h"

#include <string.h>

enum { PATH_MAX_BYTES = 16384, PAGE_ROWS = 1000 };

static int check(const struct settings *settings)
{
	if (!settings->server[0])
		return trouble(EXIT_USAGE, "which server? give --server URL, or --config FILE with a line server = URL "
			       "(to try pfxd out: --dev DIR)");
	if (!settings->token_file[0])
		return trouble(EXIT_USAGE, "which token? give --token-file FILE, or token_file = FILE in the "
			       "configuration");
	return url_check(settings->server, false);
}

int session_open(const struct cli *cli, struct session *ret)
{
	*ret = (struct session){ 0 };
	int rc = settings_read(cli, &ret->settings);
	if (rc == EXIT_DONE)
		rc = check(&ret->settings);
	if (rc)
		return rc;
	ret->token_secret = buf_new(SECRET_LINE_MAX_BYTES + 1);
	if (!ret->token_secret)
		return trouble(EXIT_LOCAL, "no memory");
	rc = file_read_token(ret->settings.token_file, ret->token_secret);
	if (rc)
		return rc;
	const struct http_settings http = {
		.agent = cli->program->name,
		.ca_file = ret->settings.ca[0] ? ret->settings.ca : NULL,
	};
	return http_open(&http, &ret->http);
}

void session_done(struct session *session)
{
	http_close(session->http);
	buf_free(session->token_secret);
}

/* A token that is not known is told of with the file that it came from: there may be several. */
static int expect(const struct session *session, const struct http_answer *answer)
{
	int rc = http_expect(answer, "administrators");
	if (rc && answer->status == 401)
		rc = trouble_coded((enum exit_status)rc, trouble_code(), "%s; the token is the one in %s",
				   trouble_text(), session->settings.token_file);
	return rc;
}

int session_call(struct session *session, const char *method, const char *path, struct view body_secret,
		 struct http_answer *ret)
{
	*ret = (struct http_answer){ 0 };
	BUF url = buf_new(PATH_BYTES + PATH_MAX_BYTES);
	if (!url || !path)
		return trouble(EXIT_LOCAL, "no memory");
	size_t len = strlen(session->settings.server);
	while (len > 0 && session->settings.server[len - 1] == '/')
		len--;
	buf_put(url, session->settings.server, len);
	buf_put_text(url, path);
	const struct http_request request = {
		.method = method,
		.url = buf_text(url),
		.token_secret = buf_view(session->token_secret),
		.body_secret = body_secret,
	};
	if (!request.url)
		return trouble(EXIT_USAGE, "an argument is too long");
	int rc = http_call(session->http, &request, ret);
	return rc ? rc : expect(session, ret);
}

int session_do(struct session *session, const char *method, const char *path, struct view body)
{
	HTTP_ANSWER answer;
	return session_call(session, method, path, body, &answer);
}

int session_get(struct session *session, const char *path, json_t **ret)
{
	HTTP_ANSWER answer;
	int rc = session_call(session, "GET", path, view_of(NULL, 0), &answer);
	return rc ? rc : json_read(buf_view(answer.body_secret), ret);
}

const char *session_path(struct buf **holder, const char *before, const char *argument, const char *after)
{
	*holder = buf_new(PATH_MAX_BYTES);
	if (!*holder)
		return NULL;
	buf_put_text(*holder, before);
	url_put_encoded(*holder, argument);
	buf_put_text(*holder, after);
	return buf_text(*holder);
}

/* One page from where cursor says; the cursor of the next one ("": the last) replaces it. */
static int get_page(struct session *session, const char *path, const char *member, struct buf *cursor, json_t *rows)
{
	JSON page = NULL;
	BUF query = buf_new(PATH_MAX_BYTES);
	const char *from = buf_text(cursor);
	if (!query || !from)
		return trouble(EXIT_LOCAL, "no memory");
	buf_printf(query, "%s%climit=%d", path, strchr(path, '?') ? '&' : '?', (int)PAGE_ROWS);
	if (from[0]) {
		buf_put_text(query, "&cursor=");
		url_put_encoded(query, from);
	}
	int rc = session_get(session, buf_text(query), &page);
	if (rc)
		return rc;
	json_t *more = json_object_get(page, member);
	if (!json_is_array(more) || json_array_extend(rows, more) < 0)
		return trouble(EXIT_REFUSED, "the server's answer has no list \"%s\"", member);
	const char *next = json_get_text(page, "nextCursor");
	if (next[0] && (strcmp(next, from) == 0 || json_array_size(more) == 0))
		return trouble(EXIT_REFUSED, "the server's list does not end: its next page begins where this one "
			       "does");
	buf_reset(cursor);
	buf_put_text(cursor, next);
	return EXIT_DONE;
}

int session_list(struct session *session, const char *path, const char *member, uint64_t last, json_t **ret)
{
	JSON rows = json_array();
	BUF cursor = buf_new(PATH_MAX_BYTES);
	if (!rows || !cursor || !path)
		return trouble(EXIT_LOCAL, "no memory");
	do {
		int rc = get_page(session, path, member, cursor, rows);
		if (rc)
			return rc;
		while (json_array_size(rows) > last)
			json_array_remove(rows, 0);
	} while (buf_len(cursor) > 0);
	*ret = json_pack("{s:O}", member, rows);
	return *ret ? EXIT_DONE : trouble(EXIT_LOCAL, "no memory");
}
