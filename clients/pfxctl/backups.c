/* Looks through a folder of backups and removes the oldest. pfxctl. Touches nothing that it did not name itself. */
#include "backups.h"

#include "../shared/trouble.h"
#include "text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { LEFT_CHARS = sizeof ".XXXXXX" - 1, LEFT_SECONDS = 86400 };

static const char pattern[] = "pfxd-00000000T000000Z.backup"; /* 0: any digit */

static void close_folder(DIR **d)
{
	if (*d)
		closedir(*d);
}
#define FOLDER __attribute__((cleanup(close_folder))) DIR *

void backups_name(int64_t now, char ret[static BACKUP_NAME_CHARS + 1])
{
	struct tm utc = { 0 };
	time_t seconds = (time_t)now;
	gmtime_r(&seconds, &utc);
	if (strftime(ret, BACKUP_NAME_CHARS + 1, "pfxd-%Y%m%dT%H%M%SZ.backup", &utc) != BACKUP_NAME_CHARS)
		snprintf(ret, BACKUP_NAME_CHARS + 1, "%s", pattern);
}

static bool begins_as_one(const char *name)
{
	for (size_t i = 0; pattern[i]; i++)
		if (pattern[i] == '0' ? name[i] < '0' || name[i] > '9' : name[i] != pattern[i])
			return false;
	return true;
}

static bool is_one(const char *name)
{
	return begins_as_one(name) && !name[BACKUP_NAME_CHARS];
}

/* The temporary file of one: mkstemp(3) chose six characters. */
static bool is_left(const char *name)
{
	return begins_as_one(name) && name[BACKUP_NAME_CHARS] == '.' && strlen(name) == BACKUP_NAME_CHARS + LEFT_CHARS;
}

/* A folder, or a link, was not made by backup, whatever it is called. */
static bool is_file(DIR *d, const char *name)
{
	struct stat st;
	return fstatat(dirfd(d), name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

static int not_opened(const char *folder)
{
	return trouble(EXIT_LOCAL, "can not read the folder %s: %s", folder, strerror(errno));
}

int backups_find(const char *folder, const char *keep, struct backups *ret)
{
	FOLDER d = opendir(folder);
	*ret = (struct backups){ .count = 0 };
	if (!d)
		return not_opened(folder);
	for (const struct dirent *entry; (entry = readdir(d));) {
		const char *name = entry->d_name;
		if (!is_one(name) || strcmp(name, keep) == 0 || !is_file(d, name))
			continue;
		if (ret->count++ == 0 || strcmp(name, ret->oldest) < 0)
			memcpy(ret->oldest, name, sizeof ret->oldest);
		if (strcmp(name, ret->newest) > 0)
			memcpy(ret->newest, name, sizeof ret->newest);
	}
	return EXIT_DONE;
}

/* Old ones alone: another pfxctl may be writing. */
static int remove_left(const char *folder)
{
	FOLDER d = opendir(folder);
	char path[PATH_BYTES];
	struct stat st;
	if (!d)
		return not_opened(folder);
	int rc = EXIT_DONE;
	for (const struct dirent *entry; rc == EXIT_DONE && (entry = readdir(d));) {
		if (!is_left(entry->d_name) || !is_file(d, entry->d_name))
			continue;
		rc = path_join(path, folder, entry->d_name);
		if (rc == EXIT_DONE && lstat(path, &st) == 0 && st.st_mtime < now_seconds() - LEFT_SECONDS)
			rc = file_remove(path);
	}
	return rc;
}

int backups_prune(const char *folder, const char *made, size_t most)
{
	char path[PATH_BYTES];
	struct backups found;
	int rc = remove_left(folder);
	while (rc == EXIT_DONE && (rc = backups_find(folder, made, &found)) == EXIT_DONE && found.count >= most &&
	       found.count > 0) {
		rc = path_join(path, folder, found.oldest);
		if (rc == EXIT_DONE)
			rc = file_remove(path);
	}
	return rc;
}
