/* What the bench compares 304 answers with: libmicrohttpd behind the front's own TLS, with a handler that reads the
 * fingerprint of the client's certificate and answers 304. Flags and threads are those of daemon/front/http.c. Ends
 * when its standard input does.
 *
 * With "asking" the handler asks another process over a socket, and waits for an answer in which nothing was done:
 * what is left for any service whose front can not answer by itself. Nobody is suspended meanwhile, which would cost
 * more. */
#include "fault.h"
#include "front/tls.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { THREADS_MAX = 64, QUESTION_BYTES = 64, ANSWER_BYTES = 64 }; /* about what BUNDLE has, unchanged */
enum { STACK_BYTES = 512 * 1024, CONNECTIONS_MAX = 4096, POOL_BYTES = 40 * 1024, HANDSHAKE_SECONDS = 15 };

/* ---- the other process ---- */

static int askers[THREADS_MAX]; /* one for each thread that does HTTP; 0: nobody is asked */

static void *answer(void *arg)
{
	int fd = *(int *)arg;
	char question[QUESTION_BYTES];
	const char said[ANSWER_BYTES] = { 0 };
	while (recv(fd, question, sizeof question, MSG_WAITALL) == sizeof question &&
	       send(fd, said, sizeof said, MSG_NOSIGNAL) == sizeof said)
		;
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

static bool ask(void)
{
	static atomic_int taken;
	static _Thread_local int fd = -1;
	const char question[QUESTION_BYTES] = { 0 };
	char said[ANSWER_BYTES];
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
	bool shown = info && tls_fingerprint(info->tls_session, fingerprint) && ask();
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
	bool asking = argc == 6 && strcmp(argv[5], "asking") == 0;
	if (threads < 1 || threads > THREADS_MAX || argc - asking != 5) {
		fputs("usage: empty PORT CERTIFICATE KEY THREADS [asking]\n", stderr);
		return 2;
	}
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
