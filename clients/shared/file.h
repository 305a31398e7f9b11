/* Files and folders of a client. Every error is EXIT_LOCAL with a sentence that names the file. */
#ifndef PFXD_CLIENTS_FILE_H
#define PFXD_CLIENTS_FILE_H

#include "buf.h"

#include <sys/types.h>

enum { PATH_BYTES = 4096, TOKEN_FILE_CHARS = 43, SECRET_LINE_MAX_BYTES = 4096 };

/* Appends the whole file, of at most max bytes; ret must have room for one more, by which a longer one is seen. "-" and
 * /dev/stdin are standard input, /dev/fd/N an open descriptor. */
int file_read(const char *path, size_t max, struct buf *ret);
/* Appends the first line of a file that holds a password, without its end. */
int file_read_password(const char *path, struct buf *ret_secret);
/* The same from an open descriptor. */
int file_read_password_fd(int fd, struct buf *ret_secret);
/* Appends the token on the first line. A regular file that others may read is refused, and so is what is no token. */
int file_read_token(const char *path, struct buf *ret_secret);
bool token_is_valid(struct view token_secret);

/* True for a regular file that others than its owner may read. False where there is none. */
bool file_is_open_to_others(const char *path);

/* A file in the making: a temporary one beside its place. What is asked for once, like a token, is asked for when the
 * file that keeps it is there. */
struct file_new {
	int fd; /* -1: none */
	char path[PATH_BYTES], temporary[PATH_BYTES]; /* temporary: "" while it has no name */
};

/* mode is exact. EXIT_LOCAL where path is a folder, or its folder can not be written. */
int file_begin(const char *path, mode_t mode, struct file_new *ret);
/* The same for a file that replaces none. Where the file system can do that it has no name until it is placed: who is
 * killed meanwhile leaves nothing behind. */
int file_begin_unnamed(const char *path, mode_t mode, struct file_new *ret);
/* Writes bytes; there may be more. */
int file_append(struct file_new *file, struct view bytes);
/* Writes bytes, the last ones, and syncs all. */
int file_fill(struct file_new *file, struct view bytes);
/* Puts what was filled in its place. Where replace is false, a file that is there stays, and this one is still to be
 * abandoned. The descriptor is -1 once it is in its place, also where the folder could not be synced then. */
int file_place(struct file_new *file, bool replace);
/* Both. Where replace is false and a file came there meanwhile, the sentence says where the bytes are. */
int file_finish(struct file_new *file, struct view bytes, bool replace);
/* Removes what was begun and not finished. */
void file_abandon(struct file_new *file);
#define FILE_NEW __attribute__((cleanup(file_abandon))) struct file_new

/* Writes the file whole: a temporary file beside it, fsync, rename, fsync of the folder. mode is exact. */
int file_write(const char *path, struct view bytes, mode_t mode);
int file_rename(const char *from, const char *to);
/* Removes it; one that is not there is no error. */
int file_remove(const char *path);
bool file_exists(const char *path);
/* Makes the folder and those above it that are missing, 0700. */
int folder_make(const char *path);

/* "folder/name", or name alone if it is absolute or folder is "". EXIT_LOCAL if it does not fit. */
int path_join(char ret[static PATH_BYTES], const char *folder, const char *name);
/* The folder that path is in: "" for the working directory. */
void path_folder(char ret[static PATH_BYTES], const char *path);

#endif
