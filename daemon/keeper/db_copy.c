/* Whole copies of the database, and whether a file is one. Keeper only. A copy that was somewhere else may hold
 * anything: nothing in it is run, and nothing of it believed, before it was looked at here. */
#define SQL_MIGRATIONS
#include "db_copy.h"
#include "db_parts.h"

#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	MIGRATIONS = sizeof sql_migration / sizeof sql_migration[0],
	STEP_PAGES = 512,       /* two megabytes */
	STEP_PAUSE_MS = 1,
	BUSY_MS = 5000,
	WATCH_STEPS = 100000,   /* of SQLite's machine: a few milliseconds */
	NUMBER_CHARS = 24,
};

/* ---- connections ---- */

static void close_handle(sqlite3 **handle)
{
	sqlite3_close(*handle);
}
#define HANDLE __attribute__((cleanup(close_handle))) sqlite3 *

static void finalize(sqlite3_stmt **s)
{
	sqlite3_finalize(*s);
}
#define PREPARED __attribute__((cleanup(finalize))) sqlite3_stmt *

static int broken(sqlite3 *handle, int code, const char *doing)
{
	if (db_page_is_unread(code))
		return fail(FAULT_UNAVAILABLE, "%s: %s", doing, sqlite3_errstr(SQLITE_IOERR));
	const char *why = handle ? sqlite3_errmsg(handle) : sqlite3_errstr(code);
	if ((code & 0xff) == SQLITE_NOTADB)
		return fail(FAULT_MALFORMED_REQUEST, "it is no database of this service");
	if ((code & 0xff) == SQLITE_CORRUPT)
		return fail(FAULT_TAMPERED, "it is damaged (%s: %s)", doing, why);
	return fail(FAULT_UNAVAILABLE, "%s: %s", doing, why);
}

static int run_text(sqlite3 *handle, const char *sql)
{
	errno = 0;
	int code = sqlite3_exec(handle, sql, NULL, NULL, NULL);
	return code == SQLITE_OK ? 0 : broken(handle, code, "run");
}

static int open_handle(const char *path, int flags, sqlite3 **ret)
{
	errno = 0;
	int code = sqlite3_open_v2(path, ret, flags | SQLITE_OPEN_NOMUTEX, NULL);
	if (code != SQLITE_OK)
		return broken(*ret, code, "open");
	sqlite3_busy_timeout(*ret, BUSY_MS);
	sqlite3_extended_result_codes(*ret, 1);
	sqlite3_db_config(*ret, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	return run_text(*ret, "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY;");
}

/* ---- copying ---- */

static int finish(sqlite3_backup *b, sqlite3 *to, int code, int rc)
{
	int finished = sqlite3_backup_finish(b);
	if (rc == 0 && code != SQLITE_DONE)
		rc = broken(to, code, "copy");
	return rc == 0 && finished != SQLITE_OK ? broken(to, finished, "copy") : rc;
}

static int copy_pages(sqlite3 *from, sqlite3 *to, const struct db_watch *watch)
{
	errno = 0;
	sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
	int code = SQLITE_OK, rc = 0;
	if (!b)
		return broken(to, sqlite3_errcode(to), "copy");
	while (rc == 0 && (code = sqlite3_backup_step(b, STEP_PAGES)) == SQLITE_OK) {
		uint64_t total = (uint64_t)sqlite3_backup_pagecount(b);
		rc = watch->go_on(watch->arg, total - (uint64_t)sqlite3_backup_remaining(b), total);
		poll(NULL, 0, STEP_PAUSE_MS);
	}
	return finish(b, to, code, rc);
}

static int sync_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool synced = fd >= 0 && fsync(fd) == 0;
	int rc = synced ? 0 : fail(FAULT_UNAVAILABLE, "the copy can not be synced: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return rc;
}

/* By a reader of the driver's, in one transaction for all steps: SQLite would begin the copy anew whenever somebody else
 * has written. A connection beside the driver's would keep SQLite's notes of the log alive, which must go after an I/O
 * error: see db_write.c. */
static int copy_into(struct connection *from, const char *to_path, const struct db_watch *watch)
{
	HANDLE to = NULL;
	int rc = open_handle(to_path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &to);
	if (rc == 0)
		rc = run_text(from->handle, "SELECT count(*) FROM sqlite_master;");
	/* Nobody needs half of a copy. It is synced when it is whole. */
	if (rc == 0)
		rc = run_text(to, "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF;");
	return rc < 0 ? rc : copy_pages(from->handle, to, watch);
}

int db_copy(struct db *from, const char *to, const struct db_watch *watch)
{
	READER c = NULL;
	int rc = db_read(from, &c);
	if (rc == 0)
		rc = copy_into(c, to, watch);
	return rc < 0 ? rc : sync_file(to);
}

/* ---- looking at one ---- */

/* The first column of the first row; "" where there is none. */
static int ask(sqlite3 *handle, const char *sql, char *ret, size_t size)
{
	PREPARED s = NULL;
	errno = 0;
	int code = sqlite3_prepare_v2(handle, sql, -1, &s, NULL);
	ret[0] = '\0';
	if (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW)
		sqlite3_snprintf((int)size, ret, "%s", sqlite3_column_text(s, 0));
	return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : broken(handle, code, sql);
}

static int check_version(sqlite3 *handle, long long *ret)
{
	char text[NUMBER_CHARS];
	int rc = ask(handle, "PRAGMA user_version", text, sizeof text);
	*ret = rc == 0 ? strtoll(text, NULL, 10) : 0;
	if (rc == 0 && *ret > MIGRATIONS)
		return fail(FAULT_CONFLICT, "it is of version %lld, and this program knows up to %d: install the newer "
			    "pfxd first", *ret, (int)MIGRATIONS);
	if (rc == 0 && *ret < 1)
		return fail(FAULT_MALFORMED_REQUEST, "it is no database of this service");
	return rc;
}

/* SQLite reads zeros behind the end of a file, and passes over what is behind the end of the database. */
static int check_size(sqlite3 *handle, const char *path)
{
	char pages[NUMBER_CHARS], bytes[NUMBER_CHARS] = "";
	struct stat st;
	int rc = ask(handle, "PRAGMA page_count", pages, sizeof pages);
	if (rc == 0)
		rc = ask(handle, "PRAGMA page_size", bytes, sizeof bytes);
	if (rc == 0 && stat(path, &st) < 0)
		rc = fail(FAULT_UNAVAILABLE, "it can not be looked at: %s", strerror(errno));
	if (rc == 0 && strtoull(pages, NULL, 10) * strtoull(bytes, NULL, 10) != (uint64_t)st.st_size)
		rc = fail(FAULT_TAMPERED, "it is cut short, or something was added to it");
	return rc;
}

/* A database as the migrations make it, in memory. */
static int make_model(long long version, sqlite3 **ret)
{
	int rc = open_handle(":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, ret);
	for (long long i = 0; rc == 0 && i < version; i++)
		rc = run_text(*ret, sql_migration[i]);
	return rc;
}

static const char objects[] = "SELECT type || ' ' || name || ' of ' || tbl_name, coalesce(sql, '') FROM sqlite_master "
			      "ORDER BY 1";

/* Compares what there is with what this service makes, to the letter. A trigger or a view would be run by statements that
 * know nothing of it; and a column of another kind can keep a row from being found, or from being changed. */
static int compare_objects(sqlite3 *handle, sqlite3 *model)
{
	PREPARED one = NULL;
	PREPARED other = NULL;
	errno = 0;
	int code = sqlite3_prepare_v2(handle, objects, -1, &one, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(model, objects, -1, &other, NULL);
	if (code != SQLITE_OK)
		return broken(handle, code, "read its tables");
	for (;;) {
		code = sqlite3_step(one);
		if (code != SQLITE_ROW && code != SQLITE_DONE)
			return broken(handle, code, "read its tables");
		if (sqlite3_step(other) != code)
			return fail(FAULT_TAMPERED, "it has more tables, indexes or triggers than this service makes, "
				    "or fewer");
		if (code == SQLITE_DONE)
			return 0;
		const char *is = (const char *)sqlite3_column_text(one, 0);
		const char *should = (const char *)sqlite3_column_text(other, 0);
		if (!is || !should || strcmp(is, should) != 0)
			return fail(FAULT_TAMPERED, "it has a %s where this service makes a %s", is ? is : "?",
				    should ? should : "?");
		const char *made = (const char *)sqlite3_column_text(one, 1);
		const char *should_be = (const char *)sqlite3_column_text(other, 1);
		if (!made || !should_be || strcmp(made, should_be) != 0)
			return fail(FAULT_TAMPERED, "its %s is not made as this service makes it", should);
	}
}

struct integrity {
	const struct db_watch *watch;
	int rc;
	char why[FAULT_DETAIL_MAX];
};

/* What go_on() says is kept: SQLite says more before it ends. */
static int on_steps(void *arg)
{
	struct integrity *i = arg;
	if (i->rc == 0)
		i->rc = i->watch->go_on(i->watch->arg, 0, 0);
	if (i->rc < 0)
		strcpy(i->why, fault_detail());
	return i->rc < 0;
}

static int check_integrity(sqlite3 *handle, const struct db_watch *watch)
{
	char said[256];
	struct integrity i = { .watch = watch };
	sqlite3_progress_handler(handle, WATCH_STEPS, on_steps, &i);
	int rc = ask(handle, "PRAGMA integrity_check(1)", said, sizeof said);
	sqlite3_progress_handler(handle, 0, NULL, NULL);
	if (i.rc < 0)
		return fail((enum fault)-i.rc, "%s", i.why);
	if (rc < 0 || strcmp(said, "ok") == 0)
		return rc;
	return db_page_is_unread(SQLITE_CORRUPT) ? broken(handle, SQLITE_CORRUPT, "read it") :
						   fail(FAULT_TAMPERED, "it is damaged: %s", said);
}

int db_copy_check(const char *path, const struct db_watch *watch)
{
	HANDLE handle = NULL;
	HANDLE model = NULL;
	long long version = 0;
	/* Not only for reading: what SQLite makes beside the file would stay there. */
	int rc = open_handle(path, SQLITE_OPEN_READWRITE, &handle);
	if (rc == 0)
		rc = check_version(handle, &version);
	if (rc == 0)
		rc = check_size(handle, path);
	if (rc == 0)
		rc = make_model(version, &model);
	if (rc == 0)
		rc = compare_objects(handle, model);
	return rc < 0 ? rc : check_integrity(handle, watch);
}
