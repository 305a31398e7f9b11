/* Fills the database of a service that is stopped: imports the same PFX files for many users, through the keeper's own
 * answer_import(), and so with its keys, its records and its commits. Only what an opener would say again and again is
 * said once: the wrapped openers_pfx() below. Certificates get other bytes for each user, so that no two identities
 * are the same; not so those in the PKCS#12 files, of which nobody but pfxctl verify and a reader of mail would notice.
 *
 *     fill DIR USERS THREADS PASSWORD PFX...    in DIR: pfxd.conf, keyring, database and admin.token of pfxd --dev */
#include "fault.h"
#include "keeper/openers.h"
#include "keeper/serve.h"
#include "keeper/wallclock.h"
#include "opener/open_pfx.h"

#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MARK_BYTES = 16, THREADS_MAX = 64, USERS_TOLD = 10000 };

static struct {
	struct keeper keeper;
	struct caller who;
	struct buf *opened;                        /* the fields of opened_pfx, with all identities */
	size_t marks[PFX_IDENTITIES_MAX], count;   /* where in them a certificate ends */
	long users;
	_Atomic long next;
} fill;

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "fill: %s: %s\n", what, fault_detail());
	exit(1);
}

int __wrap_openers_pfx(struct openers *openers, struct view token_id, struct buf *request, struct buf *answer,
		       struct view *ret_fields);
int __wrap_openers_pfx(struct openers *openers, struct view token_id, struct buf *request, struct buf *answer,
		       struct view *ret_fields)
{
	(void)openers, (void)token_id, (void)request;
	buf_reset(answer);
	buf_put(answer, buf_data(fill.opened), buf_len(fill.opened));
	uint8_t *at = (uint8_t *)(uintptr_t)buf_data(answer);
	for (size_t i = 0; i < fill.count; i++)
		if (RAND_bytes(at + fill.marks[i] - MARK_BYTES, MARK_BYTES) != 1)
			return fail(FAULT_UNAVAILABLE, "no random bytes");
	*ret_fields = buf_view(answer);
	return 0;
}

/* ---- what is imported ---- */

static struct view read_file(const char *path, struct buf *into)
{
	char bytes[64 * 1024];
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(bytes, 1, sizeof bytes, f) : 0;
	if (f)
		fclose(f);
	must(n > 0 ? 0 : fail(FAULT_NOT_FOUND, "can not read %s", path), "a file");
	buf_reset(into);
	buf_put(into, bytes, n);
	return buf_view(into);
}

/* Opens each file as an opener does, and puts their identities into one list. */
static void open_files(const char *password, char **paths, int count)
{
	static struct ciphers ciphers;
	static uint8_t passwords[PFX_IDENTITIES_MAX * PKCS12_PASSWORD_CHARS];
	struct buf *file = buf_new(PFX_MAX_BYTES), *one = buf_new(FRAME_MAX_BYTES), *all = buf_new(FRAME_MAX_BYTES);
	must(ciphers_load(&ciphers) ? 0 : -1, "ciphers");
	memset(passwords, 'A', sizeof passwords);
	for (int i = 0; i < count; i++) {
		struct msg_opened_pfx opened;
		const struct msg_open_pfx message = {
			.max_work = 24000000, .pfx_secret = read_file(paths[i], file),
			.password_secret = view_text(password),
			.passwords_secret = view_of(passwords, sizeof passwords),
		};
		buf_reset(one);
		must(open_pfx(&ciphers, &message, one), paths[i]);
		must(read_opened_pfx(buf_view(one), &opened), paths[i]);
		buf_put(all, opened.identities.p, opened.identities.len);
	}
	const struct msg_opened_pfx whole = { .identities = buf_view(all) };
	fill.opened = buf_new(FRAME_MAX_BYTES);
	must(put_opened_pfx(fill.opened, &whole), "all files");
	buf_free(file);
	buf_free(one);
	buf_free(all);
}

static void find_marks(void)
{
	struct msg_opened_pfx opened;
	struct msg_opened_identity identity;
	must(read_opened_pfx(buf_view(fill.opened), &opened), "what was opened");
	for (struct view rest = opened.identities; rest.len > 0 && fill.count < PFX_IDENTITIES_MAX; fill.count++) {
		must(get_opened_identity(&rest, &identity), "an identity");
		const uint8_t *end = identity.certificate.p + identity.certificate.len;
		fill.marks[fill.count] = (size_t)(end - buf_data(fill.opened));
	}
}

/* ---- into what ---- */

static void open_service(const char *dir)
{
	struct keeper *k = &fill.keeper;
	struct connection *c;
	struct buf *token = buf_new(TOKEN_MAX_BYTES);
	must(chdir(dir) == 0 ? 0 : fail(FAULT_NOT_FOUND, "no folder %s", dir), "the service");
	config_init(&k->config);
	must(config_read(&k->config, "pfxd.conf"), "its configuration");
	must(keyring_open(k->config.keyring, &k->keyring), "its keyring");
	must(db_open(k->config.database, &k->db), "its database");
	must(wallclock_read(k), "its clock");
	struct view text = read_file("admin.token", token);
	must(db_read(k->db, &c), "a reader");
	must(tokens_authorize(k, c, view_of(text.p, TOKEN_CHARS), ROLE_ANY, &fill.who.token), "its token");
	db_read_done(c);
	buf_free(token);
	fill.who.fd = -1;
	fill.who.actor = (struct actor){ .id = fill.who.token.id,
					 .request_id = view_text("00000000-0000-4000-8000-000000000000") };
}

static void import_for(long user, struct buf *request, struct buf *answer)
{
	char upn[40];
	snprintf(upn, sizeof upn, "u%06ld@example.org", user);
	const struct msg_import message = { .upn = view_text(upn), .pfx_secret = view_text("any"),
					    .password_secret = view_text("any") };
	buf_reset(request);
	buf_reset(answer);
	must(put_import(request, &message), upn);
	must(answer_import(&fill.keeper, &fill.who, buf_view(request), answer), upn);
}

static void *fill_some(void *arg)
{
	struct buf *request = buf_new(PFX_MAX_BYTES), *answer = buf_new(FRAME_MAX_BYTES);
	(void)arg;
	for (long n; (n = atomic_fetch_add(&fill.next, 1)) < fill.users;) {
		import_for(n, request, answer);
		if (n > 0 && n % USERS_TOLD == 0)
			fprintf(stderr, "fill: %ld users\n", n);
	}
	buf_free(request);
	buf_free(answer);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS_MAX];
	int count = argc > 5 ? atoi(argv[3]) : 0;
	fill.users = argc > 5 ? atol(argv[2]) : 0;
	if (fill.users < 1 || count < 1 || count > THREADS_MAX) {
		fputs("usage: fill DIR USERS THREADS PASSWORD PFX...\n", stderr);
		return 2;
	}
	open_files(argv[4], argv + 5, argc - 5);
	find_marks();
	open_service(argv[1]);
	for (int i = 0; i < count; i++)
		must(-pthread_create(&threads[i], NULL, fill_some, NULL), "a thread");
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	must(db_truncate_log(fill.keeper.db), "the log");
	db_close(fill.keeper.db);
	keyring_free(fill.keeper.keyring);
	row_token_done(&fill.who.token);
	buf_free(fill.opened);
	return 0;
}
