/* Copies of the database, in its own folder: one that is made for a backup, and one that came from outside. Nothing of
 * a copy is believed before copy_open() has looked at it. */
#ifndef PFXD_COPIES_H
#define PFXD_COPIES_H

#include "keeper.h"
#include "stream.h"

enum { COPY_PATH_MAX = CONFIG_TEXT_MAX + 16 };

struct copy {
	struct keeper *k;
	struct keeper opened; /* the same keyring, with the copy as its database; that is NULL until it is open */
	char path[COPY_PATH_MAX];
	atomic_bool *taken;
};

/* Takes the only place for a copy of its kind, and removes what is left of one before. CONFLICT when it is taken. */
int copy_begin_backup(struct keeper *k, struct copy *ret);
int copy_begin_restore(struct keeper *k, struct copy *ret);
int copy_begin_verify(struct keeper *k, struct copy *ret);
/* Removes it, unless it was put into the database's place, and gives the place back. */
void copy_end(struct copy *copy);
#define COPY __attribute__((cleanup(copy_end))) struct copy

/* Whether there is room beside the database for a file of so many bytes, so that the service still has its
 * min_free_mib. UNAVAILABLE, with both figures. */
int copy_need_room(struct keeper *k, uint64_t bytes);

/* Looks at the file and opens it: as db_copy_check(), and that it is under this keyring. An older one is brought to
 * this program's version. what is called in the sentences of errors: "the copy", "this file". */
int copy_open(struct copy *copy, const char *what, struct progress *p);
/* Closes it: all of it is in the one file then, and synced. */
int copy_close(struct copy *copy);

/* What there is in a database, for who made or restored a copy. */
struct inventory {
	uint64_t users, identities, devices;
	int64_t last_record_at;
};
int copy_count(struct db *db, struct inventory *ret);

/* Commits to it: from here on the database is this one, whatever happens. The next start puts it into its place.
 * Nothing may be written to the old one any more. */
int copy_take_over(struct copy *copy);
/* At the start, before anything is opened: puts a database that was committed to into its place, and removes what is
 * left of copies. UNAVAILABLE. *ret_restored is whether there was one. */
int copies_settle(const char *database, bool *ret_restored);

#endif
