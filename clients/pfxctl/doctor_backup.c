/* The doctor's check of the backups that the timer makes. pfxctl, as root on the server. */
#include "doctor.h"

#include "../shared/trouble.h"
#include "backups.h"
#include "child.h"
#include "text.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { SAID_MAX_BYTES = 4096, ASK_SECONDS = 30, DAY_SECONDS = 86400, OLD_DAYS = 2 };

#define SYSTEMCTL "/usr/bin/systemctl"
#define TIMER "pfxd-backup.timer"

static bool timer_is_enabled(void)
{
	static const char *const arguments[] = { "systemctl", "is-enabled", TIMER, NULL };
	char said[CHILD_SAID_MAX];
	int status = 1;
	BUF output = buf_new(SAID_MAX_BYTES);
	const struct child child = { .program = SYSTEMCTL, .arguments = arguments, .seconds = ASK_SECONDS };
	return output && file_exists(SYSTEMCTL) && child_run(&child, output, said, &status) == EXIT_DONE && status == 0;
}

static void tell_age(struct doctor *d, const char *path, size_t count)
{
	static const char mend[] = "journalctl -u pfxd-backup -n 20 says why the timer makes none; systemctl start "
				   "pfxd-backup makes one now";
	struct stat st;
	char made[TIME_TEXT + 1];
	if (lstat(path, &st) < 0) {
		doctor_tell(d, FINDING_MEND, "backups", mend, "%s can not be looked at", path);
		return;
	}
	long long days = ((long long)now_seconds() - (long long)st.st_mtime) / DAY_SECONDS;
	bool old = days >= OLD_DAYS;
	time_format(st.st_mtime, made);
	if (days < 0) {
		doctor_tell(d, FINDING_MEND, "backups", "move it away, and those beside it that are called by times to "
			    "come: they stay in the places of others", "the newest, %s, is of %s, and that is yet to "
			    "come: the clock was ahead when it was made", path, made);
		return;
	}
	doctor_tell(d, old ? FINDING_MEND : FINDING_OK, "backups", old ? mend : "",
		    "%zu; the newest is of %s, %lld days ago", count, made, days);
}

void doctor_check_backups(struct doctor *d)
{
	char path[PATH_BYTES];
	struct backups found;
	const char *folder = d->server.backups;
	if (!timer_is_enabled()) {
		doctor_tell(d, FINDING_OK, "backups", "", TIMER " is not enabled, so they were not looked at");
		return;
	}
	int rc = backups_find(folder, "", &found);
	if (rc == EXIT_DONE && found.count == 0)
		doctor_tell(d, FINDING_MEND, "backups", "systemctl start pfxd-backup makes one now",
			    "there is none in %s", folder);
	else if (rc == EXIT_DONE && path_join(path, folder, found.newest) == EXIT_DONE)
		tell_age(d, path, found.count);
	else
		doctor_tell_trouble(d, "backups", "make the folder, or correct [backup] backup_folder in pfxd.conf");
}
