/* The disk of disk.h. Takes the place of libc's functions for SQLite, which is a shared library and so finds these. */
#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	SECTOR_BYTES = 512,
	FILES_MAX = 64,
	STEPS_MAX = 16384,
	FDS_MAX = 4096,
	NAME_BYTES = 64,
	IMAGE_MAX_BYTES = 1 << 24,
};

enum kind { WRITE, TRUNCATE, SYNC, SYNC_FAILED, NAME, UNNAME, RENAME, SYNC_NAMES };

struct step {
	enum kind kind;
	int file; /* a number for life: a name that is used again is another file */
	int replaced; /* by a file that is renamed: the file that had the name, or NO_FILE */
	size_t at, len;
	uint8_t *bytes; /* NAME, RENAME: the name */
};

enum { NO_FILE = 0, THE_FOLDER = -1, THE_INDEX = -2 }; /* the -shm file: it can fail, but is not noted */

/* What a call needs of the disk. Only a call that takes room meets a full one. */
enum need { READS, CHANGES, TAKES_ROOM };

static struct {
	pthread_mutex_t lock;
	char folder[PATH_MAX];
	struct step steps[STEPS_MAX];
	size_t count, first; /* steps before `first` made what was there */
	char names[FILES_MAX][NAME_BYTES]; /* of file n, now */
	bool named[FILES_MAX];
	int files;
	int fds[FDS_MAX];
	bool armed, failed;
	enum disk_fault fault;
	size_t calls, fail_at;
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER };

static _Noreturn void give_up(const char *why)
{
	fprintf(stderr, "disk.c: %s\n", why);
	abort();
}

/* ---- noting ---- */

static void note(enum kind kind, int file, size_t at, const void *bytes, size_t len)
{
	if (disk.count == STEPS_MAX)
		give_up("too many steps");
	struct step *s = &disk.steps[disk.count++];
	*s = (struct step){ .kind = kind, .file = file, .at = at, .len = len };
	if (!bytes)
		return;
	s->bytes = malloc(len + 1);
	if (!s->bytes)
		give_up("no memory");
	memcpy(s->bytes, bytes, len);
}

static bool ends_with(const char *text, const char *end)
{
	size_t a = strlen(text), b = strlen(end);
	return a >= b && strcmp(text + a - b, end) == 0;
}

/* Whether path is the folder, or in it. */
static bool is_ours(const char *path)
{
	size_t len = strlen(disk.folder);
	return len > 0 && strncmp(path, disk.folder, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* The name of path in the folder, or NULL. */
static const char *name_of(const char *path)
{
	size_t len = strlen(disk.folder);
	return is_ours(path) && path[len] == '/' && !ends_with(path, "-shm") ? path + len + 1 : NULL;
}

static int find(const char *name)
{
	for (int file = disk.files; file > 0; file--)
		if (disk.named[file] && strcmp(disk.names[file], name) == 0)
			return file;
	return NO_FILE;
}

static int make(const char *name)
{
	if (disk.files + 1 == FILES_MAX || strlen(name) >= NAME_BYTES)
		give_up("too many files");
	int file = ++disk.files;
	strcpy(disk.names[file], name);
	disk.named[file] = true;
	note(NAME, file, 0, name, strlen(name) + 1);
	return file;
}

static int file_of(int fd)
{
	return fd >= 0 && fd < FDS_MAX ? disk.fds[fd] : NO_FILE;
}

/* Whether this call is to fail. The lock is held. */
static bool fails(enum need need)
{
	static const enum need least[] = {
		[DISK_ONE_CALL] = READS, [DISK_CALLS_UNTIL_MENDED] = READS, [DISK_WRITES_UNTIL_MENDED] = CHANGES,
		[DISK_FULL_UNTIL_MENDED] = TAKES_ROOM,
	};
	if (!disk.armed || need < least[disk.fault])
		return false;
	size_t call = disk.calls++;
	bool hit = disk.fault == DISK_ONE_CALL ? call == disk.fail_at : call >= disk.fail_at;
	disk.failed |= hit;
	if (hit)
		errno = disk.fault == DISK_FULL_UNTIL_MENDED ? ENOSPC : EIO;
	return hit;
}

static void begin(void)
{
	pthread_mutex_lock(&disk.lock);
}

static ssize_t end(ssize_t result)
{
	int saved = errno;
	pthread_mutex_unlock(&disk.lock);
	errno = saved;
	return result;
}

/* ---- the calls ---- */

static int access_to(const char *path, int mode)
{
	return (int)syscall(SYS_faccessat, AT_FDCWD, path, mode);
}

/* Also what is only asked about a name needs the disk. */
int access(const char *path, int mode)
{
	begin();
	return (int)end(is_ours(path) && fails(READS) ? -1 : access_to(path, mode));
}

static int status_of(const char *path, void *ret, int flags)
{
	begin();
	return (int)end(is_ours(path) && fails(READS) ? -1 : syscall(SYS_newfstatat, AT_FDCWD, path, ret, flags));
}

int stat(const char *path, struct stat *ret)
{
	return status_of(path, ret, 0);
}

int stat64(const char *path, struct stat64 *ret)
{
	return status_of(path, ret, 0);
}

int lstat(const char *path, struct stat *ret)
{
	return status_of(path, ret, AT_SYMLINK_NOFOLLOW);
}

int lstat64(const char *path, struct stat64 *ret)
{
	return status_of(path, ret, AT_SYMLINK_NOFOLLOW);
}

static int status_of_open(int fd, void *ret)
{
	begin();
	return (int)end(file_of(fd) != NO_FILE && fails(READS) ? -1 : syscall(SYS_fstat, fd, ret));
}

int fstat(int fd, struct stat *ret)
{
	return status_of_open(fd, ret);
}

int fstat64(int fd, struct stat64 *ret)
{
	return status_of_open(fd, ret);
}

static int open_file(const char *path, int flags, mode_t mode)
{
	begin();
	const char *name = name_of(path);
	bool makes = flags & O_CREAT && access_to(path, F_OK) < 0;
	if (is_ours(path) && fails(makes ? TAKES_ROOM : READS))
		return (int)end(-1);
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	if (fd >= 0 && fd < FDS_MAX && name)
		disk.fds[fd] = find(name) ? find(name) : make(name);
	else if (fd >= 0 && fd < FDS_MAX && is_ours(path))
		disk.fds[fd] = ends_with(path, "-shm") ? THE_INDEX : THE_FOLDER;
	return (int)end(fd);
}

/* SQLite's. */
int open64(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return open_file(path, flags, mode);
}

/* The keeper's own. */
int open(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return open_file(path, flags, mode);
}

/* What _FORTIFY_SOURCE makes of open() where the flags are not known before the program runs. */
int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags)
{
	return open_file(path, flags, 0);
}

int close(int fd)
{
	begin();
	if (file_of(fd) != NO_FILE)
		disk.fds[fd] = NO_FILE;
	return (int)end(syscall(SYS_close, fd));
}

ssize_t pread64(int fd, void *p, size_t len, off64_t at)
{
	begin();
	if (file_of(fd) != NO_FILE && fails(READS))
		return end(-1);
	return end(syscall(SYS_pread64, fd, p, len, at));
}

/* On: from where the last one ended. */
static ssize_t write_on(int fd, const void *p, size_t len)
{
	begin();
	int file = file_of(fd);
	off_t at = lseek(fd, 0, SEEK_CUR);
	if (fails(TAKES_ROOM))
		return end(-1);
	ssize_t n = syscall(SYS_write, fd, p, len);
	if (file > NO_FILE && n > 0)
		note(WRITE, file, (size_t)at, p, (size_t)n);
	return end(n);
}

/* On what is none of our files these may wait for another thread, so not with the lock. */
ssize_t read(int fd, void *p, size_t len)
{
	begin();
	int file = file_of(fd);
	bool failed = file != NO_FILE && fails(READS);
	end(0);
	return failed ? -1 : syscall(SYS_read, fd, p, len);
}

ssize_t write(int fd, const void *p, size_t len)
{
	begin();
	int file = file_of(fd);
	end(0);
	return file == NO_FILE ? syscall(SYS_write, fd, p, len) : write_on(fd, p, len);
}

ssize_t pwrite64(int fd, const void *p, size_t len, off64_t at)
{
	begin();
	int file = file_of(fd);
	if (file != NO_FILE && fails(TAKES_ROOM))
		return end(-1);
	ssize_t n = syscall(SYS_pwrite64, fd, p, len, at);
	if (file > NO_FILE && n > 0)
		note(WRITE, file, (size_t)at, p, (size_t)n);
	return end(n);
}

int ftruncate64(int fd, off64_t len)
{
	begin();
	int file = file_of(fd);
	if (file != NO_FILE && fails(CHANGES))
		return (int)end(-1);
	int rc = (int)syscall(SYS_ftruncate, fd, len);
	if (file > NO_FILE && rc == 0)
		note(TRUNCATE, file, 0, NULL, (size_t)len);
	return (int)end(rc);
}

/* The files are not synced really: that takes time, and what was synced is noted. */
static int sync_file(int fd)
{
	begin();
	int file = file_of(fd);
	if (file == NO_FILE)
		return (int)end(syscall(SYS_fsync, fd));
	bool failed = fails(CHANGES);
	if (file == THE_FOLDER && !failed)
		note(SYNC_NAMES, file, 0, NULL, 0);
	else if (file > NO_FILE)
		note(failed ? SYNC_FAILED : SYNC, file, 0, NULL, 0);
	return (int)end(failed ? -1 : 0);
}

int fsync(int fd)
{
	return sync_file(fd);
}

int fdatasync(int fd)
{
	return sync_file(fd);
}

int unlink(const char *path)
{
	begin();
	const char *name = name_of(path);
	int file = name ? find(name) : NO_FILE;
	if (is_ours(path) && fails(CHANGES))
		return (int)end(-1);
	int rc = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
	if (file != NO_FILE && rc == 0) {
		note(UNNAME, file, 0, NULL, 0);
		disk.named[file] = false;
	}
	return (int)end(rc);
}

int rename(const char *from, const char *to)
{
	begin();
	const char *name = name_of(from), *new_name = name_of(to);
	int file = name && new_name ? find(name) : NO_FILE;
	if (file != NO_FILE && fails(TAKES_ROOM))
		return (int)end(-1);
	int rc = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
	if (file != NO_FILE && rc == 0) {
		int replaced = find(new_name);
		note(RENAME, file, 0, new_name, strlen(new_name) + 1);
		disk.steps[disk.count - 1].replaced = replaced;
		disk.named[replaced] = false;
		strcpy(disk.names[file], new_name);
	}
	return (int)end(rc);
}

/* ---- watching ---- */

static void take_in(const char *name)
{
	static uint8_t bytes[IMAGE_MAX_BYTES];
	char path[PATH_MAX + NAME_BYTES];
	snprintf(path, sizeof path, "%s/%s", disk.folder, name);
	FILE *from = fopen(path, "r");
	if (!from)
		give_up("a file can not be read");
	size_t len = fread(bytes, 1, sizeof bytes, from);
	fclose(from);
	int file = make(name);
	note(WRITE, file, 0, bytes, len);
	note(SYNC, file, 0, NULL, 0);
}

void disk_watch(const char *folder)
{
	disk_forget();
	snprintf(disk.folder, sizeof disk.folder, "%s", folder);
	DIR *d = opendir(folder);
	for (struct dirent *entry; d && (entry = readdir(d));)
		if (entry->d_name[0] != '.' && !ends_with(entry->d_name, "-shm"))
			take_in(entry->d_name);
	closedir(d);
	note(SYNC_NAMES, THE_FOLDER, 0, NULL, 0);
	disk.first = disk.count;
}

void disk_forget(void)
{
	for (size_t i = 0; i < disk.count; i++)
		free(disk.steps[i].bytes);
	memset(disk.named, 0, sizeof disk.named);
	disk.count = disk.first = 0;
	disk.files = 0;
	disk.folder[0] = '\0';
	disk.armed = disk.failed = false;
}

size_t disk_steps(void)
{
	return disk.count - disk.first;
}

void disk_break(enum disk_fault fault, size_t n)
{
	begin();
	disk.fault = fault;
	disk.fail_at = n;
	disk.calls = 0;
	disk.failed = false;
	disk.armed = true;
	end(0);
}

bool disk_has_failed(void)
{
	begin();
	return end(disk.failed);
}

bool disk_mend(void)
{
	begin();
	disk.armed = false;
	return end(disk.failed);
}

/* ---- the cut ---- */

static uint64_t random_next(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15;
	uint64_t z = *state;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* For each step whether it is on the disk for sure: a sync of its file, or of the names, came after it, and none that
 * failed came first. */
static void find_sure(size_t cut, bool *sure)
{
	for (size_t i = 0; i < cut; i++) {
		const struct step *s = &disk.steps[i];
		bool of_names = s->kind == NAME || s->kind == UNNAME || s->kind == RENAME;
		sure[i] = false;
		for (size_t j = i + 1; j < cut; j++) {
			const struct step *t = &disk.steps[j];
			if (!of_names && t->kind == SYNC_FAILED && t->file == s->file)
				break;
			sure[i] = of_names ? t->kind == SYNC_NAMES : t->kind == SYNC && t->file == s->file;
			if (sure[i])
				break;
		}
	}
}

struct image {
	const char *name;
	uint8_t *bytes;
	size_t len;
	bool named;
};

static void grow(struct image *image, size_t len)
{
	if (len > IMAGE_MAX_BYTES)
		give_up("a file grows too large");
	if (len > image->len) {
		image->bytes = realloc(image->bytes, len);
		memset(image->bytes + image->len, 0, len - image->len);
	}
	image->len = len;
}

/* torn: of the sectors that it goes over, only some are written. */
static void apply(const struct step *s, struct image *image, bool torn, uint64_t *state)
{
	if (s->kind == NAME || s->kind == RENAME)
		image->name = (const char *)s->bytes;
	if (s->kind == NAME || s->kind == UNNAME)
		image->named = s->kind == NAME;
	else if (s->kind == TRUNCATE)
		grow(image, s->len);
	else if (s->kind == WRITE && s->at + s->len > image->len)
		grow(image, s->at + s->len);
	bool keep = !torn || random_next(state) % 2;
	for (size_t i = 0, n; s->kind == WRITE && i < s->len; i += n) {
		size_t at = s->at + i, rest_of_sector = SECTOR_BYTES - at % SECTOR_BYTES;
		n = s->len - i < rest_of_sector ? s->len - i : rest_of_sector;
		if (torn && at % SECTOR_BYTES == 0)
			keep = random_next(state) % 2;
		if (keep)
			memcpy(image->bytes + at, s->bytes + i, n);
	}
}

static void empty(const char *folder)
{
	DIR *d = opendir(folder);
	for (struct dirent *entry; d && (entry = readdir(d));) {
		char path[PATH_MAX + NAME_MAX + 2];
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		if (entry->d_name[0] != '.')
			unlink(path);
	}
	closedir(d);
}

static void put(const char *folder, const char *name, const char *ending, const void *bytes, size_t len)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/%s%s", folder, name, ending);
	FILE *to = fopen(path, "w");
	if (!to || (len > 0 && fwrite(bytes, 1, len, to) != len) || fclose(to) != 0)
		give_up("an image can not be written");
}

static void put_all(struct image *images, const char *folder, bool garbage)
{
	static const uint8_t nonsense[32768] = { 0xa5, 1, 2, 3 };
	for (int file = 1; file <= disk.files; file++) {
		if (images[file].named)
			put(folder, images[file].name, "", images[file].bytes, images[file].len);
		if (images[file].named && garbage && ends_with(images[file].name, ".db"))
			put(folder, images[file].name, "-shm", nonsense, sizeof nonsense);
		free(images[file].bytes);
	}
}

/* The write that is torn: one that is not there for sure. */
static size_t choose_torn(size_t cut, const bool *sure, uint64_t *state)
{
	size_t chosen = cut, seen = 0;
	for (size_t i = 0; i < cut; i++)
		if (!sure[i] && disk.steps[i].kind == WRITE && random_next(state) % ++seen == 0)
			chosen = i;
	return chosen;
}

void disk_cut(size_t cut, enum disk_left left, uint64_t seed, const char *folder)
{
	static bool sure[STEPS_MAX];
	struct image images[FILES_MAX] = { 0 };
	uint64_t state = seed;
	cut += disk.first;
	find_sure(cut, sure);
	size_t torn = left == DISK_SOME ? choose_torn(cut, sure, &state) : cut;
	for (size_t i = 0; i < cut; i++) {
		const struct step *s = &disk.steps[i];
		bool is_left = sure[i] || left == DISK_ALL ||
			       (left == DISK_SOME && (i == torn || random_next(&state) % 2));
		if (s->file > 0 && is_left)
			apply(s, &images[s->file], i == torn, &state);
		if (s->kind == RENAME && is_left)
			images[s->replaced].named = false;
	}
	empty(folder);
	put_all(images, folder, left == DISK_SOME);
}
