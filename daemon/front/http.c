/* HTTP with libmicrohttpd. Front. Its threads collect requests and send replies; what may take long is a worker's, and
 * the connection is suspended meanwhile. One function, send_reply(), makes every answer. */
#include "http.h"

#include "fault.h"
#include "log.h"
#include "refusal.h"
#include "request.h"
#include "request_log.h"
#include "tls.h"
#include "wipe.h"

#include <microhttpd.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	HTTP_STACK_BYTES = 512 * 1024,
	/* Of a connection's memory, for the library itself and its answer. With the default of max_header_bytes it is 32 KiB
	 * in all: above that the library maps and unmaps it for each connection, a quarter of what a front spent on one. */
	POOL_RESERVE_BYTES = 8 * 1024,
	LIBRARY_CONNECTIONS_MAX = 65536, /* for each thread: above what a reload may set; on_accept() counts */
};

/* ---- replies ---- */

static void free_body(void *body)
{
	buf_free(body);
}

/* The response takes the body over, and frees it once it is sent. */
static struct MHD_Response *make_response(struct reply *reply)
{
	if (!reply->type)
		return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	void *content = (void *)(uintptr_t)reply->content.p;
	struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback_cls(
		reply->content.len, content, free_body, reply->body);
	if (response)
		reply->body = NULL;
	return response;
}

static void add_view(struct MHD_Response *response, const char *name, struct view value)
{
	char text[ETAG_MAX_BYTES + 1];
	if (value.len > 0 && text_copy(value, text, sizeof text))
		MHD_add_response_header(response, name, text);
}

static void add_headers(const struct request *r, struct MHD_Response *response)
{
	const struct reply *reply = &r->reply;
	char seconds[16];
	MHD_add_response_header(response, "X-Request-Id", r->id);
	if (r->http->role != ROLE_HEALTH)
		MHD_add_response_header(response, "Cache-Control", "no-store");
	add_view(response, "Content-Type", view_text(reply->type));
	add_view(response, "ETag", reply->etag);
	add_view(response, "Allow", view_text(reply->allow));
	if (reply->status == 401 && r->http->role == ROLE_ADMIN)
		MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
	snprintf(seconds, sizeof seconds, "%u", reply->retry_after);
	if (reply->retry_after)
		MHD_add_response_header(response, "Retry-After", seconds);
	if (r->ends_connection || atomic_load(&r->http->draining))
		MHD_add_response_header(response, "Connection", "close");
}

static enum MHD_Result send_reply(struct request *r)
{
	struct MHD_Response *response = make_response(&r->reply);
	if (!response)
		return MHD_NO;
	add_headers(r, response);
	enum MHD_Result result = queue_own_reply(r->connection, (unsigned)r->reply.status, response);
	MHD_destroy_response(response);
	metrics_count(r->http->metrics, r->route, r->reply.status);
	request_log(r);
	return result;
}

/* ---- requests ---- */

static const char *header(const struct request *r, const char *name)
{
	return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

/* The token of "Bearer TOKEN" (RFC 6750 section 2.1), or NULL. */
static struct buf *bearer_token(const char *authorization)
{
	static const char scheme[] = "Bearer ";
	if (!authorization || strncasecmp(authorization, scheme, strlen(scheme)) != 0)
		return NULL;
	const char *token_secret = authorization + strlen(scheme);
	token_secret += strspn(token_secret, " ");
	size_t len = strspn(token_secret, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=");
	if (len == 0 || len > TOKEN_MAX_BYTES || token_secret[len + strspn(token_secret + len, " ")])
		return NULL;
	struct buf *ret = buf_new(TOKEN_MAX_BYTES);
	if (ret)
		buf_put(ret, token_secret, len);
	return ret;
}

static bool is_json_type(const char *type)
{
	static const char json[] = "application/json";
	return type && strncasecmp(type, json, strlen(json)) == 0 && strchr("; \t", type[strlen(json)]);
}

static size_t body_max(const struct request *r)
{
	size_t max = r->http->config->max_body_bytes;
	return r->route && r->route->body_max && r->route->body_max < max ? r->route->body_max : max;
}

static void read_credentials(struct request *r)
{
	if (r->http->role == ROLE_ADMIN)
		r->token_secret = bearer_token(header(r, "Authorization"));
	if (r->http->role != ROLE_DEVICE)
		return;
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	r->has_fingerprint = info && tls_fingerprint(info->tls_session, r->fingerprint);
}

static bool has_credentials(const struct request *r)
{
	return r->has_fingerprint || r->token_secret || (r->route && r->route->flags & (ROUTE_OPEN | ROUTE_INLINE));
}

/* Called for each header: joins If-None-Match lines with commas (RFC 9110 section 5.3). */
static enum MHD_Result join_if_none_match(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	(void)kind;
	if (value && strcasecmp(name, "If-None-Match") == 0)
		buf_printf(cls, "%s%s", buf_len(cls) > 0 ? ", " : "", value);
	return MHD_YES;
}

/* One that is too long or not text matches nothing, which is an answer in full. */
static void read_if_none_match(struct request *r)
{
	BUF joined = buf_new(ETAG_MAX_BYTES);
	if (!joined || r->http->role != ROLE_DEVICE)
		return;
	MHD_get_connection_values(r->connection, MHD_HEADER_KIND, join_if_none_match, joined);
	if (buf_ok(joined) && text_is_clean(buf_view(joined)))
		text_copy(buf_view(joined), r->if_none_match, sizeof r->if_none_match);
}

static void read_headers(struct request *r, const char *method)
{
	r->state = REQUEST_COLLECTING;
	r->method = method;
	r->route = route_find(r->http->role, method, &r->uri);
	read_credentials(r);
	read_if_none_match(r);
	if (!number_parse(view_text(header(r, "Content-Length")), UINT64_MAX, &r->body.declared))
		r->body.declared = 0;
	r->body.is_json = is_json_type(header(r, "Content-Type"));
	r->body.too_large = r->body.declared > body_max(r);
	bool takes_body = r->route && r->route->body_max > 0;
	r->body.keep = takes_body && r->body.is_json && !r->body.too_large && has_credentials(r);
}

/* Called for each header. */
static enum MHD_Result count_lengths(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	unsigned *count = cls;
	(void)kind;
	(void)value;
	*count += strcasecmp(name, "Content-Length") == 0 || strcasecmp(name, "Transfer-Encoding") == 0;
	return MHD_YES;
}

/* What must be said about the request as HTTP. Two lengths are how requests are smuggled (RFC 9112 6.1). */
static int check_framing(const struct request *r)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	if (info && info->header_size > r->http->config->max_header_bytes)
		return fail(FAULT_HEADERS_TOO_LARGE, "the request line and headers have more than %u bytes",
			    r->http->config->max_header_bytes);
	unsigned lengths = 0;
	MHD_get_connection_values(r->connection, MHD_HEADER_KIND, count_lengths, &lengths);
	if (lengths > 1)
		return fail(FAULT_MALFORMED_REQUEST, "a request has one Content-Length or one Transfer-Encoding");
	return 0;
}

/* What can be told without the keeper: whether there is such a call, and whether credentials were shown at all. */
static int admit(struct request *r, uint32_t *ret_wait)
{
	enum role role = r->http->role;
	*ret_wait = 0;
	int rc = check_framing(r);
	r->ends_connection = rc < 0;
	if (rc < 0)
		return rc;
	if (!r->route)
		return route_refuse(role, &r->uri, r->reply.allow);
	if (r->route->flags & ROUTE_INLINE)
		return uri_check_query(&r->uri, r->route->query);
	if (role == ROLE_ADMIN || r->route->flags & ROUTE_OPEN)
		*ret_wait = limit_wait(r->http->failures, r->peer->address, r->http->config->failures_per_minute);
	if (*ret_wait)
		return fail(FAULT_RATE_LIMITED, "too many tokens from this address were refused; wait %u seconds",
			    *ret_wait);
	if (has_credentials(r))
		return 0;
	if (role == ROLE_ADMIN)
		return fail(FAULT_UNAUTHORIZED, "this call needs the header Authorization: Bearer TOKEN");
	return fail(FAULT_UNAUTHORIZED, "this call needs the client certificate that the device got when it enrolled");
}

static enum MHD_Result dispatch(struct request *r)
{
	uint32_t wait;
	int rc = admit(r, &wait);
	if (rc == 0 && r->route->flags & ROUTE_INLINE) {
		rc = r->route->handle(r, NULL);
	} else if (rc == 0) {
		struct work *work = r->route->flags & ROUTE_IMPORTS ? r->http->imports : r->http->work;
		if (work_submit(work, r))
			return MHD_YES;
		rc = fail(FAULT_UNAVAILABLE, "too many requests are waiting");
	}
	if (rc < 0)
		reply_problem(r, rc, wait);
	return send_reply(r);
}

/* True when the answer must not wait for the body: it is too long even to throw away, or the client asks before it
 * sends it. */
static bool answer_early(const struct request *r)
{
	const char *expect = header(r, "Expect");
	bool asks = expect && strcasecmp(expect, "100-continue") == 0;
	return r->body.declared > DISCARD_MAX_BYTES || (asks && !r->body.keep);
}

/* Called by the library with the headers, with each piece of the body, at its end, and when a worker is done. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
				  const char *version, const char *data, size_t *size, void **context)
{
	struct request *r = *context;
	(void)cls;
	(void)connection;
	(void)url;
	(void)version;
	if (!r)
		return MHD_NO;
	if (r->state == REQUEST_ANSWERED)
		return send_reply(r);
	if (r->state == REQUEST_NEW) {
		read_headers(r, method);
		return answer_early(r) ? dispatch(r) : MHD_YES;
	}
	if (*size == 0)
		return dispatch(r);
	body_add(&r->body, data, *size, body_max(r));
	*size = 0;
	return r->body.received > DISCARD_MAX_BYTES ? MHD_NO : MHD_YES;
}

/* ---- the life of connections and requests ---- */

/* From pulse.c, and nobody's: it is not in the table, and ends before it could say a word. */
static bool is_probe(const struct sockaddr *address)
{
	return address->sa_family == AF_UNIX;
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode event)
{
	struct http *h = cls;
	struct peer *peer = *context;
	if (event == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (peer)
			deadline_remove(h->deadlines, peer);
		wipe_traces(); /* of a request that never was whole */
		return;
	}
	int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	const struct sockaddr *address =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
	if (is_probe(address))
		return;
	*context = deadline_add(h->deadlines, fd, address_of(address), h->config->header_seconds);
	if (!*context)
		shutdown(fd, SHUT_RDWR);
	if (h->role == ROLE_HEALTH)
		return;
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	tls_greet(info->tls_session, h->role == ROLE_DEVICE);
}

/* The first line of a request is there. What this returns is on_request()'s context. */
static void *on_target(void *cls, const char *target, struct MHD_Connection *connection)
{
	struct http *h = cls;
	struct peer *peer = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
	struct request *r = peer ? request_new(h, connection, target) : NULL;
	if (!r)
		return NULL;
	r->peer = peer;
	deadline_set(h->deadlines, peer, PHASE_REQUEST, h->config->request_seconds);
	atomic_fetch_add(&h->in_flight, 1);
	return r;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
			 enum MHD_RequestTerminationCode why)
{
	struct http *h = cls;
	struct request *r = *context;
	(void)connection;
	(void)why;
	if (!r)
		return;
	if (!r->told && !r->peer->refused)
		request_log(r);
	deadline_set(h->deadlines, r->peer, PHASE_IDLE, h->config->idle_seconds);
	request_free(r);
	*context = NULL;
	wipe_traces(); /* of what TLS and HTTP read and wrote */
	atomic_fetch_sub(&h->in_flight, 1);
}

/* Health is asked by one or two, and answered at once: whoever holds its connections, silent or trickling, makes room
 * for who asks. What was shut down is counted until the library closes it. */
static bool health_has_room(const struct http *h)
{
	unsigned count = deadline_count(h->deadlines);
	return count < HEALTH_CONNECTIONS_MAX ||
	       (count < 2 * HEALTH_CONNECTIONS_MAX && deadline_end_longest(h->deadlines));
}

/* Closes what is one too many at once. The library itself would leave it waiting, unaccepted; and it counts for each
 * thread, and by limits that can not change. */
static enum MHD_Result on_accept(void *cls, const struct sockaddr *address, socklen_t len)
{
	const struct http *h = cls;
	(void)len;
	if (is_probe(address))
		return MHD_YES;
	bool fits = h->role == ROLE_HEALTH ? health_has_room(h) :
		    deadline_count(h->deadlines) < h->config->max_connections &&
		    deadline_count_from(h->deadlines, address_of(address)) < h->config->max_connections_per_address;
	return fits ? MHD_YES : MHD_NO;
}

/* Paths and queries stay as they came; see uri.h. */
static size_t leave_escaped(void *cls, struct MHD_Connection *connection, char *text)
{
	(void)cls;
	(void)connection;
	return strlen(text);
}

__attribute__((format(printf, 2, 0)))
static void on_library_log(void *cls, const char *format, va_list args)
{
	char line[256];
	(void)cls;
	vsnprintf(line, sizeof line, format, args);
	log_line(LOG_LEVEL_DEBUG, "HTTP library: %s", line);
}

/* ---- the listener ---- */

static struct MHD_Daemon *start_daemon(struct http *h, unsigned flags, struct MHD_OptionItem *extra)
{
	return MHD_start_daemon(flags, 0, on_accept, h, on_request, h,
				MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL,
				MHD_OPTION_LISTEN_SOCKET, h->socket,
				MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
				MHD_OPTION_URI_LOG_CALLBACK, on_target, h,
				MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
				MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL,
				MHD_OPTION_CONNECTION_LIMIT, LIBRARY_CONNECTIONS_MAX * h->threads,
				MHD_OPTION_CONNECTION_MEMORY_LIMIT,
				(size_t)h->config->max_header_bytes + POOL_RESERVE_BYTES,
				MHD_OPTION_STRICT_FOR_CLIENT, 1,
				MHD_OPTION_CONNECTION_TIMEOUT, 0u,
				MHD_OPTION_THREAD_STACK_SIZE, (size_t)HTTP_STACK_BYTES,
				MHD_OPTION_ARRAY, extra,
				MHD_OPTION_END);
}

static struct MHD_Daemon *start(struct http *h)
{
	struct MHD_OptionItem extra[4] = { { MHD_OPTION_END, 0, NULL } };
	/* Not epoll: with it libmicrohttpd 0.9.75 turns in circles, at full speed, for as long as a TLS handshake waits
	 * for the client (MHD_run_tls_handshake_() leaves the connection marked as readable). */
	unsigned flags = MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
	size_t n = 0;
	if (h->threads > 1)
		extra[n++] = (struct MHD_OptionItem){ MHD_OPTION_THREAD_POOL_SIZE, h->threads, NULL };
	if (h->role != ROLE_HEALTH) {
		flags |= MHD_USE_TLS;
		extra[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)(uintptr_t)tls_pick };
		extra[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_PRIORITIES, 0,
						      (void *)(uintptr_t)TLS_PRIORITIES };
	}
	extra[n] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
	return start_daemon(h, flags, extra);
}

int http_start(struct http *h)
{
	h->deadlines = deadline_table_new();
	h->failures = limit_new();
	h->pulse = pulse_new(h->threads);
	if (!h->deadlines || !h->failures || !h->pulse)
		return fail(FAULT_INTERNAL, "no memory for a listener");
	h->daemon = start(h);
	return h->daemon ? 0 : fail(FAULT_UNAVAILABLE, "the HTTP library does not start");
}

unsigned http_connections(const struct http *h)
{
	return deadline_count(h->deadlines);
}

void http_pulse(struct http *h)
{
	pulse_begin(h->pulse, h->daemon, false);
}

bool http_has_turned(struct http *h)
{
	return pulse_has_turned(h->pulse);
}

void http_quiesce(struct http *h)
{
	atomic_store(&h->draining, true);
	h->socket = MHD_quiesce_daemon(h->daemon);
	pulse_begin(h->pulse, h->daemon, true);
}

/* A thread may have been about to take a connection when the listener was quiesced. Once it has turned that one is in
 * the table, and no other will come: who connects from then on is refused, or waits for the next front where systemd
 * holds the socket too. */
static bool is_closed(struct http *h)
{
	if (h->socket >= 0 && pulse_has_turned(h->pulse)) {
		close(h->socket);
		h->socket = -1;
	}
	return h->socket < 0;
}

bool http_is_drained(struct http *h, bool greeting_over)
{
	bool closed = is_closed(h);
	deadline_end_idle(h->deadlines, greeting_over);
	deadline_sweep(h->deadlines);
	return closed && deadline_count(h->deadlines) == 0;
}

void http_stop(struct http *h)
{
	MHD_stop_daemon(h->daemon);
	deadline_table_free(h->deadlines);
	limit_free(h->failures);
	pulse_free(h->pulse);
}

void http_count_refused(const struct request *r)
{
	limit_count(r->http->failures, r->peer->address);
}
