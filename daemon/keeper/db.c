/* The driver for SQLite: connections, reading, statements. Keeper only. Knows transactions and statements and nothing
 * of what they mean. */
#define SQL_TEXTS
#define SQL_MIGRATIONS
#include "db_parts.h"

#include "clock.h"
#include "fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	PARAMETERS_MAX = 24,
	END_TRIES = 2,           /* of a reader's transaction */
	CHECKPOINT_PAGES = 2000, /* in the log, before it is copied into the database */
	MIGRATIONS = sizeof sql_migration / sizeof sql_migration[0],
};

struct statement {
	struct connection *connection;
	sqlite3_stmt *handle;
	int index[PARAMETERS_MAX + 1]; /* of $n; SQLite numbers them by first appearance */
	int bind_rc;
};

/* ---- errors ---- */

bool db_page_is_unread(int code)
{
	return (code & 0xff) == SQLITE_CORRUPT && errno == EIO;
}

static bool is_read_error(const struct connection *c, int code)
{
	return db_page_is_unread(code) || ((code & 0xff) == SQLITE_CORRUPT && c && c->writes && c->db->doubted);
}

int db_broken(struct connection *c, int code, const char *doing)
{
	if (is_read_error(c, code))
		code = SQLITE_IOERR_READ;
	const char *why = c && c->handle && sqlite3_extended_errcode(c->handle) == code ? sqlite3_errmsg(c->handle) :
											   sqlite3_errstr(code);
	if (c && c->writes && (code & 0xff) == SQLITE_IOERR)
		c->db->doubted = true;
	switch (code & 0xff) {
	case SQLITE_CONSTRAINT:
		return fail(FAULT_AGAIN, "%s: %s", doing, why);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return fail(FAULT_TAMPERED, "the database file is damaged (%s: %s)", doing, why);
	case SQLITE_FULL:
	case SQLITE_IOERR:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_NOMEM:
	case SQLITE_INTERRUPT:
		return fail(FAULT_UNAVAILABLE, "the database can not be used right now (%s: %s)", doing, why);
	default:
		return fail(FAULT_INTERNAL, "%s: %s", doing, why);
	}
}

int db_run_text(struct connection *c, const char *sql)
{
	errno = 0;
	int code = sqlite3_exec(c->handle, sql, NULL, NULL, NULL);
	return code == SQLITE_OK ? 0 : db_broken(c, code, "run");
}

#define TRANSACTION(name, text) [TRANSACTION_##name] = text,
static const char *const transactions[] = { TRANSACTIONS(TRANSACTION) };
#undef TRANSACTION

static int transact(struct connection *c, enum transaction what)
{
	sqlite3_stmt **s = &c->transactions[what];
	int code = SQLITE_OK;
	if (!*s)
		code = sqlite3_prepare_v3(c->handle, transactions[what], -1, SQLITE_PREPARE_PERSISTENT, s, NULL);
	if (code != SQLITE_OK)
		return code;
	sqlite3_step(*s);
	return sqlite3_reset(*s); /* tells how the step ended */
}

int db_transact(struct connection *c, enum transaction what)
{
	errno = 0;
	int code = transact(c, what);
	return code == SQLITE_OK ? 0 : db_broken(c, code, transactions[what]);
}

bool db_roll_back(struct connection *c)
{
	if (!sqlite3_get_autocommit(c->handle))
		transact(c, TRANSACTION_ROLLBACK);
	return sqlite3_get_autocommit(c->handle);
}

/* ---- connections ---- */

void db_disconnect(struct connection *c)
{
	if (!c)
		return;
	for (int i = 0; i < SQL_COUNT; i++) {
		if (c->statements[i])
			sqlite3_finalize(c->statements[i]->handle);
		free(c->statements[i]);
	}
	for (int i = 0; i < TRANSACTION_COUNT; i++)
		sqlite3_finalize(c->transactions[i]);
	if (c->db->doubted && c->handle) /* the log is read again then: see db_write.c */
		sqlite3_db_config(c->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_close(c->handle);
	free(c);
}

int db_ask(struct connection *c, const char *pragma, char *ret, size_t size)
{
	sqlite3_stmt *s;
	errno = 0;
	int code = sqlite3_prepare_v2(c->handle, pragma, -1, &s, NULL);
	if (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW)
		sqlite3_snprintf((int)size, ret, "%s", sqlite3_column_text(s, 0));
	sqlite3_finalize(s);
	return code == SQLITE_ROW ? 0 : db_broken(c, code, pragma);
}

/* SQLite answers with the mode that it got. Without the log readers would block the writer, and every promise about
 * what is durable was made for it. */
static int check_mode(struct connection *c)
{
	char mode[16] = "";
	int rc = db_ask(c, "PRAGMA journal_mode=WAL", mode, sizeof mode);
	if (rc == 0 && strcmp(mode, "wal") != 0)
		rc = fail(FAULT_UNAVAILABLE,
			  "the file system of %s does not let SQLite keep a write-ahead log (mode %s): "
			  "put the database on a local disk", c->db->path, mode);
	return rc;
}

int db_copy_log(struct connection *c)
{
	errno = 0;
	int code = sqlite3_wal_checkpoint_v2(c->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	return code == SQLITE_OK || code == SQLITE_BUSY ? 0 : db_broken(c, code, "copy the log");
}

/* SQLite would do so by itself, and keep to itself how it ended. What was committed stands either way. */
static int after_commit(void *arg, __attribute__((unused)) sqlite3 *handle, __attribute__((unused)) const char *name,
			int pages)
{
	if (pages >= CHECKPOINT_PAGES)
		db_copy_log(arg);
	return SQLITE_OK;
}

int db_connect(struct db *db, bool writer, struct connection **ret)
{
	/* secure_delete and foreign_keys belong to the connection, page_size and auto_vacuum only to a file that is new. */
	static const char common[] = "PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON; PRAGMA cache_size=-1024;"
				     "PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;";
	int flags = SQLITE_OPEN_NOMUTEX | (writer ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY);
	struct connection *c = calloc(1, sizeof *c);
	if (!c)
		return fail(FAULT_UNAVAILABLE, "no memory for the database");
	c->db = db;
	c->writes = writer;
	errno = 0;
	int code = sqlite3_open_v2(db->path, &c->handle, flags, NULL);
	int rc = code == SQLITE_OK ? 0 : db_broken(c, code, "open");
	if (rc == 0) {
		sqlite3_busy_timeout(c->handle, DB_BUSY_MS);
		sqlite3_extended_result_codes(c->handle, 1);
		sqlite3_db_config(c->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
		rc = db_run_text(c, common);
	}
	if (rc == 0 && writer)
		rc = db_run_text(c, "PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA synchronous=FULL;"
				    "PRAGMA journal_size_limit=16777216;");
	if (rc == 0 && writer)
		rc = check_mode(c);
	if (rc == 0 && writer)
		sqlite3_wal_hook(c->handle, after_commit, c);
	if (rc < 0)
		db_disconnect(c);
	else
		*ret = c;
	return rc;
}

/* Each migration and its version number are one transaction. */
static int migrate(struct db *db)
{
	char text[24] = "";
	int rc = db_ask(db->writer, "PRAGMA user_version", text, sizeof text);
	long long version = strtoll(text, NULL, 10);
	if (rc == 0 && version > MIGRATIONS)
		return fail(FAULT_CONFLICT, "the database %s is of version %lld, this program knows up to %d: "
			    "install the newer pfxd again, or restore a backup from before", db->path,
			    version, (int)MIGRATIONS);
	for (; rc == 0 && version < MIGRATIONS; version++) {
		char bump[64];
		sqlite3_snprintf(sizeof bump, bump, "PRAGMA user_version=%lld; COMMIT;", version + 1);
		rc = db_transact(db->writer, TRANSACTION_WRITE);
		if (rc == 0)
			rc = db_run_text(db->writer, sql_migration[version]);
		if (rc == 0)
			rc = db_run_text(db->writer, bump);
		if (rc < 0)
			return rc;
	}
	return rc;
}

int db_open(const char *path, struct db **ret)
{
	struct db *db = calloc(1, sizeof *db);
	if (!db || !(db->path = strdup(path))) {
		free(db);
		return fail(FAULT_UNAVAILABLE, "no memory for the database");
	}
	pthread_mutex_init(&db->lock, NULL);
	clock_condition_init(&db->turned);
	db->last = &db->first;
	int rc = db_connect(db, true, &db->writer);
	if (rc == 0)
		rc = migrate(db);
	if (rc < 0)
		db_close(db);
	else
		*ret = db;
	return rc;
}

void db_disconnect_readers(struct db *db)
{
	for (struct connection *c = db->all, *next; c; c = next) {
		next = c->next;
		db_disconnect(c);
	}
	db->all = db->idle = NULL;
	db->readers = 0;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	db_disconnect_readers(db);
	db_disconnect(db->writer);
	free(db->path);
	free(db);
}

const char *db_path(const struct db *db)
{
	return db->path;
}

/* ---- reading ---- */

/* An idle reader, or leave (*ret is NULL) to open another one. */
static int take_reader(struct db *db, struct connection **ret)
{
	pthread_mutex_lock(&db->lock);
	while (db->gated)
		pthread_cond_wait(&db->turned, &db->lock);
	*ret = db->idle;
	bool full = !*ret && db->readers == DB_READERS_MAX;
	if (*ret)
		db->idle = (*ret)->next_idle;
	else if (!full)
		db->readers++;
	db->reading += !full;
	pthread_mutex_unlock(&db->lock);
	return full ? fail(FAULT_UNAVAILABLE, "too many requests read the database at once") : 0;
}

static int open_reader(struct db *db, struct connection **ret)
{
	int rc = db_connect(db, false, ret);
	pthread_mutex_lock(&db->lock);
	if (rc == 0) {
		(*ret)->next = db->all;
		db->all = *ret;
	} else {
		db->readers--;
		db->reading--;
		pthread_cond_broadcast(&db->turned);
	}
	pthread_mutex_unlock(&db->lock);
	return rc;
}

int db_read(struct db *db, struct connection **ret)
{
	struct connection *c = NULL;
	int rc = take_reader(db, &c);
	if (rc == 0 && !c)
		rc = open_reader(db, &c);
	if (rc < 0 || !c)
		return rc;
	rc = db_transact(c, TRANSACTION_READ);
	if (rc < 0)
		db_read_done(c);
	else
		*ret = c;
	return rc;
}

/* The lock is held. */
static void forget_reader(struct db *db, struct connection *c)
{
	struct connection **at = &db->all;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	db->readers--;
	db_disconnect(c);
}

/* Without memory not even the end of a transaction is sure; whoever got the connection next would be told of it. */
void db_read_done(struct connection *c)
{
	if (!c)
		return;
	struct db *db = c->db;
	bool ended = false;
	for (int try = 0; try < END_TRIES && !ended; try++)
		ended = db_roll_back(c);
	pthread_mutex_lock(&db->lock);
	if (ended) {
		c->next_idle = db->idle;
		db->idle = c;
	} else {
		forget_reader(db, c);
	}
	if (--db->reading == 0 && db->gated)
		pthread_cond_broadcast(&db->turned);
	pthread_mutex_unlock(&db->lock);
}

/* ---- looking at the file ---- */

/* Ends a statement that takes too long. A check is one step, so nothing within it asks for the time. */
struct watch {
	sqlite3 *handle;
	int64_t until_ms;
	pthread_mutex_t lock; /* of done */
	pthread_cond_t turned;
	bool done;
};

static void *watch_main(void *arg)
{
	struct watch *w = arg;
	pthread_mutex_lock(&w->lock);
	while (!w->done && clock_condition_wait(&w->turned, &w->lock, w->until_ms))
		;
	if (!w->done)
		sqlite3_interrupt(w->handle);
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void watch_end(struct watch *w, pthread_t thread)
{
	pthread_mutex_lock(&w->lock);
	w->done = true;
	pthread_cond_signal(&w->turned);
	pthread_mutex_unlock(&w->lock);
	pthread_join(thread, NULL);
	pthread_cond_destroy(&w->turned);
	pthread_mutex_destroy(&w->lock);
}

int db_check(struct connection *c, unsigned seconds)
{
	char said[256] = "";
	pthread_t thread;
	struct watch w = { .handle = c->handle, .until_ms = clock_ms() + (int64_t)seconds * 1000 };
	pthread_mutex_init(&w.lock, NULL);
	clock_condition_init(&w.turned);
	if (pthread_create(&thread, NULL, watch_main, &w) != 0)
		return fail(FAULT_UNAVAILABLE, "no thread to watch the time");
	int rc = db_ask(c, "PRAGMA quick_check(1)", said, sizeof said);
	if (rc == 0 && strcmp(said, "ok") != 0 && db_page_is_unread(SQLITE_CORRUPT))
		rc = fail(FAULT_UNAVAILABLE, "the database can not be read right now: %s", said);
	watch_end(&w, thread);
	if (clock_ms() >= w.until_ms)
		return fail(FAULT_TIMED_OUT, "looking at the whole database took more than %u seconds", seconds);
	return rc < 0 || strcmp(said, "ok") == 0 ? rc : fail(FAULT_TAMPERED, "the database file is damaged: %s", said);
}

int db_size(struct connection *c, uint32_t *ret_version, uint64_t *ret_bytes)
{
	char version[24] = "", pages[24] = "", bytes[24] = "";
	int rc = db_ask(c, "PRAGMA user_version", version, sizeof version);
	if (rc == 0)
		rc = db_ask(c, "PRAGMA page_count", pages, sizeof pages);
	if (rc == 0)
		rc = db_ask(c, "PRAGMA page_size", bytes, sizeof bytes);
	if (rc < 0)
		return rc;
	*ret_version = (uint32_t)strtoul(version, NULL, 10);
	*ret_bytes = strtoull(pages, NULL, 10) * strtoull(bytes, NULL, 10);
	return 0;
}

/* ---- statements ---- */

static int prepare(struct connection *c, enum sql sql, struct statement **ret)
{
	struct statement *s = calloc(1, sizeof *s);
	if (!s)
		return fail(FAULT_UNAVAILABLE, "no memory for a statement");
	s->connection = c;
	errno = 0;
	int code = sqlite3_prepare_v3(c->handle, sql_text[sql], -1, SQLITE_PREPARE_PERSISTENT, &s->handle, NULL);
	if (code != SQLITE_OK) {
		free(s);
		return db_broken(c, code, "prepare");
	}
	for (int n = 1; n <= PARAMETERS_MAX; n++) {
		char name[8];
		sqlite3_snprintf(sizeof name, name, "$%d", n);
		s->index[n] = sqlite3_bind_parameter_index(s->handle, name);
	}
	c->statements[sql] = *ret = s;
	return 0;
}

int statement_get(struct connection *c, enum sql sql, struct statement **ret)
{
	if (!c->statements[sql])
		return prepare(c, sql, ret);
	*ret = c->statements[sql];
	return 0;
}

void statement_done(struct statement *s)
{
	if (!s)
		return;
	sqlite3_reset(s->handle);
	sqlite3_clear_bindings(s->handle);
	s->bind_rc = SQLITE_OK;
}

static void bound(struct statement *s, int code)
{
	if (code != SQLITE_OK)
		s->bind_rc = code;
}

void bind_text(struct statement *s, int n, struct view v)
{
	const char *text = v.len ? (const char *)v.p : "";
	bound(s, sqlite3_bind_text64(s->handle, s->index[n], text, v.len, SQLITE_STATIC, SQLITE_UTF8));
}

void bind_blob(struct statement *s, int n, struct view v)
{
	bound(s, v.len ? sqlite3_bind_blob64(s->handle, s->index[n], v.p, v.len, SQLITE_STATIC) :
			 sqlite3_bind_zeroblob(s->handle, s->index[n], 0));
}

void bind_number(struct statement *s, int n, int64_t v)
{
	bound(s, sqlite3_bind_int64(s->handle, s->index[n], v));
}

int statement_step(struct statement *s)
{
	if (s->bind_rc != SQLITE_OK)
		return db_broken(NULL, s->bind_rc, "bind");
	errno = 0;
	int code = sqlite3_step(s->handle);
	if (code == SQLITE_ROW)
		return 1;
	return code == SQLITE_DONE ? 0 : db_broken(s->connection, code, "step");
}

int statement_run(struct statement *s)
{
	int rc = statement_step(s);
	return rc > 0 ? 0 : rc;
}

int statement_number(struct connection *c, enum sql sql, int64_t *ret)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, sql, &s);
	if (rc == 0)
		rc = statement_step(s);
	if (rc <= 0)
		return rc < 0 ? rc : fail(FAULT_INTERNAL, "nothing was counted");
	*ret = column_number(s, 0);
	return 0;
}

struct view column_view(struct statement *s, int i)
{
	const void *p = sqlite3_column_blob(s->handle, i);
	return view_of(p ? p : "", (size_t)sqlite3_column_bytes(s->handle, i));
}

int64_t column_number(struct statement *s, int i)
{
	return sqlite3_column_int64(s->handle, i);
}

int64_t rows_changed(struct connection *c)
{
	return sqlite3_changes64(c->handle);
}
