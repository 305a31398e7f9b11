/* which: the question of every help desk. Who can open this mail, and on which device? pfxctl. */
#include "commands.h"
#include "mail.h"
#include "session.h"
#include "show.h"

#include "../shared/trouble.h"

#include <stdio.h>
#include <string.h>

enum { QUERY_MAX_BYTES = 8 * DISTINGUISHED_NAME_MAX_BYTES, LINE_MAX_BYTES = 2048 };

/* ---- asking ---- */

static int ask(struct session *session, const struct recipient *r, json_t **ret)
{
	BUF path = buf_new(QUERY_MAX_BYTES);
	if (!path)
		return trouble(EXIT_LOCAL, "no memory");
	buf_put_text(path, "/v1/certificates?");
	if (r->key_identifier[0]) {
		buf_printf(path, "subjectKeyIdentifier=%s", r->key_identifier);
	} else {
		buf_printf(path, "serialNumber=%s&issuer=", r->serial);
		url_put_encoded(path, r->issuer);
	}
	int rc = session_get(session, buf_text(path), ret);
	if (rc == EXIT_DONE && !json_is_array(json_object_get(*ret, "certificates")))
		rc = trouble(EXIT_REFUSED, "the server's answer has no list \"certificates\"");
	return rc;
}

/* What the server said about a recipient, and by what the mail names that one. */
static json_t *result_of(const struct recipient *r, json_t *answer)
{
	json_t *result = json_object();
	if (r->key_identifier[0]) {
		json_object_set_new(result, "subjectKeyIdentifier", json_string(r->key_identifier));
	} else {
		json_object_set_new(result, "issuer", json_string(r->issuer));
		json_object_set_new(result, "serialNumber", json_string(r->serial));
	}
	json_object_set(result, "certificates", json_object_get(answer, "certificates"));
	return result;
}

/* ---- showing ---- */

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	text_disarm(line);
	puts(line);
}

/* "installed, it said on 2026-11-24": the day alone, people do not look for seconds. */
static void show_holder(const json_t *holder)
{
	const json_t *device = json_object_get(holder, "device");
	const char *holds = json_get_text(holder, "holds"), *state = json_get_text(device, "state");
	char what[LINE_MAX_BYTES];
	if (strcmp(holds, "installed") == 0)
		snprintf(what, sizeof what, "has it: installed, it said on %.10s", json_get_text(holder, "receiptAt"));
	else if (strcmp(holds, "failed") == 0)
		snprintf(what, sizeof what, "could not install it, it said on %.10s: %s",
			 json_get_text(holder, "receiptAt"), json_get_text(holder, "error"));
	else if (strcmp(holds, "delivered") == 0)
		snprintf(what, sizeof what, "got it, and has not said whether it is installed");
	else
		snprintf(what, sizeof what, "does not have it: its last pull was %s",
			 json_is_null(json_object_get(device, "lastPullAt")) ? "never" : "before it was imported");
	say("    %s (%s): %s", json_get_text(device, "name"),
	    strcmp(state, "active") == 0 ? json_get_text(device, "id") : state, what);
}

static void show_found(const json_t *found)
{
	size_t i;
	json_t *holder;
	const json_t *certificate = json_object_get(found, "certificate"), *holders = json_object_get(found, "devices");
	const char *user = json_get_text(found, "user");
	say("  here: the identity %s of %s, valid from %.10s to %.10s", json_get_text(certificate, "thumbprint"), user,
	    json_get_text(certificate, "notBefore"), json_get_text(certificate, "notAfter"));
	json_array_foreach(holders, i, holder)
		show_holder(holder);
	if (json_array_size(holders) == 0)
		say("    no device of this user is enrolled: pfxctl enroll %s", user);
}

static void show_result(const json_t *result)
{
	size_t i;
	json_t *found;
	const json_t *certificates = json_object_get(result, "certificates");
	const char *identifier = json_get_text(result, "subjectKeyIdentifier");
	if (identifier[0])
		say("recipient with the key identifier %s", identifier);
	else
		say("recipient with the serial number %s of %s", json_get_text(result, "serialNumber"),
		    json_get_text(result, "issuer"));
	json_array_foreach(certificates, i, found)
		show_found(found);
	if (json_array_size(certificates) == 0)
		say("  never imported here, or deleted");
}

/* ---- the command ---- */

static int ask_all(struct session *session, const struct recipients *r, json_t *results, size_t *ret_found)
{
	for (size_t i = 0; i < r->count; i++) {
		JSON answer = NULL;
		int rc = ask(session, &r->at[i], &answer);
		if (rc)
			return rc;
		*ret_found += json_array_size(json_object_get(answer, "certificates")) > 0;
		json_array_append_new(results, result_of(&r->at[i], answer));
	}
	return EXIT_DONE;
}

static void show_all(const struct cli *cli, json_t *results, unsigned others)
{
	size_t i;
	json_t *result;
	if (cli->value[OPT_JSON]) {
		JSON answer = json_pack("{s:O, s:I}", "recipients", results, "others", (json_int_t)others);
		show_json(answer);
		return;
	}
	json_array_foreach(results, i, result)
		show_result(result);
	if (others)
		say("and %u that no certificate opens: by a password, or a key that was agreed on", others);
}

int which_run(const struct cli *cli)
{
	SESSION session;
	RECIPIENTS recipients = { .count = 0 };
	JSON results = json_array();
	size_t found = 0;
	int rc = session_open(cli, &session);
	if (rc == EXIT_DONE)
		rc = mail_read_recipients(cli->argv[0], &recipients);
	if (rc == EXIT_DONE)
		rc = ask_all(&session, &recipients, results, &found);
	if (rc)
		return rc;
	show_all(cli, results, recipients.others);
	return found ? EXIT_DONE : trouble(EXIT_REFUSED, "nothing that opens %s is here: import the PFX with that issuer "
					   "and serial number", cli->argv[0]);
}
