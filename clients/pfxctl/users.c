/* Users and their histories: history, delete, users, user, rename, retire. pfxctl. */
#include "commands.h"
#include "session.h"
#include "show.h"

#include "../shared/trouble.h"
#include "text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct column history_columns[] = {
	{ "NOT BEFORE", "notBefore" }, { "NOT AFTER", "notAfter" },  { "THUMBPRINT", "thumbprint" },
	{ "USAGES", "usages" },        { "CURRENT FOR", "currentFor" }, { "KEY", "keyAlgorithm" },
	{ "SUBJECT", "subject" },
};
static const struct column users_columns[] = {
	{ "UPN", "upn" }, { "IDENTITIES", "identities" }, { "DEVICES", "devices" }, { "ID", "id" },
	{ "ALIASES", "aliases" },
};

int history_run(const struct cli *cli)
{
	SESSION session;
	BUF holder = NULL;
	JSON answer = NULL;
	char empty[1024];
	int rc = session_open(cli, &session);
	if (rc == EXIT_DONE)
		rc = session_get(&session, session_path(&holder, "/v1/users/", cli->argv[0], "/certificates"), &answer);
	if (rc)
		return rc;
	/* Of which role the token is is not known here. */
	snprintf(empty, sizeof empty, "nothing is there for %s that this token may see; one of role importer sees "
		 "only what it imported itself", cli->argv[0]);
	text_disarm(empty);
	show_list(cli, answer, "certificates", history_columns, COUNT(history_columns), empty);
	return EXIT_DONE;
}

/* EXIT_DONE when the line that is typed is word, upper or lower case. */
static int expect_typed(const char *word)
{
	char line[1024];
	if (!fgets(line, sizeof line, stdin))
		line[0] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	return strcasecmp(line, word) == 0 ? EXIT_DONE : trouble(EXIT_USAGE, "not confirmed; nothing was changed");
}

static int confirm_delete(const struct cli *cli)
{
	char prompt[1024];
	if (cli->value[OPT_YES])
		return EXIT_DONE;
	if (!isatty(STDIN_FILENO))
		return trouble(EXIT_USAGE, "delete destroys a key of %s for good; add --yes if that is meant",
			       cli->argv[0]);
	snprintf(prompt, sizeof prompt, "This destroys the key of certificate %s of %s, for good.", cli->argv[1],
		 cli->argv[0]);
	text_disarm(prompt);
	fprintf(stderr, "%s\nMail that was encrypted to it can be read no more. Type yes to go on: ", prompt);
	return expect_typed("yes");
}

int delete_run(const struct cli *cli)
{
	SESSION session;
	BUF holder = NULL;
	BUF path = buf_new(32768);
	int rc = session_open(cli, &session);
	if (rc == EXIT_DONE)
		rc = confirm_delete(cli);
	if (rc)
		return rc;
	const char *certificates = session_path(&holder, "/v1/users/", cli->argv[0], "/certificates/");
	if (!path || !certificates)
		return trouble(EXIT_LOCAL, "no memory");
	buf_put_text(path, certificates);
	url_put_encoded(path, cli->argv[1]);
	rc = session_do(&session, "DELETE", buf_text(path), view_of(NULL, 0));
	if (rc == EXIT_DONE)
		cli_say(cli, "deleted; devices of %s drop it at their next sync", cli->argv[0]);
	return rc;
}

int users_run(const struct cli *cli)
{
	SESSION session;
	JSON answer = NULL;
	int rc = session_open(cli, &session);
	if (rc == EXIT_DONE)
		rc = session_list(&session, "/v1/users", "users", UINT64_MAX, &answer);
	if (rc == EXIT_DONE)
		show_list(cli, answer, "users", users_columns, COUNT(users_columns), "there are no users yet");
	return rc;
}

int user_run(const struct cli *cli)
{
	SESSION session;
	BUF holder = NULL;
	JSON answer = NULL;
	int rc = session_open(cli, &session);
	if (rc == EXIT_DONE)
		rc = session_get(&session, session_path(&holder, "/v1/users/", cli->argv[0], ""), &answer);
	if (rc == EXIT_DONE)
		show_object(cli, answer, users_columns, COUNT(users_columns));
	return rc;
}

int rename_run(const struct cli *cli)
{
	SESSION session;
	BUF holder = NULL;
	BUF body = buf_new(16384);
	int rc = session_open(cli, &session);
	if (rc)
		return rc;
	if (strcmp(cli->argv[0], cli->argv[1]) == 0) {
		cli_say(cli, "both names are %s: there is nothing to do", cli->argv[0]);
		return EXIT_DONE;
	}
	if (!body || !text_is_utf8(view_text(cli->argv[1])))
		return trouble(EXIT_USAGE, "the new name is not UTF-8");
	json_put_open(body, NULL, '{');
	json_put_text(body, "upn", view_text(cli->argv[1]));
	buf_put_u8(body, '}');
	rc = session_do(&session, "PATCH", session_path(&holder, "/v1/users/", cli->argv[0], ""), buf_view(body));
	if (rc == EXIT_DONE)
		cli_say(cli, "%s is now %s; history and devices stay", cli->argv[0], cli->argv[1]);
	return rc;
}

/* Whoever sits at the terminal types the name again: this can not be undone. */
static int confirm_retire(const struct cli *cli, const char *upn)
{
	if (cli->value[OPT_YES])
		return EXIT_DONE;
	if (!isatty(STDIN_FILENO))
		return trouble(EXIT_USAGE, "retire destroys the keys of %s for good; add --yes if that is meant", upn);
	fprintf(stderr, "This revokes every device of %s and destroys the keys of the whole history, for good.\n"
		"Mail that was encrypted to them can be read no more. Type the name again to go on: ", upn);
	return expect_typed(upn);
}

int retire_run(const struct cli *cli)
{
	SESSION session;
	BUF holder = NULL;
	int rc = session_open(cli, &session);
	if (rc == EXIT_DONE)
		rc = confirm_retire(cli, cli->argv[0]);
	if (rc == EXIT_DONE)
		rc = session_do(&session, "DELETE", session_path(&holder, "/v1/users/", cli->argv[0], ""),
				view_of(NULL, 0));
	if (rc == EXIT_DONE)
		cli_say(cli, "%s is retired: devices revoked, keys destroyed, audit kept", cli->argv[0]);
	return rc;
}
