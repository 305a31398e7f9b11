/* Sends one PFX and its password. pfxctl. Both are only ever in wiping buffers and in the request itself. */
#include "import.h"

#include "../shared/trouble.h"
#include "encode.h"

#include <unistd.h>

enum {
	BODY_MAX_BYTES = 2 * 1024 * 1024,
	PFX_FILE_MAX_BYTES = BODY_MAX_BYTES / 4 * 3 - 8192, /* what fits a body as base64, beside the password */
	TRIES = 4,
	WAIT_MAX_SECONDS = 60,
};

static int make_body(const struct import_item *item, int usages, struct view password_secret, struct buf *ret_secret)
{
	BUF pfx_secret = buf_new(PFX_FILE_MAX_BYTES + 1);
	if (!pfx_secret)
		return trouble(EXIT_LOCAL, "no memory");
	int rc = file_read(item->file, PFX_FILE_MAX_BYTES, pfx_secret);
	if (rc)
		return rc;
	if (buf_len(pfx_secret) == 0)
		return trouble(EXIT_LOCAL, "%s is empty", item->file);
	buf_put_text(ret_secret, "{\"pkcs12\":\"");
	base64_encode(buf_view(pfx_secret), ret_secret);
	buf_put_u8(ret_secret, '"');
	json_put_text(ret_secret, "password", password_secret);
	if (usages) {
		json_put_open(ret_secret, "usages", '[');
		if (usages & IMPORT_ENCRYPTION)
			json_put_text(ret_secret, NULL, view_text("encryption"));
		if (usages & IMPORT_SIGNING)
			json_put_text(ret_secret, NULL, view_text("signing"));
		buf_put_u8(ret_secret, ']');
	}
	buf_put_u8(ret_secret, '}');
	return buf_ok(ret_secret) ? EXIT_DONE : trouble(EXIT_LOCAL, "%s is too large to send", item->file);
}

/* How long to wait before another try: an import may be sent twice, the second one finds it known. 0: do not. */
static unsigned seconds_to_wait(int rc, const struct http_answer *answer, unsigned tries)
{
	if (rc != EXIT_LATER || tries == TRIES || answer->retry_after > WAIT_MAX_SECONDS)
		return 0;
	return answer->retry_after > 0 ? (unsigned)answer->retry_after : tries;
}

/* An import that was done names what was imported; an answer that does not is no success. */
static int read_facts(struct view body, json_t **ret_facts)
{
	int rc = json_read(body, ret_facts);
	if (rc == EXIT_DONE && json_array_size(json_object_get(*ret_facts, "certificates")) == 0)
		rc = trouble(EXIT_REFUSED, "the server's answer can not be used: it names no certificate");
	return rc;
}

int import_send(struct session *session, const struct import_item *item, int usages, struct view password_secret,
		bool *ret_created, json_t **ret_facts)
{
	BUF body_secret = buf_new(BODY_MAX_BYTES);
	BUF holder = NULL;
	const char *path = session_path(&holder, "/v1/users/", item->upn, "/certificates");
	int rc = body_secret && path ? make_body(item, usages, password_secret, body_secret) :
				       trouble(EXIT_LOCAL, "no memory");
	if (rc)
		return rc;
	for (unsigned tries = 1;; tries++) {
		HTTP_ANSWER answer;
		rc = session_call(session, "POST", path, buf_view(body_secret), &answer);
		unsigned seconds = seconds_to_wait(rc, &answer, tries);
		if (seconds) {
			sleep(seconds);
			continue;
		}
		*ret_created = answer.status == 201;
		return rc ? rc : read_facts(buf_view(answer.body_secret), ret_facts);
	}
}
