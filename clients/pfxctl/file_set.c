/* Several files as one. pfxctl, on the server. */
#include "file_set.h"

#include "../shared/trouble.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void file_set_begin(struct file_set *set)
{
	sigset_t ends;
	*set = (struct file_set){ .begun = true };
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	sigaddset(&ends, SIGQUIT);
	sigprocmask(SIG_BLOCK, &ends, &set->before);
}

int file_set_add(struct file_set *set, const char *path, mode_t mode, gid_t group, struct view bytes)
{
	struct stat st;
	if (set->count == FILE_SET_MAX)
		return trouble(EXIT_LOCAL, "too many files to write at once");
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return trouble(EXIT_LOCAL, "%s is a folder: name a file in it", path);
	if (file_exists(path))
		return trouble(EXIT_LOCAL, "%s is there already, and is not replaced: move it away, or name another",
			       path);
	struct file_new *file = &set->files[set->count];
	int rc = file_begin_unnamed(path, mode, file);
	set->count++; /* also one that was only begun is to be removed */
	if (rc == EXIT_DONE && group != (gid_t)-1 && fchown(file->fd, (uid_t)-1, group) < 0)
		rc = trouble(EXIT_LOCAL, "can not give %s to its group: %s", path, strerror(errno));
	return rc ? rc : file_fill(file, bytes);
}

int file_set_add_line(struct file_set *set, const char *path, struct view line_secret)
{
	BUF text_secret = buf_new(SECRET_LINE_MAX_BYTES);
	if (!text_secret)
		return trouble(EXIT_LOCAL, "no memory");
	buf_put(text_secret, line_secret.p, line_secret.len);
	buf_put_u8(text_secret, '\n');
	return file_set_add(set, path, 0600, (gid_t)-1, buf_view(text_secret));
}

int file_set_replace(struct file_set *set, const char *path, mode_t mode, struct view bytes)
{
	struct stat st;
	if (set->count == FILE_SET_MAX)
		return trouble(EXIT_LOCAL, "too many files to write at once");
	struct file_new *file = &set->files[set->count];
	if (stat(path, &st) < 0)
		return trouble(EXIT_LOCAL, "can not look at %s: %s", path, strerror(errno));
	int rc = file_begin(path, mode, file);
	set->count++;
	set->replaces = true;
	if (rc == EXIT_DONE && (st.st_uid != geteuid() || st.st_gid != getegid()) &&
	    fchown(file->fd, st.st_uid, st.st_gid) < 0)
		rc = trouble(EXIT_LOCAL, "can not give the new %s to the owner of the old one: %s", path, strerror(errno));
	return rc ? rc : file_fill(file, bytes);
}

/* The sentence of what went wrong stays. */
static void take_back(struct file_set *set)
{
	while (set->placed > 0)
		unlink(set->files[--set->placed].path);
}

int file_set_place(struct file_set *set)
{
	int rc = EXIT_DONE;
	for (size_t i = 0; rc == EXIT_DONE && i < set->count; i++) {
		rc = file_place(&set->files[i], set->replaces && i + 1 == set->count);
		set->placed += set->files[i].fd < 0; /* it is in its place, whether that is durable or not */
	}
	/* The last one is in its place, for all that the folder could not be synced: what went before belongs to it. */
	if (rc && !(set->replaces && set->placed == set->count))
		take_back(set);
	return rc;
}

void file_set_done(struct file_set *set)
{
	if (!set->begun)
		return;
	for (size_t i = 0; i < set->count; i++)
		file_abandon(&set->files[i]);
	sigprocmask(SIG_SETMASK, &set->before, NULL);
}
