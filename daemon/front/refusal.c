/* Answers in place of the library's own error pages. Front.
 *
 * The library has no hook for them, but it sends them through its public MHD_queue_response(), which the dynamic linker
 * finds here first. The answer is written to the connection at once and the library told to close it, because version
 * 0.9.75 sends the headers of some of its pages twice. Where a build of the library calls itself directly, its pages
 * stay as they are.
 *
 * In the same way the library is told that there are no cookies. Where its memory for them does not suffice, 0.9.75
 * refuses the request, and then reads on in it, where the connection and its memory are gone. */
#include "refusal.h"

#include "deadline.h"
#include "fault.h"
#include "log.h"
#include "text.h"

#include <dlfcn.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

enum { REFUSAL_MAX_BYTES = 2048, UNREAD_MAX_BYTES = 256 * 1024 };

typedef enum MHD_Result queue_function(struct MHD_Connection *, unsigned, struct MHD_Response *);

enum MHD_Result queue_own_reply(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response)
{
	queue_function *next = (queue_function *)(uintptr_t)dlsym(RTLD_NEXT, "MHD_queue_response");
	return next ? next(connection, status, response) : MHD_NO;
}

static int code_of(unsigned status)
{
	return status == 413 ? -FAULT_TOO_LARGE : status == 500 ? -FAULT_INTERNAL : -FAULT_MALFORMED_REQUEST;
}

static void write_problem(unsigned status, const char *id, struct buf *ret)
{
	int code = code_of(status);
	buf_printf(ret, "{\"type\":\"urn:pfxd:problem:%s\",\"title\":\"%s\",\"status\":%u,", fault_code(code),
		   fault_title(code), status);
	buf_printf(ret, "\"detail\":\"this can not be read as a request: %s\",", MHD_get_reason_phrase_for(status));
	buf_printf(ret, "\"code\":\"%s\",\"requestId\":\"%s\"}", fault_code(code), id);
}

static void write_answer(unsigned status, const char *id, struct buf *ret)
{
	char date[40];
	time_t now = (time_t)now_seconds();
	struct tm tm;
	BUF body = buf_new(REFUSAL_MAX_BYTES);
	if (!body)
		return;
	write_problem(status, id, body);
	strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
	buf_printf(ret, "HTTP/1.1 %u %s\r\nDate: %s\r\nConnection: close\r\nX-Request-Id: %s\r\n", status,
		   MHD_get_reason_phrase_for(status), date, id);
	buf_printf(ret, "Content-Type: application/problem+json\r\nContent-Length: %zu\r\n\r\n", buf_len(body));
	buf_put(ret, buf_data(body), buf_len(body));
}

/* A connection that is closed with input unread is reset, and a client may then never see the answer. */
static void discard_input(int fd)
{
	char unread[4096];
	size_t sum = 0;
	shutdown(fd, SHUT_WR);
	for (ssize_t n; sum < UNREAD_MAX_BYTES && (n = recv(fd, unread, sizeof unread, MSG_DONTWAIT)) > 0;)
		sum += (size_t)n;
}

/* Never waits: an answer this small goes into the socket's buffer, or to nobody. */
static void send_answer(struct MHD_Connection *connection, const struct buf *answer)
{
	const union MHD_ConnectionInfo *tls = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	if (tls && tls->tls_session) {
		gnutls_record_send(tls->tls_session, buf_data(answer), buf_len(answer));
		gnutls_bye(tls->tls_session, GNUTLS_SHUT_WR);
	} else if (send(fd, buf_data(answer), buf_len(answer), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		return;
	}
	discard_input(fd);
}

/* The request, if its first line was there, ends without an answer of ours and must not be told once more. */
static void log_refusal(struct MHD_Connection *connection, unsigned status, const char *id)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct peer *peer = info ? info->socket_context : NULL;
	char number[16];
	snprintf(number, sizeof number, "%u", status);
	const struct log_field fields[] = {
		{ "status", view_text(number), LOG_PLAIN },
		{ "code", view_text(fault_code(code_of(status))), LOG_PLAIN },
		{ "detail", view_text("this can not be read as a request"), LOG_PLAIN },
		{ "request_id", view_text(id), LOG_PLAIN },
		{ 0 },
	};
	log_event(EVENT_REQUEST_FAILED, fields);
	if (peer)
		peer->refused = true;
}

/* Only the library calls this one. MHD_NO makes it close the connection. */
enum MHD_Result MHD_queue_response(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response)
{
	char id[UUID_TEXT + 1];
	uuid_make(id);
	BUF answer = buf_new(REFUSAL_MAX_BYTES);
	(void)response;
	if (answer)
		write_answer(status, id, answer);
	log_refusal(connection, status, id);
	if (answer && buf_ok(answer))
		send_answer(connection, answer);
	return MHD_NO;
}

typedef enum MHD_Result lookup_function(struct MHD_Connection *, enum MHD_ValueKind, const char *, size_t, const char **,
					size_t *);

static lookup_function *next_lookup;

static void find_lookup(void)
{
	next_lookup = (lookup_function *)(uintptr_t)dlsym(RTLD_NEXT, "MHD_lookup_connection_value_n");
}

/* The library calls this one too, for all that it asks of the headers itself. */
enum MHD_Result MHD_lookup_connection_value_n(struct MHD_Connection *connection, enum MHD_ValueKind kind,
					      const char *key, size_t key_size, const char **value_ptr,
					      size_t *value_size_ptr)
{
	static pthread_once_t found = PTHREAD_ONCE_INIT;
	pthread_once(&found, find_lookup);
	if (!next_lookup || (key && strcasecmp(key, MHD_HTTP_HEADER_COOKIE) == 0))
		return MHD_NO;
	return next_lookup(connection, kind, key, key_size, value_ptr, value_size_ptr);
}
