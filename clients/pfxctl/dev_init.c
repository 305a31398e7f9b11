/* dev-init: makes what `pfxd --dev DIR` needs on first use. pfxctl, run by the launcher. Contacts nobody. The keyring
 * is written last: a folder without one is half made, and is made again from the start. */
#include "commands.h"
#include "new_keyring.h"
#include "tls_pair.h"

#include "../../daemon/keeper/keyring.h"
#include "../shared/file.h"
#include "../shared/trouble.h"

struct makings {
	struct buf *token_secret, *keyring_secret, *ca, *certificates, *key_secret;
};

static void makings_done(struct makings *makings)
{
	buf_free(makings->token_secret);
	buf_free(makings->keyring_secret);
	buf_free(makings->ca);
	buf_free(makings->certificates);
	buf_free(makings->key_secret);
}

static int write_one(const char *folder, const char *name, const struct buf *bytes_secret, mode_t mode)
{
	char path[PATH_BYTES];
	int rc = path_join(path, folder, name);
	return rc ? rc : file_write(path, buf_view(bytes_secret), mode);
}

static int write_all(const char *folder, const struct makings *makings)
{
	const struct {
		const char *name;
		const struct buf *bytes;
		mode_t mode;
	} files[] = {
		{ "ca.pem", makings->ca, 0644 },
		{ "tls/server.pem", makings->certificates, 0644 },
		{ "tls/server.key", makings->key_secret, 0600 },
		{ "admin.token", makings->token_secret, 0600 },
		{ "keyring", makings->keyring_secret, 0600 }, /* last */
	};
	char tls[PATH_BYTES];
	int rc = path_join(tls, folder, "tls");
	if (rc == EXIT_DONE)
		rc = folder_make(tls);
	for (size_t i = 0; rc == EXIT_DONE && i < sizeof files / sizeof files[0]; i++)
		rc = write_one(folder, files[i].name, files[i].bytes, files[i].mode);
	return rc;
}

static int check_unmade(const char *folder)
{
	char path[PATH_BYTES];
	int rc = path_join(path, folder, "keyring");
	if (rc == EXIT_DONE && file_exists(path))
		rc = trouble(EXIT_LOCAL, "%s is made already: its keyring opens what is stored there, and is never "
			     "overwritten", folder);
	/* A new keyring would open nothing in an old database. */
	if (rc == EXIT_DONE)
		rc = path_join(path, folder, "pfxd.db");
	if (rc == EXIT_DONE && file_exists(path))
		rc = trouble(EXIT_LOCAL, "%s has a database but no keyring; put its keyring back, or move pfxd.db away",
			     folder);
	return rc;
}

int dev_init_run(const struct cli *cli)
{
	__attribute__((cleanup(makings_done))) struct makings makings = {
		.token_secret = buf_new(64),
		.keyring_secret = buf_new(KEYRING_MAX_BYTES),
		.ca = buf_new(16384),
		.certificates = buf_new(16384),
		.key_secret = buf_new(4096),
	};
	if (!makings.token_secret || !makings.keyring_secret || !makings.ca || !makings.certificates ||
	    !makings.key_secret)
		return trouble(EXIT_LOCAL, "no memory");
	int rc = check_unmade(cli->argv[0]);
	if (rc == EXIT_DONE)
		rc = new_keyring(makings.token_secret, makings.keyring_secret);
	if (rc == EXIT_DONE)
		buf_put_u8(makings.token_secret, '\n');
	if (rc == EXIT_DONE)
		rc = tls_pair_make("localhost,127.0.0.1,::1", makings.ca, makings.certificates, makings.key_secret);
	return rc ? rc : write_all(cli->argv[0], &makings);
}
