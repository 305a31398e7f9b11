/* What the bench compares 304 answers with: libmicrohttpd behind the front's own TLS, with a handler that reads the
 * fingerprint of the client's certificate and answers 304. Flags and threads are those of daemon/front/http.c. Ends
 * when its standard input does.
 *
 * With "asking" the handler asks another process over a socket, and waits for an answer in which nothing was done:
 * what is left for any service whose front can not answer by itself. Nobody is suspended meanwhile, which would cost
 * more. With a database beside it, that process looks there for the device, its owner and what he has, in one read
 * transaction, and has an HMAC of each row: what is left where nothing that it says is remembered. */
#include "encode.h"
#include "fault.h"
#include "front/tls.h"

#include <microhttpd.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { THREADS_MAX = 64, QUESTION_BYTES = 64, ANSWER_BYTES = 64 }; /* about what BUNDLE has, unchanged */
enum { KEY_MAX = 80, STEPS = 6 };
enum { STACK_BYTES = 512 * 1024, CONNECTIONS_MAX = 4096, POOL_BYTES = 40 * 1024, HANDSHAKE_SECONDS = 15 };

/* ---- the other process ---- */

/* Each row is found by a column of the one before it. */
static const struct {
	const char *sql;
	int next; /* the column that finds the next; -1: none */
} steps[STEPS] = {
	{ "BEGIN", -1 },
	{ "SELECT device_id, fingerprint, der, issued_at, not_after, replaces, csr_sha256, mac FROM device_certificates "
	  "WHERE fingerprint = ?1", 0 },
	{ "SELECT user_id, id, name, platform, state, enrolled_at, mac, last_pull_at FROM devices WHERE id = ?1", 0 },
	{ "SELECT id, upn, state, created_at, mac FROM users WHERE id = ?1", 0 },
	{ "SELECT user_id, id, sha1, sha256, subject, issuer, serial, not_before, not_after, usages, key_algorithm, "
	  "emails, chain, imported_at, imported_by, mac FROM identities WHERE user_id = ?1", 0 },
	{ "COMMIT", -1 },
};

struct reader {
	sqlite3 *db;
	sqlite3_stmt *statements[STEPS];
	EVP_MAC_CTX *mac;
};

static void must(bool done, const char *what)
{
	if (done)
		return;
	fprintf(stderr, "empty: can not %s\n", what);
	_exit(1);
}

static void open_reader(struct reader *r, const char *path)
{
	const uint8_t key[32] = { 0 };
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
				      OSSL_PARAM_construct_end() };
	must(sqlite3_open_v2(path, &r->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK,
	     "open the database");
	for (int i = 0; i < STEPS; i++)
		must(sqlite3_prepare_v2(r->db, steps[i].sql, -1, &r->statements[i], NULL) == SQLITE_OK,
		     "read the database");
	r->mac = EVP_MAC_CTX_new(EVP_MAC_fetch(NULL, "HMAC", NULL));
	must(r->mac && EVP_MAC_init(r->mac, key, sizeof key, params) == 1, "make an HMAC");
}

/* Takes all rows of one step, and writes what finds those of the next into key. */
static unsigned take_rows(struct reader *r, int step, char key[static KEY_MAX])
{
	uint8_t mac[32];
	size_t len;
	unsigned rows = 0;
	sqlite3_stmt *s = r->statements[step];
	sqlite3_bind_text(s, 1, key, -1, SQLITE_TRANSIENT);
	for (; sqlite3_step(s) == SQLITE_ROW; rows++) {
		must(EVP_MAC_init(r->mac, NULL, 0, NULL) == 1, "make an HMAC");
		for (int i = 0; i < sqlite3_column_count(s); i++)
			EVP_MAC_update(r->mac, sqlite3_column_blob(s, i), (size_t)sqlite3_column_bytes(s, i));
		must(EVP_MAC_final(r->mac, mac, &len, sizeof mac) == 1, "make an HMAC");
		snprintf(key, KEY_MAX, "%s", (const char *)sqlite3_column_text(s, steps[step].next));
	}
	sqlite3_reset(s);
	return rows;
}

static void look_up(struct reader *r, const char question[static QUESTION_BYTES])
{
	char key[KEY_MAX];
	unsigned rows = 0;
	hex_encode(view_of(question, FINGERPRINT_BYTES), key);
	for (int step = 0; step < STEPS; step++) {
		if (steps[step].next >= 0) {
			rows += take_rows(r, step, key);
			continue;
		}
		sqlite3_step(r->statements[step]);
		sqlite3_reset(r->statements[step]);
	}
	must(rows > 3, "find the device and what its owner has");
}

static int askers[THREADS_MAX]; /* one for each thread that does HTTP; 0: nobody is asked */
static const char *database;    /* NULL: nothing is read */

static void *answer(void *arg)
{
	int fd = *(int *)arg;
	struct reader reader = { .db = NULL };
	char question[QUESTION_BYTES];
	const char said[ANSWER_BYTES] = { 0 };
	if (database)
		open_reader(&reader, database);
	while (recv(fd, question, sizeof question, MSG_WAITALL) == sizeof question) {
		if (database)
			look_up(&reader, question);
		if (send(fd, said, sizeof said, MSG_NOSIGNAL) != sizeof said)
			break;
	}
	return NULL;
}

/* Before there are threads. The child ends with its parent's sockets. */
static bool start_answering(int threads)
{
	static int answerers[THREADS_MAX];
	for (int i = 0; i < threads; i++) {
		int pair[2];
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
			return false;
		askers[i] = pair[0];
		answerers[i] = pair[1];
	}
	pid_t child = fork();
	for (int i = 0; i < threads; i++)
		close(child == 0 ? askers[i] : answerers[i]);
	if (child != 0)
		return child > 0;
	pthread_t all[THREADS_MAX];
	for (int i = 0; i < threads; i++)
		if (pthread_create(&all[i], NULL, answer, &answerers[i]) != 0)
			_exit(1);
	for (int i = 0; i < threads; i++)
		pthread_join(all[i], NULL);
	_exit(0);
}

static bool ask(const uint8_t fingerprint[static FINGERPRINT_BYTES])
{
	static atomic_int taken;
	static _Thread_local int fd = -1;
	char question[QUESTION_BYTES] = { 0 };
	char said[ANSWER_BYTES];
	memcpy(question, fingerprint, FINGERPRINT_BYTES);
	if (fd < 0)
		fd = askers[atomic_fetch_add(&taken, 1) % THREADS_MAX];
	return fd == 0 || (send(fd, question, sizeof question, MSG_NOSIGNAL) == sizeof question &&
			   recv(fd, said, sizeof said, MSG_WAITALL) == sizeof said);
}

/* ---- HTTP ---- */

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
				  const char *version, const char *data, size_t *size, void **context)
{
	static int begun;
	uint8_t fingerprint[FINGERPRINT_BYTES];
	(void)cls, (void)url, (void)method, (void)version, (void)data;
	if (!*context) {
		*context = &begun;
		return MHD_YES;
	}
	*size = 0;
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	bool shown = info && tls_fingerprint(info->tls_session, fingerprint) && ask(fingerprint);
	struct MHD_Response *response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	enum MHD_Result result = MHD_queue_response(connection, shown ? 304 : 401, response);
	MHD_destroy_response(response);
	return result;
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode event)
{
	(void)cls, (void)context;
	if (event == MHD_CONNECTION_NOTIFY_STARTED)
		tls_greet(MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session, true);
}

int main(int argc, char **argv)
{
	int threads = argc < 5 ? 0 : atoi(argv[4]);
	bool asking = argc > 5 && strcmp(argv[5], "asking") == 0;
	if (threads < 1 || threads > THREADS_MAX || argc > 7 || (argc > 5 && !asking)) {
		fputs("usage: empty PORT CERTIFICATE KEY THREADS [asking [DATABASE]]\n", stderr);
		return 2;
	}
	database = argc == 7 ? argv[6] : NULL;
	if (asking && !start_answering(threads)) {
		fputs("empty: no process to ask\n", stderr);
		return 1;
	}
	if (tls_start(argv[2], argv[3], HANDSHAKE_SECONDS) < 0) {
		fprintf(stderr, "empty: %s\n", fault_detail());
		return 1;
	}
	struct MHD_Daemon *daemon = MHD_start_daemon(
		MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | MHD_USE_TLS,
		(uint16_t)atoi(argv[1]), NULL, NULL, on_request, NULL,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, NULL,
		MHD_OPTION_THREAD_POOL_SIZE, (unsigned)threads,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES,
		MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES,
		MHD_OPTION_HTTPS_CERT_CALLBACK, tls_pick,
		MHD_OPTION_HTTPS_PRIORITIES, TLS_PRIORITIES,
		MHD_OPTION_END);
	if (!daemon) {
		fputs("empty: libmicrohttpd does not start\n", stderr);
		return 1;
	}
	puts("ready");
	fflush(stdout);
	char byte;
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	MHD_stop_daemon(daemon);
	tls_end();
	return 0;
}
