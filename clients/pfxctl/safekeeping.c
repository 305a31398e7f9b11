/* Copies of the keyring for safe-keeping, beside what else a command does. pfxctl, as root on the server. */
#include "safekeeping.h"

#include "../shared/trouble.h"
#include "recovery.h"
#include "show.h"

void safekeeping_done(struct safekeeping *s)
{
	buf_free(s->passphrase_secret);
	buf_free(s->export);
	*s = (struct safekeeping){ .export = NULL };
}

int safekeeping_check(const struct cli *cli, const char *why)
{
	bool export = cli->value[OPT_EXPORT] != NULL;
	if (export && cli->value[OPT_NO_EXPORT])
		return trouble(EXIT_USAGE, "give --export FILE or --no-export, not both");
	if (!export && !cli->value[OPT_NO_EXPORT])
		return trouble(EXIT_USAGE, "%s. Give --export FILE for a copy that opens elsewhere with a recovery "
			       "passphrase, or --no-export to do without", why);
	if (!export && cli->value[OPT_PASSPHRASE_OUT])
		return trouble(EXIT_USAGE, "--passphrase-out is for --export");
	return EXIT_DONE;
}

int safekeeping_add(struct safekeeping *s, const struct cli *cli, struct view keyring_secret, struct file_set *files)
{
	if (!cli->value[OPT_EXPORT])
		return EXIT_DONE;
	s->passphrase_secret = buf_new(SECRET_LINE_MAX_BYTES);
	s->export = buf_new(RECOVERY_MAX_BYTES);
	int rc = s->passphrase_secret && s->export ? recovery_make_passphrase(s->passphrase_secret) :
						     trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE)
		rc = recovery_seal(keyring_secret, buf_view(s->passphrase_secret), s->export);
	if (rc == EXIT_DONE)
		rc = file_set_add(files, cli->value[OPT_EXPORT], 0600, (gid_t)-1, buf_view(s->export));
	if (rc == EXIT_DONE && cli->value[OPT_PASSPHRASE_OUT])
		rc = file_set_add_line(files, cli->value[OPT_PASSPHRASE_OUT], buf_view(s->passphrase_secret));
	return rc;
}

int safekeeping_show(const struct safekeeping *s, const struct cli *cli)
{
	if (!cli->value[OPT_EXPORT] || cli->value[OPT_PASSPHRASE_OUT])
		return EXIT_DONE;
	return show_secret("recovery passphrase", buf_view(s->passphrase_secret));
}

void safekeeping_tell(const struct cli *cli)
{
	if (cli->value[OPT_EXPORT])
		cli_say(cli, "made %s, its copy for another machine: keep it and its passphrase apart from each other, "
			"and both apart from backups of the database", cli->value[OPT_EXPORT]);
}
