/* What a process gives up for good, before it reads a byte from outside. */
#ifndef PFXD_HARDEN_H
#define PFXD_HARDEN_H

#include <sys/resource.h>

/* No core dumps, not traceable or readable by other processes of the same user (PR_SET_DUMPABLE), no new
 * privileges, files made at 0600, SIGPIPE ignored. Ends the process if the kernel refuses. */
void harden_process(void);

/* No other program for this process, its threads and whoever it forks: execve(2) is EPERM from now on. For rooms: a
 * sandbox of paths lets what lies beside the libraries run. After harden_process(), before the first thread. */
void harden_no_exec(void);

/* Keeps what the process touches out of swap, where the limit on locked memory allows it (under systemd
 * MemorySwapMax=0 does the same). */
void harden_memory(void);

/* getrlimit(2) and setrlimit(2), also in the sandbox of an opener. 0, or -1 with errno. */
int limit_get(int what, struct rlimit *ret);
int limit_set(int what, const struct rlimit *limit);

/* The descriptor that systemd or the launcher passed under this name (LISTEN_FDS, LISTEN_FDNAMES), close-on-exec,
 * or -1. With name NULL: the only one. */
int inherited_socket(const char *name);

#endif
