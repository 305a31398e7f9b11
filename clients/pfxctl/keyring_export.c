/* keyring export: another copy of the keyring for safe-keeping, under a passphrase of its own, whole or in shares.
 * pfxctl, as root on the server. The passphrase is shown before the file is there: an export that is there can be
 * opened by somebody. */
#include "commands.h"
#include "file_set.h"
#include "recovery.h"
#include "server.h"
#include "shares.h"
#include "show.h"

#include "../../daemon/keeper/keyring.h"
#include "../shared/trouble.h"
#include "fault.h"
#include "harden.h"
#include "text.h"
#include "wipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { HOST_NAME_CHARS = 64 };

/* How the passphrase is split. count 0: not at all. */
struct split {
	unsigned threshold, count;
};

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

/* K/N: so many of so many. Nothing where the option was not given. */
static int read_split(const struct cli *cli, unsigned *ret_threshold, unsigned *ret_count)
{
	char *slash, *end;
	const char *text = cli->value[OPT_SHARES];
	if (!text)
		return EXIT_DONE;
	unsigned long threshold = strtoul(text, &slash, 10), count = *slash == '/' ? strtoul(slash + 1, &end, 10) : 0;
	if (text[0] < '0' || text[0] > '9' || *slash != '/' || slash[1] < '0' || slash[1] > '9' || *end ||
	    threshold < SHARES_LEAST || threshold > count || count > SHARES_MOST)
		return trouble(EXIT_USAGE, "--shares takes K/N, as in 3/5: K of N shares restore it, K from %d to N, N "
			       "at most %d", (int)SHARES_LEAST, (int)SHARES_MOST);
	if (cli->value[OPT_PASSPHRASE_OUT])
		return trouble(EXIT_USAGE, "give --shares or --passphrase-out, not both");
	*ret_threshold = (unsigned)threshold;
	*ret_count = (unsigned)count;
	return EXIT_DONE;
}

/* What somebody finds who opens the drawer in ten years. */
static int add_share(struct file_set *files, const char *folder, const struct split *split, unsigned number,
		     struct view share_secret)
{
	char path[PATH_BYTES], name[32], now[TIME_TEXT + 1], host[HOST_NAME_CHARS + 1] = "";
	BUF text_secret = buf_new(SHARE_MAX_BYTES);
	if (!text_secret)
		return trouble(EXIT_LOCAL, "no memory");
	snprintf(name, sizeof name, "share-%u-of-%u", number, split->count);
	time_format(now_seconds(), now);
	gethostname(host, sizeof host - 1);
	text_disarm(host);
	buf_printf(text_secret, "Share %u of %u of the recovery passphrase of a pfxd keyring, made on %s at %s.\n"
		   "Any %u of the %u restore it, with the file keyring.export: pfxctl keyring import keyring.export "
		   "SHARE...\n\n",
		   number, split->count, host[0] ? host : "an unnamed machine", now, split->threshold, split->count);
	buf_put(text_secret, share_secret.p, share_secret.len);
	int rc = path_join(path, folder, name);
	return rc ? rc : file_set_add(files, path, 0600, (gid_t)-1, buf_view(text_secret));
}

/* The shares first: an export that is there can be opened. */
static int add_shares(struct file_set *files, const char *folder, const struct split *split,
		      struct view passphrase_secret)
{
	BUF shares_secret = buf_new(SHARES_MOST * (SHARE_CHARS + 1));
	int rc = shares_secret ? folder_make(folder) : trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE)
		rc = shares_make(passphrase_secret, split->threshold, split->count, shares_secret);
	struct view rest = buf_view(shares_secret), one;
	for (unsigned i = 1; rc == EXIT_DONE && i <= split->count; i++) {
		view_get(&rest, SHARE_CHARS + 1, &one);
		rc = add_share(files, folder, split, i, one);
	}
	return rc;
}

/* Where the passphrase goes: into shares, into a file, or shown. */
static int add_passphrase(const struct cli *cli, struct file_set *files, const struct split *split,
			  struct view passphrase_secret)
{
	if (split->count > 0)
		return add_shares(files, cli->argv[0], split, passphrase_secret);
	if (cli->value[OPT_PASSPHRASE_OUT])
		return file_set_add_line(files, cli->value[OPT_PASSPHRASE_OUT], passphrase_secret);
	return EXIT_DONE;
}

static int write_export(const struct cli *cli, struct view keyring_secret, const struct split *split)
{
	FILE_SET files;
	char path[PATH_BYTES];
	bool shown = split->count == 0 && !cli->value[OPT_PASSPHRASE_OUT];
	BUF passphrase_secret = buf_new(SECRET_LINE_MAX_BYTES);
	BUF export = buf_new(RECOVERY_MAX_BYTES);
	file_set_begin(&files);
	int rc = passphrase_secret && export ? recovery_make_passphrase(passphrase_secret) :
					       trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE)
		rc = recovery_seal(keyring_secret, buf_view(passphrase_secret), export);
	if (rc == EXIT_DONE)
		rc = add_passphrase(cli, &files, split, buf_view(passphrase_secret));
	if (rc == EXIT_DONE)
		rc = path_join(path, split->count ? cli->argv[0] : "", split->count ? "keyring.export" : cli->argv[0]);
	if (rc == EXIT_DONE)
		rc = file_set_add(&files, path, 0600, (gid_t)-1, buf_view(export));
	if (rc == EXIT_DONE && shown)
		rc = show_secret("recovery passphrase", buf_view(passphrase_secret));
	if (rc == EXIT_DONE && (rc = file_set_place(&files)) != EXIT_DONE && shown)
		rc = trouble(EXIT_LOCAL, "%s; nothing was made, and what was shown is worth nothing", trouble_text());
	return rc;
}

int keyring_export_run(const struct cli *cli)
{
	struct split split = { 0 };
	BUF keyring_secret = buf_new(KEYRING_MAX_BYTES + 1);
	harden_memory();
	int rc = keyring_secret ? read_split(cli, &split.threshold, &split.count) : trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE)
		rc = read_keyring(cli, keyring_secret);
	if (rc == EXIT_DONE)
		rc = write_export(cli, buf_view(keyring_secret), &split);
	wipe_traces();
	if (rc == EXIT_DONE && split.count > 0)
		cli_say(cli, "made keyring.export and %u shares in %s: give each share to somebody else, on paper or "
			"as a file, and take them off this machine. %u of them and the export restore the keyring; "
			"fewer say nothing",
			split.count, cli->argv[0], split.threshold);
	else if (rc == EXIT_DONE)
		cli_say(cli, "made %s: keep it and its passphrase apart from each other, and both apart from backups "
			"of the database", cli->argv[0]);
	return rc;
}
