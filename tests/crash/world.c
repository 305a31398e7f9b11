/* See world.h. */
#include "world.h"

#include "memory.h"

#include "encode.h"
#include "keeper/audit.h"
#include "keeper/ca.h"
#include "keeper/copies.h"
#include "keeper/health.h"
#include "keeper/openers.h"
#include "keeper/seal.h"
#include "openssl_ptr.h"
#include "protocol.h"
#include "text.h"
#include "token.h"

#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANN "ann@example.org"

/* In memory: what a power cut leaves is for disk.c to say. */
static char top[] = "/dev/shm/test-crash-XXXXXX";
static pid_t manager;
static struct buf *keyring_text;
static struct buf *snapshot; /* the database that a world begins with */

/* ---- openers ---- */

static int listen_on(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof address.sun_path, "%s/run/opener-%s.sock", top, name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static _Noreturn void start_opener(int fd, const char *kind)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 32);
	path[n > 0 ? n : 0] = '\0';
	for (int up = 0; up < 3; up++) /* BUILD/tests/crash/test_… */
		*strrchr(path, '/') = '\0';
	strcat(path, "/pfxd-opener");
	dup2(fd, STDIN_FILENO);
	execl(path, path, "--kind", kind, NULL);
	_exit(127);
}

/* Plays the manager: an opener for each connection, as its children, which end with their connections. */
static _Noreturn void manage(const int *sockets)
{
	static const char *const kinds[] = { "pfx", "csr" };
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		fd_set set;
		FD_ZERO(&set);
		FD_SET(sockets[0], &set);
		FD_SET(sockets[1], &set);
		select(sockets[1] + 1, &set, NULL, NULL, NULL);
		for (int i = 0; i < 2; i++) {
			int fd = FD_ISSET(sockets[i], &set) ? accept4(sockets[i], NULL, NULL, SOCK_CLOEXEC) : -1;
			if (fd >= 0 && fork() == 0)
				start_opener(fd, kinds[i]);
			if (fd >= 0)
				close(fd);
		}
	}
}

/* ---- what is made once ---- */

static void read_pfx(const char *name, struct pfx *ret)
{
	char path[128];
	uint8_t bytes[16384];
	X509 *certificate = NULL;
	unsigned len = 20;
	snprintf(path, sizeof path, "tests/data/pfx/%s.p12", name);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	ret->bytes = buf_of(sizeof bytes);
	buf_put(ret->bytes, bytes, fread(bytes, 1, sizeof bytes, f));
	fclose(f);
	const uint8_t *at = buf_data(ret->bytes);
	PKCS12 *p12 = d2i_PKCS12(NULL, &at, (long)buf_len(ret->bytes));
	assert_int_equal(PKCS12_parse(p12, "1234", &ret->key, &certificate, NULL), 1);
	assert_int_equal(X509_digest(certificate, EVP_sha1(), ret->sha1, &len), 1);
	X509_free(certificate);
	PKCS12_free(p12);
}

static void make_device(struct device *d)
{
	X509_REQ *csr = X509_REQ_new();
	BIO_PTR out = BIO_new(BIO_s_mem());
	char *pem;
	d->key = EVP_EC_gen("P-256");
	assert_int_equal(X509_REQ_set_pubkey(csr, d->key), 1);
	assert_true(X509_REQ_sign(csr, d->key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509_REQ(out, csr), 1);
	long len = BIO_get_mem_data(out, &pem);
	d->csr = buf_of(CSR_MAX_BYTES);
	buf_put(d->csr, pem, (size_t)len);
	X509_REQ_free(csr);
}

static void take_snapshot(const struct world *w)
{
	FILE *f = fopen(w->path, "r");
	uint8_t block[8192];
	snapshot = buf_of(1 << 24);
	for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;)
		buf_put(snapshot, block, n);
	fclose(f);
	assert_true(buf_ok(snapshot));
}

static void make_keyring(struct world *w)
{
	uint8_t sha256[32];
	BUF token = buf_of(64);
	struct buf *text = keyring_text = buf_of(KEYRING_MAX_BYTES);
	assert_done(token_make(token, sha256));
	strcpy(w->admin_token, buf_text(token));
	assert_done(keyring_make(view_of(sha256, sizeof sha256), text));
	assert_done(keyring_parse(buf_view(text), &w->keeper.keyring));
}

struct keyring *world_rotated(void)
{
	BUF text = buf_of(KEYRING_MAX_BYTES);
	struct keyring *keyring = NULL;
	const char *old = buf_text(keyring_text), *wrap = strstr(old, "wrap ");
	buf_put(text, old, (size_t)(wrap - old));
	assert_done(keyring_put_wrapping(text));
	buf_put_text(text, wrap);
	assert_done(keyring_parse(buf_view(text), &keyring));
	return keyring;
}

void world_folder(struct world *w, const char *name, char ret[static 64])
{
	(void)w;
	snprintf(ret, 64, "%s/%s", top, name);
	mkdir(ret, 0700);
}

static void use_folder(struct world *w, const char *folder)
{
	snprintf(w->folder, sizeof w->folder, "%s", folder);
	snprintf(w->path, sizeof w->path, "%s/pfxd.db", folder);
}

void world_make(struct world *w)
{
	char folder[64];
	assert_non_null(mkdtemp(top));
	world_folder(w, "run", folder);
	const int sockets[] = { listen_on("pfx"), listen_on("csr") };
	manager = fork();
	if (manager == 0)
		manage(sockets);
	config_init(&w->keeper.config);
	snprintf(w->keeper.config.runtime, sizeof w->keeper.config.runtime, "%s", folder);
	w->keeper.config.pfx_openers = w->keeper.config.csr_openers = 1;
	assert_done(openers_new(&w->keeper.config, &w->keeper.counters, &w->keeper.openers));
	make_keyring(w);
	read_pfx("openssl-p-256", &w->first);
	read_pfx("openssl-p-384-3des", &w->second);
	make_device(&w->device);
	make_device(&w->other);
	make_device(&w->third);
	world_folder(w, "made", folder);
	use_folder(w, folder);
	assert_done(world_open(w));
	assert_done(call_import(w, &w->first));
	assert_done(call_add_enrolment(w, w->token));
	assert_done(call_enroll(w, w->token, &w->device));
	assert_done(call_add_enrolment(w, w->token));
	world_close(w);
	take_snapshot(w);
}

static void free_device(struct device *d)
{
	EVP_PKEY_free(d->key);
	X509_free(d->certificate);
	buf_free(d->csr);
}

void world_free(struct world *w)
{
	char command[96];
	kill(manager, SIGKILL);
	waitpid(manager, NULL, 0);
	openers_free(w->keeper.openers);
	keyring_free(w->keeper.keyring);
	free_device(&w->device);
	free_device(&w->other);
	free_device(&w->third);
	EVP_PKEY_free(w->first.key);
	EVP_PKEY_free(w->second.key);
	buf_free(w->first.bytes);
	buf_free(w->second.bytes);
	buf_free(snapshot);
	buf_free(keyring_text);
	snprintf(command, sizeof command, "rm -rf %s", top);
	assert_int_equal(system(command), 0);
}

/* ---- the database ---- */

static int fill(struct connection *c, void *arg)
{
	struct world *w = arg;
	const struct actor service = { .id = view_text("service") };
	const struct row_token first = { .id = view_text("11111111-1111-4111-8111-111111111111"),
					 .name = view_text("first"), .token_sha256 = keyring_first_token(w->keeper.keyring),
					 .role = view_text("admin"), .created_at = now_seconds() };
	int rc = health_prepare(&w->keeper, c);
	if (rc == 0)
		rc = audit_begin(w->keeper.keyring, c);
	return rc < 0 ? rc : tokens_add(&w->keeper, c, &service, &first);
}

static int look_filled(struct world *w, bool *ret)
{
	READER c = NULL;
	STATEMENT s = NULL;
	int rc = db_read(w->keeper.db, &c);
	if (rc == 0)
		rc = statement_get(c, SQL_database_is_filled, &s);
	if (rc == 0)
		rc = statement_step(s);
	*ret = rc > 0;
	return rc < 0 ? rc : 0;
}

static int know_admin(struct world *w)
{
	READER c = NULL;
	int rc = db_read(w->keeper.db, &c);
	if (rc == 0)
		rc = tokens_authorize(&w->keeper, c, view_text(w->admin_token), ROLE_ADMIN, &w->admin.token);
	w->admin.actor = (struct actor){ .id = w->admin.token.id, .request_id = view_text("request") };
	return rc;
}

int world_open(struct world *w)
{
	bool filled = false, restored;
	int rc = copies_settle(w->path, &restored);
	if (rc == 0)
		rc = db_open(w->path, &w->keeper.db);
	if (rc < 0)
		return rc;
	rc = look_filled(w, &filled);
	w->was_empty = !filled;
	if (rc == 0 && !filled)
		rc = db_write(w->keeper.db, fill, w);
	if (rc == 0)
		rc = health_check_keyring(&w->keeper);
	return rc < 0 ? rc : know_admin(w);
}

void world_close(struct world *w)
{
	row_token_done(&w->admin.token);
	w->admin = (struct caller){ 0 };
	db_close(w->keeper.db);
	w->keeper.db = NULL;
}

void world_put(struct world *w, const char *folder)
{
	char path[128];
	use_folder(w, folder);
	for (const char *const *ending = (const char *const[]){ "-wal", "-shm", NULL }; *ending; ending++) {
		snprintf(path, sizeof path, "%s%s", w->path, *ending);
		unlink(path);
	}
	FILE *f = fopen(w->path, "w");
	assert_int_equal(fwrite(buf_data(snapshot), 1, buf_len(snapshot), f), buf_len(snapshot));
	assert_int_equal(fclose(f), 0);
}

static sqlite3 *open_beside(const struct world *w)
{
	sqlite3 *handle = NULL;
	assert_int_equal(sqlite3_open(w->path, &handle), SQLITE_OK);
	return handle;
}

int64_t look_up(const struct world *w, const char *sql)
{
	sqlite3 *handle = open_beside(w);
	sqlite3_stmt *s = NULL;
	assert_int_equal(sqlite3_prepare_v2(handle, sql, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	int64_t n = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	assert_int_equal(sqlite3_close(handle), SQLITE_OK);
	return n;
}

void run_sql(const struct world *w, const char *sql)
{
	sqlite3 *handle = open_beside(w);
	assert_int_equal(sqlite3_exec(handle, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(handle), SQLITE_OK);
}

void assert_sound(struct world *w)
{
	READER c = NULL;
	uint64_t records;
	char token[64];
	BUF differences = buf_of(LIST_MAX_BYTES);
	assert_int_equal(look_up(w, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
	assert_int_equal(look_up(w, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
	assert_done(db_read(w->keeper.db, &c));
	assert_done(audit_verify(&w->keeper, c, &records, differences));
	assert_int_equal(buf_len(differences), 0);
	db_read_done(c);
	c = NULL;
	assert_done(call_add_enrolment(w, token));
}

/* ---- calls ---- */

/* Asks the function with the message in `request`. */
static int ask(struct world *w, answer_function *function, int put, struct buf *request, struct buf *answer)
{
	assert_done(put);
	if (w->short_of_memory)
		memory_break(w->fail_at);
	int rc = function(&w->keeper, &w->admin, buf_view(request), answer);
	w->failed = memory_mend();
	return rc;
}

#define REQUEST_ID .request_id = view_text("request")

int call_import(struct world *w, const struct pfx *pfx)
{
	BUF request = buf_of(REQUEST_MAX);
	BUF answer = buf_of(REQUEST_MAX);
	const struct msg_import m = { REQUEST_ID, .upn = view_text(ANN), .usages = USAGE_ENCRYPTION,
				      .pfx_secret = buf_view(pfx->bytes), .password_secret = view_text("1234") };
	return ask(w, answer_import, put_import(request, &m), request, answer);
}

int call_delete(struct world *w, const struct pfx *pfx)
{
	BUF request = buf_of(REQUEST_MAX);
	BUF answer = buf_of(REQUEST_MAX);
	const struct msg_identity_ref m = { REQUEST_ID, .upn = view_text(ANN), .thumbprint = view_of(pfx->sha1, 20) };
	return ask(w, answer_delete_identity, put_identity_ref(request, &m), request, answer);
}

int call_revoke(struct world *w, const struct device *device)
{
	BUF request = buf_of(REQUEST_MAX);
	BUF answer = buf_of(REQUEST_MAX);
	const struct msg_object m = { REQUEST_ID, .id = view_text(device->id) };
	return ask(w, answer_revoke_device, put_object(request, &m), request, answer);
}

int call_add_enrolment(struct world *w, char ret_token[static 64])
{
	BUF request = buf_of(REQUEST_MAX);
	BUF answer = buf_of(REQUEST_MAX);
	struct msg_enrolment_made made;
	const struct msg_enrolment m = { REQUEST_ID, .upn = view_text(ANN), .name = view_text("phone"),
					 .expires_in = ENROLMENT_SECONDS_DEFAULT };
	int rc = ask(w, answer_add_enrolment, put_enrolment(request, &m), request, answer);
	if (rc == 0)
		rc = read_enrolment_made(buf_view(answer), &made);
	if (rc == 0)
		assert_true(text_copy(made.token_secret, ret_token, 64));
	return rc;
}

static void take_certificate(struct device *device, const struct msg_enrolled *m)
{
	BUF der = buf_of(CERTIFICATE_MAX_BYTES);
	assert_done(pem_decode("CERTIFICATE", NULL, m->certificate, der));
	const uint8_t *at = buf_data(der);
	X509_free(device->certificate);
	device->certificate = d2i_X509(NULL, &at, (long)buf_len(der));
	assert_non_null(device->certificate);
	assert_done(digest_sha256(buf_view(der), device->fingerprint));
	assert_true(text_copy(m->device_id, device->id, sizeof device->id));
}

int call_enroll(struct world *w, const char *token, struct device *device)
{
	BUF request = buf_of(REQUEST_MAX);
	BUF answer = buf_of(REQUEST_MAX);
	struct msg_enrolled enrolled;
	const struct msg_enroll m = { REQUEST_ID, .token_secret = view_text(token), .csr = buf_view(device->csr) };
	int rc = ask(w, answer_enroll, put_enroll(request, &m), request, answer);
	if (rc == 0)
		rc = read_enrolled(buf_view(answer), &enrolled);
	if (rc == 0)
		take_certificate(device, &enrolled);
	return rc;
}

/* Decrypts with the device's key, and verifies under the enrolment CA. */
static void open_bundle(struct world *w, const struct device *device, struct view bundle, struct buf *ret_json)
{
	const uint8_t *at = bundle.p;
	char *text;
	CMS outer = d2i_CMS_ContentInfo(NULL, &at, (long)bundle.len);
	BIO_PTR inner = BIO_new(BIO_s_mem());
	BIO_PTR out = BIO_new(BIO_s_mem());
	assert_int_equal(CMS_decrypt(outer, device->key, device->certificate, NULL, inner, 0), 1);
	CMS signed_data = d2i_CMS_bio(inner, NULL);
	X509_STORE *trusted = X509_STORE_new();
	X509_STORE_add_cert(trusted, keyring_ca_certificate(w->keeper.keyring, 0));
	X509_STORE_set_purpose(trusted, X509_PURPOSE_ANY);
	assert_int_equal(CMS_verify(signed_data, NULL, trusted, NULL, out, CMS_BINARY), 1);
	X509_STORE_free(trusted);
	long len = BIO_get_mem_data(out, &text);
	buf_put(ret_json, text, (size_t)len);
}

int call_pull(struct world *w, const struct device *device, const char *etag, struct buf *ret_json,
	      char ret_etag[static 64])
{
	BUF request = buf_of(REQUEST_MAX);
	BUF answer = buf_of(REQUEST_MAX);
	struct msg_bundled bundled;
	const struct msg_bundle m = { REQUEST_ID, .fingerprint = view_of(device->fingerprint, 32),
				      .if_none_match = view_text(etag) };
	int rc = ask(w, answer_bundle, put_bundle(request, &m), request, answer);
	if (rc == 0)
		rc = read_bundled(buf_view(answer), &bundled);
	if (rc < 0)
		return rc;
	assert_true(text_copy(bundled.etag, ret_etag, 64));
	if (bundled.not_modified)
		return 1;
	open_bundle(w, device, bundled.cms, ret_json);
	return 0;
}

/* The text of the first field of that name after `from`. */
static struct view json_text(const char *from, const char *name)
{
	char key[32];
	snprintf(key, sizeof key, "\"%s\":\"", name);
	const char *at = strstr(from, key);
	assert_non_null(at);
	at += strlen(key);
	return view_of(at, strcspn(at, "\""));
}

static void assert_opens(const char *json, const struct pfx *pfx)
{
	char password[128];
	EVP_PKEY *key = NULL;
	X509 *certificate = NULL;
	BUF der = buf_of(REQUEST_MAX);
	assert_done(base64_decode(json_text(json, "pkcs12"), der));
	assert_true(text_copy(json_text(json, "password"), password, sizeof password));
	const uint8_t *at = buf_data(der);
	PKCS12 *p12 = d2i_PKCS12(NULL, &at, (long)buf_len(der));
	assert_int_equal(PKCS12_parse(p12, password, &key, &certificate, NULL), 1);
	assert_int_equal(EVP_PKEY_eq(key, pfx->key), 1);
	EVP_PKEY_free(key);
	X509_free(certificate);
	PKCS12_free(p12);
}

bool device_gets(struct world *w, const struct device *device, const struct pfx *pfx)
{
	char etag[64], thumbprint[64] = "\"thumbprint\":\"", hex[41];
	BUF json = buf_of(REQUEST_MAX);
	assert_done(call_pull(w, device, NULL, json, etag));
	hex_encode(view_of(pfx->sha1, 20), hex);
	strcat(thumbprint, hex);
	const char *at = strstr(buf_text(json), thumbprint);
	if (at)
		assert_opens(at, pfx);
	return at != NULL;
}
