/* keyring init and keyring import: a sealed keyring where there is none. pfxctl, as root on the server. The sealed
 * keyring comes to its place last, and what is shown once is shown before that: whoever finds a keyring there has its
 * token, and can open its export. */
#include "commands.h"
#include "creds.h"
#include "file_set.h"
#include "new_keyring.h"
#include "prompt.h"
#include "recovery.h"
#include "safekeeping.h"
#include "server.h"
#include "shares.h"
#include "show.h"
#include "tls_pair.h"

#include "../../daemon/keeper/keyring.h"
#include "../shared/trouble.h"
#include "fault.h"
#include "harden.h"
#include "wipe.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HOST_NAME_CHARS = 64, NAMES_MAX_BYTES = 4096, TLS_FILE_MAX_BYTES = 16384 };

/* On top of what the server is called: pfxctl and probes on the server itself use them. */
#define OWN_NAMES "localhost,127.0.0.1,::1"

struct making {
	const struct cli *cli;
	const char *with_key;
	int lock; /* of server_lock_keyring() */
	struct server server;
	struct file_set files;
	struct safekeeping safekeeping;
	struct buf *keyring_secret, *sealed, *token_secret, *passphrase_secret, *export;
	char names[NAMES_MAX_BYTES]; /* of the TLS certificate that is made; "": there is one */
};

static void making_done(struct making *m)
{
	file_set_done(&m->files);
	safekeeping_done(&m->safekeeping);
	buf_free(m->keyring_secret);
	buf_free(m->sealed);
	buf_free(m->token_secret);
	buf_free(m->passphrase_secret);
	buf_free(m->export);
	if (m->lock >= 0)
		close(m->lock);
	wipe_traces();
}
#define MAKING __attribute__((cleanup(making_done))) struct making

/* ---- what is there ---- */

static int check_unmade(const struct server *s)
{
	if (s->keyring[0])
		return trouble(EXIT_USAGE, "%s says [paths] keyring = %s, so the keeper reads that file and no sealed "
			       "one: take the line out", s->conf, s->keyring);
	if (file_exists(s->credential))
		return trouble(EXIT_LOCAL, "%s is there already: it opens what is stored, and is never overwritten",
			       s->credential);
	return EXIT_DONE;
}

/* A new keyring would open nothing in an old database. */
static int check_no_database(const struct server *s)
{
	if (!file_exists(s->database))
		return EXIT_DONE;
	return trouble(EXIT_LOCAL, "there is a database %s but no keyring: bring its keyring back with pfxctl keyring "
		       "import, or move the database away", s->database);
}

static int take_key(struct making *m)
{
	const char *named = m->cli->value[OPT_WITH_KEY];
	m->with_key = named ? named : creds_usual_key();
	if (strcmp(m->with_key, "host") == 0 || strcmp(m->with_key, "host+tpm2") == 0)
		return EXIT_DONE;
	return trouble(EXIT_USAGE, "--with-key takes host or host+tpm2");
}

static int making_begin(const struct cli *cli, struct making *ret)
{
	ret->cli = cli;
	ret->keyring_secret = buf_new(KEYRING_MAX_BYTES + 1);
	ret->sealed = buf_new(CREDS_MAX_BYTES);
	ret->token_secret = buf_new(SECRET_LINE_MAX_BYTES);
	ret->passphrase_secret = buf_new(2 * SECRET_LINE_MAX_BYTES);
	ret->export = buf_new(RECOVERY_MAX_BYTES + 1);
	if (!ret->keyring_secret || !ret->sealed || !ret->token_secret || !ret->passphrase_secret || !ret->export)
		return trouble(EXIT_LOCAL, "no memory");
	int rc = server_need_root(cli);
	if (rc == EXIT_DONE)
		rc = server_find(cli, &ret->server);
	if (rc == EXIT_DONE)
		rc = take_key(ret);
	/* One that fails takes back what it has placed, and another must not have built on that. */
	if (rc == EXIT_DONE)
		rc = server_lock_keyring(&ret->server, &ret->lock);
	return rc ? rc : check_unmade(&ret->server);
}

/* ---- the TLS certificate ---- */

static bool has_name(const char *names, const char *name, size_t len)
{
	while (strcspn(names, ",") != len || strncasecmp(names, name, len) != 0) {
		names += strcspn(names, ",");
		if (!*names++)
			return false;
	}
	return true;
}

/* Each that is not there yet. */
static int add_names(struct making *m, const char *names)
{
	size_t used = strlen(m->names), len;
	for (bool last = false; !last; names += len + 1) {
		len = strcspn(names, ",");
		last = !names[len];
		if (len == 0)
			return trouble(EXIT_USAGE, "--name has an empty name in it");
		if (has_name(m->names, names, len))
			continue;
		if (used + 1 + len >= sizeof m->names)
			return trouble(EXIT_USAGE, "--name is too long");
		used += (size_t)snprintf(m->names + used, sizeof m->names - used, "%s%.*s", used > 0 ? "," : "", (int)len,
					 names);
	}
	return EXIT_DONE;
}

/* What the server is called: as --name says, or as it calls itself. */
static int find_names(struct making *m)
{
	char host[HOST_NAME_CHARS + 1] = "";
	const char *named = m->cli->value[OPT_NAME];
	gethostname(host, sizeof host - 1);
	int rc = add_names(m, named ? named : host[0] ? host : "localhost");
	return rc ? rc : add_names(m, OWN_NAMES);
}

/* The one that the fronts are in; without it, as after make install, the key is root's alone. */
static gid_t tls_group(void)
{
	const struct group *group = getgrnam(TLS_GROUP);
	return group ? group->gr_gid : (gid_t)-1;
}

/* Where the package made none. */
static int make_tls_folder(const struct server *s, gid_t group)
{
	char folder[PATH_BYTES];
	path_folder(folder, s->tls_key);
	if (!folder[0] || file_exists(folder))
		return EXIT_DONE;
	int rc = folder_make(folder);
	if (rc == EXIT_DONE && (chmod(folder, 0750) < 0 || (group != (gid_t)-1 && chown(folder, (uid_t)-1, group) < 0)))
		rc = trouble(EXIT_LOCAL, "can not open the folder %s to its group: %s", folder, strerror(errno));
	return rc;
}

static int add_new_tls(struct making *m)
{
	gid_t group = tls_group();
	BUF ca = buf_new(TLS_FILE_MAX_BYTES);
	BUF certificates = buf_new(TLS_FILE_MAX_BYTES);
	BUF key_secret = buf_new(TLS_FILE_MAX_BYTES);
	int rc = ca && certificates && key_secret ? find_names(m) : trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE)
		rc = tls_pair_make(m->names, ca, certificates, key_secret);
	if (rc == EXIT_DONE)
		rc = make_tls_folder(&m->server, group);
	if (rc == EXIT_DONE)
		rc = file_set_add(&m->files, m->server.tls_ca, 0644, group, buf_view(ca));
	if (rc == EXIT_DONE)
		rc = file_set_add(&m->files, m->server.tls_certificate, 0644, group, buf_view(certificates));
	if (rc == EXIT_DONE)
		rc = file_set_add(&m->files, m->server.tls_key, group == (gid_t)-1 ? 0600 : 0640, group,
				  buf_view(key_secret));
	return rc;
}

/* One half may be a certificate that is still on its way from its CA. */
static int add_tls(struct making *m)
{
	const struct server *s = &m->server;
	bool certificate = file_exists(s->tls_certificate), key = file_exists(s->tls_key);
	if (certificate && key) {
		if (m->cli->value[OPT_NAME])
			cli_say(m->cli, "%s is there and stays, so --name is not needed", s->tls_certificate);
		return EXIT_DONE;
	}
	if (certificate || key)
		return trouble(EXIT_LOCAL, "%s is there without %s: put both there, or none to have some made",
			       certificate ? s->tls_certificate : s->tls_key,
			       certificate ? s->tls_key : s->tls_certificate);
	return add_new_tls(m);
}

static void tell_tls(const struct making *m)
{
	const struct server *s = &m->server;
	if (m->names[0])
		cli_say(m->cli, "made a TLS certificate for %s, for %d days, by a CA that is gone: clients need %s. To "
			"use one of your own CA, put it with its chain into %s and its key into %s, and run: systemctl "
			"reload pfxd-device pfxd-admin", m->names, (int)TLS_PAIR_DAYS, s->tls_ca, s->tls_certificate,
			s->tls_key);
}

/* ---- both ---- */

/* The sealed keyring is added last, and so is the last to be there. */
static int add_keyring(struct making *m)
{
	int rc = creds_seal(buf_view(m->keyring_secret), m->with_key, m->sealed);
	if (rc == EXIT_DONE)
		rc = add_tls(m);
	return rc ? rc : file_set_add(&m->files, m->server.credential, 0600, (gid_t)-1, buf_view(m->sealed));
}

static void tell_keyring(const struct making *m)
{
	bool tpm = strcmp(m->with_key, "host") != 0;
	cli_say(m->cli, "made %s, sealed to this machine%s", m->server.credential, tpm ? " and its TPM" : "");
}

/* ---- init ---- */

static const char dies[] = "the keyring is sealed to this machine and dies with it, and without it nothing in the "
			   "database or in its backups can be opened";

static int show_once(const struct making *m)
{
	const struct cli *cli = m->cli;
	int rc = EXIT_DONE;
	if (!cli->value[OPT_TOKEN_OUT])
		rc = show_secret("admin token", buf_view(m->token_secret));
	return rc ? rc : safekeeping_show(&m->safekeeping, cli);
}

/* What was shown before. */
static int place(struct making *m)
{
	int rc = file_set_place(&m->files);
	if (rc)
		rc = trouble(EXIT_LOCAL, "%s; nothing was made, and what was shown is worth nothing", trouble_text());
	return rc;
}

static void tell_init(const struct making *m)
{
	const struct cli *cli = m->cli;
	tell_keyring(m);
	safekeeping_tell(cli);
	if (!cli->value[OPT_EXPORT])
		cli_say(cli, "there is no copy of the keyring: when this machine is lost, so is everything in the "
			"database and its backups. pfxctl keyring export FILE makes one at any time");
	tell_tls(m);
	cli_say(cli, "next: systemctl start pfxd.target, then pfxctl doctor; and as administrator: pfxctl --server "
		"https://localhost:8444 --ca %s --token-file FILE users", m->server.tls_ca);
}

int keyring_init_run(const struct cli *cli)
{
	MAKING m = { .lock = -1 };
	harden_memory();
	int rc = making_begin(cli, &m);
	if (rc == EXIT_DONE)
		rc = safekeeping_check(cli, dies);
	if (rc == EXIT_DONE)
		rc = check_no_database(&m.server);
	if (rc == EXIT_DONE)
		rc = new_keyring(m.token_secret, m.keyring_secret);
	file_set_begin(&m.files);
	if (rc == EXIT_DONE)
		rc = safekeeping_add(&m.safekeeping, cli, buf_view(m.keyring_secret), &m.files);
	if (rc == EXIT_DONE && cli->value[OPT_TOKEN_OUT])
		rc = file_set_add_line(&m.files, cli->value[OPT_TOKEN_OUT], buf_view(m.token_secret));
	if (rc == EXIT_DONE)
		rc = add_keyring(&m);
	if (rc == EXIT_DONE)
		rc = show_once(&m);
	if (rc == EXIT_DONE)
		rc = place(&m);
	if (rc == EXIT_DONE)
		tell_init(&m);
	return rc;
}

/* ---- import ---- */

static int read_passphrase(const struct cli *cli, struct buf *ret_secret)
{
	uint64_t fd;
	int rc = cli_number(cli, OPT_PASSPHRASE_FD, 0, 1024, 0, &fd);
	if (rc == EXIT_DONE && cli->value[OPT_PASSPHRASE_FILE] && cli->value[OPT_PASSPHRASE_FD])
		rc = trouble(EXIT_USAGE, "give --passphrase-file or --passphrase-fd, not both");
	if (rc)
		return rc;
	if (cli->value[OPT_PASSPHRASE_FILE])
		return file_read_password(cli->value[OPT_PASSPHRASE_FILE], ret_secret);
	if (cli->value[OPT_PASSPHRASE_FD])
		return file_read_password_fd((int)fd, ret_secret);
	return prompt_secret("Recovery passphrase", "--passphrase-file or --passphrase-fd", ret_secret);
}

/* What comes after FILE. */
static int combine_shares(const struct cli *cli, struct buf *ret_secret)
{
	struct share shares[SHARES_MOST];
	unsigned count = (unsigned)cli->argc - 1;
	int rc = EXIT_DONE;
	if (cli->value[OPT_PASSPHRASE_FILE] || cli->value[OPT_PASSPHRASE_FD])
		return trouble(EXIT_USAGE, "give shares or the passphrase, not both");
	if (count > SHARES_MOST)
		return trouble(EXIT_USAGE, "at most %d shares", (int)SHARES_MOST);
	for (unsigned i = 0; rc == EXIT_DONE && i < count; i++) {
		BUF text_secret = buf_new(SHARE_MAX_BYTES + 1);
		rc = text_secret ? file_read(cli->argv[i + 1], SHARE_MAX_BYTES, text_secret) :
				   trouble(EXIT_LOCAL, "no memory");
		if (rc == EXIT_DONE)
			rc = share_read(buf_view(text_secret), cli->argv[i + 1], &shares[i]);
	}
	if (rc == EXIT_DONE)
		rc = shares_combine(shares, count, ret_secret);
	explicit_bzero(shares, sizeof shares);
	return rc;
}

/* The passphrase that shares restore is right or wrong as a whole. */
static int open_with_shares(struct making *m)
{
	int rc = combine_shares(m->cli, m->passphrase_secret);
	if (rc == EXIT_DONE)
		rc = recovery_open(buf_view(m->export), buf_view(m->passphrase_secret), m->keyring_secret);
	if (rc == EXIT_REFUSED && strcmp(trouble_code(), "wrong_passphrase") == 0)
		rc = trouble_coded(EXIT_REFUSED, "foreign_share", "these shares restore a passphrase, but not the one "
				   "of %s: they are of another export, or somebody made one of them "
				   "up", m->cli->argv[0]);
	return rc;
}

/* A keyring that is not encrypted, as pfxd --dev has it and as openssl cms -decrypt gives it out. */
static bool is_plain(struct view text)
{
	static const char beginning[] = "pfxd-keyring ";
	return text.len >= strlen(beginning) && view_equal(view_of(text.p, strlen(beginning)), view_text(beginning));
}

static int open_import(struct making *m)
{
	struct keyring *keyring = NULL;
	int rc = file_read(m->cli->argv[0], RECOVERY_MAX_BYTES, m->export);
	if (rc)
		return rc;
	if (is_plain(buf_view(m->export))) {
		buf_put(m->keyring_secret, buf_data(m->export), buf_len(m->export));
	} else if (m->cli->argc > 1) {
		rc = open_with_shares(m);
	} else {
		rc = read_passphrase(m->cli, m->passphrase_secret);
		if (rc == EXIT_DONE)
			rc = recovery_open(buf_view(m->export), buf_view(m->passphrase_secret), m->keyring_secret);
	}
	if (rc == EXIT_DONE && !buf_ok(m->keyring_secret))
		rc = trouble(EXIT_LOCAL, "%s is too large for a keyring", m->cli->argv[0]);
	if (rc == EXIT_DONE && keyring_parse(buf_view(m->keyring_secret), &keyring) < 0)
		rc = trouble(EXIT_LOCAL, "%s holds no keyring: %s", m->cli->argv[0], fault_detail());
	keyring_free(keyring);
	return rc;
}

int keyring_import_run(const struct cli *cli)
{
	MAKING m = { .lock = -1 };
	harden_memory();
	int rc = making_begin(cli, &m);
	if (rc == EXIT_DONE)
		rc = open_import(&m);
	file_set_begin(&m.files);
	if (rc == EXIT_DONE)
		rc = add_keyring(&m);
	if (rc == EXIT_DONE)
		rc = file_set_place(&m.files);
	if (rc)
		return rc;
	tell_keyring(&m);
	tell_tls(&m);
	if (file_exists(m.server.database))
		cli_say(cli, "next: systemctl start pfxd.target, then pfxctl doctor, which sees whether it belongs to "
			"%s", m.server.database);
	else
		cli_say(cli, "next: systemctl start pfxd.target, then pfxctl restore BACKUP (a backup put to %s by hand "
			"holds no device and ends no token)", m.server.database);
	return EXIT_DONE;
}
