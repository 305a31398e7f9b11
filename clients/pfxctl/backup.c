/* backup: has the keeper make a copy of its database, and writes it into a file. pfxctl, as root on the server. The
 * bytes are opaque here: they are counted and hashed, and never looked into. */
#include "backups.h"
#include "commands.h"
#include "local.h"
#include "show.h"

#include "../shared/openssl_more.h"
#include "../shared/json_text.h"
#include "../shared/trouble.h"
#include "encode.h"
#include "frame.h"
#include "text.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct backup {
	char folder[PATH_BYTES]; /* "": it is one file that was named */
	char name[BACKUP_NAME_CHARS + 1];
	char path[PATH_BYTES];
	uint64_t keep;
	struct file_new out;
	uint64_t promised, written; /* by the keeper, of bytes */
	uint32_t min_free_mib;
	bool replace;
};

/* ---- where to ---- */

static int plan_folder(const struct cli *cli, const struct server *server, struct backup *b)
{
	int rc = cli_number(cli, OPT_KEEP, 1, 10000, server->config.backup_keep, &b->keep);
	if (rc == EXIT_DONE)
		rc = path_join(b->folder, "", cli->argc ? cli->argv[0] : server->backups);
	if (rc == EXIT_DONE && !b->folder[0])
		rc = trouble(EXIT_USAGE, "where to? give a FILE, or set [backup] backup_folder in pfxd.conf");
	if (rc == EXIT_DONE)
		rc = folder_make(b->folder);
	if (rc)
		return rc;
	backups_name(now_seconds(), b->name);
	return path_join(b->path, b->folder, b->name);
}

static int plan(const struct cli *cli, const struct server *server, struct backup *b)
{
	struct stat st;
	bool one_file = cli->argc && !cli->value[OPT_KEEP];
	int rc = one_file ? path_join(b->path, "", cli->argv[0]) : plan_folder(cli, server, b);
	if (rc)
		return rc;
	/* Not stat(): a link is a file that is there. */
	if (lstat(b->path, &st) < 0)
		return EXIT_DONE;
	if (S_ISDIR(st.st_mode))
		return trouble(EXIT_USAGE, "%s is a folder: name a file in it, or say how many backups it is to hold: "
			       "--keep N", b->path);
	if (cli->value[OPT_FORCE] && one_file)
		return EXIT_DONE;
	return trouble(EXIT_LOCAL, "%s is there already; name another file%s", b->path,
		       one_file ? ", or give --force to replace it" : "");
}

/* ---- the file ---- */

/* What is left when somebody ends pfxctl in the middle: nothing, where a file may have no name until it is whole. */
static char unfinished[PATH_BYTES];

static void remove_unfinished(int number)
{
	if (unfinished[0])
		unlink(unfinished);
	signal(number, SIG_DFL);
	raise(number);
}

static int begin(struct backup *b)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	int rc = b->replace ? file_begin(b->path, 0600, &b->out) : file_begin_unnamed(b->path, 0600, &b->out);
	memcpy(unfinished, b->out.temporary, sizeof unfinished);
	for (size_t i = 0; rc == EXIT_DONE && i < sizeof numbers / sizeof numbers[0]; i++)
		signal(numbers[i], remove_unfinished);
	return rc;
}

/* Also a disk that is not the service's is not filled to the brim. */
static int on_size(void *arg, uint64_t bytes)
{
	struct backup *b = arg;
	b->promised = bytes;
	struct statvfs fs;
	if (fstatvfs(b->out.fd, &fs) < 0)
		return trouble(EXIT_LOCAL, "can not write %s: %s", b->path, strerror(errno));
	uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize, left_alone = (uint64_t)b->min_free_mib * MIB;
	if (free_bytes >= left_alone && free_bytes - left_alone >= bytes)
		return EXIT_DONE;
	return trouble(EXIT_LOCAL, "there is no room for %s: it takes %llu MiB, %llu are free, and %u of them "
		       "([keeper] min_free_mib) are left alone", b->path, (unsigned long long)bytes / MIB + 1,
		       (unsigned long long)free_bytes / MIB, b->min_free_mib);
}

/* There was asked for room for so many, and the disk is root's. */
static int on_part(void *arg, struct view bytes)
{
	struct backup *b = arg;
	if (b->written + bytes.len > b->promised)
		return trouble(EXIT_REFUSED, "the keeper sends more than it said: look at pfxd-keeper");
	b->written += bytes.len;
	return file_append(&b->out, bytes);
}

static int hash(int fd, uint8_t ret[static 32])
{
	BUF bytes = buf_new(PART_MAX_BYTES);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t *at = bytes ? buf_reserve(bytes, PART_MAX_BYTES) : NULL;
	bool well = at && context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;
	ssize_t n = 1;
	for (off_t offset = 0; well && n > 0; offset += n) {
		n = pread(fd, at, PART_MAX_BYTES, offset);
		well = n >= 0 && EVP_DigestUpdate(context, at, (size_t)n) == 1;
	}
	well = well && EVP_DigestFinal_ex(context, ret, NULL) == 1;
	EVP_MD_CTX_free(context);
	return well ? EXIT_DONE : trouble(EXIT_LOCAL, "what was written can not be read again: %s", strerror(errno));
}

/* What lies there is read again: it must be what the keeper has looked at. */
static int check(struct backup *b, const struct msg_backed_up *m)
{
	uint8_t sha256[32];
	int rc = file_fill(&b->out, view_of("", 0));
	if (rc == EXIT_DONE)
		rc = hash(b->out.fd, sha256);
	if (rc)
		return rc;
	if (b->written != m->bytes || !view_equal(m->sha256, view_of(sha256, sizeof sha256)))
		return trouble(EXIT_LOCAL, "%s does not hold what the keeper sent: look at its disk", b->path);
	return EXIT_DONE;
}

static int make(const struct server *server, struct backup *b, struct buf *answer, struct msg_backed_up *ret)
{
	struct view fields;
	BUF question = buf_new(FRAME_HEADER_BYTES);
	const struct local_talk talk = { .question = question, .verb = VERB_BACKUP, .file = -1, .on_size = on_size,
					 .on_part = on_part, .arg = b };
	b->min_free_mib = server->config.min_free_mib;
	int rc = question ? begin(b) : trouble(EXIT_LOCAL, "no memory");
	if (rc)
		return rc;
	frame_begin(question, VERB_BACKUP);
	rc = local_talk(server, &talk, answer, &fields);
	if (rc == EXIT_DONE && read_backed_up(fields, ret) < 0)
		rc = local_other_version();
	return rc ? rc : check(b, ret);
}

static void tell(const struct cli *cli, const struct backup *b, const struct msg_backed_up *m)
{
	char sha256[65];
	hex_encode(m->sha256, sha256);
	if (cli->value[OPT_JSON]) {
		JSON told = json_pack("{s:s, s:I, s:s, s:I, s:I, s:I, s:I}", "file", b->path, "bytes",
				      (json_int_t)m->bytes, "sha256", sha256, "users", (json_int_t)m->users,
				      "identities", (json_int_t)m->identities, "devices", (json_int_t)m->devices,
				      "records", (json_int_t)m->records);
		show_json(told);
		return;
	}
	char path[PATH_BYTES];
	snprintf(path, sizeof path, "%s", b->path);
	text_disarm(path);
	printf("%s: %llu bytes, SHA-256 %s\n%llu users, %llu identities, %llu devices; %llu audit records, which verify. "
	       "It opens under this service's keyring alone.\n", path, (unsigned long long)m->bytes, sha256,
	       (unsigned long long)m->users, (unsigned long long)m->identities, (unsigned long long)m->devices,
	       (unsigned long long)m->records);
}

int backup_run(const struct cli *cli)
{
	struct server server;
	struct backup b = { .out = { .fd = -1 }, .replace = cli->value[OPT_FORCE] != NULL };
	struct msg_backed_up m;
	BUF answer = buf_new(FRAME_MAX_BYTES);
	int rc = answer ? server_need_root(cli) : trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE)
		rc = server_find(cli, &server);
	if (rc == EXIT_DONE)
		rc = plan(cli, &server, &b);
	if (rc == EXIT_DONE)
		rc = make(&server, &b, answer, &m);
	if (rc == EXIT_DONE)
		rc = file_place(&b.out, b.replace);
	file_abandon(&b.out);
	if (rc)
		return rc;
	tell(cli, &b, &m);
	return b.folder[0] ? backups_prune(b.folder, b.name, b.keep) : EXIT_DONE;
}
