/* Reads and writes whole files. Both clients. Leaves no half-written file behind, and no secret in one that others
 * may read: harden_process() has set the umask to 077, and modes are set exactly. */
#include "file.h"

#include "text.h"
#include "trouble.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define FD __attribute__((cleanup(closep))) int

static int read_fd(int fd, const char *name, size_t max, struct buf *ret)
{
	for (size_t total = 0;;) {
		size_t room = max - total < 65536 ? max - total + 1 : 65536;
		size_t before = buf_len(ret);
		uint8_t *at = buf_reserve(ret, room);
		if (!at)
			return trouble(EXIT_LOCAL, "%s: no memory", name);
		ssize_t n = read(fd, at, room);
		buf_truncate(ret, before + (n > 0 ? (size_t)n : 0));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return trouble(EXIT_LOCAL, "can not read %s: %s", name, strerror(errno));
		total += (size_t)n;
		if (total > max)
			return trouble(EXIT_LOCAL, "%s is larger than %zu bytes", name, max);
		if (n == 0)
			return EXIT_DONE;
	}
}

/* Opens for reading. Names of open descriptors are taken apart here: a process that is not dumpable may not open its
 * own /proc/self/fd, which is what /dev/fd leads to. */
static int open_to_read(const char *path)
{
	uint64_t number;
	if (strcmp(path, "-") == 0 || strcmp(path, "/dev/stdin") == 0)
		return dup(STDIN_FILENO);
	if (strncmp(path, "/dev/fd/", 8) == 0 && number_parse(view_text(path + 8), INT_MAX, &number))
		return dup((int)number);
	return open(path, O_RDONLY | O_CLOEXEC);
}

int file_read(const char *path, size_t max, struct buf *ret)
{
	FD fd = open_to_read(path);
	if (fd < 0)
		return trouble(EXIT_LOCAL, "can not open %s: %s", path, strerror(errno));
	return read_fd(fd, path, max, ret);
}

static void keep_first_line(struct buf *b)
{
	const uint8_t *end = memchr(buf_data(b), '\n', buf_len(b));
	if (end)
		buf_truncate(b, (size_t)(end - buf_data(b)));
	if (buf_len(b) > 0 && buf_data(b)[buf_len(b) - 1] == '\r')
		buf_truncate(b, buf_len(b) - 1);
}

bool file_is_open_to_others(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & (S_IRGRP | S_IROTH));
}

static int check_password(struct buf *b_secret, const char *name)
{
	keep_first_line(b_secret);
	if (!text_is_utf8(buf_view(b_secret)))
		return trouble(EXIT_LOCAL, "the password in %s is not UTF-8; convert the file with iconv", name);
	return EXIT_DONE;
}

int file_read_password(const char *path, struct buf *ret_secret)
{
	int rc = file_read(path, SECRET_LINE_MAX_BYTES, ret_secret);
	return rc ? rc : check_password(ret_secret, path);
}

int file_read_password_fd(int fd, struct buf *ret_secret)
{
	int rc = read_fd(fd, "the password's descriptor", SECRET_LINE_MAX_BYTES, ret_secret);
	return rc ? rc : check_password(ret_secret, "the password's descriptor");
}

bool token_is_valid(struct view token_secret)
{
	if (token_secret.len != TOKEN_FILE_CHARS)
		return false;
	for (size_t i = 0; i < token_secret.len; i++) {
		uint8_t c = token_secret.p[i];
		bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
		if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '_')
			return false;
	}
	return true;
}

int file_read_token(const char *path, struct buf *ret_secret)
{
	struct stat st;
	FD fd = open_to_read(path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return trouble(EXIT_LOCAL, "can not open the token file %s: %s", path, strerror(errno));
	if (S_ISREG(st.st_mode) && (st.st_mode & (S_IRWXG | S_IRWXO)))
		return trouble(EXIT_LOCAL, "others may read the token file %s; make it yours alone: chmod 600 %s", path,
			       path);
	int rc = read_fd(fd, path, SECRET_LINE_MAX_BYTES, ret_secret);
	if (rc)
		return rc;
	keep_first_line(ret_secret);
	if (!token_is_valid(buf_view(ret_secret)))
		return trouble(EXIT_LOCAL, "%s holds no token: its first line must be %d characters of base64url", path,
			       TOKEN_FILE_CHARS);
	return EXIT_DONE;
}

static int write_all(int fd, struct view bytes)
{
	while (bytes.len > 0) {
		ssize_t n = write(fd, bytes.p, bytes.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		bytes = view_of(bytes.p + n, bytes.len - (size_t)n);
	}
	return 0;
}

void path_folder(char ret[static PATH_BYTES], const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t len = !slash ? 0 : slash == path ? 1 : (size_t)(slash - path);
	if (len >= PATH_BYTES)
		len = 0;
	memcpy(ret, path, len);
	ret[len] = '\0';
}

/* A rename is durable when its folder is. */
static int sync_folder_of(const char *path)
{
	char folder[PATH_BYTES];
	path_folder(folder, path);
	FD fd = open(folder[0] ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return trouble(EXIT_LOCAL, "can not sync the folder of %s: %s", path, strerror(errno));
	return EXIT_DONE;
}

int file_rename(const char *from, const char *to)
{
	if (rename(from, to) < 0)
		return trouble(EXIT_LOCAL, "can not rename %s to %s: %s", from, to, strerror(errno));
	return sync_folder_of(to);
}

#define OPEN_FILES "/proc/self/fd" /* by which a file without a name gets one: open(2), O_TMPFILE */

/* -1 where the file system has no such files, as on a stick. */
static int open_unnamed(const char *path)
{
	char folder[PATH_BYTES];
	path_folder(folder, path);
	return file_exists(OPEN_FILES) ? open(folder[0] ? folder : ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;
}

static int give_name(int fd, const char *path)
{
	char open_file[sizeof OPEN_FILES + 16];
	snprintf(open_file, sizeof open_file, OPEN_FILES "/%d", fd);
	return linkat(AT_FDCWD, open_file, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

static int begin(const char *path, bool unnamed, mode_t mode, struct file_new *ret)
{
	struct stat st;
	*ret = (struct file_new){ .fd = -1 };
	if (snprintf(ret->path, sizeof ret->path, "%s", path) >= (int)sizeof ret->path ||
	    snprintf(ret->temporary, sizeof ret->temporary, "%s.XXXXXX", path) >= (int)sizeof ret->temporary)
		return trouble(EXIT_LOCAL, "the path %s is too long", path);
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return trouble(EXIT_LOCAL, "can not write %s: it is a folder", path);
	ret->fd = unnamed ? open_unnamed(path) : -1;
	if (ret->fd >= 0)
		ret->temporary[0] = '\0';
	else
		ret->fd = mkostemp(ret->temporary, O_CLOEXEC); /* at 0600: a stick's file system lets nobody set it */
	if (ret->fd < 0 || (mode != 0600 && fchmod(ret->fd, mode) < 0))
		return trouble(EXIT_LOCAL, "can not write %s: %s", path, strerror(errno));
	return EXIT_DONE;
}

int file_begin(const char *path, mode_t mode, struct file_new *ret)
{
	return begin(path, false, mode, ret);
}

int file_begin_unnamed(const char *path, mode_t mode, struct file_new *ret)
{
	return begin(path, true, mode, ret);
}

/* Closes it, and forgets the temporary file. */
static void file_let_go(struct file_new *file)
{
	close(file->fd);
	file->fd = -1;
}

int file_append(struct file_new *file, struct view bytes)
{
	if (write_all(file->fd, bytes) < 0)
		return trouble(EXIT_LOCAL, "can not write %s: %s", file->path, strerror(errno));
	return EXIT_DONE;
}

int file_fill(struct file_new *file, struct view bytes)
{
	if (write_all(file->fd, bytes) < 0 || fsync(file->fd) < 0)
		return trouble(EXIT_LOCAL, "can not write %s: %s", file->path, strerror(errno));
	return EXIT_DONE;
}

/* rename() that refuses to replace. Where a file system can not do that, link() refuses as well. */
static int rename_new(const char *from, const char *to)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL || link(from, to) < 0)
		return -1;
	return unlink(from);
}

static int place(const struct file_new *file, bool replace)
{
	if (!file->temporary[0])
		return give_name(file->fd, file->path);
	return replace ? rename(file->temporary, file->path) : rename_new(file->temporary, file->path);
}

int file_place(struct file_new *file, bool replace)
{
	if (place(file, replace) < 0)
		return trouble(EXIT_LOCAL, "can not write %s: %s", file->path, strerror(errno));
	file_let_go(file);
	return sync_folder_of(file->path);
}

int file_finish(struct file_new *file, struct view bytes, bool replace)
{
	int rc = file_fill(file, bytes);
	if (rc)
		return rc;
	rc = file_place(file, replace);
	if (rc == EXIT_DONE || replace || file->fd < 0)
		return rc;
	file_let_go(file);
	return trouble(EXIT_LOCAL, "%s; what it was to hold is in %s", trouble_text(), file->temporary);
}

void file_abandon(struct file_new *file)
{
	if (file->fd < 0)
		return;
	if (file->temporary[0])
		unlink(file->temporary);
	file_let_go(file);
}

int file_write(const char *path, struct view bytes, mode_t mode)
{
	FILE_NEW file;
	int rc = file_begin(path, mode, &file);
	return rc ? rc : file_finish(&file, bytes, true);
}

int file_remove(const char *path)
{
	if (unlink(path) == 0 || errno == ENOENT)
		return EXIT_DONE;
	return trouble(EXIT_LOCAL, "can not remove %s: %s", path, strerror(errno));
}

bool file_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

int folder_make(const char *path)
{
	char part[PATH_BYTES];
	if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
		return trouble(EXIT_LOCAL, "the path %s is too long", path);
	for (char *p = part + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return trouble(EXIT_LOCAL, "can not make the folder %s: %s", part, strerror(errno));
		*p = '/';
	}
	struct stat st;
	if ((mkdir(part, 0700) < 0 && errno != EEXIST) || stat(part, &st) < 0)
		return trouble(EXIT_LOCAL, "can not make the folder %s: %s", part, strerror(errno));
	return S_ISDIR(st.st_mode) ? EXIT_DONE : trouble(EXIT_LOCAL, "%s is not a folder", part);
}

int path_join(char ret[static PATH_BYTES], const char *folder, const char *name)
{
	bool alone = name[0] == '/' || folder[0] == '\0';
	int len = snprintf(ret, PATH_BYTES, "%s%s%s", alone ? "" : folder, alone ? "" : "/", name);
	if (len >= PATH_BYTES)
		return trouble(EXIT_LOCAL, "the path %s/%s is too long", folder, name);
	return EXIT_DONE;
}
