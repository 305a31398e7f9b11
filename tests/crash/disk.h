/* A disk that loses power, under SQLite: the system calls of this process on the files of one folder go through it,
 * are noted, and can be made to fail. At the calls and not in SQLite's VFS, because a VFS does not see what becomes
 * of directory entries.
 *
 * * What a power cut leaves of a file is what was synced, and any of the writes that were not: all, none, some, one
 * torn between two sectors. A name is there for sure only when its directory was synced. Writes that were there when
 * a sync failed may be missing for ever, for the kernel then takes them for written. The -shm file is memory, and
 * never left, but its calls fail as all others do. */
#ifndef PFXD_TESTS_DISK_H
#define PFXD_TESTS_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Begins to note what is done in folder. What is there already is on the disk for sure. */
void disk_watch(const char *folder);
void disk_forget(void);
/* How many writes, truncations, syncs and changes of names were noted. */
size_t disk_steps(void);

/* What is left of the steps that were not synced. */
enum disk_left { DISK_ALL, DISK_NONE, DISK_SOME, DISK_LEFT_COUNT };
/* Writes what a power cut before step number `cut` leaves into another folder, which is emptied first. seed chooses for
 * DISK_SOME, where one write is torn and the -shm file is garbage. */
void disk_cut(size_t cut, enum disk_left left, uint64_t seed, const char *folder);

/* The n-th call (0: the next) fails with EIO, whatever it does; or, from the n-th on until disk_mend(), all do, or all
 * that change something, or, with ENOSPC, all that need more room. Each counts only what it can fail. */
enum disk_fault {
	DISK_ONE_CALL, DISK_CALLS_UNTIL_MENDED, DISK_WRITES_UNTIL_MENDED, DISK_FULL_UNTIL_MENDED, DISK_FAULTS
};
void disk_break(enum disk_fault fault, size_t n);
/* Whether any call has failed since; the second asks and mends. */
bool disk_has_failed(void);
bool disk_mend(void);

#endif
