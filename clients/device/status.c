/* status: what this device is and has. pfx-device. Reads the folder only; contacts nobody. */
#include "commands.h"
#include "output.h"
#include "renew.h"

#include "../shared/json_text.h"
#include "../shared/trouble.h"
#include "certificate.h"

#include <stdio.h>

enum { LINES_MAX = 16 };

struct status {
	size_t installed, failed;
	bool whole, renew;
	char folder[PATH_BYTES]; /* of the files; "" before the first pull */
	char ends[TIME_TEXT + 1], pulled[TIME_TEXT + 1], next[TIME_TEXT + 1], revoked[TIME_TEXT + 1];
};

/* "" for a time that has not been. */
static void put_time(int64_t seconds, char ret[static TIME_TEXT + 1])
{
	ret[0] = '\0';
	if (seconds > 0)
		time_format(seconds, ret);
}

static void print_line(const char *name, const char *value)
{
	char line[PATH_BYTES + 32];
	snprintf(line, sizeof line, "%-13s %s", name, value[0] ? value : "-");
	text_disarm(line);
	puts(line);
}

static void print_status(const struct state *state, const struct status *status)
{
	char count[128], revoked[64];
	snprintf(count, sizeof count, "%zu%s%s", status->installed, status->whole ? "" : ", files are missing: run "
		 "sync",
		 status->failed ? ", and some that can not be used: see index.json" : "");
	print_line("device", state->device_id);
	snprintf(revoked, sizeof revoked, "refused (seen %s): it gets nothing", status->revoked);
	print_line("state", status->revoked[0] ? revoked : "enrolled");
	print_line("user", state->user);
	print_line("server", state->server);
	print_line("valid until", status->ends);
	print_line("renewal", status->renew ? "due; the next sync does it" : "not due");
	print_line("certificates", state->out[0] ? count : "");
	print_line("folder", status->folder);
	print_line("format", state->format);
	print_line("issued", state->issued_at);
	print_line("last pull", status->pulled);
	print_line("next pull", status->next);
}

static int print_json(const struct state *state, const struct status *status)
{
	JSON json = json_pack(
		"{s:s,s:s,s:s,s:s,s:b,s:I,s:I,s:b,s:s,s:s,s:s,s:s,s:s,s:s}", "device", state->device_id, "user",
		state->user, "server", state->server, "notAfter", status->ends, "renewalDue", (int)status->renew, "installed",
		(json_int_t)status->installed, "failed", (json_int_t)status->failed, "whole", (int)status->whole,
		"folder", status->folder, "format", state->format, "issuedAt", state->issued_at, "lastPullAt",
		status->pulled, "nextPullAt", status->next, "revokedAt", status->revoked);
	if (!json)
		return trouble(EXIT_LOCAL, "no memory");
	json_dumpf(json, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
	putchar('\n');
	return EXIT_DONE;
}

int status_run(const struct cli *cli)
{
	STATE state;
	CREDENTIALS credentials = { 0 };
	struct status status = { 0 };
	int rc = state_open(cli, false, &state);
	if (rc == EXIT_DONE)
		rc = credentials_load(&state, &credentials);
	if (rc)
		return rc;
	if (state.out[0])
		rc = path_join(status.folder, state.folder, state.out);
	if (rc)
		return rc;
	if (state.out[0])
		status.whole = output_is_whole(status.folder, state.format, &status.installed, &status.failed);
	status.renew = renewal_is_due(credentials.certificate);
	put_time(certificate_ends(credentials.certificate), status.ends);
	put_time(state.pulled_at, status.pulled);
	put_time(state.next_poll_at, status.next);
	put_time(state.revoked_at, status.revoked);
	if (cli->value[OPT_JSON])
		return print_json(&state, &status);
	print_status(&state, &status);
	return EXIT_DONE;
}
