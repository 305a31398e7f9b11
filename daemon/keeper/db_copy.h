/* Copies of a whole database, and whether a file is one. With db.h the only place that knows SQLite. */
#ifndef PFXD_DB_COPY_H
#define PFXD_DB_COPY_H

#include <stdint.h>

struct db;

/* Told now and then how far it is, out of total (0: nobody knows). A negative code ends what is going on with it. */
struct db_watch {
	int (*go_on)(void *arg, uint64_t done, uint64_t total);
	void *arg;
};

/* Copies the database from, which is in use, into a new file at to: all of it of one moment, and synced. Not
 * faster than it must, because others want the disk too. UNAVAILABLE; TAMPERED when from is damaged. */
int db_copy(struct db *from, const char *to, const struct db_watch *watch);

/* Looks at a file that nobody else uses: whether it is a database of this service, of a version that this program
 * knows, with its tables and indexes and nothing else in it that SQLite would run, and whole from the first page to the
 * last. MALFORMED_REQUEST when it is none; CONFLICT when it is newer; TAMPERED when it is damaged; UNAVAILABLE. */
int db_copy_check(const char *path, const struct db_watch *watch);

#endif
