/* What the parts of the driver share: db.c (connections, reading, statements), db_write.c (the one writer) and db_copy.c
 * (copies of the whole). No other file may look inside. */
#ifndef PFXD_DB_PARTS_H
#define PFXD_DB_PARTS_H

#include "db.h"

#include <pthread.h>
#include <sqlite3.h>

struct job;

/* What begins and ends transactions, prepared once for each connection: a request needs up to eight of them. */
#define TRANSACTIONS(T) \
	T(READ, "BEGIN") \
	T(WRITE, "BEGIN IMMEDIATE") \
	T(SAVEPOINT, "SAVEPOINT job") \
	T(RELEASE, "RELEASE job") \
	T(BACK_TO_SAVEPOINT, "ROLLBACK TO job") \
	T(COMMIT, "COMMIT") \
	T(ROLLBACK, "ROLLBACK")
#define TRANSACTION(name, text) TRANSACTION_##name,
enum transaction { TRANSACTIONS(TRANSACTION) TRANSACTION_COUNT };
#undef TRANSACTION

struct connection {
	struct db *db;
	sqlite3 *handle;
	bool writes;
	struct statement *statements[SQL_COUNT];
	sqlite3_stmt *transactions[TRANSACTION_COUNT];
	struct connection *next_idle, *next; /* of the readers that are not in use; of all readers */
};

struct db {
	char *path;
	struct connection *writer; /* of who leads. NULL: it was closed, and could not be opened again yet */
	bool doubted;              /* of who leads: an I/O error was met, and the database was not opened anew since */
	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t turned;
	struct job *first, **last;
	bool leading;
	struct connection *idle, *all;
	unsigned readers, reading; /* connections; of them in use */
	bool gated;                /* new readers wait */
	bool shut;                 /* nothing is written any more */
};

enum { DB_BUSY_MS = 5000 }; /* for a checkpoint of another process, a backup for one */

int db_connect(struct db *db, bool writer, struct connection **ret);
void db_disconnect(struct connection *c);
/* All readers. None may be in use. */
void db_disconnect_readers(struct db *db);
/* SQLite takes a page that the disk does not give (EIO) for a damaged one, and says so again on the way back. Whoever
 * asks it something clears errno before, so that the two can be told apart. */
bool db_page_is_unread(int code);
/* Turns SQLite's code into ours. An I/O error of the writer leaves the database doubted. c may be NULL. */
int db_broken(struct connection *c, int code, const char *doing);
int db_run_text(struct connection *c, const char *sql);
int db_transact(struct connection *c, enum transaction what);
/* Whether no transaction is open any more. Leaves the thread's fault as it is. */
bool db_roll_back(struct connection *c);
/* The first column of the first row of a PRAGMA. */
int db_ask(struct connection *c, const char *pragma, char *ret, size_t size);
/* Copies what the log holds into the database as far as readers let it. */
int db_copy_log(struct connection *c);

#endif
