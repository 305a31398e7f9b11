/* What the keeper tells the doctor: its own health, and what ends when. pfxctl, as root on the server. */
#include "doctor.h"

#include "../shared/trouble.h"
#include "local.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

enum { PROOF_DAYS = 14, CLOCK_SLACK_SECONDS = 300 };

/* ---- parts of its health ---- */

static const struct {
	const char *part, *check, *mend;
} parts[] = {
	{ "keyring", "keyring's database", "put back the keyring that belongs to this database (pfxctl keyring import "
	  "EXPORT), or the database that belongs to this keyring" },
	{ "database", "database", "journalctl -u pfxd-keeper says why: most often the disk, or the owner of the file" },
	{ "audit", "audit chain", "pfxctl audit verify --local says what was changed; SECURITY.md says what to do" },
	{ "clock", "time on record", "set the clock; where it is right now, and was wrong before: pfxctl clock accept" },
	{ "disk", "disk", "make room on the file system of the database, or lower [keeper] min_free_mib" },
	{ "pfxOpener", "PFX openers", "journalctl -u 'pfxd-opener-pfx@*' -n 20 says why; systemctl restart "
	  "pfxd-opener-pfx.socket" },
	{ "csrOpener", "CSR openers", "journalctl -u 'pfxd-opener-csr@*' -n 20 says why; systemctl restart "
	  "pfxd-opener-csr.socket" },
};

static void tell_part(struct doctor *d, const struct msg_health_part *part)
{
	size_t i = 0;
	while (i < sizeof parts / sizeof parts[0] && !view_is(part->name, parts[i].part))
		i++;
	if (i == sizeof parts / sizeof parts[0])
		return;
	if (part->state == HEALTH_OK)
		doctor_tell(d, FINDING_OK, parts[i].check, "", "%s", i == 0 ? "it is of this keyring" : "well");
	else
		doctor_tell(d, FINDING_MEND, parts[i].check, parts[i].mend, "%.*s",
			    part->detail.len ? (int)part->detail.len : 15,
			    part->detail.len ? (const char *)part->detail.p : "not checked yet");
}

static bool check_health(struct doctor *d)
{
	struct view fields = view_text("");
	struct msg_health health;
	struct msg_health_part part;
	BUF answer = buf_new(FRAME_MAX_BYTES);
	int rc = answer ? local_ask(&d->server, VERB_HEALTH, LOCAL_ANSWER_SECONDS, answer, &fields) :
			  trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE && read_health(fields, &health) < 0)
		rc = local_other_version();
	if (rc) {
		doctor_tell_trouble(d, "keeper", "journalctl -u pfxd-keeper -n 20 says why; systemctl restart "
				    "pfxd.target");
		return false;
	}
	doctor_tell(d, FINDING_OK, "keeper", "", "answers");
	while (health.parts.len > 0 && get_health_part(&health.parts, &part) == 0)
		tell_part(d, &part);
	return true;
}

/* ---- what it sees in the database and in its keyring ---- */

static void tell_database(struct doctor *d, const struct msg_inspection *m)
{
	int len = (int)m->database.len;
	const char *path = (const char *)m->database.p;
	unsigned long long mib = m->database_bytes / MIB;
	if (m->state == DATABASE_DAMAGED)
		doctor_tell(d, FINDING_MEND, "database file", "systemctl stop pfxd.target pfxd-keeper; move the file "
			    "and what is beside it (-wal, -shm) away, and keep them; systemctl start pfxd.target; pfxctl "
			    "restore FILE, the last backup that verifies; then look at the disk",
			    "%.*s: %.*s", len, path, (int)m->damage.len, (const char *)m->damage.p);
	else
		doctor_tell(d, FINDING_OK, "database file", "", "%.*s, %llu MiB, version %u, %s; %llu users, "
			    "%llu identities, %llu devices", len, path, mib, m->schema,
			    m->state == DATABASE_WHOLE ? "whole" : "too large to be looked at whole",
			    (unsigned long long)m->users, (unsigned long long)m->identities,
			    (unsigned long long)m->devices);
}

static void tell_clock(struct doctor *d, const struct msg_inspection *m)
{
	char now[TIME_TEXT + 1], last[TIME_TEXT + 1];
	if (m->last_record_at <= now_seconds() + CLOCK_SLACK_SECONDS)
		return;
	time_format(now_seconds(), now);
	time_format(m->last_record_at, last);
	doctor_tell(d, FINDING_MEND, "clock", "set the clock; where it was ahead before, devices take no bundle until "
		    "it has come there again", "it says %s, and the last audit record is of %s", now, last);
}

static void tell_same_keyring(struct doctor *d, const struct msg_inspection *m)
{
	if (d->knows_ca && !view_equal(m->ca, view_of(d->ca_sha256, sizeof d->ca_sha256)))
		doctor_tell(d, FINDING_MEND, "keyring", "put back the one that belongs to the database: at its next "
			    "start the keeper reads what is there now",
			    "the keeper runs with another keyring than the one on disk");
}

static void tell_devices(struct doctor *d, const struct msg_inspection *m)
{
	enum finding how = m->ending_7 > 0 ? FINDING_MEND : m->ending_90 > 0 ? FINDING_SOON : FINDING_OK;
	doctor_tell(d, how, "device certificates", how == FINDING_OK ? "" : "they renew when the device syncs: pfxctl "
		    "devices shows which have not come for long; revoke those that are gone",
		    "of %llu devices %llu end within 7 days, %llu within 30, %llu within 90; %llu have ended",
		    (unsigned long long)m->devices, (unsigned long long)m->ending_7, (unsigned long long)m->ending_30,
		    (unsigned long long)m->ending_90, (unsigned long long)m->ended);
}

static void tell_proof(struct doctor *d, const struct msg_inspection *m)
{
	char at[TIME_TEXT + 1];
	unsigned long long readable = m->readable, verified = m->verified;
	if (m->verified_at == 0) {
		doctor_tell(d, FINDING_OK, "identities", "", "not verified yet: pfxctl verify does");
		return;
	}
	time_format(m->verified_at, at);
	if (readable != verified)
		doctor_tell(d, FINDING_MEND, "identities", "pfxctl verify tells which can not be read: import them "
			    "again, or restore a backup", "%llu of %llu were readable, %s", readable, verified, at);
	else if (now_seconds() - m->verified_at > PROOF_DAYS * 86400)
		doctor_tell(d, FINDING_SOON, "identities", "systemctl start pfxd-verify; systemctl list-timers says why "
			    "its timer does not", "%llu of %llu were readable, but that was %s", readable, verified, at);
	else
		doctor_tell(d, FINDING_OK, "identities", "", "%llu of %llu were readable, %s", readable, verified, at);
}

static void tell_held(struct doctor *d, const struct msg_inspection *m)
{
	if (m->held)
		doctor_tell(d, FINDING_SOON, "held devices", "revoke those that were lost since the backup was made, "
			    "then pfxctl devices release --all", "%llu devices are held since a restore and get nothing",
			    (unsigned long long)m->held);
}

void doctor_check_keeper(struct doctor *d)
{
	static const char new_ca[] = "pfxctl ca rotate gives it a successor, which devices learn of when they pull: those that do "
				     "not in time have to enrol again";
	struct view fields = view_text("");
	struct msg_inspection m;
	BUF answer = buf_new(FRAME_MAX_BYTES);
	/* To ask would start one that was stopped, and wait long for one that does not stay up. */
	if (d->is_stopped || d->keeper_is_down || !check_health(d))
		return;
	int rc = answer ? local_ask(&d->server, VERB_INSPECT, LOCAL_ANSWER_SECONDS, answer, &fields) :
			  trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE && read_inspection(fields, &m) < 0)
		rc = local_other_version();
	if (rc) {
		doctor_tell_trouble(d, "database file", "journalctl -u pfxd-keeper -n 20 says more");
		return;
	}
	tell_database(d, &m);
	tell_clock(d, &m);
	tell_same_keyring(d, &m);
	/* They live for many years: when they began makes no difference. */
	doctor_tell_end(d, "enrolment CA", 0, m.ca_not_after, new_ca);
	doctor_tell_end(d, "bundle signer", 0, m.signer_not_after, new_ca);
	tell_devices(d, &m);
	tell_held(d, &m);
	tell_proof(d, &m);
}
