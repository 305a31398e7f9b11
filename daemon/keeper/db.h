/* The thin driver: prepare, bind, step, column, transaction. The only place that knows SQLite.
 *
 * There is one writer, and as many readers as threads ask for. Statements have parameters $1, $2 … and stand in
 * sql/statements.sql. No cache here or above may assume that nobody else writes. */
#ifndef PFXD_DB_H
#define PFXD_DB_H

#include "buf.h"

#include "sql.h"

struct db;
struct connection;
struct statement;

enum { DB_READERS_MAX = 256, DB_GATE_MS = 200, DB_GIVE_BACK_PAGES = 128, DB_FREE_PAGES_KEPT = 512 };

/* Opens or makes the database at path and brings it to this program's version. UNAVAILABLE with a sentence if it can
 * not be opened; CONFLICT if it is newer than this program. The caller closes it. */
int db_open(const char *path, struct db **ret);
void db_close(struct db *db);
/* The path as db_open() got it. */
const char *db_path(const struct db *db);

/* A connection for reading, in a transaction of its own: all that is read through it is of one moment. UNAVAILABLE
 * when too many are out; also from a statement, when the database is opened anew after an I/O error. Whoever has one
 * neither writes nor asks for another until it is given back. */
int db_read(struct db *db, struct connection **ret);
void db_read_done(struct connection *c);

/* Runs job(connection, arg) in a transaction and makes it durable before it returns. Jobs that arrive while another
 * commits share the next commit, each in a savepoint: one that fails (a negative code) leaves nothing and costs the
 * others nothing; a commit that fails fails all its members, those that were refused too, with UNAVAILABLE. job may run
 * on another thread, and must only touch the connection and arg. fail()'s sentence comes along.
 *
 * After an I/O error all connections are closed and opened again before anything more is written; until that can be
 * done every write is UNAVAILABLE. It is tried at each write. Readers go on meanwhile. */
int db_write(struct db *db, int (*job)(struct connection *c, void *arg), void *arg);

/* Copies what the log holds into the database and empties it: what was deleted is then gone from both. New readers
 * wait for it, for DB_GATE_MS at the most; AGAIN if the old ones are not gone by then. */
int db_truncate_log(struct db *db);

/* Gives free pages back to the file system, at most DB_GIVE_BACK_PAGES in one write, so that nobody waits long;
 * DB_FREE_PAGES_KEPT stay, for what comes next. Returns how many it gave. None ever in a file that was not begun for it. */
int db_give_back(struct db *db);

/* Shut: from here on db_write() is UNAVAILABLE, and what was written before it is done. For a database that is about to
 * be replaced. */
void db_shut(struct db *db, bool shut);

/* Looks at the whole file, through a reader. TAMPERED with the first thing that is damaged; TIMED_OUT when it took more
 * than seconds, a file of gigabytes for one. */
int db_check(struct connection *c, unsigned seconds);
/* The version of its tables, and the bytes of its pages. */
int db_size(struct connection *c, uint32_t *ret_version, uint64_t *ret_bytes);

/* Each takes a statement; bind all parameters, then step. A statement is given back at the end of its block. Texts
 * and blobs are not copied when bound: they must live until the statement is given back. */
#define STATEMENT __attribute__((cleanup(statement_donep))) struct statement *
int statement_get(struct connection *c, enum sql sql, struct statement **ret);
void statement_done(struct statement *s);
void bind_text(struct statement *s, int n, struct view v);
void bind_blob(struct statement *s, int n, struct view v);
void bind_number(struct statement *s, int n, int64_t v);
/* 1: a row; 0: no more. Errors: UNAVAILABLE (disk full, I/O error, locked), AGAIN (a constraint), TAMPERED (the file
 * is damaged), INTERNAL (also if a bind failed). */
int statement_step(struct statement *s);
/* Steps once for a statement that gives no rows. */
int statement_run(struct statement *s);
/* The number that a statement without parameters gives: how many there are of something. INTERNAL where it gives none. */
int statement_number(struct connection *c, enum sql sql, int64_t *ret);
/* Column i, from 0, of the current row. Views live until the next step. */
struct view column_view(struct statement *s, int i);
int64_t column_number(struct statement *s, int i);
/* Rows that the last insert, update or delete on this connection changed. */
int64_t rows_changed(struct connection *c);

static inline void statement_donep(struct statement **s) { statement_done(*s); }
static inline void db_read_donep(struct connection **c) { db_read_done(*c); }
#define READER __attribute__((cleanup(db_read_donep))) struct connection *

#endif
