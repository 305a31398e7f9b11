/* keyring export: another copy of the keyring for safe-keeping, under a passphrase of its own. pfxctl, as root on the
 * server. The passphrase is shown before the file is there: an export that is there can be opened by somebody. */
#include "commands.h"
#include "file_set.h"
#include "recovery.h"
#include "server.h"
#include "show.h"

#include "../../daemon/keeper/keyring.h"
#include "../shared/trouble.h"
#include "fault.h"
#include "harden.h"
#include "wipe.h"

static int read_keyring(const struct cli *cli, struct buf *ret_secret)
{
	struct server server;
	struct keyring *keyring = NULL;
	int rc = server_need_root(cli);
	if (rc == EXIT_DONE)
		rc = server_find(cli, &server);
	if (rc == EXIT_DONE)
		rc = server_open_keyring(&server, ret_secret);
	if (rc == EXIT_DONE && keyring_parse(buf_view(ret_secret), &keyring) < 0)
		rc = trouble(EXIT_LOCAL, "%s holds no keyring: %s", server.credential, fault_detail());
	keyring_free(keyring);
	return rc;
}

static int write_export(const struct cli *cli, struct view keyring_secret)
{
	FILE_SET files;
	const char *passphrase_out = cli->value[OPT_PASSPHRASE_OUT];
	BUF passphrase_secret = buf_new(SECRET_LINE_MAX_BYTES);
	BUF export = buf_new(RECOVERY_MAX_BYTES);
	file_set_begin(&files);
	int rc = passphrase_secret && export ? recovery_make_passphrase(passphrase_secret) :
					       trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE)
		rc = recovery_seal(keyring_secret, buf_view(passphrase_secret), export);
	if (rc == EXIT_DONE && passphrase_out)
		rc = file_set_add_line(&files, passphrase_out, buf_view(passphrase_secret));
	if (rc == EXIT_DONE)
		rc = file_set_add(&files, cli->argv[0], 0600, (gid_t)-1, buf_view(export));
	if (rc == EXIT_DONE && !passphrase_out)
		rc = show_secret("recovery passphrase", buf_view(passphrase_secret));
	if (rc == EXIT_DONE && (rc = file_set_place(&files)) != EXIT_DONE)
		rc = trouble(EXIT_LOCAL, "%s; nothing was made, and what was shown is worth nothing", trouble_text());
	return rc;
}

int keyring_export_run(const struct cli *cli)
{
	BUF keyring_secret = buf_new(KEYRING_MAX_BYTES + 1);
	harden_memory();
	int rc = keyring_secret ? read_keyring(cli, keyring_secret) : trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE)
		rc = write_export(cli, buf_view(keyring_secret));
	wipe_traces();
	if (rc == EXIT_DONE)
		cli_say(cli, "made %s: keep it and its passphrase apart from each other, and both apart from backups "
			"of the database", cli->argv[0]);
	return rc;
}
