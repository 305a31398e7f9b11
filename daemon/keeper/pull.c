/* Answers of the devices' socket that a device with a certificate asks for: CERTIFICATES, BUNDLE, RECEIPTS. Keeper
 * only. A bundle leaves only after the audit record of its release is durable. */
#include "bundle.h"
#include "encode.h"
#include "fault.h"
#include "log.h"
#include "serve.h"

#include <stdio.h>
#include <sys/random.h>

enum { SHA1_CHARS = 40 };

static bool delivers_signing(const struct keeper *k)
{
	return k->config.deliver_signing == DELIVER_NEWEST;
}

int answer_certificates(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	READER c = NULL;
	SHOWN shown = { .last_pull_at = 0 };
	HISTORY history = { .count = 0 };
	struct msg_device m;
	int64_t now = now_seconds();
	BUF list = buf_new(LIST_MAX_BYTES);
	int rc = list ? read_device(fields, &m) : fail(FAULT_UNAVAILABLE, "no memory for a list");
	if (rc == 0)
		rc = db_read(k->db, &c);
	if (rc == 0)
		rc = devices_shown(k, c, m.fingerprint, now, &shown);
	if (rc == 0)
		rc = history_read(k->keyring, c, shown.user.id, now, delivers_signing(k), &history);
	db_read_done(c); /* nobody may read while he waits to write, or the database's log could not be emptied */
	c = NULL;
	if (rc == 0)
		rc = devices_confirm(k, &shown, m.request_id);
	for (size_t i = 0; rc == 0 && i < history.count; i++)
		if (history.at[i].delivered)
			rc = identity_put_facts(&history.at[i], list);
	if (rc < 0)
		return rc;
	const struct msg_identities message = { buf_view(list) };
	return put_identities(answer, &message);
}

/* RFC 9110 13.1.2: any of a list matches, "*" always; the comparison is weak. */
static bool etag_matches(struct view header, const char *etag)
{
	struct view opaque = view_text(etag + 2); /* without W/ */
	if (view_is(header, "*"))
		return true;
	return header.len >= opaque.len && memmem(header.p, header.len, opaque.p, opaque.len) != NULL;
}

/* Spread by a quarter either way, so that devices that enrolled together do not poll together. */
static uint32_t next_poll(const struct keeper *k)
{
	uint32_t random = 0, seconds = k->config.poll_seconds, quarter = seconds / 4;
	if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
		random = quarter;
	return seconds - quarter + random % (2 * quarter + 1);
}

/* One pull. */
struct pull {
	struct keeper *k;
	struct msg_bundle m;
	int64_t now;
	struct shown shown;
	struct bundle bundle;
	size_t delivered;                  /* identities */
	char etag[BUNDLE_ETAG_CHARS + 1];
	bool unchanged;                    /* since the device's last pull: it gets nothing */
	bool deleted_since;                /* some of what was read, before it was recorded */
	struct buf *cms, *thumbprints;     /* of what is delivered: SHA-1 in hex, with spaces between */
};

static int mark_pulled(struct connection *c, struct view device_id, int64_t now)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_device_pulled, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, device_id);
	bind_number(s, 2, now);
	return statement_run(s);
}

/* The record of a release. Asks once more whether the device may have it, for it may have been revoked since, and
 * whether it is all still there. */
static int record_release(struct connection *c, void *arg)
{
	struct pull *p = arg;
	const struct shown *shown = &p->shown;
	char detail[64];
	snprintf(detail, sizeof detail, "%zu identities, %s", p->delivered, p->etag);
	int rc = devices_still_active(p->k->keyring, c, shown->device.id, shown->user.id);
	const struct audit_record record = {
		.event = "bundle.release", .actor = shown->device.id, .user_id = shown->user.id,
		.object = shown->device.id, .detail = view_text(detail), .request_id = p->m.request_id,
	};
	if (rc == 0)
		rc = bundle_is_there(c, &p->bundle);
	p->deleted_since = rc == 0;
	if (rc == 0)
		rc = fail(FAULT_CONFLICT, "an identity was deleted while it was asked for");
	if (rc > 0)
		rc = audit_append(p->k, c, &record);
	return rc < 0 ? rc : mark_pulled(c, shown->device.id, p->now);
}

/* Notes what is delivered. */
static void count_delivered(struct pull *p, const struct history *history)
{
	char hex[SHA1_CHARS + 1];
	p->delivered = 0;
	buf_reset(p->thumbprints);
	for (size_t i = 0; i < history->count; i++) {
		if (!history->at[i].delivered)
			continue;
		hex_encode(history->at[i].row.sha1, hex);
		buf_printf(p->thumbprints, "%s%s", p->delivered++ ? " " : "", hex);
	}
}

/* Reads who the device is and what it would get, and takes that where it does not have it, all of one moment. */
static int read_facts(struct pull *p)
{
	READER c = NULL;
	bundle_done(&p->bundle);
	int rc = db_read(p->k->db, &c);
	if (rc == 0)
		rc = devices_shown(p->k, c, p->m.fingerprint, p->now, &p->shown);
	if (rc == 0)
		rc = bundle_read(p->k, c, &p->shown, p->m.enveloped, p->now, &p->bundle);
	if (rc == 0)
		rc = bundle_etag(p->k->keyring, &p->bundle, p->etag);
	p->unchanged = rc == 0 && etag_matches(p->m.if_none_match, p->etag);
	if (rc == 0 && !p->unchanged)
		rc = bundle_take(c, &p->bundle);
	if (rc == 0)
		count_delivered(p, &p->bundle.history);
	return rc;
}

/* Nobody may read while he waits to write, or the database's log could not be emptied: what is recorded, and opened
 * after that, is read before it. What is delivered is what is on record. */
static int pull(struct pull *p)
{
	char before[sizeof p->etag];
	int rc;
	do {
		strcpy(before, p->etag);
		p->deleted_since = false;
		rc = read_facts(p);
		if (rc == 0 && strcmp(before, p->etag) == 0) /* it would be so for ever */
			rc = fail(FAULT_TAMPERED, "an identity is in the database's table and not in its index");
		if (rc == 0)
			rc = devices_confirm(p->k, &p->shown, p->m.request_id);
		if (rc == 0 && !p->unchanged)
			rc = db_write(p->k->db, record_release, p);
	} while (rc < 0 && p->deleted_since);
	return rc < 0 || p->unchanged ? rc : bundle_make(p->k->keyring, &p->bundle, p->now, p->cms);
}

/* The one event of a pull that had keys to be opened, or was refused. Whose it was is known as far as the rows were
 * read. */
static void log_pull(const struct pull *p, int rc)
{
	const struct shown *shown = &p->shown;
	char identities[24];
	bool device_known = shown->device.id.len > 0;
	snprintf(identities, sizeof identities, "%zu", p->delivered);
	const struct log_field fields[] = {
		{ "user", shown->user.upn, LOG_PERSON },
		{ "user_id", shown->user.id, LOG_PLAIN },
		{ "device", device_known ? shown->device.id : shown->certificate.device_id, LOG_PLAIN },
		{ "identities", view_text(rc == 0 ? identities : ""), LOG_PLAIN },
		{ "code", view_text(rc < 0 ? fault_code(rc) : ""), LOG_PLAIN },
		{ "detail", view_text(rc < 0 ? fault_detail() : ""), fault_is_own(rc) ? LOG_PLAIN : LOG_PERSON },
		{ "request_id", p->m.request_id, LOG_PLAIN },
		/* Last: of many, only some go into a line. */
		{ "thumbprint", rc == 0 ? buf_view(p->thumbprints) : view_text(""), LOG_WORDS },
		{ 0 },
	};
	if (rc == 0)
		log_event(EVENT_REENCRYPTED, fields);
	else if (fault_status(rc) == 503)
		log_event(EVENT_REENCRYPT_DELAYED, fields);
	else
		log_event_at(fault_level(rc) < LOG_LEVEL_NOTICE ? (enum log_level)fault_level(rc) : LOG_LEVEL_NOTICE,
			     EVENT_REENCRYPT_FAILED, fields);
}

int answer_bundle(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	BUF cms = buf_new(BUNDLE_MAX_BYTES);
	BUF thumbprints = buf_new(IDENTITIES_PER_USER_MAX * (SHA1_CHARS + 1));
	struct pull p = { .k = k, .now = now_seconds(), .cms = cms, .thumbprints = thumbprints };
	int rc = cms && thumbprints ? read_bundle(fields, &p.m) : fail(FAULT_UNAVAILABLE, "no memory for a bundle");
	if (rc == 0)
		rc = pull(&p);
	if (rc != -FAULT_BAD_FRAME && (rc < 0 || !p.unchanged))
		log_pull(&p, rc);
	bundle_done(&p.bundle);
	shown_done(&p.shown);
	if (rc < 0)
		return rc;
	atomic_fetch_add(p.unchanged ? &k->counters.unchanged : &k->counters.releases, 1);
	const struct msg_bundled message = { .not_modified = p.unchanged, .etag = view_text(p.etag),
					     .retry_after = next_poll(k), .cms = buf_view(cms) };
	return put_bundled(answer, &message);
}

struct receiving {
	struct keeper *k;
	struct msg_receipts m;
};

static int put_receipt_row(struct connection *c, struct view device_id, const struct msg_receipt *receipt, int64_t now)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_receipt_put, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, device_id);
	bind_blob(s, 2, receipt->thumbprint);
	bind_number(s, 3, receipt->installed);
	bind_text(s, 4, receipt->error);
	bind_number(s, 5, now);
	return statement_run(s);
}

static bool in_history(const struct history *h, struct view thumbprint)
{
	for (size_t i = 0; i < h->count; i++)
		if (view_equal(thumbprint, h->at[i].row.sha1) || view_equal(thumbprint, h->at[i].row.sha256))
			return true;
	return false;
}

/* Receipts for what the user does not have are passed over: a device must not be able to fill the disk. */
static int store_receipts(struct connection *c, void *arg)
{
	struct receiving *r = arg;
	SHOWN shown = { .last_pull_at = 0 };
	HISTORY history = { .count = 0 };
	int64_t now = now_seconds();
	unsigned n = 0;
	int rc = devices_shown(r->k, c, r->m.fingerprint, now, &shown);
	if (rc == 0)
		rc = history_read(r->k->keyring, c, shown.user.id, now, true, &history);
	for (struct view rest = r->m.receipts; rc == 0 && rest.len > 0;) {
		struct msg_receipt receipt;
		rc = get_receipt(&rest, &receipt);
		if (rc == 0 && ++n > RECEIPTS_MAX)
			rc = fail(FAULT_MALFORMED_REQUEST, "at most %d receipts at a time", RECEIPTS_MAX);
		if (rc == 0 && in_history(&history, receipt.thumbprint))
			rc = put_receipt_row(c, shown.device.id, &receipt, now);
	}
	return rc;
}

int answer_receipts(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	(void)answer;
	struct receiving r = { .k = k };
	int rc = read_receipts(fields, &r.m);
	return rc < 0 ? rc : db_write(k->db, store_receipts, &r);
}
