/* Prepares the folder of pfxd --dev. Launcher. It makes no key itself and reads none: pfxctl does that. */
#include "dev.h"

#include "fault.h"
#include "frame.h"
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static int make_folder(const char *path)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return fail(FAULT_INTERNAL, "can not make the folder %s: %s", path, strerror(errno));
	return 0;
}

static int take_lock(const char *dir)
{
	FD fd = open("lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(FAULT_INTERNAL, "can not make %s/lock: %s", dir, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return fail(FAULT_CONFLICT, "another pfxd uses %s", dir);
	int taken = fd;
	fd = -1;
	return taken;
}

/* Has pfxctl make keyring, certificates and the first token. */
static int make_secrets(const char *programs)
{
	char program[PATH_MAX];
	const char *const arguments[] = { "pfxctl", "dev-init", ".", NULL };
	const struct spawn s = { .program = program, .arguments = arguments };
	int status;
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

static int write_service_configuration(void)
{
	if (exists("pfxd.conf"))
		return 0;
	return write_file("pfxd.conf",
			  "# Made by pfxd --dev, which leaves it alone from now on.\n"
			  "# pfxd-keeper --sample prints every key.\n"
			  "[paths]\n"
			  "database = pfxd.db\n"
			  "keyring = keyring\n"
			  "tls_certificate = tls/server.pem\n"
			  "tls_key = tls/server.key\n"
			  "runtime = run\n");
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
		 "device_server = https://localhost:%d\n", ports->admin, ports->device);
	return write_file("pfxctl.conf", text);
}

static int fill(const char *dir, const char *programs, const struct ports *ports)
{
	int rc = 0;
	if (!exists("keyring") && exists("pfxd.db"))
		return fail(FAULT_CONFLICT, "%s holds a database but no keyring, so nothing in it can be opened: "
			    "bring the keyring back, or begin with another folder", dir);
	if (!exists("keyring"))
		rc = make_secrets(programs);
	if (rc == 0)
		rc = write_service_configuration();
	if (rc == 0)
		rc = write_client_configuration(ports);
	return rc < 0 ? rc : make_folder("run");
}

int dev_open(const char *dir, const char *programs, const struct ports *ports)
{
	int rc = make_folder(dir);
	if (rc < 0)
		return rc;
	if (chdir(dir) < 0)
		return fail(FAULT_INTERNAL, "can not enter %s: %s", dir, strerror(errno));
	FD lock = take_lock(dir);
	if (lock < 0)
		return lock;
	rc = fill(dir, programs, ports);
	if (rc < 0)
		return rc;
	int taken = lock;
	lock = -1;
	return taken;
}
