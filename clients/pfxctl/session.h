/* The admin interface, as the commands see it: settings, token and connection in one. */
#ifndef PFXD_PFXCTL_SESSION_H
#define PFXD_PFXCTL_SESSION_H

#include "../shared/http.h"
#include "../shared/json_text.h"
#include "settings.h"

struct session {
	struct settings settings;
	struct http *http;
	struct buf *token_secret;
};

/* Reads settings and token; does not connect yet. Free with session_done(). */
int session_open(const struct cli *cli, struct session *ret);
void session_done(struct session *session);
#define SESSION __attribute__((cleanup(session_done))) struct session

/* Asks for path ("/v1/..."). EXIT_DONE for an answer of 2xx, else what http_call() and http_expect() say. ret is
 * initialised on every way out; free it with http_answer_done(). body_secret may be empty. */
int session_call(struct session *session, const char *method, const char *path, struct view body_secret,
		 struct http_answer *ret);
/* The same for an answer that is not needed, and for one that holds no secret: *ret is parsed, json_decref() it. */
int session_do(struct session *session, const char *method, const char *path, struct view body);
int session_get(struct session *session, const char *path, json_t **ret);
/* Follows nextCursor from page to page, and gathers member of each: {member:[...]}. Of its elements the last ones are
 * kept, at most that many. */
int session_list(struct session *session, const char *path, const char *member, uint64_t last, json_t **ret);

/* "before" + argument percent-encoded + "after". NULL without memory; valid until *holder is freed, with BUF. */
const char *session_path(struct buf **holder, const char *before, const char *argument, const char *after);

#endif
