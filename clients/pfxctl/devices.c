/* Devices and the tokens with which they enrol: enroll, devices, devices release, revoke. pfxctl. */
#include "commands.h"
#include "session.h"
#include "show.h"

#include "../shared/trouble.h"
#include "text.h"
#include "json_lift.h"
#include "protocol.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct column device_columns[] = {
	{ "ID", "id" },       { "USER", "user" },            { "NAME", "name" },          { "PLATFORM", "platform" },
	{ "STATE", "state" }, { "ENROLLED", "enrolledAt" }, { "NOT AFTER", "notAfter" }, { "LAST PULL", "lastPullAt" },
};

static int enrolment_body(const struct cli *cli, struct buf *ret)
{
	uint64_t seconds;
	int rc = cli_number(cli, OPT_EXPIRES_IN, 1, ENROLMENT_SECONDS_MAX, 0, &seconds);
	if (rc)
		return rc;
	const char *name = cli->value[OPT_NAME], *platform = cli->value[OPT_PLATFORM];
	if (!name || !name[0])
		return trouble(EXIT_USAGE, "which device is this for? give --name NAME, as in --name \"Anna's phone\"");
	if (!text_is_utf8(view_text(name)) || !text_is_utf8(view_text(platform)))
		return trouble(EXIT_USAGE, "the name or the platform is not UTF-8");
	json_put_open(ret, NULL, '{');
	json_put_text(ret, "name", view_text(name));
	if (platform)
		json_put_text(ret, "platform", view_text(platform));
	if (seconds)
		buf_printf(ret, ",\"expiresIn\":%llu", (unsigned long long)seconds);
	buf_put_u8(ret, '}');
	return EXIT_DONE;
}

/* Where devices enrol: as configured; else the host that answered just now, whose other port is not known. */
static void device_server(const struct settings *settings, char ret[static PATH_BYTES])
{
	const char *admin = settings->server + strlen("https://"); /* url_check() has seen it */
	size_t len = strcspn(admin, "/");
	const char *colon = memrchr(admin, ':', len), *bracket = memrchr(admin, ']', len);
	if (colon && (!bracket || colon > bracket)) /* a ':' in brackets is one of an IPv6 address */
		len = (size_t)(colon - admin);
	if (settings->device_server[0])
		snprintf(ret, PATH_BYTES, "%s", settings->device_server);
	else
		snprintf(ret, PATH_BYTES, "https://%.*s:PORT", (int)len, admin);
}

static void tell_enrolment(const struct cli *cli, const struct session *session, json_t *answer)
{
	char server[PATH_BYTES];
	const char *file = cli->value[OPT_TOKEN_OUT], *ca = session->settings.ca;
	device_server(&session->settings, server);
	cli_say(cli, "the token is valid once, until %s; on the device: pfx-device enroll --server %s%s%s "
		"--token-file %s", json_get_text(answer, "expiresAt"), server, ca[0] ? " --ca " : "", ca,
		file ? file : "FILE");
}

int enroll_run(const struct cli *cli)
{
	static const char *const secrets[] = { "token", NULL };
	SESSION session;
	HTTP_ANSWER answer = { 0 };
	JSON facts = NULL;
	BUF holder = NULL;
	BUF body = buf_new(16384);
	BUF secrets_secret = buf_new(HTTP_ANSWER_MAX_BYTES);
	FILE_NEW out = { .fd = -1 };
	struct view token_secret;
	int rc = session_open(cli, &session);
	if (rc == EXIT_DONE)
		rc = body && secrets_secret ? enrolment_body(cli, body) : trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE)
		rc = token_out_begin(cli, &out);
	if (rc == EXIT_DONE)
		rc = session_call(&session, "POST", session_path(&holder, "/v1/users/", cli->argv[0], "/enrollments"),
				  buf_view(body), &answer);
	if (rc == EXIT_DONE)
		rc = json_read_lifted(buf_view(answer.body_secret), secrets, secrets_secret, &facts);
	if (rc)
		return rc;
	if (!json_lifted(secrets_secret, json_get_text(facts, "token"), &token_secret))
		return trouble(EXIT_REFUSED, "the server's answer holds no token");
	rc = show_token(cli, &out, token_secret, facts);
	if (rc == EXIT_DONE)
		tell_enrolment(cli, &session, facts);
	return rc;
}

int devices_run(const struct cli *cli)
{
	SESSION session;
	BUF holder = NULL;
	JSON answer = NULL;
	int rc = session_open(cli, &session);
	if (rc)
		return rc;
	const char *path = cli->argc ? session_path(&holder, "/v1/devices?user=", cli->argv[0], "") : "/v1/devices";
	rc = session_list(&session, path, "devices", UINT64_MAX, &answer);
	if (rc == EXIT_DONE)
		show_list(cli, answer, "devices", device_columns, COUNT(device_columns), "there are no devices");
	return rc;
}

/* ---- those that are held after a restore ---- */

static int release_one(struct session *session, const char *id)
{
	static const char body[] = "{\"state\":\"active\"}";
	BUF holder = NULL;
	return session_do(session, "PATCH", session_path(&holder, "/v1/devices/", id, ""), view_text(body));
}

/* A device that is gone or was revoked since the list was made is passed over: the others are still to be released. */
static int release_all(const struct cli *cli, struct session *session)
{
	JSON answer = NULL;
	size_t i, released = 0, refused = 0;
	json_t *device;
	int rc = session_list(session, "/v1/devices", "devices", UINT64_MAX, &answer);
	if (rc)
		return rc;
	json_array_foreach(json_object_get(answer, "devices"), i, device) {
		if (rc != EXIT_DONE && rc != EXIT_REFUSED)
			return rc;
		if (strcmp(json_get_text(device, "state"), "held") != 0)
			continue;
		rc = release_one(session, json_get_text(device, "id"));
		released += rc == EXIT_DONE;
		refused += rc == EXIT_REFUSED;
	}
	if (rc != EXIT_DONE && rc != EXIT_REFUSED)
		return rc;
	cli_say(cli, "%zu devices were released", released);
	return refused == 0 ? EXIT_DONE :
			      trouble(EXIT_PARTLY, "%zu devices could not be released: %s", refused, trouble_text());
}

int devices_release_run(const struct cli *cli)
{
	SESSION session = { 0 };
	if (cli->value[OPT_ALL] ? cli->argc > 0 : cli->argc == 0)
		return trouble(EXIT_USAGE, "which? give the ID of each, as pfxctl devices shows it, or --all for all "
			       "that are held");
	int rc = session_open(cli, &session);
	if (rc == EXIT_DONE && cli->value[OPT_ALL])
		return release_all(cli, &session);
	for (int i = 0; rc == EXIT_DONE && i < cli->argc; i++) {
		rc = release_one(&session, cli->argv[i]);
		if (rc == EXIT_DONE)
			cli_say(cli, "device %s is released", cli->argv[i]);
	}
	return rc;
}

int revoke_run(const struct cli *cli)
{
	SESSION session;
	BUF holder = NULL;
	int rc = session_open(cli, &session);
	if (rc == EXIT_DONE)
		rc = session_do(&session, "DELETE", session_path(&holder, "/v1/devices/", cli->argv[0], ""),
				view_of(NULL, 0));
	if (rc == EXIT_DONE)
		cli_say(cli, "device %s is revoked: from its next call on it gets nothing", cli->argv[0]);
	return rc;
}
