/* Answers RESTORE: takes a backup from root, looks at all of it, holds who is in it, and puts it into the place of the
 * database. Keeper only. What a backup does not know, it can not be asked: which devices and administrators' tokens
 * were revoked after it, and which enrolment tokens spent. */
#include "audit.h"
#include "copies.h"
#include "devices.h"
#include "encode.h"
#include "fault.h"
#include "identities.h"
#include "log.h"
#include "serve.h"
#include "tokens.h"
#include "wallclock.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

struct restoring {
	struct copy *copy;
	struct progress progress;
	struct msg_restore m;
	uint8_t sha256[32];
	struct inventory found;
	uint64_t held, ended, tokens, unreadable;
};

/* A new service, in which there is nobody yet, loses nothing. */
static int need_empty(struct keeper *k)
{
	struct inventory found;
	int rc = copy_count(k->db, &found);
	if (rc == 0 && (found.users || found.identities || found.devices))
		rc = fail(FAULT_CONFLICT, "the service is in use: it has %llu users with %llu identities and %llu "
			  "devices, which would be lost; make a backup of them, and say --replace",
			  (unsigned long long)found.users, (unsigned long long)found.identities,
			  (unsigned long long)found.devices);
	return rc;
}

static int receive(struct keeper *k, struct restoring *r)
{
	int rc = r->m.replace ? 0 : need_empty(k);
	if (rc == 0)
		rc = copy_need_room(k, r->m.bytes);
	return rc < 0 ? rc : stream_receive(&r->progress, r->m.bytes, r->copy->path, r->sha256);
}

/* All that audit verify looks at, in the copy. */
static int verify_copy(struct copy *copy)
{
	READER c = NULL;
	uint64_t records;
	struct msg_string difference = { { NULL, 0 } };
	BUF differences = buf_new(LIST_MAX_BYTES);
	int rc = differences ? db_read(copy->opened.db, &c) : fail(FAULT_UNAVAILABLE, "no memory");
	if (rc == 0)
		rc = audit_verify(&copy->opened, c, &records, differences);
	struct view rest = buf_view(differences);
	if (rc == 0 && rest.len > 0 && get_string(&rest, &difference) == 0)
		rc = fail(FAULT_TAMPERED, "this file can not be used: somebody changed it. %.*s",
			  (int)difference.value.len, (const char *)difference.value.p);
	return rc;
}

static int record_restore(struct restoring *r, struct connection *c)
{
	char sha256[65], detail[192];
	hex_encode(view_of(r->sha256, sizeof r->sha256), sha256);
	snprintf(detail, sizeof detail, "%llu devices held%s, %llu enrolments ended, %llu tokens ended%s",
		 (unsigned long long)r->held, r->m.trust_devices ? " (they were trusted)" : "",
		 (unsigned long long)r->ended, (unsigned long long)r->tokens,
		 r->m.token_sha256.len ? "" : " (they were trusted)");
	const struct audit_record record = { .event = "service.restore", .actor = view_text("root"),
					     .object = view_text(sha256), .detail = view_text(detail) };
	return audit_append(&r->copy->opened, c, &record);
}

/* In one transaction of the copy, before anybody is served out of it. Enrolment tokens are ended also where devices are
 * trusted: one that was spent after the backup would enrol a second device. An administrator's token that was revoked
 * after it would release the devices that are held. */
static int distrust(struct connection *c, void *arg)
{
	struct restoring *r = arg;
	struct keeper *opened = &r->copy->opened;
	const struct actor root = { .id = view_text("root") };
	int rc = wallclock_inherit(opened, c, r->copy->k);
	if (rc == 0 && !r->m.trust_devices)
		rc = devices_hold_all(opened, c, &root, &r->held);
	if (rc == 0)
		rc = enrolments_end_all(opened, c, &root, &r->ended);
	if (rc == 0 && r->m.token_sha256.len)
		rc = tokens_replace_all(opened, c, &root, r->m.token_sha256, &r->tokens);
	return rc < 0 ? rc : record_restore(r, c);
}

/* From here on nothing is written to the old one, or it would be answered and lost. */
static int take_over(struct keeper *k, struct restoring *r)
{
	db_shut(k->db, true);
	int rc = r->m.replace ? 0 : need_empty(k);
	if (rc == 0)
		rc = copy_take_over(r->copy);
	if (rc < 0)
		db_shut(k->db, false);
	return rc;
}

static int restore(struct keeper *k, struct restoring *r)
{
	int rc = receive(k, r);
	if (rc == 0)
		rc = copy_open(r->copy, "this file", &r->progress);
	if (rc == 0)
		rc = verify_copy(r->copy);
	if (rc == 0)
		rc = copy_count(r->copy->opened.db, &r->found);
	/* One that is damaged is no reason to lose the others, but it is told. */
	if (rc == 0)
		rc = identities_unseal_all(&r->copy->opened, &r->progress, &r->unreadable);
	progress_begin(&r->progress, STAGE_HOLDING);
	if (rc == 0)
		rc = progress_tell(&r->progress, 0, r->found.devices);
	if (rc == 0)
		rc = db_write(r->copy->opened.db, distrust, r);
	if (rc == 0)
		rc = copy_close(r->copy);
	return rc < 0 ? rc : take_over(k, r);
}

/* This keeper has the old database open, and ends as if it were asked to: who started it starts the next one. */
int answer_restore(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	COPY copy = { .taken = NULL };
	struct restoring r = { .copy = &copy, .progress = { .fd = who->fd } };
	int rc = read_restore(fields, &r.m);
	if (rc == 0 && r.m.token_sha256.len != 0 && r.m.token_sha256.len != 32)
		return fail(FAULT_BAD_FRAME, "token_sha256 is no SHA-256");
	if (rc == 0)
		rc = copy_begin_restore(k, &copy);
	if (rc == 0)
		rc = restore(k, &r);
	if (rc < 0)
		return rc;
	log_event(EVENT_RESTORING, NULL);
	kill(getpid(), SIGTERM);
	const struct msg_restored m = {
		.users = r.found.users, .identities = r.found.identities, .devices = r.found.devices, .held = r.held,
		.ended = r.ended, .tokens = r.tokens, .unreadable = r.unreadable,
		.last_record_at = r.found.last_record_at,
	};
	return put_restored(answer, &m);
}
