/* keyring rotate and keyring retire: a new wrapping key, and the end of the old ones. pfxctl, as root on the server.
 * The keeper seals everything anew by itself; this only follows. */
#include "commands.h"
#include "keyring_change.h"

#include "../shared/trouble.h"
#include "fault.h"
#include "frame.h"
#include "notify.h"

#include <poll.h>
#include <stdio.h>

enum { FOLLOW_MS = 250, TELL_MS = 2000, SILENCE_SECONDS = 60 };

static const char needs_export[] = "older copies of the keyring do not have the new key, and what is stored from now "
				   "on opens with none of them";

static int rotate(struct change *c)
{
	BUF wrapping_secret = buf_new(KEYRING_MAX_BYTES);
	int rc = safekeeping_check(c->cli, needs_export);
	if (rc == EXIT_DONE && (!wrapping_secret || keyring_put_wrapping(wrapping_secret) < 0))
		rc = trouble(EXIT_LOCAL, "no memory, or no random bytes");
	if (rc)
		return rc;
	const struct keyring_edit edit = { .wrapping_secret = buf_view(wrapping_secret) };
	rc = change_place(c, &edit, true);
	if (rc)
		return rc;
	cli_say(c->cli, "the keyring has a new wrapping key, %s", keyring_wrapping_id(c->keyring, 0));
	safekeeping_tell(c->cli);
	return EXIT_DONE;
}

static uint64_t left(const struct change *c)
{
	return c->keeper.old_needed > c->keeper.m.unreadable ? c->keeper.old_needed - c->keeper.m.unreadable : 0;
}

static void tell_progress(const struct change *c)
{
	char done[NOTIFY_COUNT_MAX], all[NOTIFY_COUNT_MAX];
	uint64_t identities = c->keeper.m.identities, old = c->keeper.old_needed;
	cli_say(c->cli, "rewrapped %sof %s", notify_count(identities > old ? identities - old : 0, "", "", done),
		notify_count(identities, "identity", "identities", all));
}

/* The keeper may be restarted meanwhile: it goes on where it was. */
static int follow(struct change *c)
{
	int64_t heard_ms = clock_ms(), told_ms = 0;
	uint64_t told = UINT64_MAX;
	int rc = EXIT_DONE;
	while (rc == EXIT_LATER || left(c) > 0) {
		if (rc == EXIT_DONE && left(c) != told && clock_ms() - told_ms >= TELL_MS) {
			tell_progress(c);
			told = left(c);
			told_ms = clock_ms();
		}
		poll(NULL, 0, FOLLOW_MS);
		rc = change_ask(c);
		if (rc == EXIT_DONE)
			heard_ms = clock_ms();
		if (rc != EXIT_DONE && (rc != EXIT_LATER || clock_ms() - heard_ms > SILENCE_SECONDS * 1000))
			return rc;
	}
	tell_progress(c);
	if (c->keeper.m.unreadable > 0 && c->keeper.old_needed > 0)
		return trouble_coded(EXIT_PARTLY, "unreadable", "%llu identities do not open, and stay under the older "
				     "key: journalctl -u pfxd-keeper names them. Restore them from a backup, or delete "
				     "them",
				     (unsigned long long)c->keeper.m.unreadable);
	cli_say(c->cli, "nothing needs an older wrapping key any more. Older backups of the database do: pfxctl "
		"keyring retire takes those keys out of the keyring");
	return EXIT_DONE;
}

int keyring_rotate_run(const struct cli *cli)
{
	CHANGE c = { .lock = -1 };
	int rc = change_begin(cli, &c);
	if (rc)
		return rc;
	if (change_is_under_way(&c) || left(&c) > 0)
		cli_say(cli, "a change of the keyring is under way, and goes on; no other one is begun. If that was not this "
			     "command, run it once more afterwards");
	else
		rc = rotate(&c);
	if (rc == EXIT_DONE)
		rc = change_settle(&c);
	if (rc == EXIT_DONE)
		rc = follow(&c);
	if (rc != EXIT_DONE && rc != EXIT_PARTLY)
		return rc;
	return change_finish(&c) == EXIT_DONE ? rc : EXIT_LOCAL;
}

int keyring_retire_run(const struct cli *cli)
{
	CHANGE c = { .lock = -1 };
	static const struct keyring_edit edit = { .drop_old_wrapping = true };
	int rc = change_begin(cli, &c);
	if (rc == EXIT_DONE)
		rc = change_complete(&c); /* what a command before this one had begun */
	if (rc)
		return rc;
	if (!keyring_wrapping_id(c.keyring, 1)) {
		cli_say(cli, "the keyring has one wrapping key, and it is in use");
		return EXIT_DONE;
	}
	if (c.keeper.old_needed > 0)
		return trouble_coded(EXIT_REFUSED, "needed", "%llu of what is stored is still sealed under an older "
				     "wrapping key: pfxctl keyring rotate follows until none is",
				     (unsigned long long)c.keeper.old_needed);
	rc = change_place(&c, &edit, false);
	if (rc == EXIT_DONE)
		rc = change_complete(&c);
	if (rc == EXIT_DONE)
		cli_say(cli, "the keyring has the newest wrapping key alone. Keep an export from before as long as "
			"there are backups from before");
	return rc;
}
