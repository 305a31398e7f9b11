/* What the bench compares 304 answers with: libmicrohttpd behind the front's own TLS, with a handler that reads the
 * fingerprint of the client's certificate and answers 304. Flags and threads are those of daemon/front/http.c. Ends
 * when its standard input does. */
#include "fault.h"
#include "front/tls.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STACK_BYTES = 512 * 1024, CONNECTIONS_MAX = 4096, POOL_BYTES = 40 * 1024, HANDSHAKE_SECONDS = 15 };

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
	bool shown = info && tls_fingerprint(info->tls_session, fingerprint);
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
	if (argc != 5) {
		fputs("usage: empty PORT CERTIFICATE KEY THREADS\n", stderr);
		return 2;
	}
	if (tls_start(argv[2], argv[3], HANDSHAKE_SECONDS) < 0) {
		fprintf(stderr, "empty: %s\n", fault_detail());
		return 1;
	}
	struct MHD_Daemon *daemon = MHD_start_daemon(
		MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | MHD_USE_TLS,
		(uint16_t)atoi(argv[1]), NULL, NULL, on_request, NULL,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, NULL,
		MHD_OPTION_THREAD_POOL_SIZE, (unsigned)atoi(argv[4]),
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
