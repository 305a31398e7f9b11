/* restore and verify: what hands a backup to the keeper, and has it look at what is stored. pfxctl, as root on the
 * server. A backup is not read here: it may come from anywhere. */
#include "commands.h"
#include "local.h"
#include "new_keyring.h"
#include "show.h"

#include "../shared/json_text.h"
#include "../shared/trouble.h"
#include "frame.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { QUESTION_MAX_BYTES = 64, AFTER_RESTORE_SECONDS = 600 };

/* Not waiting for a writer, where it is a pipe. */
static int open_backup(const char *path, int *ret_fd, uint64_t *ret_bytes)
{
	struct stat st;
	*ret_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (*ret_fd < 0 || fstat(*ret_fd, &st) < 0)
		return trouble(EXIT_LOCAL, "can not open %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return trouble(EXIT_LOCAL, "%s is %s: a backup is a file that pfxctl backup made", path,
			       S_ISREG(st.st_mode) ? "empty" : "no file");
	*ret_bytes = (uint64_t)st.st_size;
	return EXIT_DONE;
}

static int find(const struct cli *cli, const struct buf *answer, struct server *ret)
{
	int rc = answer ? server_need_root(cli) : trouble(EXIT_LOCAL, "no memory");
	return rc ? rc : server_find(cli, ret);
}

/* ---- restore ---- */

static int hand_over(const struct cli *cli, const struct server *server, struct view token_sha256, struct buf *answer,
		     struct msg_restored *ret)
{
	FD file = -1;
	struct view fields;
	struct msg_restore m = { .replace = cli->value[OPT_REPLACE] != NULL,
				 .trust_devices = cli->value[OPT_TRUST_DEVICES] != NULL,
				 .token_sha256 = token_sha256 };
	BUF question = buf_new(QUESTION_MAX_BYTES);
	struct local_talk talk = { .question = question, .verb = VERB_RESTORE, .until_end = true };
	int rc = question ? open_backup(cli->argv[0], &file, &m.bytes) : trouble(EXIT_LOCAL, "no memory");
	if (rc)
		return rc;
	talk.file = file;
	talk.file_bytes = m.bytes;
	frame_begin(question, VERB_RESTORE);
	put_restore(question, &m);
	rc = local_talk(server, &talk, answer, &fields);
	return rc == EXIT_DONE && read_restored(fields, ret) < 0 ? local_other_version() : rc;
}

/* The next keeper answers when it has the backup in its place and has looked at it. */
static int await_service(const struct server *server)
{
	struct view fields = view_text("");
	struct msg_inspection m;
	BUF answer = buf_new(FRAME_MAX_BYTES);
	int rc = answer ? local_ask(server, VERB_INSPECT, AFTER_RESTORE_SECONDS, answer, &fields) :
			  trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE && read_inspection(fields, &m) < 0)
		rc = local_other_version();
	if (rc)
		return trouble((enum exit_status)rc, "the backup is in the place of the database, but the service does "
			       "not come back: %s", trouble_text());
	return EXIT_DONE;
}

/* The token's place in the JSON is a number, as show_token() has it. */
static int show_restored(const struct cli *cli, const struct msg_restored *m, struct file_new *out,
			 struct view token_secret)
{
	char last[TIME_TEXT + 1];
	time_format(m->last_record_at, last);
	JSON told = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "users", (json_int_t)m->users, "identities",
			      (json_int_t)m->identities, "devices", (json_int_t)m->devices, "held", (json_int_t)m->held,
			      "ended", (json_int_t)m->ended, "tokensEnded", (json_int_t)m->tokens, "unreadable",
			      (json_int_t)m->unreadable, "lastRecordAt", last);
	if (!cli->value[OPT_JSON])
		printf("restored, as of %s: %llu users, %llu identities, %llu devices\n", last,
		       (unsigned long long)m->users, (unsigned long long)m->identities,
		       (unsigned long long)m->devices);
	if (cli->value[OPT_TRUST_TOKENS]) {
		if (cli->value[OPT_JSON])
			show_json(told);
		return EXIT_DONE;
	}
	if (!cli->value[OPT_JSON] && !cli->value[OPT_TOKEN_OUT])
		return show_secret("admin token", token_secret);
	json_object_set_new(told, "token", json_integer(0));
	return show_token(cli, out, token_secret, told);
}

static void tell_restored(const struct cli *cli, const struct msg_restored *m)
{
	const char *path = cli->value[OPT_TOKEN_OUT];
	if (!cli->value[OPT_TRUST_TOKENS])
		cli_say(cli, "all %llu tokens of administrators in the backup were ended, because it does not know which "
			"were revoked after it; there is one new one, of role admin%s%s: pfxctl token add makes others",
			(unsigned long long)m->tokens, path ? ", in " : "", path ? path : "");
	if (m->held)
		cli_say(cli, "%llu devices are held and get nothing (403), because the backup does not know which were "
			"revoked after it: pfxctl devices shows them, pfxctl revoke ID ends one, pfxctl devices "
			"release ID, or --all, lets it in again", (unsigned long long)m->held);
	if (m->ended)
		cli_say(cli, "%llu enrolment tokens that were not spent were ended: make new ones",
			(unsigned long long)m->ended);
	if (m->unreadable)
		cli_say(cli, "%llu identities in the backup are damaged and can not be read: pfxctl verify tells which; "
			"import them again", (unsigned long long)m->unreadable);
	cli_say(cli, "what was deleted or changed after the backup is as it was then: identities that were deleted, "
		"users that were retired%s. Delete them again",
		cli->value[OPT_TRUST_TOKENS] ? ", administrators' tokens that were revoked" : "");
}

/* The token is made here, and the keeper is told its SHA-256 alone. */
static int make_token(const struct cli *cli, struct buf *ret_secret, uint8_t ret_sha256[static 32],
		      struct file_new *ret_out)
{
	if (cli->value[OPT_TRUST_TOKENS] && cli->value[OPT_TOKEN_OUT])
		return trouble(EXIT_USAGE, "with --trust-tokens no token is made: leave --token-out away");
	int rc = ret_secret ? new_token(ret_secret, ret_sha256) : trouble(EXIT_LOCAL, "no memory");
	return rc ? rc : token_out_begin(cli, ret_out);
}

static int not_shown(enum exit_status how)
{
	return trouble(how, "the backup is in the place of the database, but its new admin token was lost: %s; run the "
		       "same command again, with --replace", trouble_text());
}

int restore_run(const struct cli *cli)
{
	struct server server;
	struct msg_restored m;
	uint8_t sha256[32];
	FILE_NEW out = { .fd = -1 };
	BUF answer = buf_new(FRAME_MAX_BYTES);
	BUF token_secret = buf_new(TOKEN_FILE_CHARS);
	int rc = find(cli, answer, &server);
	if (rc == EXIT_DONE)
		rc = make_token(cli, token_secret, sha256, &out);
	if (rc == EXIT_DONE)
		rc = hand_over(cli, &server, view_of(sha256, cli->value[OPT_TRUST_TOKENS] ? 0 : sizeof sha256), answer,
			       &m);
	if (rc)
		return rc;
	rc = show_restored(cli, &m, &out, buf_view(token_secret));
	if (rc)
		return not_shown((enum exit_status)rc);
	tell_restored(cli, &m);
	return await_service(&server);
}

/* ---- verify ---- */

static int ask_to_verify(const struct cli *cli, const struct server *server, struct buf *answer,
			 struct msg_verified *ret)
{
	FD file = -1;
	struct view fields;
	struct msg_verify m = { 0 };
	BUF question = buf_new(QUESTION_MAX_BYTES);
	struct local_talk talk = { .question = question, .verb = VERB_VERIFY_IDENTITIES };
	const char *path = cli->value[OPT_DATABASE];
	int rc = question ? EXIT_DONE : trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE && path)
		rc = open_backup(path, &file, &m.bytes);
	if (rc)
		return rc;
	talk.file = file;
	talk.file_bytes = m.bytes;
	frame_begin(question, VERB_VERIFY_IDENTITIES);
	put_verify(question, &m);
	rc = local_talk(server, &talk, answer, &fields);
	return rc == EXIT_DONE && read_verified(fields, ret) < 0 ? local_other_version() : rc;
}

static void print_unreadable(struct view list)
{
	struct msg_string one;
	char line[1024];
	while (list.len > 0 && get_string(&list, &one) == 0) {
		snprintf(line, sizeof line, "%.*s", (int)one.value.len, (const char *)one.value.p);
		text_disarm(line);
		puts(line);
	}
}

static void show_verified(const struct msg_verified *m, const char *at)
{
	struct msg_string one;
	struct view list = m->unreadable;
	JSON unreadable = json_array();
	while (list.len > 0 && get_string(&list, &one) == 0)
		json_array_append_new(unreadable, json_stringn((const char *)one.value.p, one.value.len));
	JSON told = json_pack("{s:b, s:I, s:I, s:s, s:O}", "ok", m->readable == m->total, "total", (json_int_t)m->total,
			      "readable", (json_int_t)m->readable, "at", at, "unreadable", unreadable);
	show_json(told);
}

int verify_run(const struct cli *cli)
{
	struct server server;
	struct msg_verified m;
	char at[TIME_TEXT + 1], readable[NUMBER_GROUPED_MAX], total[NUMBER_GROUPED_MAX];
	BUF answer = buf_new(FRAME_MAX_BYTES);
	int rc = find(cli, answer, &server);
	if (rc == EXIT_DONE)
		rc = ask_to_verify(cli, &server, answer, &m);
	if (rc)
		return rc;
	time_format(m.at, at);
	if (cli->value[OPT_JSON])
		show_verified(&m, at);
	else
		print_unreadable(m.unreadable);
	number_grouped(m.readable, readable);
	number_grouped(m.total, total);
	if (m.readable != m.total)
		return trouble_coded(EXIT_REFUSED, "unreadable", "%s of %s readable, %s: import the others again, or "
				     "restore a backup in which they can be read", readable, total, at);
	if (!cli->value[OPT_JSON])
		printf("%s of %s readable, %s\n", readable, total, at);
	return EXIT_DONE;
}
