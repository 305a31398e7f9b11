/* Answers BACKUP: a copy of the database, looked at on the spot and handed to root. Keeper only. What leaves is sealed
 * as it lies on the disk, and opens under this keyring alone. */
#include "audit.h"
#include "copies.h"
#include "db_copy.h"
#include "encode.h"
#include "fault.h"
#include "log.h"
#include "seal.h"
#include "serve.h"
#include "text.h"

#include <stdio.h>

static int record_backup(struct connection *c, void *keeper)
{
	const struct audit_record r = { .event = "service.backup", .actor = view_text("root") };
	return audit_append(keeper, c, &r);
}

/* The whole chain, in the copy: that it ends where its head says is what shows that the copy is of one moment. */
static int verify_chain(struct copy *copy, uint64_t *ret_records)
{
	READER c = NULL;
	struct msg_string difference = { { NULL, 0 } };
	BUF differences = buf_new(LIST_MAX_BYTES);
	int rc = differences ? db_read(copy->opened.db, &c) : fail(FAULT_UNAVAILABLE, "no memory");
	if (rc == 0)
		rc = audit_verify_chain(&copy->opened, c, ret_records, differences);
	struct view rest = buf_view(differences);
	if (rc == 0 && rest.len > 0 && get_string(&rest, &difference) == 0)
		rc = fail(FAULT_TAMPERED, "the audit chain in the copy does not verify: %.*s",
			  (int)difference.value.len, (const char *)difference.value.p);
	return rc;
}

static int need_room(struct keeper *k)
{
	READER c = NULL;
	uint32_t version;
	uint64_t bytes = 0;
	int rc = db_read(k->db, &c);
	if (rc == 0)
		rc = db_size(c, &version, &bytes);
	return rc < 0 ? rc : copy_need_room(k, bytes);
}

static int make_copy(struct keeper *k, struct copy *copy, struct progress *p)
{
	const struct db_watch watch = { .go_on = progress_tell, .arg = p };
	int rc = need_room(k);
	if (rc == 0)
		rc = db_write(k->db, record_backup, k);
	progress_begin(p, STAGE_COPYING);
	if (rc == 0)
		rc = progress_tell(p, 0, 0);
	return rc < 0 ? rc : db_copy(k->db, copy->path, &watch);
}

static int fill(struct copy *copy, struct msg_backed_up *ret)
{
	READER c = NULL;
	struct inventory found;
	uint64_t bytes;
	int rc = copy_count(copy->opened.db, &found);
	if (rc == 0)
		rc = db_read(copy->opened.db, &c);
	if (rc == 0)
		rc = db_size(c, &ret->schema, &bytes);
	if (rc < 0)
		return rc;
	ret->users = found.users;
	ret->identities = found.identities;
	ret->devices = found.devices;
	return 0;
}

static void log_backup(const struct msg_backed_up *m)
{
	char bytes[24], identities[24], sha256[65];
	snprintf(bytes, sizeof bytes, "%llu", (unsigned long long)m->bytes);
	snprintf(identities, sizeof identities, "%llu", (unsigned long long)m->identities);
	hex_encode(m->sha256, sha256);
	const struct log_field fields[] = {
		{ "bytes", view_text(bytes), LOG_PLAIN },
		{ "identities", view_text(identities), LOG_PLAIN },
		{ "digest", view_text(sha256), LOG_PLAIN },
		{ 0 },
	};
	log_event(EVENT_BACKED_UP, fields);
}

int answer_backup(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	COPY copy = { .taken = NULL };
	struct msg_nothing nothing;
	struct msg_backed_up m = { 0 };
	uint8_t sha256[32];
	struct progress progress = { .fd = who->fd };
	int rc = read_nothing(fields, &nothing);
	if (rc == 0)
		rc = copy_begin_backup(k, &copy);
	if (rc == 0)
		rc = make_copy(k, &copy, &progress);
	if (rc == 0)
		rc = copy_open(&copy, "the copy", &progress);
	if (rc == 0)
		rc = verify_chain(&copy, &m.records);
	if (rc == 0)
		rc = fill(&copy, &m);
	if (rc == 0)
		rc = copy_close(&copy);
	if (rc == 0)
		rc = stream_send(&progress, copy.path, &m.bytes, sha256);
	if (rc < 0)
		return rc;
	m.sha256 = view_of(sha256, sizeof sha256);
	log_backup(&m);
	return put_backed_up(answer, &m);
}
