/* Finds the files of the service on this machine. pfxctl, on the server. */
#include "server.h"

#include "../../daemon/keeper/keyring.h"
#include "../shared/trouble.h"
#include "creds.h"
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LOCK_NAME ".keyring.lock"
#define USUAL_CONF "/etc/pfxd/pfxd.conf"

static int join(char ret[static PATH_BYTES], const char *folder, const char *name)
{
	ret[0] = '\0';
	return name[0] ? path_join(ret, folder, name) : EXIT_DONE;
}

static int set_paths(struct server *s)
{
	char folder[PATH_BYTES], tls[PATH_BYTES];
	path_folder(folder, s->conf);
	const struct {
		char *path;
		const char *name;
	} paths[] = {
		{ s->credential, "keyring.cred" },   { s->keyring, s->config.keyring },
		{ s->database, s->config.database }, { s->runtime, s->config.runtime },
		{ s->tls_key, s->config.tls_key },   { s->tls_certificate, s->config.tls_certificate },
		{ s->backups, s->config.backup_folder },
	};
	int rc = EXIT_DONE;
	for (size_t i = 0; rc == EXIT_DONE && i < sizeof paths / sizeof paths[0]; i++)
		rc = join(paths[i].path, folder, paths[i].name);
	path_folder(tls, s->tls_certificate);
	return rc ? rc : join(s->tls_ca, tls, "ca.pem");
}

int server_find(const struct cli *cli, struct server *ret)
{
	const char *named = cli->value[OPT_PFXD_CONF], *dev = cli->value[OPT_DEV];
	config_init(&ret->config);
	if (named && dev)
		return trouble(EXIT_USAGE, "give --pfxd-conf or --dev, not both");
	int rc = dev ? path_join(ret->conf, dev, "pfxd.conf") : join(ret->conf, "", named ? named : USUAL_CONF);
	named = named ? named : dev;
	if (rc == EXIT_DONE && (named || file_exists(ret->conf)) && config_read(&ret->config, ret->conf) < 0)
		rc = trouble(EXIT_USAGE, "%s", fault_detail());
	return rc ? rc : set_paths(ret);
}

int server_need_root(const struct cli *cli)
{
	if (geteuid() == 0 || cli->value[OPT_DEV])
		return EXIT_DONE;
	return trouble(EXIT_LOCAL, "run pfxctl %s as root, on the server itself", cli->command->name);
}

int server_lock_keyring(const struct server *s, int *ret_fd)
{
	char folder[PATH_BYTES], path[PATH_BYTES];
	path_folder(folder, s->keyring[0] ? s->keyring : s->credential);
	int rc = path_join(path, folder, LOCK_NAME);
	if (rc)
		return rc;
	*ret_fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (*ret_fd < 0)
		return trouble(EXIT_LOCAL, "can not open %s: %s", path, strerror(errno));
	if (flock(*ret_fd, LOCK_EX | LOCK_NB) < 0)
		return trouble(EXIT_LATER, "another pfxctl is at work on the keyring: try again when it is done");
	return EXIT_DONE;
}

int server_open_keyring(const struct server *s, struct buf *ret_secret)
{
	BUF sealed = buf_new(CREDS_MAX_BYTES + 1);
	if (s->keyring[0])
		return file_read(s->keyring, KEYRING_MAX_BYTES, ret_secret);
	if (!file_exists(s->credential))
		return trouble(EXIT_LOCAL, "there is no keyring: %s is not there. pfxctl keyring init makes one, pfxctl "
			       "keyring import brings one back from its export", s->credential);
	int rc = sealed ? file_read(s->credential, CREDS_MAX_BYTES, sealed) : trouble(EXIT_LOCAL, "no memory");
	return rc ? rc : creds_open(buf_view(sealed), ret_secret);
}
