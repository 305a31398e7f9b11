/* The service itself: audit list, audit verify, ca, health. pfxctl. Verification can also be had from the keeper on the
 * same machine. */
#include "commands.h"
#include "local.h"
#include "session.h"
#include "show.h"

#include "../shared/trouble.h"
#include "log.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct column audit_columns[] = {
	{ "SEQUENCE", "sequence" }, { "AT", "at" },         { "EVENT", "event" },   { "ACTOR", "actor" },
	{ "USER", "user" },         { "OBJECT", "object" }, { "DETAIL", "detail" }, { "REQUEST", "requestId" },
};

int audit_list_run(const struct cli *cli)
{
	SESSION session;
	JSON answer = NULL;
	uint64_t limit;
	int rc = cli_number(cli, OPT_LIMIT, 1, UINT32_MAX, UINT64_MAX, &limit);
	if (rc == EXIT_DONE)
		rc = session_open(cli, &session);
	else
		session = (struct session){ 0 };
	if (rc == EXIT_DONE)
		rc = session_list(&session, "/v1/audit", "records", limit, &answer);
	if (rc == EXIT_DONE)
		show_list(cli, answer, "records", audit_columns, COUNT(audit_columns), "nothing happened yet");
	return rc;
}

static void print_differences(json_t *differences)
{
	size_t i;
	json_t *one;
	json_array_foreach(differences, i, one) {
		char line[1024];
		snprintf(line, sizeof line, "%s", json_is_string(one) ? json_string_value(one) : "?");
		text_disarm(line);
		if (log_is_journal())
			log_detail(EVENT_AUDIT_DIFFERS, "%s", line);
		else
			puts(line);
	}
}

static int verify_by_server(const struct cli *cli, json_t **ret)
{
	SESSION session;
	int rc = session_open(cli, &session);
	return rc ? rc : session_get(&session, "/v1/audit/verification", ret);
}

/* In the form that the server would give it. */
static int verification_to_json(struct view fields, json_t **ret)
{
	struct msg_verification m;
	struct msg_string difference;
	JSON differences = json_array();
	if (read_verification(fields, &m) < 0)
		return local_other_version();
	while (m.differences.len > 0 && get_string(&m.differences, &difference) == 0)
		json_array_append_new(differences,
				      json_stringn((const char *)difference.value.p, difference.value.len));
	*ret = json_pack("{s:b, s:I, s:O}", "ok", m.ok, "records", (json_int_t)m.records, "differences", differences);
	return *ret ? EXIT_DONE : trouble(EXIT_LOCAL, "no memory");
}

static int verify_here(const struct cli *cli, json_t **ret)
{
	struct server server;
	struct view fields;
	BUF answer = buf_new(FRAME_MAX_BYTES);
	int rc = answer ? server_need_root(cli) : trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE)
		rc = server_find(cli, &server);
	if (rc == EXIT_DONE)
		rc = local_ask(&server, VERB_VERIFY, LOCAL_VERIFY_SECONDS, answer, &fields);
	return rc ? rc : verification_to_json(fields, ret);
}

int audit_verify_run(const struct cli *cli)
{
	JSON answer = NULL;
	int rc = cli->value[OPT_LOCAL] ? verify_here(cli, &answer) : verify_by_server(cli, &answer);
	if (rc)
		return rc;
	json_t *differences = json_object_get(answer, "differences");
	long long records = (long long)json_integer_value(json_object_get(answer, "records"));
	bool ok = json_is_true(json_object_get(answer, "ok"));
	if (cli->value[OPT_JSON])
		show_json(answer);
	else
		print_differences(differences);
	if (!ok)
		return trouble_coded(EXIT_REFUSED, "differences", "%zu differences between the audit of %lld records "
				     "and what is stored: somebody changed the database; SECURITY.md says what to do",
				     json_array_size(differences), records);
	if (!cli->value[OPT_JSON])
		printf("%lld records, and what is stored agrees with them\n", records);
	return EXIT_DONE;
}

int ca_run(const struct cli *cli)
{
	SESSION session;
	HTTP_ANSWER answer = { 0 };
	int rc = session_open(cli, &session);
	if (rc == EXIT_DONE)
		rc = session_call(&session, "GET", "/v1/ca", view_of(NULL, 0), &answer);
	if (rc)
		return rc;
	const char *pem = buf_text(answer.body_secret);
	if (!pem || strncmp(pem, "-----BEGIN CERTIFICATE-----", 27) != 0)
		return trouble(EXIT_REFUSED, "the server's answer is no PEM");
	for (const char *p = pem; *p; p++)
		if (*p == '\n' || ((unsigned char)*p >= 0x20 && (unsigned char)*p < 0x7f))
			putchar(*p);
	return EXIT_DONE;
}

static const struct column health_columns[] = {
	{ "PART", "name" }, { "STATUS", "status" }, { "DETAIL", "detail" },
};

/* The parts are members called by their names; a table wants a list. */
static int show_parts(const struct cli *cli, json_t *health)
{
	const char *name;
	json_t *part, *parts = json_object_get(health, "parts");
	JSON list = json_array();
	json_object_foreach(parts, name, part) {
		json_t *row = json_copy(part);
		json_object_set_new(row, "name", json_string(name));
		json_array_append_new(list, row);
	}
	JSON answer = json_pack("{s:O}", "parts", list);
	if (!answer)
		return trouble(EXIT_LOCAL, "no memory");
	show_list(cli, answer, "parts", health_columns, COUNT(health_columns), "the server names no part");
	return EXIT_DONE;
}

/* A service that is not well says so in an answer of 200 or 503. */
static int show_health(const struct cli *cli, const struct http_answer *answer)
{
	JSON health = NULL;
	if (answer->status != 200 && answer->status != 503)
		return http_expect(answer, "probes");
	int rc = json_read(buf_view(answer->body_secret), &health);
	if (rc)
		return rc;
	if (cli->value[OPT_JSON])
		show_json(health);
	else
		rc = show_parts(cli, health);
	if (rc == EXIT_DONE && strcmp(json_get_text(health, "status"), "ok") != 0)
		rc = trouble_coded(EXIT_LATER, "unavailable", "the service is not well: see the parts that are not ok");
	return rc;
}

int health_run(const struct cli *cli)
{
	struct settings settings;
	HTTP http = NULL;
	HTTP_ANSWER answer = { 0 };
	BUF url = buf_new(PATH_BYTES + 64);
	int rc = settings_read(cli, &settings);
	if (rc)
		return rc;
	if (!settings.health[0])
		return trouble(EXIT_USAGE, "where? give --health-url http://HOST:PORT, or health = URL in the "
			       "configuration");
	rc = url_check(settings.health, true);
	if (rc == EXIT_DONE)
		rc = http_open(&(struct http_settings){ .agent = cli->program->name, .plain = true }, &http);
	if (rc)
		return rc;
	size_t len = strlen(settings.health);
	if (!url)
		return trouble(EXIT_LOCAL, "no memory");
	buf_put(url, settings.health, settings.health[len - 1] == '/' ? len - 1 : len);
	buf_put_text(url, "/healthz");
	rc = http_call(http, &(struct http_request){ .method = "GET", .url = buf_text(url) }, &answer);
	return rc ? rc : show_health(cli, &answer);
}
