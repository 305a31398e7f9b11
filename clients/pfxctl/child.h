/* Running another program of this machine, and being told what it says. */
#ifndef PFXD_PFXCTL_CHILD_H
#define PFXD_PFXCTL_CHILD_H

#include "buf.h"

enum { CHILD_SAID_MAX = 400 };

struct child {
	const char *program;          /* absolute: no PATH is searched */
	const char *const *arguments; /* its name first; NULL ends them. Never a secret: all users can read them */
	struct view input_secret;     /* on its standard input */
	unsigned seconds;             /* it is ended when it takes longer */
};

/* Runs it with an environment of its own and no descriptor but the standard ones. What it writes on standard output is
 * appended to ret_secret, what it wrote last on standard error is copied to ret_said, disarmed. *ret_status is its exit
 * status, or 128 and the number of the signal. EXIT_LOCAL if it can not be run, does not end, or writes more than
 * ret_secret holds. */
int child_run(const struct child *child, struct buf *ret_secret, char ret_said[static CHILD_SAID_MAX], int *ret_status);

#endif
