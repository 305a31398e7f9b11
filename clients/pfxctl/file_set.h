/* New files that come to their places together, or not at all. None but the last may replace one that is there. */
#ifndef PFXD_PFXCTL_FILE_SET_H
#define PFXD_PFXCTL_FILE_SET_H

#include "../shared/file.h"

#include <signal.h>

enum { FILE_SET_MAX = 20 };

struct file_set {
	bool begun;
	size_t count, placed;
	struct file_new files[FILE_SET_MAX];
	bool replaces; /* the last one */
	sigset_t before; /* the signals that were blocked before it began */
};

/* From here to file_set_done() no signal but SIGKILL comes between. What was not begun may be done. */
void file_set_begin(struct file_set *set);
/* Writes bytes to a file that is not at path yet. group: (gid_t)-1 leaves it as it is. EXIT_LOCAL, also where there is a
 * file at path already. */
int file_set_add(struct file_set *set, const char *path, mode_t mode, gid_t group, struct view bytes);
/* The same for a secret on a line of its own, which is its owner's alone. */
int file_set_add_line(struct file_set *set, const char *path, struct view line_secret);
/* One that takes the place of a file that is there, with the owner and the group of that. It must be the last. */
int file_set_replace(struct file_set *set, const char *path, mode_t mode, struct view bytes);
/* Puts all in their places, in the order in which they were added: the last one tells that all are there. If one can
 * not be placed, those before it are removed again. */
int file_set_place(struct file_set *set);
/* Removes what was not placed. */
void file_set_done(struct file_set *set);
#define FILE_SET __attribute__((cleanup(file_set_done))) struct file_set

#endif
