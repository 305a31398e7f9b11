/* What pfxctl reads: the listing of a bulk import, its configuration, a token, a password, and the server's answers
 * that it prints, and a mail from anywhere. The input is a line that says which (list, conf, token, password, mail,
 * show), and the bytes. */
#include "fuzz.h"

#include "../../clients/pfxctl/import.h"
#include "../../clients/pfxctl/mail.h"
#include "../../clients/pfxctl/settings.h"
#include "../../clients/pfxctl/show.h"
#include "../../clients/shared/json_text.h"
#include "../../clients/shared/trouble.h"
#include "text.h"

/* What a terminal sees is harmless. */
static void check_told(int rc)
{
	char again[2048];
	if (rc == EXIT_DONE)
		return;
	MUST(trouble_text()[0] && strlen(trouble_text()) < sizeof again);
	strcpy(again, trouble_text());
	text_disarm(again);
	MUST(strcmp(again, trouble_text()) == 0 && text_is_clean(view_text(trouble_text())));
}

static int try_list(const char *path)
{
	IMPORT_ITEMS items = { 0 };
	int rc = import_list_read(path, &items);
	for (size_t i = 0; i < items.count; i++) {
		MUST(items.at[i].upn[0] && items.at[i].file[0] && strlen(items.at[i].file) < PATH_BYTES);
		MUST(!items.at[i].password_file || items.at[i].password_file[0]);
	}
	return rc;
}

static int try_configuration(const char *path)
{
	static const struct cli_program program = { .name = "pfxctl" };
	struct cli cli = { .program = &program, .value = { [OPT_CONFIG] = path } };
	static struct settings settings;
	int rc = settings_read(&cli, &settings);
	MUST(rc != EXIT_DONE || (text_is_clean(view_text(settings.server)) && text_is_clean(view_text(settings.ca))));
	return rc;
}

static int try_token(const char *path)
{
	BUF secret = fuzz_buf(SECRET_LINE_MAX_BYTES + 1);
	int rc = file_read_token(path, secret);
	MUST(rc != EXIT_DONE || token_is_valid(buf_view(secret)));
	return rc;
}

static int try_password(const char *path)
{
	BUF secret = fuzz_buf(SECRET_LINE_MAX_BYTES + 1);
	int rc = file_read_password(path, secret);
	struct view password = buf_view(secret);
	MUST(rc != EXIT_DONE || (text_is_utf8(password) && !(password.len && memchr(password.p, '\n', password.len))));
	return rc;
}

/* Each recipient is named by one of both, in clean text. */
static int try_mail(const char *path)
{
	RECIPIENTS recipients = { .count = 0 };
	int rc = mail_read_recipients(path, &recipients);
	MUST(recipients.count <= MAIL_RECIPIENTS_MAX);
	for (size_t i = 0; rc == EXIT_DONE && i < recipients.count; i++) {
		const struct recipient *r = &recipients.at[i];
		MUST(!r->key_identifier[0] == (r->serial[0] != 0));
		MUST(text_is_clean(view_text(r->issuer)) && text_is_clean(view_text(r->serial)));
	}
	return rc;
}

/* An answer, printed in every way; a list where it has one of that name. */
static int try_show(struct view bytes)
{
	static const struct column columns[] = {
		{ "ID", "id" }, { "NAME", "name" }, { "STATE", "state" }, { "USAGES", "usages" },
		{ "NUMBER", "number" },
	};
	enum { COLUMNS = sizeof columns / sizeof columns[0] };
	struct cli cli = { .argc = 0 };
	JSON json = NULL;
	int rc = json_read(bytes, &json);
	if (rc != EXIT_DONE)
		return rc;
	show_list(&cli, json, "list", columns, COLUMNS, "nothing");
	show_object(&cli, json, columns, COLUMNS);
	cli.value[OPT_JSON] = "";
	show_list(&cli, json, "list", columns, COLUMNS, "nothing");
	return EXIT_DONE;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	MUST(freopen("/dev/null", "w", stdout)); /* libFuzzer itself writes to standard error */
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view bytes = view_of(data, size);
	struct view what = fuzz_take_until(&bytes, "\n");
	if (view_is(what, "list"))
		check_told(try_list(fuzz_file(bytes)));
	else if (view_is(what, "conf"))
		check_told(try_configuration(fuzz_file(bytes)));
	else if (view_is(what, "token"))
		check_told(try_token(fuzz_file(bytes)));
	else if (view_is(what, "password"))
		check_told(try_password(fuzz_file(bytes)));
	else if (view_is(what, "mail"))
		check_told(try_mail(fuzz_file(bytes)));
	else
		check_told(try_show(bytes));
	return 0;
}
