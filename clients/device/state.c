/* Keeps the device's folder. pfx-device. Every file is written whole, 0600; a program that dies at any point leaves a
 * folder with which the next one can go on. */
#include "state.h"

#include "authorities.h"
#include "commands.h"

#include "../shared/json_text.h"
#include "../shared/trouble.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { STATE_MAX_BYTES = 64 * 1024, PEM_MAX_BYTES = 256 * 1024 };

static int find_folder(const struct cli *cli, char ret[static PATH_BYTES])
{
	const char *home = getenv("HOME");
	if (cli->value[OPT_DIR])
		return path_join(ret, "", cli->value[OPT_DIR]);
	if (!home || home[0] != '/')
		return trouble(EXIT_USAGE, "$HOME is not set; give --dir DIR");
	return path_join(ret, home, ".local/share/pfx-device");
}

static int lock_folder(struct state *state)
{
	char path[PATH_BYTES];
	int rc = state_path(state, "lock", path);
	if (rc)
		return rc;
	state->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (state->lock < 0)
		return trouble(EXIT_LOCAL, "can not lock %s: %s", path, strerror(errno));
	if (flock(state->lock, LOCK_EX | LOCK_NB) < 0)
		return trouble(EXIT_LATER, "another pfx-device is at work on %s; try again when it is "
			       "done", state->folder);
	return EXIT_DONE;
}

static int check_private(const struct state *state)
{
	struct stat st;
	if (stat(state->folder, &st) < 0)
		return trouble(EXIT_USAGE, "there is no device in %s; enrol one with pfx-device enroll", state->folder);
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return trouble(EXIT_LOCAL, "others may enter %s, which holds keys; make it yours alone: chmod 700 %s",
			       state->folder, state->folder);
	return EXIT_DONE;
}

int state_path(const struct state *state, const char *name, char ret[static PATH_BYTES])
{
	return path_join(ret, state->folder, name);
}

int state_read(const struct state *state, const char *name, size_t max, struct buf *ret)
{
	char path[PATH_BYTES];
	int rc = state_path(state, name, path);
	return rc ? rc : file_read(path, max, ret);
}

int state_write(const struct state *state, const char *name, const struct buf *bytes)
{
	char path[PATH_BYTES];
	int rc = state_path(state, name, path);
	if (rc == EXIT_DONE && !buf_ok(bytes))
		rc = trouble(EXIT_LOCAL, "no memory for %s", path);
	return rc ? rc : file_write(path, buf_view(bytes), 0600);
}

static bool has_file(const struct state *state, const char *name)
{
	char path[PATH_BYTES];
	return state_path(state, name, path) == EXIT_DONE && file_exists(path);
}

bool state_is_enrolled(const struct state *state)
{
	return has_file(state, "device.crt") && has_file(state, "device.key");
}

/* ---- state.json ---- */

static const struct field {
	const char *name;
	size_t offset, size;
} fields[] = {
#define FIELD(name, member) { name, offsetof(struct state, member), sizeof ((struct state *)0)->member }
	FIELD("server", server),      FIELD("deviceId", device_id), FIELD("user", user), FIELD("etag", etag),
	FIELD("issuedAt", issued_at), FIELD("format", format),      FIELD("out", out),
#undef FIELD
};
enum { FIELD_COUNT = sizeof fields / sizeof fields[0] };

static int read_state(struct state *state)
{
	JSON json = NULL;
	BUF text = buf_new(STATE_MAX_BYTES + 1);
	if (!has_file(state, "state.json"))
		return EXIT_DONE;
	int rc = text ? state_read(state, "state.json", STATE_MAX_BYTES, text) : trouble(EXIT_LOCAL, "no memory");
	if (rc)
		return rc;
	if (json_read(buf_view(text), &json) != EXIT_DONE)
		return trouble(EXIT_LOCAL, "%s/state.json is damaged; restore it or enrol anew in another --dir",
			       state->folder);
	for (const struct field *field = fields; field < fields + FIELD_COUNT; field++) {
		const char *value = json_get_text(json, field->name);
		if (!text_copy(view_text(value), (char *)state + field->offset, field->size))
			return trouble(EXIT_LOCAL, "%s/state.json: %s is too long", state->folder, field->name);
	}
	state->pulled_at = json_integer_value(json_object_get(json, "pulledAt"));
	state->next_poll_at = json_integer_value(json_object_get(json, "nextPollAt"));
	state->revoked_at = json_integer_value(json_object_get(json, "revokedAt"));
	return EXIT_DONE;
}

int state_save(const struct state *state)
{
	BUF text = buf_new(STATE_MAX_BYTES);
	if (!text)
		return trouble(EXIT_LOCAL, "no memory");
	json_put_open(text, NULL, '{');
	for (const struct field *field = fields; field < fields + FIELD_COUNT; field++)
		json_put_text(text, field->name, view_text((const char *)state + field->offset));
	buf_printf(text, ",\"pulledAt\":%lld,\"nextPollAt\":%lld,\"revokedAt\":%lld}\n",
		   (long long)state->pulled_at, (long long)state->next_poll_at, (long long)state->revoked_at);
	return state_write(state, "state.json", text);
}

/* ---- keys and certificates ---- */

static EVP_PKEY *read_key(const struct state *state, const char *name)
{
	BUF pem_secret = buf_new(PEM_MAX_BYTES + 1);
	if (!pem_secret || state_read(state, name, PEM_MAX_BYTES, pem_secret) != EXIT_DONE)
		return NULL;
	return pem_read_key(buf_view(pem_secret));
}

static X509 *read_certificate(const struct state *state)
{
	BUF pem = buf_new(PEM_MAX_BYTES + 1);
	if (!pem || state_read(state, "device.crt", PEM_MAX_BYTES, pem) != EXIT_DONE)
		return NULL;
	return pem_read_certificate(buf_view(pem));
}

static STACK_OF(X509) *read_anchors(const struct state *state)
{
	BUF pem = buf_new(PEM_MAX_BYTES + 1);
	if (!pem || state_read(state, "enrol-ca.pem", PEM_MAX_BYTES, pem) != EXIT_DONE)
		return NULL;
	return pem_read_certificates(buf_view(pem), AUTHORITIES_MAX);
}

int credentials_load(const struct state *state, struct credentials *ret)
{
	*ret = (struct credentials){ 0 };
	if (!state_is_enrolled(state))
		return trouble(EXIT_USAGE, "there is no device in %s; enrol one with pfx-device enroll", state->folder);
	ret->key = read_key(state, "device.key");
	ret->certificate = read_certificate(state);
	ret->anchors = read_anchors(state);
	if (!ret->key || !ret->certificate || !ret->anchors || sk_X509_num(ret->anchors) == 0)
		return trouble(EXIT_LOCAL, "device.key, device.crt or enrol-ca.pem in %s can not be read; restore it, "
			       "or enrol anew in another --dir", state->folder);
	if (X509_check_private_key(ret->certificate, ret->key) != 1)
		return trouble(EXIT_LOCAL, "device.key and device.crt in %s do not belong together; restore them, or "
			       "enrol anew in another --dir", state->folder);
	return EXIT_DONE;
}

void credentials_done(struct credentials *credentials)
{
	EVP_PKEY_free(credentials->key);
	X509_free(credentials->certificate);
	sk_X509_pop_free(credentials->anchors, X509_free);
}

/* The certificate is put in place first and the key after it: between the two device.crt tells which key is meant. */
int state_adopt_pending(const struct state *state)
{
	char pending[PATH_BYTES], own[PATH_BYTES], request[PATH_BYTES];
	if (!has_file(state, "device.crt") || !has_file(state, "pending.key"))
		return EXIT_DONE;
	CERTIFICATE certificate = read_certificate(state);
	PKEY key = read_key(state, "pending.key");
	if (!certificate || !key || X509_check_private_key(certificate, key) != 1)
		return EXIT_DONE;
	int rc = state_path(state, "pending.key", pending);
	if (rc == EXIT_DONE)
		rc = state_path(state, "device.key", own);
	if (rc == EXIT_DONE)
		rc = state_path(state, "pending.csr", request);
	if (rc == EXIT_DONE)
		rc = file_rename(pending, own);
	return rc ? rc : file_remove(request);
}

/* ---- opening ---- */

int state_open(const struct cli *cli, bool make, struct state *ret)
{
	*ret = (struct state){ .lock = -1 };
	int rc = find_folder(cli, ret->folder);
	if (rc == EXIT_DONE && make)
		rc = folder_make(ret->folder);
	if (rc == EXIT_DONE)
		rc = check_private(ret);
	if (rc == EXIT_DONE)
		rc = lock_folder(ret);
	if (rc == EXIT_DONE)
		rc = read_state(ret);
	return rc ? rc : state_adopt_pending(ret);
}

void state_close(struct state *state)
{
	if (state->lock >= 0)
		close(state->lock);
}
