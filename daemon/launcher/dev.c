/* Prepares the folder of pfxd --dev. Launcher. It makes no key itself and reads none: pfxctl does that. */
#include "dev.h"

#include "fault.h"
#include "frame.h"
#include "log.h"
#include "spawn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* The file that says that this folder has a database: from then on one that is gone is a loss, and no beginning. */
static const char begun[] = "begun";

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static void close_file(FILE **f)
{
	if (*f)
		fclose(*f);
}
#define OPEN_FILE __attribute__((cleanup(close_file))) FILE *

static void close_folder(DIR **d)
{
	if (*d)
		closedir(*d);
}
#define FOLDER __attribute__((cleanup(close_folder))) DIR *

static int make_folder(const char *path)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return fail(FAULT_INTERNAL, "can not make the folder %s: %s", path, strerror(errno));
	return 0;
}

/* ---- what pfxd.conf says ---- */

/* The value of a key in the folder's pfxd.conf: "" where the file does not say, otherwise where there is no file yet.
 * Whether the file is right is the rooms' to tell, and this program is linked with no reader of it. */
static void configured(const char *key, const char *otherwise, char ret[static PATH_MAX])
{
	char line[PATH_MAX + 64];
	OPEN_FILE f = fopen("pfxd.conf", "re");
	snprintf(ret, PATH_MAX, "%s", f ? "" : otherwise);
	while (f && fgets(line, sizeof line, f)) {
		int at = 0;
		char name[64], sign[2];
		if (sscanf(line, " %63[a-z_] %1[=:] %n", name, sign, &at) != 2 || at == 0 || strcmp(name, key) != 0)
			continue;
		char *value = line + at, *comment = strstr(line, " ;");
		value[strcspn(value, "\r\n")] = '\0';
		if (comment)
			*comment = '\0';
		for (size_t len = strlen(value); len > 0 && strchr(" \t", value[len - 1]); len--)
			value[len - 1] = '\0';
		snprintf(ret, PATH_MAX, "%.*s", PATH_MAX - 1, value);
	}
}

static void database_path(char ret[static PATH_MAX])
{
	configured("database", "pfxd.db", ret);
}

/* In the folder, unless the file says otherwise: a container's comes from outside of the volume that the folder is on. */
static void keyring_path(char ret[static PATH_MAX])
{
	configured("keyring", "keyring", ret);
	if (!ret[0])
		snprintf(ret, PATH_MAX, "keyring");
}

static bool keyring_exists(void)
{
	char path[PATH_MAX];
	keyring_path(path);
	return exists(path);
}

/* ---- whether it is a folder to work in ---- */

/* Who may write in the folder may put another keyring, another token or another socket there. */
static int check_owner(const char *dir)
{
	struct stat s;
	if (stat(".", &s) < 0)
		return fail(FAULT_INTERNAL, "can not look at %s: %s", dir, strerror(errno));
	if (s.st_uid != geteuid() && geteuid() != 0)
		return fail(FAULT_CONFLICT, "%s belongs to another user (%ld), who could replace the keyring in it: "
			    "take a folder of your own, or start pfxd as that user", dir, (long)s.st_uid);
	if (s.st_mode & S_IWOTH)
		return fail(FAULT_CONFLICT,
			    "everybody may write in %s (mode %04o), and could replace the keyring in it: "
			    "chmod o-w %s, or give a folder in it that is not there yet", dir,
			    (unsigned)s.st_mode & 07777, dir);
	if ((s.st_mode & S_IWGRP) || s.st_uid != geteuid())
		log_detail(EVENT_FOLDER_ODD, "others may write in %s, and could replace the keyring in it", dir);
	return 0;
}

/* What a first use that did not come to its end, or who prepared one, may have left. */
static bool is_own(const char *name)
{
	static const char *const names[] = { ".", "..", "lost+found", "lock", "run", "tls", begun };
	static const char *const beginnings[] = { "pfxd.", "pfxctl.conf", "ca.pem", "admin.token", "keyring" };
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++)
		if (strncmp(name, beginnings[i], strlen(beginnings[i])) == 0)
			return true;
	return false;
}

/* A folder without a keyring is about to be filled: it may be a home folder, given by mistake. */
static int check_content(const char *dir)
{
	if (keyring_exists())
		return 0;
	FOLDER d = opendir(".");
	if (!d)
		return fail(FAULT_INTERNAL, "can not read the folder %s: %s", dir, strerror(errno));
	for (const struct dirent *entry; (entry = readdir(d));) {
		if (is_own(entry->d_name))
			continue;
		log_detail(EVENT_FOLDER_ODD, "%s holds what is not pfxd's (%s); its own files are put beside it", dir,
			   entry->d_name);
		break;
	}
	return 0;
}

static int in_use(const char *dir, int fd)
{
	char number[16] = "";
	ssize_t len = read(fd, number, sizeof number - 1);
	return fail(FAULT_CONFLICT, "another pfxd uses %s (process %ld)", dir, len > 0 ? strtol(number, NULL, 10) : 0);
}

static int take_lock(const char *dir)
{
	FD fd = open("lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(FAULT_INTERNAL, "can not make %s/lock: %s", dir, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return in_use(dir, fd);
	/* For who finds it locked. A lock without a number is as good. */
	if (ftruncate(fd, 0) == 0)
		dprintf(fd, "%ld\n", (long)getpid());
	int taken = fd;
	fd = -1;
	return taken;
}

/* ---- what is in it ---- */

/* Has pfxctl make keyring, certificates and the first token. */
static int make_secrets(const char *programs)
{
	char program[PATH_MAX], keyring[PATH_MAX];
	const char *const arguments[] = { "pfxctl", "dev-init", ".", NULL };
	const struct spawn s = { .program = program, .arguments = arguments };
	int status;
	keyring_path(keyring);
	if (strcmp(keyring, "keyring") != 0)
		return fail(FAULT_CONFLICT, "the keyring is not where pfxd.conf says, %.200s: bring it there; to make a "
			    "new one: pfxctl dev-init", keyring);
	unlink(begun); /* of a keyring that was taken away: this is another beginning */
	snprintf(program, sizeof program, "%s/pfxctl", programs);
	pid_t pid = spawn(&s);
	if (pid < 0)
		return (int)pid;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return fail(FAULT_INTERNAL, "waitpid: %s", strerror(errno));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return fail(FAULT_INTERNAL, "%s dev-init failed", program);
	return exists("keyring") ? 0 : fail(FAULT_INTERNAL, "%s dev-init made no keyring", program);
}

/* Writes a file whole or not at all. */
static int write_file(const char *path, const char *text)
{
	char temporary[64];
	snprintf(temporary, sizeof temporary, "%s.new", path);
	FILE *f = fopen(temporary, "we");
	bool written = f && fputs(text, f) >= 0 && fflush(f) == 0 && fsync(fileno(f)) == 0;
	if (f)
		fclose(f);
	if (!written || rename(temporary, path) < 0)
		return fail(FAULT_INTERNAL, "can not write %s: %s", path, strerror(errno));
	return 0;
}

static int write_service_configuration(const char *rooms)
{
	char text[PATH_MAX + 512];
	if (exists("pfxd.conf"))
		return 0;
	snprintf(text, sizeof text,
		 "# Made by pfxd --dev, which leaves it alone from now on.\n"
		 "# Every key there is: %s/pfxd-keeper --sample\n"
		 "[paths]\n"
		 "database = pfxd.db\n"
		 "keyring = keyring\n"
		 "tls_certificate = tls/server.pem\n"
		 "tls_key = tls/server.key\n"
		 "runtime = run\n"
		 "\n"
		 "[backup]\n"
		 "# The usual one is that of the service that the package has.\n"
		 "backup_folder = backups\n"
		 "\n"
		 "[keeper]\n"
		 "# All rooms run as one user here.\n"
		 "device_front_user =\n"
		 "admin_front_user =\n"
		 "local_user =\n", rooms);
	return write_file("pfxd.conf", text);
}

static int write_client_configuration(const struct ports *ports)
{
	char text[512];
	snprintf(text, sizeof text,
		 "# Written by pfxd --dev at each start.\n"
		 "[pfxctl]\n"
		 "server = https://localhost:%d\n"
		 "ca = ca.pem\n"
		 "token_file = admin.token\n"
		 "device_server = https://localhost:%d\n"
		 "health = http://127.0.0.1:%d\n", ports->admin, ports->device, ports->health);
	return write_file("pfxctl.conf", text);
}

/* ---- the database, which only the keeper opens ---- */

/* A database that is gone is never replaced without a word: a wrong path and a disk that is not mounted look the same,
 * and an empty service that says "ready" would be believed. */
static int check_database(const struct dev *d)
{
	char path[PATH_MAX];
	database_path(path);
	bool there = exists(path);
	if (there && !keyring_exists())
		return fail(FAULT_CONFLICT, "%s holds a database but no keyring, so nothing in it can be opened: "
			    "bring the keyring back, or begin with another folder", d->dir);
	if (there && d->empty)
		return fail(FAULT_CONFLICT, "--empty is for a folder whose database is gone, and %s has its database "
			    "%.200s: start without --empty", d->dir, path);
	if (there || !path[0] || d->empty || !keyring_exists() || !exists(begun))
		return 0;
	return fail(FAULT_CONFLICT, "%s has been in use, and its database %.200s is gone: bring it back, or correct "
		    "[paths] database in pfxd.conf; to begin an empty one on purpose, add --empty", d->dir, path);
}

int dev_begun(void)
{
	char path[PATH_MAX];
	database_path(path);
	if (exists(begun) || !exists(path))
		return 0;
	return write_file(begun, "Written by pfxd --dev once it had a database: from then on it does not start without "
				 "one.\n");
}

static int fill(const struct dev *d)
{
	int rc = check_database(d);
	if (rc == 0 && !keyring_exists())
		rc = make_secrets(d->programs);
	if (rc == 0)
		rc = write_service_configuration(d->rooms);
	if (rc == 0)
		rc = write_client_configuration(&d->ports);
	return rc < 0 ? rc : make_folder("run");
}

int dev_open(const struct dev *d)
{
	int rc = make_folder(d->dir);
	if (rc < 0)
		return rc;
	if (chdir(d->dir) < 0)
		return fail(FAULT_INTERNAL, "can not enter %s: %s", d->dir, strerror(errno));
	rc = check_owner(d->dir);
	if (rc == 0)
		rc = check_content(d->dir);
	if (rc < 0)
		return rc;
	FD lock = take_lock(d->dir);
	if (lock < 0)
		return lock;
	rc = fill(d);
	if (rc < 0)
		return rc;
	int taken = lock;
	lock = -1;
	return taken;
}
