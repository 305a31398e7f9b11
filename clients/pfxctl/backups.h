/* A folder of backups that a timer fills: the files that are called pfxd-YYYYMMDDTHHMMSSZ.backup in it, and nothing
 * else. */
#ifndef PFXD_PFXCTL_BACKUPS_H
#define PFXD_PFXCTL_BACKUPS_H

#include "../shared/file.h"

enum { BACKUP_NAME_CHARS = sizeof "pfxd-20261124T100000Z.backup" - 1 };

/* What one that is made now is called. */
void backups_name(int64_t now, char ret[static BACKUP_NAME_CHARS + 1]);

/* How many there are, and the first and the last by their names, which are "" where there is none; keep is passed over.
 * EXIT_LOCAL where the folder can not be read. */
struct backups {
	size_t count;
	char oldest[BACKUP_NAME_CHARS + 1], newest[BACKUP_NAME_CHARS + 1];
};
int backups_find(const char *folder, const char *keep, struct backups *ret);

/* Removes the oldest until there are at most most, made among them, which stays whatever the clock said when it was
 * made; and what writers that were killed have left. */
int backups_prune(const char *folder, const char *made, size_t most);

#endif
