/* Tokens of administrators: token add, token list, token revoke. pfxctl. */
#include "commands.h"
#include "session.h"
#include "show.h"

#include "../shared/trouble.h"
#include "text.h"
#include "json_lift.h"
#include "protocol.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct column token_columns[] = {
	{ "ID", "id" }, { "NAME", "name" }, { "ROLE", "role" }, { "CREATED", "createdAt" }, { "EXPIRES", "expiresAt" },
};

static bool is_role(const char *role)
{
	static const char *const roles[] = { "importer", "enroller", "auditor", "operator", "admin" };
	for (size_t i = 0; i < COUNT(roles); i++)
		if (strcmp(role, roles[i]) == 0)
			return true;
	return false;
}

static int token_body(const struct cli *cli, struct buf *ret)
{
	uint64_t seconds;
	const char *role = cli->value[OPT_ROLE];
	int rc = cli_number(cli, OPT_EXPIRES_IN, 1, TOKEN_SECONDS_MAX, 0, &seconds);
	if (rc)
		return rc;
	if (!role || !is_role(role))
		return trouble(EXIT_USAGE, "what may it do? give --role importer, enroller, auditor, operator or "
			       "admin");
	if (!text_is_utf8(view_text(cli->argv[0])) || !text_is_utf8(view_text(role)))
		return trouble(EXIT_USAGE, "the name or the role is not UTF-8");
	json_put_open(ret, NULL, '{');
	json_put_text(ret, "name", view_text(cli->argv[0]));
	json_put_text(ret, "role", view_text(role));
	if (seconds)
		buf_printf(ret, ",\"expiresIn\":%llu", (unsigned long long)seconds);
	buf_put_u8(ret, '}');
	return EXIT_DONE;
}

/* The id is told in any case: whoever did not get the token can at least revoke it. */
static int give(const struct cli *cli, struct file_new *out, struct view token_secret, json_t *facts)
{
	const char *id = json_get_text(facts, "id"), *path = cli->value[OPT_TOKEN_OUT];
	if (!path)
		cli_say(cli, "token %s of role %s; it is shown this once", id, cli->value[OPT_ROLE]);
	int rc = show_token(cli, out, token_secret, facts);
	if (path && rc)
		return trouble((enum exit_status)rc, "%s (pfxctl token revoke %s)", trouble_text(), id);
	if (path)
		cli_say(cli, "token %s of role %s is in %s", id, cli->value[OPT_ROLE], path);
	return rc;
}

int token_add_run(const struct cli *cli)
{
	static const char *const secrets[] = { "token", NULL };
	SESSION session;
	HTTP_ANSWER answer = { 0 };
	JSON facts = NULL;
	BUF body = buf_new(16384);
	BUF secrets_secret = buf_new(HTTP_ANSWER_MAX_BYTES);
	FILE_NEW out = { .fd = -1 };
	struct view token_secret;
	int rc = session_open(cli, &session);
	if (rc == EXIT_DONE)
		rc = body && secrets_secret ? token_body(cli, body) : trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE)
		rc = token_out_begin(cli, &out);
	if (rc == EXIT_DONE)
		rc = session_call(&session, "POST", "/v1/tokens", buf_view(body), &answer);
	if (rc == EXIT_DONE)
		rc = json_read_lifted(buf_view(answer.body_secret), secrets, secrets_secret, &facts);
	if (rc)
		return rc;
	if (!json_lifted(secrets_secret, json_get_text(facts, "token"), &token_secret))
		return trouble(EXIT_REFUSED, "the server's answer holds no token");
	return give(cli, &out, token_secret, facts);
}

int token_list_run(const struct cli *cli)
{
	SESSION session;
	JSON answer = NULL;
	int rc = session_open(cli, &session);
	if (rc == EXIT_DONE)
		rc = session_get(&session, "/v1/tokens", &answer);
	if (rc == EXIT_DONE)
		show_list(cli, answer, "tokens", token_columns, COUNT(token_columns), "there are no tokens");
	return rc;
}

int token_revoke_run(const struct cli *cli)
{
	SESSION session;
	BUF holder = NULL;
	int rc = session_open(cli, &session);
	if (rc == EXIT_DONE)
		rc = session_do(&session, "DELETE", session_path(&holder, "/v1/tokens/", cli->argv[0], ""),
				view_of(NULL, 0));
	if (rc == EXIT_DONE)
		cli_say(cli, "token %s is revoked", cli->argv[0]);
	return rc;
}
