/* pfxd-keeper: owns the keyring and the database, and decides. No TCP, no HTTP, no ASN.1 from outside. */
#include "audit.h"
#include "copies.h"
#include "fault.h"
#include "harden.h"
#include "health.h"
#include "identities.h"
#include "journal.h"
#include "log.h"
#include "notify.h"
#include "openers.h"
#include "pulse.h"
#include "rotation.h"
#include "seal.h"
#include "serve.h"
#include "signals.h"
#include "wallclock.h"

#include <signal.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum { STATUS_MS = 2000 };

/* A new database gets its first records in one transaction: the test value, the head of the audit chain, and the
 * administrator's token whose hash came with the keyring. */
static int fill_new(struct connection *c, void *arg)
{
	struct keeper *k = arg;
	char id[UUID_TEXT + 1];
	const struct actor service = { .id = view_text("service") };
	uuid_make(id);
	if (keyring_first_token(k->keyring).len == 0)
		return fail(FAULT_CONFLICT,
			    "the database is empty, and the keyring has no first-token to begin one with: bring "
			    "the database back; or move the keyring away, pfxctl keyring import an export that has a "
			    "first-token, start, and pfxctl restore the backup");
	const struct row_token token = { .id = view_text(id), .token_sha256 = keyring_first_token(k->keyring),
					 .name = view_text("first"), .role = view_text("admin"),
					 .created_at = now_seconds() };
	int rc = health_prepare(k, c);
	if (rc == 0)
		rc = audit_begin(k->keyring, c);
	return rc < 0 ? rc : tokens_add(k, c, &service, &token);
}

/* Whether there is anything in the tables. Only where there is nothing at all may fill_new() run: a database whose
 * audit chain was taken away is no new one, and must not get its first token back. */
static int look_filled(struct keeper *k, bool *ret)
{
	READER c = NULL;
	STATEMENT s = NULL;
	int rc = db_read(k->db, &c);
	if (rc == 0)
		rc = statement_get(c, SQL_database_is_filled, &s);
	if (rc == 0)
		rc = statement_step(s);
	*ret = rc > 0;
	return rc < 0 ? rc : 0;
}

static int open_all(struct keeper *k)
{
	bool filled = false, restored = false;
	int rc = copies_settle(k->config.database, &restored);
	if (restored && rc == 0)
		log_detail(EVENT_RESTORED, "%s", k->config.database);
	if (rc == 0)
		rc = keyring_open(k->config.keyring, &k->keyring);
	if (rc == 0)
		rc = db_open(k->config.database, &k->db);
	/* Also where an earlier start ended between making the tables and filling them. */
	if (rc == 0)
		rc = look_filled(k, &filled);
	if (rc == 0 && !filled) {
		rc = db_write(k->db, fill_new, k);
		log_detail(EVENT_EMPTY_DATABASE, "there was nothing in %s", k->config.database);
	}
	if (rc == 0)
		rc = health_check_keyring(k);
	if (rc == 0)
		rc = wallclock_read(k);
	if (rc == 0)
		rc = identities_recall(k);
	/* The last run may have been killed between a deletion and the emptying of the log. */
	atomic_store(&k->log_holds_deleted, true);
	if (rc == 0)
		rc = openers_new(&k->config, &k->counters, &k->openers);
	return rc;
}

/* ---- serve ---- */

static void tell_status(struct keeper *k, struct notify *n, bool refused)
{
	char openers[NOTIFY_COUNT_MAX], identities[NOTIFY_COUNT_MAX] = "identities not counted yet";
	if (atomic_load(&k->counted_ms))
		notify_count(atomic_load(&k->identities), "identity", "identities", identities);
	notify_status(n, "serving, %s, %s%s", notify_count(openers_count(k->openers), "opener", "openers", openers),
		      identities, refused ? "; the last reload was refused, the log says why" : "");
}

/* The watchdog hears that a thread has answered out of the database since it was told so last. Not whether the disk has
 * room or openers answer: to start this room anew would mend nothing. */
static void beat(struct notify *n, struct pulse *p)
{
	if (!notify_beat_is_due(n))
		return;
	notify_beat(n, pulse_has_answered(p), "the keeper");
	pulse_begin(p);
}

/* Until a signal says that it is over. */
static void serve(struct keeper *k, struct server *server, int signals)
{
	struct notify notify;
	struct pulse pulse = { .server = server, .fd = -1 };
	bool refused = false; /* what the last reload was to take over */
	log_event(EVENT_SERVING, NULL);
	notify_start(&notify);
	notify_ready(&notify);
	if (notify.beat_every_ms > 0)
		pulse_begin(&pulse);
	for (int number = 0; number == 0 || number == SIGHUP;) {
		if (number == SIGHUP) {
			notify_reloading();
			refused = config_reload(&k->config) < 0;
			notify_ready(&notify);
		}
		tell_status(k, &notify, refused);
		beat(&notify, &pulse);
		number = signals_wait(signals, notify_wait_ms(&notify, STATUS_MS));
	}
	notify_stopping("ending what was begun");
}

static int give_up(void)
{
	log_detail(EVENT_NOT_STARTED, "%s", fault_detail());
	sd_notifyf(0, "STATUS=%s", fault_detail());
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	static struct keeper keeper;
	static struct server *server; /* never freed: its last threads may be at their last line */

	harden_process();
	harden_no_exec();
	harden_memory();
	journal_start();
	int end = config_start(&keeper.config, argc, argv, "keeps keyring and database, and decides");
	if (end)
		return end - 1;
	int signals = signals_take(0);
	int device_fd = inherited_socket("device"), admin_fd = inherited_socket("admin");
	int local_fd = inherited_socket("local"); /* -1 where nobody made one */
	if (device_fd < 0 || admin_fd < 0) {
		log_detail(EVENT_NOT_STARTED, "the sockets named device and admin were not passed: start the keeper "
			   "by its systemd units or by pfxd");
		return EXIT_FAILURE;
	}
	if (signals < 0 || open_all(&keeper) < 0)
		return give_up();
	if (health_start(&keeper) < 0 || rotation_start(&keeper) < 0 ||
	    serve_start(&keeper, device_fd, admin_fd, local_fd, &server) < 0)
		return give_up();

	serve(&keeper, server, signals);
	/* No front waits longer. What still runs then uses keyring and database: they go with the process, not before it. */
	if (!serve_stop(server, keeper.config.keeper_seconds))
		_exit(EXIT_SUCCESS);
	rotation_stop(&keeper);
	health_stop(&keeper);
	if (db_truncate_log(keeper.db) < 0)
		log_detail(EVENT_LOG_NOT_EMPTIED, "%s", fault_detail());
	openers_free(keeper.openers);
	db_close(keeper.db);
	keyring_free(keeper.keyring);
	log_event(EVENT_ENDED, NULL);
	return EXIT_SUCCESS;
}
