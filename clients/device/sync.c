/* sync: renews if it is time, pulls the bundle, writes the files, and tells the service which of them can be used.
 * pfx-device. The ETag is kept last: a run that was cut short pulls the bundle again. */
#include "authorities.h"
#include "bundle.h"
#include "call.h"
#include "commands.h"
#include "output.h"
#include "renew.h"

#include "../shared/trouble.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_DEFAULT_SECONDS = 4 * 3600, POLL_MIN_SECONDS = 60 };

/* How and where to write. */
struct plan {
	char format[FORMAT_MAX];
	char out[PATH_BYTES];    /* as it is kept: absolute, or relative to the device's folder */
	char folder[PATH_BYTES]; /* the same as a path from here */
};

/* As asked, else as the last time, else in the device's own folder. */
static int make_plan(const struct cli *cli, const struct state *state, struct plan *ret)
{
	const char *format = cli->value[OPT_FORMAT], *out = cli->value[OPT_OUT];
	snprintf(ret->format, sizeof ret->format, "%s", format ? format : state->format[0] ? state->format : "p12");
	if ((format && strcmp(ret->format, format) != 0) ||
	    (strcmp(ret->format, "p12") != 0 && strcmp(ret->format, "pem") != 0))
		return trouble(EXIT_USAGE, "--format takes p12 or pem");
	snprintf(ret->out, sizeof ret->out, "%s", state->out[0] ? state->out : "certificates");
	if (out) {
		int rc = out[0] ? folder_make(out) : trouble(EXIT_USAGE, "--out is empty");
		/* Absolute, because the next run may start elsewhere. */
		if (rc == EXIT_DONE && !realpath(out, ret->out))
			rc = trouble(EXIT_LOCAL, "can not find the folder %s", out);
		if (rc)
			return rc;
	}
	return path_join(ret->folder, state->folder, ret->out);
}

static void plan_next_poll(struct state *state, const struct http_answer *answer)
{
	int64_t seconds = answer->retry_after < 0 ? POLL_DEFAULT_SECONDS : answer->retry_after;
	state->next_poll_at = now_seconds() + (seconds < POLL_MIN_SECONDS ? POLL_MIN_SECONDS : seconds);
}

static int send_receipts(struct state *state, const struct buf *receipts)
{
	HTTP_ANSWER answer = { 0 };
	const struct http_request request = {
		.method = "POST", .url = "/v1/device/receipts", .body_secret = buf_view(receipts),
	};
	int rc = call_as_device(state, &request, &answer);
	if (rc)
		rc = trouble_coded((enum exit_status)rc, trouble_code(), "the files are written, but the service could "
				   "not be told: %s; the next sync does it", trouble_text());
	return rc;
}

static int tell_failed(size_t failed, size_t all, const char *out)
{
	return trouble_coded(EXIT_PARTLY, "unusable", "%zu of %zu certificates can not be used; %s/index.json says "
			     "why, and the service was told", failed, all, out);
}

/* The files of before stay: the person named that folder, and may have put it to use. But nobody updates them. */
static void tell_left_behind(const struct cli *cli, const struct state *state, const char *old)
{
	char folder[PATH_BYTES], index[PATH_BYTES];
	if (!old[0] || strcmp(old, state->out) == 0 || path_join(folder, state->folder, old) != EXIT_DONE ||
	    path_join(index, folder, "index.json") != EXIT_DONE || !file_exists(index))
		return;
	cli_say(cli, "the files in %s stay, keys and passwords too, and are not updated any more: delete them if "
		"nothing reads them", folder);
}

/* Takes a bundle in: nothing is written before it is verified whole. */
static int take_bundle(const struct cli *cli, struct state *state, const struct credentials *credentials,
		       const struct http_answer *answer, const struct plan *plan, bool *ret_learned)
{
	CHAIN authorities = NULL;
	BUNDLE bundle = { 0 };
	BUF json_secret = buf_new(BUNDLE_MAX_BYTES);
	BUF receipts = buf_new(MIB);
	char old_out[PATH_BYTES];
	size_t failed = 0;
	int rc = json_secret && receipts ? bundle_open(buf_view(answer->body_secret), credentials, json_secret) :
					   trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE)
		rc = bundle_read(buf_view(json_secret), state, &bundle);
	if (rc == EXIT_DONE)
		rc = authorities_read(bundle.json, credentials, &authorities);
	if (rc == EXIT_DONE && authorities)
		rc = authorities_keep(state, authorities);
	*ret_learned = authorities != NULL;
	if (rc == EXIT_DONE)
		rc = output_write(plan->folder, plan->format, &bundle, &failed, receipts);
	if (rc)
		return rc;
	memcpy(state->issued_at, bundle.issued_at, sizeof state->issued_at);
	memcpy(state->user, bundle.user, sizeof state->user);
	snprintf(state->format, sizeof state->format, "%s", plan->format);
	memcpy(old_out, state->out, sizeof old_out);
	snprintf(state->out, sizeof state->out, "%s", plan->out);
	state->revoked_at = 0;
	state->pulled_at = now_seconds();
	state->etag[0] = '\0';
	plan_next_poll(state, answer);
	rc = state_save(state);
	if (rc == EXIT_DONE)
		rc = send_receipts(state, receipts);
	if (rc)
		return rc;
	text_copy(view_text(answer->etag), state->etag, sizeof state->etag);
	rc = state_save(state);
	if (rc)
		return rc;
	cli_say(cli, "%zu certificates of %s are in %s", bundle.count - failed, bundle.user, plan->folder);
	tell_left_behind(cli, state, old_out);
	return failed ? tell_failed(failed, bundle.count, plan->folder) : EXIT_DONE;
}

/* *ret_learned: the bundle told of other enrolment CAs than the device knew. */
static int pull(const struct cli *cli, struct state *state, const struct credentials *credentials, bool *ret_learned)
{
	HTTP_ANSWER answer = { 0 };
	struct plan plan = { 0 };
	size_t installed = 0, failed = 0;
	int rc = make_plan(cli, state, &plan);
	if (rc)
		return rc;
	/* What is missing on disk, or is wanted in another form or place, must come again. */
	bool whole = strcmp(plan.out, state->out) == 0 &&
		     output_is_whole(plan.folder, plan.format, &installed, &failed);
	const struct http_request request = {
		.method = "GET", .url = "/v1/device/bundle", .if_none_match = whole ? state->etag : NULL,
	};
	rc = call_as_device(state, &request, &answer);
	if (rc)
		return rc;
	if (answer.status == 200)
		return take_bundle(cli, state, credentials, &answer, &plan, ret_learned);
	if (answer.status != 304 || !whole || !state->etag[0])
		return trouble(EXIT_REFUSED, "the server answered with status %ld where a bundle was "
			       "due", answer.status);
	state->revoked_at = 0;
	state->pulled_at = now_seconds();
	plan_next_poll(state, &answer);
	rc = state_save(state);
	if (rc)
		return rc;
	cli_say(cli, "up to date: %zu certificates in %s", installed, plan.folder);
	return failed ? tell_failed(failed, installed + failed, plan.folder) : EXIT_DONE;
}

static int reload(const struct state *state, struct credentials *credentials)
{
	credentials_done(credentials);
	*credentials = (struct credentials){ 0 };
	return credentials_load(state, credentials);
}

/* A renewal that fails is told of and tried again next time: the present certificate is good for another half of
 * its life. A device that was revoked learns it from the pull. */
static int renew_if_due(const struct cli *cli, struct state *state, struct credentials *credentials)
{
	if (!renewal_is_due(credentials->certificate))
		return EXIT_DONE;
	if (renew(state, credentials) != EXIT_DONE) {
		cli_say(cli, "the certificate was not renewed: %s", trouble_text());
		return EXIT_DONE;
	}
	cli_say(cli, "the device's certificate is renewed");
	return reload(state, credentials);
}

/* Between two polls. At the next one it asks again: whoever forged the refusal is not to keep the device away for
 * longer than it holds the server. */
static int tell_revoked(const struct state *state)
{
	char seen[TIME_TEXT + 1];
	time_format(state->revoked_at, seen);
	return trouble(EXIT_REFUSED, "the service refused this device (seen %s); if it was revoked, enrol it in another "
		       "--dir, or run sync without --if-due to ask again", seen);
}

int sync_run(const struct cli *cli)
{
	STATE state;
	CREDENTIALS credentials = { 0 };
	bool learned = false;
	int rc = state_open(cli, false, &state);
	if (rc == EXIT_DONE)
		rc = credentials_load(&state, &credentials);
	if (rc == EXIT_DONE && cli->value[OPT_IF_DUE] && now_seconds() < state.next_poll_at)
		return state.revoked_at ? tell_revoked(&state) : EXIT_DONE;
	if (rc == EXIT_DONE)
		rc = renew_if_due(cli, &state, &credentials);
	if (rc == EXIT_DONE)
		rc = pull(cli, &state, &credentials, &learned);
	/* A renewal by a CA that only the bundle told of was refused before. */
	if (rc || !learned)
		return rc;
	rc = reload(&state, &credentials);
	return rc ? rc : renew_if_due(cli, &state, &credentials);
}
