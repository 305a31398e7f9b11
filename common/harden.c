/* Locks a process in. Every program; called first thing in main(). */
#include "harden.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void must(int rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "pfxd: the kernel refused %s: %s\n", what, strerror(errno));
	_exit(70);
}

/* glibc makes prlimit64() of both. The sandbox of openers has no such call, because it reaches other processes too, and
 * has the older ones instead; those of the other rooms have no setrlimit(). */
_Static_assert(sizeof(rlim_t) == sizeof(unsigned long), "the kernel's struct rlimit is another one");

int limit_get(int what, struct rlimit *ret)
{
	int rc = getrlimit((__rlimit_resource_t)what, ret);
	return rc < 0 && errno == EPERM ? (int)syscall(SYS_getrlimit, what, ret) : rc;
}

int limit_set(int what, const struct rlimit *limit)
{
	int rc = setrlimit((__rlimit_resource_t)what, limit);
	return rc < 0 && errno == EPERM ? (int)syscall(SYS_setrlimit, what, limit) : rc;
}

void harden_process(void)
{
	const struct rlimit none = { 0, 0 };
	must(limit_set(RLIMIT_CORE, &none), "RLIMIT_CORE 0");
	must(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "PR_SET_DUMPABLE");
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
	umask(077);
	unsetenv("SSLKEYLOGFILE"); /* GnuTLS and libcurl would write there what opens every TLS connection */
	signal(SIGPIPE, SIG_IGN);
}

#if defined __x86_64__
#define NATIVE AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define NATIVE AUDIT_ARCH_AARCH64
#endif

enum { X32_CALLS = 0x40000000 }; /* from here on: the same calls under other numbers */

void harden_no_exec(void)
{
	struct sock_filter filter[] = {
#ifdef NATIVE
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
#endif
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execveat, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_CALLS, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	};
	const struct sock_fprog program = { .len = sizeof filter / sizeof filter[0], .filter = filter };
	must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), "a filter of system calls");
}

void harden_memory(void)
{
	struct rlimit limit;
	/* With a low limit MCL_FUTURE would make later allocations fail, which is worse than a swapped page. */
	if (limit_get(RLIMIT_MEMLOCK, &limit) == 0 && (limit.rlim_cur == RLIM_INFINITY || geteuid() == 0))
		mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
}

enum { FIRST_INHERITED = 3 }; /* SD_LISTEN_FDS_START */

int inherited_socket(const char *name)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
	if (!pid || !count || atol(pid) != (long)getpid())
		return -1;
	int n = atoi(count);
	size_t name_len = name ? strlen(name) : 0;
	for (int i = 0; i < n; i++) {
		int fd = FIRST_INHERITED + i;
		size_t len = names ? strcspn(names, ":") : 0;
		if (!name || (names && len == name_len && strncmp(names, name, len) == 0)) {
			fcntl(fd, F_SETFD, FD_CLOEXEC);
			return fd;
		}
		if (names)
			names += len + (names[len] == ':');
	}
	return -1;
}
