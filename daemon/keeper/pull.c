/* Answers of the devices' socket that a device with a certificate asks for: CERTIFICATES, BUNDLE, RECEIPTS. Keeper
 * only. A bundle leaves only after the audit record of its release is durable. */
#include "bundle.h"
#include "fault.h"
#include "serve.h"

#include <openssl/rand.h>
#include <stdio.h>

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
		rc = devices_shown(k->keyring, c, m.fingerprint, now, &shown);
	if (rc == 0)
		rc = devices_confirm(k, &shown, m.request_id);
	if (rc == 0)
		rc = history_read(k->keyring, c, shown.user.id, now, k->config.deliver_signing == DELIVER_NEWEST,
				  &history);
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
	uint32_t random = 0, quarter = k->config.poll_seconds / 4;
	RAND_bytes((uint8_t *)&random, sizeof random);
	return k->config.poll_seconds - quarter + random % (2 * quarter + 1);
}

struct release {
	struct keeper *k;
	const struct bundle *bundle;
	struct view request_id;
	int64_t now;
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

/* The record of a release. Asks once more whether the device may have it: it may have been revoked since. */
static int record_release(struct connection *c, void *arg)
{
	const struct release *r = arg;
	const struct shown *shown = r->bundle->shown;
	char detail[64];
	size_t n = 0;
	for (size_t i = 0; i < r->bundle->history.count; i++)
		n += r->bundle->history.at[i].delivered;
	snprintf(detail, sizeof detail, "%zu identities", n);
	int rc = devices_still_active(r->k->keyring, c, shown->device.id, shown->user.id);
	const struct audit_record record = {
		.event = "bundle.release", .actor = shown->device.id, .user_id = shown->user.id,
		.object = shown->device.id, .detail = view_text(detail), .request_id = r->request_id,
	};
	if (rc == 0)
		rc = audit_append(r->k, c, &record);
	return rc < 0 ? rc : mark_pulled(c, shown->device.id, r->now);
}

static int release(struct keeper *k, struct connection *c, const struct bundle *bundle, struct view request_id,
		   int64_t now, struct buf *ret)
{
	struct release r = { .k = k, .bundle = bundle, .request_id = request_id, .now = now };
	int rc = db_write(k->db, record_release, &r);
	if (rc == 0)
		rc = bundle_make(k, c, bundle, now, ret);
	return rc;
}

int answer_bundle(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	READER c = NULL;
	SHOWN shown = { .last_pull_at = 0 };
	BUNDLE bundle = { .removed = NULL };
	struct msg_bundle m;
	char etag[BUNDLE_ETAG_CHARS + 1];
	int64_t now = now_seconds();
	BUF cms = buf_new(BUNDLE_MAX_BYTES);
	int rc = cms ? read_bundle(fields, &m) : fail(FAULT_UNAVAILABLE, "no memory for a bundle");
	if (rc == 0)
		rc = db_read(k->db, &c);
	if (rc == 0)
		rc = devices_shown(k->keyring, c, m.fingerprint, now, &shown);
	if (rc == 0)
		rc = devices_confirm(k, &shown, m.request_id);
	if (rc == 0)
		rc = bundle_read(k, c, &shown, m.enveloped, now, &bundle);
	if (rc == 0)
		rc = bundle_etag(&bundle, etag);
	if (rc < 0)
		return rc;
	bool unchanged = etag_matches(m.if_none_match, etag);
	if (!unchanged)
		rc = release(k, c, &bundle, m.request_id, now, cms);
	if (rc < 0)
		return rc;
	atomic_fetch_add(unchanged ? &k->counters.unchanged : &k->counters.releases, 1);
	const struct msg_bundled message = { .not_modified = unchanged, .etag = view_text(etag),
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
	int rc = devices_shown(r->k->keyring, c, r->m.fingerprint, now, &shown);
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
