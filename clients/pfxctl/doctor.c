/* doctor: looks at what usually goes wrong on a server, and says how to mend it. pfxctl, as root on the server. It
 * changes nothing. */
#include "doctor.h"

#include "../shared/json_text.h"
#include "../shared/trouble.h"
#include "fault.h"
#include "harden.h"
#include "log.h"
#include "show.h"
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 1200, CHECK_COLUMNS = 20, DAY_SECONDS = 86400, YEAR_DAYS = 365, DATE_CHARS = 10 };

static const char *const words[] = {
	[FINDING_OK] = "ok", [FINDING_SOON] = "soon", [FINDING_MEND] = "MEND",
};

/* ---- telling ---- */

static void print(const char *word, const char *check, const char *text)
{
	char harmless[LINE_MAX_BYTES];
	snprintf(harmless, sizeof harmless, "%s", text);
	text_disarm(harmless);
	printf("%-4s %-*s %s\n", word, CHECK_COLUMNS, check, harmless);
}

/* Run by its timer: an event each, which `journalctl -x` explains. */
static void log_finding(enum finding how, const char *check, const char *mend, const char *detail)
{
	const struct log_field fields[] = {
		{ "check", view_text(check), LOG_PLAIN },
		{ "detail", view_text(detail), LOG_PLAIN },
		{ "mend", view_text(mend), LOG_PLAIN },
		{ 0 },
	};
	log_event(how == FINDING_MEND ? EVENT_TO_MEND : EVENT_TO_MEND_SOON, fields);
}

void doctor_tell(struct doctor *d, enum finding how, const char *check, const char *mend, const char *format, ...)
{
	static const char *const states[] = {
		[FINDING_OK] = "ok", [FINDING_SOON] = "soon", [FINDING_MEND] = "mend",
	};
	char detail[LINE_MAX_BYTES];
	va_list args;
	va_start(args, format);
	vsnprintf(detail, sizeof detail, format, args);
	va_end(args);
	d->to_mend += how == FINDING_MEND;
	if (how == FINDING_OK && d->cli->value[OPT_QUIET])
		return;
	text_disarm(detail);
	json_array_append_new(d->findings, json_pack("{s:s, s:s, s:s, s:s}", "check", check, "state", states[how],
						     "detail", detail, "mend", mend));
	if (d->cli->value[OPT_JSON])
		return;
	if (how != FINDING_OK && log_is_journal()) {
		log_finding(how, check, mend, detail);
		return;
	}
	print(words[how], check, detail);
	if (mend[0])
		print("", "", mend);
}

void doctor_tell_trouble(struct doctor *d, const char *check, const char *mend)
{
	doctor_tell(d, FINDING_MEND, check, mend, "%s", trouble_text());
}

void doctor_tell_end(struct doctor *d, const char *check, int64_t begins, int64_t ends, const char *mend)
{
	char date[TIME_TEXT + 1], at_once[LINE_MAX_BYTES];
	int64_t life = (ends - begins) / DAY_SECONDS, left = ends - now_seconds();
	if (life > YEAR_DAYS)
		life = YEAR_DAYS;
	time_format(ends, date);
	date[DATE_CHARS] = '\0';
	snprintf(at_once, sizeof at_once, "at once: %s", mend);
	if (left <= 0)
		doctor_tell(d, FINDING_MEND, check, at_once, "ended %s", date);
	else if (left <= 7 * DAY_SECONDS * life / YEAR_DAYS)
		doctor_tell(d, FINDING_MEND, check, at_once, "ends %s, in %lld days", date,
			    (long long)left / DAY_SECONDS);
	else if (left <= 90 * DAY_SECONDS * life / YEAR_DAYS)
		doctor_tell(d, left <= 30 * DAY_SECONDS * life / YEAR_DAYS ? FINDING_MEND : FINDING_SOON, check, mend,
			    "ends %s, in %lld days", date, (long long)left / DAY_SECONDS);
	else
		doctor_tell(d, FINDING_OK, check, "", "ends %s, in %lld days", date, (long long)left / DAY_SECONDS);
}

bool doctor_check_link(struct doctor *d, const char *check, const char *path, const char *mend)
{
	char folder[PATH_BYTES], *real = realpath(path, NULL), *real_folder = NULL;
	path_folder(folder, path);
	real_folder = realpath(folder[0] ? folder : ".", NULL);
	size_t len = real_folder ? strlen(real_folder) : 0;
	bool inside = !real || !real_folder || (strncmp(real, real_folder, len) == 0 && real[len] == '/');
	if (!inside)
		doctor_tell(d, FINDING_MEND, check, mend, "%s is a link to %s, which the rooms can not see", path, real);
	free(real);
	free(real_folder);
	return inside;
}

/* ---- the checks, in their order ---- */

/* Without it there is no telling where anything is. */
static bool check_configuration(struct doctor *d)
{
	if (server_find(d->cli, &d->server) != EXIT_DONE) {
		doctor_tell_trouble(d, "configuration", "correct it; /usr/lib/pfxd/pfxd-keeper --sample prints every "
				    "key");
		return false;
	}
	if (doctor_check_link(d, "configuration", d->server.conf, "put a copy there in place of the link; then "
			      "systemctl reload pfxd-keeper pfxd-device pfxd-admin"))
		doctor_tell(d, FINDING_OK, "configuration", "", "%s%s", d->server.conf,
			    file_exists(d->server.conf) ? "" : " is not there: every key is at its default");
	return true;
}

static int sum_up(const struct doctor *d)
{
	if (d->cli->value[OPT_JSON]) {
		JSON all = json_pack("{s:b, s:O}", "ok", d->to_mend == 0, "findings", d->findings);
		show_json(all);
	}
	if (d->to_mend == 0)
		return EXIT_DONE;
	return trouble_coded(EXIT_REFUSED, "mend", "%zu %s to mend", d->to_mend, d->to_mend == 1 ? "thing" : "things");
}

int doctor_run(const struct cli *cli)
{
	static void (*const checks[])(struct doctor *d) = {
		doctor_check_clock, doctor_check_keyring, doctor_check_tls,
		doctor_check_units, doctor_check_sockets, doctor_check_keeper,
		doctor_check_backups,
	};
	JSON findings = json_array();
	struct doctor d = { .cli = cli, .findings = findings };
	harden_memory();
	int rc = findings ? server_need_root(cli) : trouble(EXIT_LOCAL, "no memory");
	if (rc)
		return rc;
	d.over = !check_configuration(&d);
	for (size_t i = 0; !d.over && i < sizeof checks / sizeof checks[0]; i++)
		checks[i](&d);
	return sum_up(&d);
}
