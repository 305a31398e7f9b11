/* Tells which enrolment CAs are still needed. Keeper only. */
#include "ca.h"
#include "certificate.h"
#include "fault.h"
#include "protocol.h"
#include "serve.h"
#include "wallclock.h"

/* Of one CA. */
struct need {
	uint64_t devices;
	int64_t last_end;
	char last_device[UUID_TEXT + 1]; /* counted last: rows come by device */
};

static void count_one(struct need *need, struct view device_id, int64_t not_after)
{
	if (not_after > need->last_end)
		need->last_end = not_after;
	if (view_is(device_id, need->last_device))
		return;
	need->devices++;
	text_copy(device_id, need->last_device, sizeof need->last_device);
}

/* Looks into every certificate that a device can still use, one that is held too, for it may be released: which CA issued
 * it stands in it alone. */
static int count(struct keeper *k, struct connection *c, struct need needs[static KEYRING_CAS_MAX])
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_device_certificates_in_use, &s);
	if (rc < 0)
		return rc;
	bind_number(s, 1, now_seconds());
	while ((rc = statement_step(s)) > 0) {
		size_t n;
		int found = keyring_ca_of_der(k->keyring, column_view(s, 1), &n);
		if (found == 0)
			count_one(&needs[n], column_view(s, 0), column_number(s, 2));
		else if (found != -FAULT_UNAUTHORIZED) /* or a CA that is needed would be retired */
			return found;
	}
	return rc;
}

static int put_one(const struct keyring *keyring, size_t i, const struct need *need, struct buf *ret)
{
	uint8_t digest[FINGERPRINT_BYTES];
	X509 *ca = keyring_ca_certificate(keyring, i);
	int rc = ca_fingerprint(ca, digest);
	const struct msg_authority message = { .sha256 = view_of(digest, sizeof digest), .not_after = certificate_ends(ca),
					       .devices = need->devices, .last_end = need->last_end };
	return rc < 0 ? rc : put_authority(ret, &message);
}

int answer_authorities(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	READER c = NULL;
	struct msg_nothing m;
	struct need needs[KEYRING_CAS_MAX] = { { .devices = 0 } };
	BUF list = buf_new(16 * KIB);
	int rc = list ? read_nothing(fields, &m) : fail(FAULT_UNAVAILABLE, "no memory");
	/* A clock that is years ahead would have ended every certificate. */
	if (rc == 0)
		rc = wallclock_settled(k);
	if (rc == 0)
		rc = db_read(k->db, &c);
	if (rc == 0)
		rc = count(k, c, needs);
	for (size_t i = 0; rc == 0 && keyring_ca_certificate(k->keyring, i); i++)
		rc = put_one(k->keyring, i, &needs[i], list);
	const struct msg_authorities message = { buf_view(list) };
	return rc < 0 ? rc : put_authorities(answer, &message);
}
