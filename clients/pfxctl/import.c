/* import: one or many PFX files, each told of as it is done, failures and warnings counted at the end. pfxctl. Goes on
 * past a file that fails, and stops only where the next one could not do better. */
#include "commands.h"
#include "import.h"
#include "prompt.h"
#include "show.h"

#include "../shared/trouble.h"
#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CODES_MAX = 32 };

/* How often each code was met. */
struct counts {
	size_t used;
	struct {
		char code[64];
		size_t count;
	} at[CODES_MAX];
};

struct tally {
	size_t done, known, failed, untried;
	struct counts failures, warnings;
	int first_failure; /* exit status */
	bool one_kind;     /* of exit status, among the failures */
};

struct job {
	const struct cli *cli;
	struct session session;
	struct import_items items;
	struct buf *password_secret; /* of every file that has none of its own; NULL: ask for each */
	int usages;
	bool progress, warned_of_mode;
	struct tally tally;
};

static void job_done(struct job *job)
{
	session_done(&job->session);
	import_items_done(&job->items);
	buf_free(job->password_secret);
}
#define JOB __attribute__((cleanup(job_done))) struct job

/* ---- what to import ---- */

static int read_usages(const struct cli *cli, int *ret)
{
	const char *text = cli->value[OPT_USAGES];
	*ret = 0;
	while (text) {
		size_t len = strcspn(text, ",");
		struct view word = view_of(text, len);
		if (view_is(word, "encryption"))
			*ret |= IMPORT_ENCRYPTION;
		else if (view_is(word, "signing"))
			*ret |= IMPORT_SIGNING;
		else
			return trouble(EXIT_USAGE, "--usages takes encryption, signing, or both with a comma between");
		text = text[len] ? text + len + 1 : NULL;
	}
	return EXIT_DONE;
}

static int read_items(const struct cli *cli, struct import_items *ret)
{
	const char *list = cli->value[OPT_LIST];
	if (list && cli->argc > 0)
		return trouble(EXIT_USAGE, "give a UPN and files, or --list, not both");
	if (list)
		return import_list_read(list, ret);
	if (cli->argc < 2)
		return trouble(EXIT_USAGE, "whose, and which files? pfxctl import UPN FILE..., or --list CSVFILE");
	int rc = EXIT_DONE;
	for (int i = 1; rc == EXIT_DONE && i < cli->argc; i++)
		rc = import_items_add(ret, cli->argv[0], cli->argv[i], NULL);
	return rc;
}

/* ---- passwords ---- */

/* count, as in " (1 of 2)", may be empty. */
static int ask_password(const char *file, const char *count, struct buf *ret_secret)
{
	char what[512];
	snprintf(what, sizeof what, "Password of %s%s", file, count);
	return prompt_secret(what, "--password-file or --password-fd", ret_secret);
}

/* Said once: in a listing all password files are most often of one making. It is no refusal, because the password of
 * an export is often one that many know. */
static int read_password_file(struct job *job, const char *path, struct buf *ret_secret)
{
	if (!job->warned_of_mode && file_is_open_to_others(path)) {
		job->warned_of_mode = true;
		cli_say(job->cli, "others may read the password file %s; make it yours alone: chmod 600 %s", path,
			path);
	}
	return file_read_password(path, ret_secret);
}

static bool needs_common_password(const struct import_items *items)
{
	for (size_t i = 0; i < items->count; i++)
		if (!items->at[i].password_file)
			return true;
	return false;
}

/* The password of all files that bring none: from a file, a descriptor, or asked for once. */
static int read_common_password(struct job *job)
{
	const struct cli *cli = job->cli;
	uint64_t fd;
	int rc = cli_number(cli, OPT_PASSWORD_FD, 0, 1024, 0, &fd);
	int ways = (cli->value[OPT_PASSWORD_FILE] != NULL) + (cli->value[OPT_PASSWORD_FD] != NULL) +
		   (cli->value[OPT_SAME_PASSWORD] != NULL);
	if (rc == EXIT_DONE && ways > 1)
		rc = trouble(EXIT_USAGE, "give one of --password-file, --password-fd and --same-password");
	if (rc || ways == 0 || !needs_common_password(&job->items))
		return rc;
	job->password_secret = buf_new(2 * SECRET_LINE_MAX_BYTES);
	if (!job->password_secret)
		return trouble(EXIT_LOCAL, "no memory");
	if (cli->value[OPT_PASSWORD_FILE])
		return read_password_file(job, cli->value[OPT_PASSWORD_FILE], job->password_secret);
	if (cli->value[OPT_PASSWORD_FD])
		return file_read_password_fd((int)fd, job->password_secret);
	return ask_password("all files", "", job->password_secret);
}

static void show_progress(const struct job *job, size_t n)
{
	if (job->progress)
		fprintf(stderr, "\r\033[K%zu of %zu", n, job->items.count);
}

static void clear_progress(const struct job *job)
{
	if (job->progress)
		fputs("\r\033[K", stderr);
}

/* The n-th file, counted from 1. */
static int import_one(struct job *job, size_t n, bool *ret_created, json_t **ret_facts)
{
	const struct import_item *item = &job->items.at[n - 1];
	char count[64] = "";
	BUF own_secret = buf_new(2 * SECRET_LINE_MAX_BYTES);
	int rc = own_secret ? EXIT_DONE : trouble(EXIT_LOCAL, "no memory");
	bool common = !item->password_file && job->password_secret;
	if (rc == EXIT_DONE && item->password_file)
		rc = read_password_file(job, item->password_file, own_secret);
	if (job->items.count > 1)
		snprintf(count, sizeof count, " (%zu of %zu)", n, job->items.count);
	bool ask = !common && !item->password_file;
	/* Nobody is to type a password for a file that is not there. */
	if (rc == EXIT_DONE && ask && access(item->file, R_OK) < 0)
		rc = trouble(EXIT_LOCAL, "can not open %s: %s", item->file, strerror(errno));
	if (rc == EXIT_DONE && ask)
		rc = ask_password(item->file, count, own_secret);
	if (rc)
		return rc;
	show_progress(job, n); /* after the prompt, which would stand on the same line */
	rc = import_send(&job->session, item, job->usages, buf_view(common ? job->password_secret : own_secret),
			 ret_created, ret_facts);
	clear_progress(job);
	return rc;
}

/* ---- telling ---- */

static void count_code(struct counts *counts, const char *code)
{
	size_t i = 0;
	while (i < counts->used && strcmp(counts->at[i].code, code) != 0)
		i++;
	if (i == CODES_MAX)
		return;
	if (i == counts->used) {
		counts->used++;
		snprintf(counts->at[i].code, sizeof counts->at[i].code, "%s", code);
	}
	counts->at[i].count++;
}

enum { COUNTS_TEXT_MAX = 1024 };

/* ": 2 wrong_password, 1 local_file", or "". */
static void print_counts(const struct counts *counts, char ret[static COUNTS_TEXT_MAX])
{
	size_t len = 0;
	ret[0] = '\0';
	for (size_t i = 0; i < counts->used && len < COUNTS_TEXT_MAX; i++)
		len += (size_t)snprintf(ret + len, COUNTS_TEXT_MAX - len, "%s %zu %s", i ? "," : ":",
					counts->at[i].count, counts->at[i].code);
}

static void tally_warnings(struct tally *tally, const json_t *facts)
{
	size_t i;
	json_t *warning;
	json_array_foreach(json_object_get(facts, "warnings"), i, warning)
		count_code(&tally->warnings, json_get_text(warning, "code"));
}

static void tally_failure(struct tally *tally, int rc, const char *code)
{
	tally->one_kind = tally->failed == 0 || (tally->one_kind && tally->first_failure == rc);
	if (tally->failed++ == 0)
		tally->first_failure = rc;
	count_code(&tally->failures, code);
}

static void tell_line(const char *text)
{
	char line[1024];
	snprintf(line, sizeof line, "          %s", text);
	text_disarm(line);
	puts(line);
}

/* A key that went to the wrong person is at that person's devices with their next pull. */
static void tell_mismatch(const char *upn, const char *thumbprint)
{
	char text[1000];
	snprintf(text, sizeof text, "if it was meant for somebody else, take it back at once: pfxctl delete %s %s", upn,
		 thumbprint);
	tell_line(text);
}

/* An expired certificate is what most imports bring: that is told with --verbose, and counted. */
static void tell_warnings(const char *upn, const json_t *facts, bool verbose)
{
	size_t i;
	json_t *warning;
	char text[1000];
	json_array_foreach(json_object_get(facts, "warnings"), i, warning) {
		const char *code = json_get_text(warning, "code"), *thumbprint = json_get_text(warning, "thumbprint");
		if (!verbose && strcmp(code, "expired") == 0)
			continue;
		snprintf(text, sizeof text, "warning: %s: %s%s%s", code, json_get_text(warning, "detail"),
			 thumbprint[0] ? ", " : "", thumbprint);
		tell_line(text);
		if (strcmp(code, "address_mismatch") == 0)
			tell_mismatch(upn, thumbprint);
	}
}

static void tell_json(const struct import_item *item, int rc, bool created, json_t *facts)
{
	char upn[PATH_BYTES], file[PATH_BYTES]; /* a file's name need not be UTF-8, JSON must */
	snprintf(upn, sizeof upn, "%s", item->upn);
	snprintf(file, sizeof file, "%s", item->file);
	text_disarm(upn);
	text_disarm(file);
	JSON line = rc ? json_pack("{s:s,s:s,s:{s:s,s:s}}", "user", upn, "file", file, "error", "code", trouble_code(),
				   "message", trouble_text()) :
			 json_pack("{s:s,s:s,s:b,s:O?,s:O?}", "user", upn, "file", file, "created", created,
				   "certificates", json_object_get(facts, "certificates"), "warnings",
				   json_object_get(facts, "warnings"));
	if (line)
		show_json(line);
}

static void tell(const struct job *job, const struct import_item *item, int rc, bool created, json_t *facts)
{
	char line[2048];
	size_t count = json_array_size(json_object_get(facts, "certificates"));
	if (job->cli->value[OPT_JSON]) {
		tell_json(item, rc, created, facts);
	} else if (rc) {
		snprintf(line, sizeof line, "FAILED    %s  %s: %s", item->upn, item->file, trouble_text());
		text_disarm(line);
		puts(line);
	} else {
		snprintf(line, sizeof line, "%s  %s  %s: %zu %s", created ? "imported" : "known   ", item->upn,
			 item->file, count, count == 1 ? "identity" : "identities");
		text_disarm(line);
		puts(line);
		tell_warnings(item->upn, facts, job->cli->value[OPT_VERBOSE] != NULL);
	}
	fflush(stdout);
}

/* The one file of the command, which did not work: its sentence, with its name if that is not in it. */
static int tell_only_failure(const struct job *job)
{
	const char *file = job->items.at[0].file, *why = trouble_text();
	bool named = strstr(why, file) != NULL;
	return trouble_coded((enum exit_status)job->tally.first_failure, job->tally.failures.at[0].code, "%s%s%s",
			     named ? "" : file, named ? "" : ": ", why);
}

static void tell_sums(const struct job *job)
{
	const struct tally *tally = &job->tally;
	char failures[COUNTS_TEXT_MAX], warnings[COUNTS_TEXT_MAX];
	print_counts(&tally->failures, failures);
	print_counts(&tally->warnings, warnings);
	cli_say(job->cli, "%zu imported, %zu known already, %zu failed%s%s", tally->done, tally->known, tally->failed,
		failures, tally->untried ? "; the rest was not tried" : "");
	if (tally->warnings.used)
		cli_say(job->cli, "warnings%s", warnings);
}

static int sum_up(const struct job *job)
{
	const struct tally *tally = &job->tally;
	if (job->items.count == 1 && tally->failed == 1)
		return tell_only_failure(job);
	if (job->items.count > 1)
		tell_sums(job);
	if (tally->failed == 0)
		return EXIT_DONE;
	enum exit_status how = tally->done + tally->known > 0 ? EXIT_PARTLY :
			       tally->one_kind ? (enum exit_status)tally->first_failure : EXIT_REFUSED;
	return trouble(how, "%zu of %zu files were not imported; mend them and run the same command again: what is "
		       "known stays as it is", tally->failed + tally->untried, job->items.count);
}

/* True when the next file would fail of the same. */
static bool is_hopeless(int rc)
{
	const char *code = trouble_code();
	return (rc == EXIT_LATER && strcmp(code, "unreachable") == 0) || strcmp(code, "unauthorized") == 0 ||
	       strcmp(code, "untrusted_server") == 0;
}

static int import_all(struct job *job)
{
	for (size_t i = 0; i < job->items.count; i++) {
		const struct import_item *item = &job->items.at[i];
		JSON facts = NULL;
		bool created = false;
		int rc = import_one(job, i + 1, &created, &facts);
		bool told_at_end = rc && job->items.count == 1 && !job->cli->value[OPT_JSON];
		if (!told_at_end)
			tell(job, item, rc, created, facts);
		tally_warnings(&job->tally, facts);
		if (rc)
			tally_failure(&job->tally, rc, trouble_code());
		else
			*(created ? &job->tally.done : &job->tally.known) += 1;
		if (rc && is_hopeless(rc)) {
			job->tally.untried = job->items.count - i - 1;
			break;
		}
	}
	return sum_up(job);
}

int import_run(const struct cli *cli)
{
	JOB job = { .cli = cli };
	int rc = read_usages(cli, &job.usages);
	if (rc == EXIT_DONE)
		rc = read_items(cli, &job.items);
	if (rc == EXIT_DONE && job.items.count == 0)
		rc = trouble(EXIT_USAGE, "%s names no file", cli->value[OPT_LIST]);
	if (rc == EXIT_DONE)
		rc = read_common_password(&job);
	if (rc == EXIT_DONE)
		rc = session_open(cli, &job.session);
	if (rc)
		return rc;
	job.progress = job.items.count > 1 && isatty(STDERR_FILENO);
	return import_all(&job);
}
