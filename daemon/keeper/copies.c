/* Makes, looks at and removes copies of the database. Keeper only. Puts one into the database's place such that there
 * is either the old or the new one, at whatever moment it ends. */
#include "copies.h"

#include "db_copy.h"
#include "fault.h"
#include "health.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char backup_ending[] = ".backup", restore_ending[] = ".restore", verify_ending[] = ".verify",
		  committed_ending[] = ".restored";

static int join(char ret[static COPY_PATH_MAX + 8], const char *path, const char *ending)
{
	int len = snprintf(ret, COPY_PATH_MAX + 8, "%s%s", path, ending);
	return len < COPY_PATH_MAX + 8 ? 0 : fail(FAULT_INTERNAL, "the path of the database is too long");
}

static int remove_file(const char *path)
{
	if (unlink(path) == 0 || errno == ENOENT)
		return 0;
	return fail(FAULT_UNAVAILABLE, "can not remove %s: %s%s", path, strerror(errno), errno != EROFS ? "" :
		    "; under systemd the keeper may write only what BindPaths= of pfxd-keeper.service names");
}

/* What SQLite may have made beside a database. */
static int remove_beside(const char *path)
{
	static const char *const endings[] = { "-wal", "-shm", "-journal" };
	char beside[COPY_PATH_MAX + 8];
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < sizeof endings / sizeof endings[0]; i++) {
		rc = join(beside, path, endings[i]);
		if (rc == 0)
			rc = remove_file(beside);
	}
	return rc;
}

static int remove_copy(const char *path)
{
	int rc = remove_beside(path);
	return rc < 0 ? rc : remove_file(path);
}

/* How long the file is; -1 where there is none. Where the disk does not tell, nobody may take it for gone. */
static int find_length(const char *path, off_t *ret)
{
	struct stat st;
	bool there = lstat(path, &st) == 0;
	*ret = there ? st.st_size : -1;
	return there || errno == ENOENT ? 0 : fail(FAULT_UNAVAILABLE, "can not look at %s: %s", path, strerror(errno));
}

/* ---- one copy ---- */

static int begin(struct keeper *k, atomic_bool *taken, const char *ending, struct copy *ret)
{
	*ret = (struct copy){ .k = k };
	if (atomic_exchange(taken, true))
		return fail(FAULT_CONFLICT, "another one is under way: wait for its end");
	ret->taken = taken;
	ret->opened.keyring = k->keyring;
	int len = snprintf(ret->path, sizeof ret->path, "%s%s", db_path(k->db), ending);
	if (len >= (int)sizeof ret->path)
		return fail(FAULT_INTERNAL, "the path of the database is too long");
	return remove_copy(ret->path);
}

int copy_begin_backup(struct keeper *k, struct copy *ret)
{
	return begin(k, &k->copying, backup_ending, ret);
}

int copy_begin_restore(struct keeper *k, struct copy *ret)
{
	return begin(k, &k->copying, restore_ending, ret);
}

int copy_begin_verify(struct keeper *k, struct copy *ret)
{
	return begin(k, &k->verifying, verify_ending, ret);
}

void copy_end(struct copy *copy)
{
	if (!copy->taken)
		return;
	char why[FAULT_DETAIL_MAX];
	strcpy(why, fault_detail());
	db_close(copy->opened.db);
	remove_copy(copy->path);
	fault_say("%s", why); /* what went wrong before is what is told */
	atomic_store(copy->taken, false);
}

int copy_need_room(struct keeper *k, uint64_t bytes)
{
	char path[COPY_PATH_MAX];
	struct statvfs fs;
	snprintf(path, sizeof path, "%s", db_path(k->db));
	if (statvfs(dirname(path), &fs) < 0)
		return fail(FAULT_UNAVAILABLE, "the disk can not be asked: %s", strerror(errno));
	uint64_t free_mib = (uint64_t)fs.f_bavail * fs.f_frsize / MIB, least = k->config.min_free_mib;
	uint64_t mib = bytes / MIB + 1;
	if (free_mib >= mib + least)
		return 0;
	return fail(FAULT_UNAVAILABLE, "the disk of the database has no room for one more copy: that takes %llu MiB, "
		    "%llu are free, and %llu of them ([keeper] min_free_mib) are left alone", (unsigned long long)mib,
		    (unsigned long long)free_mib, (unsigned long long)least);
}

/* The same with what it is about, so that nobody takes the service's own database for it. */
static int about(const char *what, int rc)
{
	char why[FAULT_DETAIL_MAX];
	if (rc >= 0)
		return rc;
	strcpy(why, fault_detail());
	return fail((enum fault)-rc, "%s can not be used: %s", what, why);
}

/* Whose it is, if it is not of this keyring: by the keys' ids, which the keyrings' texts have. */
static int check_keyring(struct copy *copy, const char *what)
{
	char id[KEYRING_ID_CHARS + 1];
	int rc = health_wrapping_id(copy->opened.db, id);
	if (rc == 0 && !keyring_wrapping_key(copy->k->keyring, view_text(id)))
		return fail(FAULT_CONFLICT, "%s is of another keyring: of one with the wrapping key %s, and this "
			    "service has %s. It is another service's, or that key was retired since: bring a "
			    "keyring that has it here first, with pfxctl keyring import EXPORT", what, id,
			    keyring_wrapping_id(copy->k->keyring, 0));
	return rc < 0 ? about(what, rc) : about(what, health_check_keyring(&copy->opened));
}

int copy_open(struct copy *copy, const char *what, struct progress *p)
{
	const struct db_watch watch = { .go_on = progress_tell, .arg = p };
	progress_begin(p, STAGE_CHECKING);
	int rc = progress_tell(p, 0, 0);
	if (rc == 0)
		rc = about(what, db_copy_check(copy->path, &watch));
	if (rc == 0)
		rc = about(what, db_open(copy->path, &copy->opened.db));
	return rc < 0 ? rc : check_keyring(copy, what);
}

static int sync_path(const char *path, int flags)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
	bool synced = fd >= 0 && fsync(fd) == 0;
	int rc = synced ? 0 : fail(FAULT_UNAVAILABLE, "can not sync %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return rc;
}

static int sync_folder_of(const char *path)
{
	char folder[COPY_PATH_MAX + 8];
	snprintf(folder, sizeof folder, "%s", path);
	return sync_path(dirname(folder), O_DIRECTORY);
}

/* The last connection that closes brings the log into the file and removes it. Where it could not, the log is there. */
int copy_close(struct copy *copy)
{
	off_t length;
	char log[COPY_PATH_MAX + 8];
	int rc = db_truncate_log(copy->opened.db);
	db_close(copy->opened.db);
	copy->opened.db = NULL;
	if (rc == 0)
		rc = join(log, copy->path, "-wal");
	if (rc == 0)
		rc = find_length(log, &length);
	if (rc == 0 && length > 0)
		rc = fail(FAULT_UNAVAILABLE, "the log of the copy could not be emptied");
	if (rc == 0)
		rc = remove_beside(copy->path);
	return rc < 0 ? rc : sync_path(copy->path, 0);
}

int copy_count(struct db *db, struct inventory *ret)
{
	READER c = NULL;
	STATEMENT counts = NULL;
	int64_t identities = 0;
	int rc = db_read(db, &c);
	if (rc == 0)
		rc = statement_get(c, SQL_inspect_counts, &counts);
	if (rc == 0)
		rc = statement_number(c, SQL_identities_count, &identities);
	if (rc == 0)
		rc = statement_step(counts);
	if (rc <= 0)
		return rc < 0 ? rc : fail(FAULT_INTERNAL, "nothing was counted");
	*ret = (struct inventory){ .users = (uint64_t)column_number(counts, 0),
				   .identities = (uint64_t)identities,
				   .devices = (uint64_t)column_number(counts, 1),
				   .last_record_at = column_number(counts, 2) };
	return 0;
}

/* ---- into the database's place ---- */

int copy_take_over(struct copy *copy)
{
	char committed[COPY_PATH_MAX + 8];
	int rc = join(committed, db_path(copy->k->db), committed_ending);
	if (rc == 0 && rename(copy->path, committed) < 0)
		rc = fail(FAULT_UNAVAILABLE, "can not rename %s: %s", copy->path, strerror(errno));
	if (rc < 0)
		return rc;
	/* By this name the next start takes it, also if it could not be synced: there is no way back, for after a cut either
	 * name may be there. Nothing is written to the old one any more, and the next start syncs the folder, or ends. */
	sync_folder_of(committed);
	return 0;
}

/* The log of the old one goes first, for SQLite would bring it into the new one. Without it the old one is of no use,
 * but that it is to be replaced is known by the name of the new one, until that is in its place. */
static int settle_committed(const char *database, const char *committed)
{
	int rc = remove_beside(database);
	if (rc == 0)
		rc = remove_beside(committed);
	if (rc == 0)
		rc = sync_folder_of(database);
	if (rc == 0 && rename(committed, database) < 0)
		rc = fail(FAULT_UNAVAILABLE, "can not rename %s: %s", committed, strerror(errno));
	return rc < 0 ? rc : sync_folder_of(database);
}

int copies_settle(const char *database, bool *ret_restored)
{
	const char *const endings[] = { backup_ending, restore_ending, verify_ending };
	char path[COPY_PATH_MAX + 8];
	off_t length = -1;
	int rc = join(path, database, committed_ending);
	if (rc == 0)
		rc = find_length(path, &length);
	*ret_restored = rc == 0 && length >= 0;
	if (*ret_restored)
		rc = settle_committed(database, path);
	for (size_t i = 0; rc == 0 && i < sizeof endings / sizeof endings[0]; i++) {
		rc = join(path, database, endings[i]);
		if (rc == 0)
			rc = remove_copy(path);
	}
	return rc;
}
