/* Preloaded into the rooms by tests/system/test_shortage.py: a disk that fails, is read-only, slow or hangs, and
 * memory that runs out in one process. What is short stands in a file beside this library, SHORTAGE.so.state, which
 * the test maps too. Only calls on the database's files are touched. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum disk { DISK_WELL, DISK_FAILS, DISK_READ_ONLY, DISK_SLOW, DISK_HANGS };
enum { SLOW_SECONDS = 2, LOOK_AGAIN_MS = 5 };

/* As struct.Struct("iiiiqq") in the test has it. */
struct shortage {
	atomic_int disk, waiting, syncs; /* waiting: calls that hang now */
	atomic_int pid;                  /* whose memory is short; 0: nobody's; -1: the openers' */
	atomic_llong left, failed;       /* allocations until one fails; how many did */
};

static struct shortage *shared;

extern void *__libc_memalign(size_t alignment, size_t size);
extern void *__libc_calloc(size_t n, size_t size);

static int sync_file(int fd);

__attribute__((constructor)) static void begin(void)
{
	Dl_info own;
	char path[PATH_MAX] = "";
	if (dladdr((void *)(intptr_t)&sync_file, &own))
		snprintf(path, sizeof path, "%s.state", own.dli_fname);
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
	void *p = fd >= 0 ? mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
	if (p != MAP_FAILED)
		shared = p;
}

/* ---- the disk ---- */

static bool is_database(int fd)
{
	char link[32], path[PATH_MAX];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	path[n > 0 ? n : 0] = '\0';
	return strstr(path, "/pfxd.db") != NULL;
}

static bool refused(int fd)
{
	int disk = shared ? atomic_load(&shared->disk) : DISK_WELL;
	if ((disk != DISK_FAILS && disk != DISK_READ_ONLY) || !is_database(fd))
		return false;
	errno = disk == DISK_FAILS ? EIO : EROFS;
	return true;
}

static void sleep_ms(long ms)
{
	const struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	nanosleep(&t, NULL);
}

int open64(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	if (shared && atomic_load(&shared->disk) == DISK_READ_ONLY && (flags & O_ACCMODE) != O_RDONLY &&
	    strstr(path, "/pfxd.db")) {
		errno = EROFS;
		return -1;
	}
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

ssize_t pwrite64(int fd, const void *p, size_t len, off64_t at)
{
	return refused(fd) ? -1 : syscall(SYS_pwrite64, fd, p, len, at);
}

int ftruncate64(int fd, off64_t len)
{
	return refused(fd) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

static int sync_file(int fd)
{
	if (refused(fd))
		return -1;
	if (shared && is_database(fd)) {
		atomic_fetch_add(&shared->syncs, 1);
		if (atomic_load(&shared->disk) == DISK_SLOW)
			sleep_ms(SLOW_SECONDS * 1000);
		atomic_fetch_add(&shared->waiting, 1);
		while (atomic_load(&shared->disk) == DISK_HANGS)
			sleep_ms(LOOK_AGAIN_MS);
		atomic_fetch_sub(&shared->waiting, 1);
	}
	return (int)syscall(SYS_fsync, fd);
}

int fsync(int fd)
{
	return sync_file(fd);
}

int fdatasync(int fd)
{
	return sync_file(fd);
}

/* ---- memory ---- */

static bool is_short(void)
{
	int pid = shared ? atomic_load(&shared->pid) : 0;
	bool here = pid == -1 ? strcmp(program_invocation_short_name, "pfxd-opener") == 0 : pid != 0 && pid == getpid();
	if (!here || atomic_fetch_sub(&shared->left, 1) != 0)
		return false;
	atomic_fetch_add(&shared->failed, 1);
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return is_short() ? NULL : __libc_memalign(2 * sizeof(void *), size);
}

void *calloc(size_t n, size_t size)
{
	return is_short() ? NULL : __libc_calloc(n, size);
}

/* The programs' own realloc() asks for memory by this name. */
void *__libc_malloc(size_t size);
void *__libc_malloc(size_t size)
{
	return malloc(size);
}
