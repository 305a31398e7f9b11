/* Starts a program as a child that dies with this process, with nothing of it but what it is given. */
#ifndef PFXD_SPAWN_H
#define PFXD_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct passed {
	const char *name;
	int fd;
};

enum { PASSED_MAX = 4 };

struct spawn {
	const char *program;          /* its path */
	const char *const *arguments; /* with the name first, ended by NULL */
	const char *notify;           /* NOTIFY_SOCKET; NULL for none */
	const struct passed *passed;  /* sockets, from descriptor 3 on, as sd_listen_fds(3) has it */
	size_t passed_count;
	bool confined;                /* an opener: tight limits, low priority */
};

/* Returns the child's process id, or UNAVAILABLE. A program that can not be executed ends with status 127. */
pid_t spawn(const struct spawn *s);

#endif
