/* What a front reads: a request of the internet, and the keeper's answers to what the front makes of it. The input is
 *
 *   ROLE METHOD TARGET        device, admin or health; the rest as in HTTP
 *   Name: value               headers; one more, Certificate, stands for a client certificate in TLS
 *                             an empty line, then the body, then for each answer of the keeper
 *   %%                        FUZZ_FRAME_MARK, one byte of verb, and the fields as they stand in a frame
 *
 * The sources are included because what is looked at is what they keep to themselves; the HTTP library is not there. */
#include "fuzz.h"

#define run health_run
#include "../../daemon/front/health.c"
#undef run
#include "../../daemon/front/http.c"
#include "../../daemon/front/work.c"

#include "front/facts.h"
#include "front/tls.h"

/* ---- the world around a request ---- */

struct world {
	struct view headers, answers;
	bool has_certificate;
	unsigned frames_sent;
	bool was_queued;
	struct request *request;
};
static struct world world;

enum { HEADERS_MAX = 16 };
static struct {
	char name[64], value[1200];
} headers[HEADERS_MAX];
static size_t header_count;

static void read_header_lines(struct view lines)
{
	header_count = 0;
	while (lines.len > 0 && header_count < HEADERS_MAX) {
		struct view line = fuzz_take_until(&lines, "\n"), rest = line;
		struct view name = fuzz_take_until(&rest, ": ");
		if (text_copy(name, headers[header_count].name, sizeof headers[0].name) &&
		    text_copy(rest, headers[header_count].value, sizeof headers[0].value))
			header_count++;
	}
}

const char *__wrap_MHD_lookup_connection_value(struct MHD_Connection *c, enum MHD_ValueKind kind, const char *name);
int __wrap_MHD_get_connection_values(struct MHD_Connection *c, enum MHD_ValueKind kind, MHD_KeyValueIterator each,
				     void *cls);
const union MHD_ConnectionInfo *__wrap_MHD_get_connection_info(struct MHD_Connection *c,
							       enum MHD_ConnectionInfoType type, ...);
void __wrap_MHD_suspend_connection(struct MHD_Connection *c);
enum MHD_Result __wrap_queue_own_reply(struct MHD_Connection *c, unsigned status, struct MHD_Response *response);
bool __wrap_tls_fingerprint(gnutls_session_t session, uint8_t ret[static FINGERPRINT_BYTES]);
int64_t __wrap_tls_expires(void);
int __wrap_frame_send(int fd, struct buf *b, int64_t deadline_ms);
int __wrap_frame_receive(int fd, struct buf *b, size_t max, int64_t deadline_ms, uint8_t *ret_verb,
			 struct view *ret_fields);

const char *__wrap_MHD_lookup_connection_value(struct MHD_Connection *c, enum MHD_ValueKind kind, const char *name)
{
	(void)c;
	(void)kind;
	for (size_t i = 0; i < header_count; i++)
		if (strcasecmp(headers[i].name, name) == 0)
			return headers[i].value;
	return NULL;
}

int __wrap_MHD_get_connection_values(struct MHD_Connection *c, enum MHD_ValueKind kind, MHD_KeyValueIterator each,
				     void *cls)
{
	(void)c;
	for (size_t i = 0; i < header_count; i++)
		each(cls, kind, headers[i].name, headers[i].value);
	return (int)header_count;
}

const union MHD_ConnectionInfo *__wrap_MHD_get_connection_info(struct MHD_Connection *c,
							       enum MHD_ConnectionInfoType type, ...)
{
	static union MHD_ConnectionInfo info;
	static struct peer peer;
	(void)c;
	memset(&info, 0, sizeof info);
	if (type == MHD_CONNECTION_INFO_SOCKET_CONTEXT)
		info.socket_context = &peer;
	if (type == MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)
		info.header_size = world.headers.len;
	return &info;
}

void __wrap_MHD_suspend_connection(struct MHD_Connection *c)
{
	(void)c;
	world.was_queued = true;
}

bool __wrap_tls_fingerprint(gnutls_session_t session, uint8_t ret[static FINGERPRINT_BYTES])
{
	(void)session;
	memset(ret, 0x5a, FINGERPRINT_BYTES);
	return world.has_certificate;
}

int64_t __wrap_tls_expires(void)
{
	return FUZZ_NOW;
}

/* ---- frames ---- */

/* A message that the front wrote is one that the keeper can read, and has nothing that got lost. */
#define C(name, verb, message, answer) \
	static void check_##name(struct view fields) \
	{ \
		struct msg_##message m; \
		BUF again = fuzz_buf(FRAME_MAX_BYTES); \
		MUST(read_##message(fields, &m) == 0); \
		MUST(put_##message(again, &m) == 0 && view_equal(buf_view(again), fields)); \
	}
KEEPER_CALLS(C)
#undef C

int __wrap_frame_send(int fd, struct buf *b, int64_t deadline_ms)
{
	(void)fd;
	(void)deadline_ms;
	uint8_t verb;
	struct view fields = fuzz_sent(b, &verb);
	world.frames_sent++;
	switch (verb) {
#define C(name, verb, message, answer) case VERB_##verb: check_##name(fields); break;
	KEEPER_CALLS(C)
#undef C
	default: abort(); /* no verb that the keeper knows */
	}
	return 0;
}

int __wrap_frame_receive(int fd, struct buf *b, size_t max, int64_t deadline_ms, uint8_t *ret_verb,
			 struct view *ret_fields)
{
	(void)fd;
	(void)max;
	(void)deadline_ms;
	bool there = fuzz_receive(&world.answers, b, ret_verb, ret_fields);
	return there ? 0 : fail(FAULT_TIMED_OUT, "there is no answer left");
}

/* ---- what must hold of every answer ---- */

static void check_json(const struct reply *reply)
{
	json_error_t error;
	json_t *json = json_loadb((const char *)reply->content.p, reply->content.len,
				  JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	MUST(json_is_object(json));
	if (strcmp(reply->type, "application/problem+json") == 0) {
		MUST(json_integer_value(json_object_get(json, "status")) == reply->status);
		MUST(json_string_length(json_object_get(json, "detail")) > 0);
		MUST(strcmp(json_string_value(json_object_get(json, "code")), fault_code(reply->fault)) == 0);
	}
	json_decref(json);
}

static void check_reply(const struct request *r)
{
	const struct reply *reply = &r->reply;
	MUST(reply->status >= 200 && reply->status <= 503);
	MUST((reply->status >= 400) == (reply->fault < 0) || r->http->role == ROLE_HEALTH); /* not ready: 503 */
	if (reply->type && strstr(reply->type, "json"))
		check_json(reply);
	/* Who shows nothing is not heard. */
	bool open = r->http->role == ROLE_HEALTH || (r->route && r->route->flags & ROUTE_OPEN);
	MUST(world.frames_sent == 0 || open || r->has_fingerprint || r->token_secret);
	/* What a worker has answered holds nothing of its body any more. */
	MUST(!world.was_queued || (!r->body.raw && !r->body.json && !r->body.secrets));
}

/* Called with every answer, in the place of what gives it to the library. The response holds the body until then. */
enum MHD_Result __wrap_queue_own_reply(struct MHD_Connection *c, unsigned status, struct MHD_Response *response)
{
	(void)c;
	MUST(response && (int)status == world.request->reply.status);
	check_reply(world.request);
	return MHD_YES;
}

/* ---- */

static struct config config;
static struct work work;
static struct health health;
static struct http listeners[3]; /* by enum role */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_init("fuzz", 0, true);
	config_init(&config);
	config.failures_per_minute = 1000000;
	pthread_mutex_init(&work.lock, NULL);
	pthread_cond_init(&work.there_is_work, NULL);
	work.last = &work.first;
	work.waiting_max = 1;
	pthread_mutex_init(&health.lock, NULL);
	health.keeper = keeper_new("no socket");
	for (enum role role = ROLE_DEVICE; role <= ROLE_HEALTH; role++) {
		struct http *h = &listeners[role];
		*h = (struct http){ .config = &config, .role = role, .work = &work, .imports = &work,
				    .health = &health, .metrics = metrics_new(), .deadlines = deadline_table_new(),
				    .failures = limit_new() };
		MUST(h->metrics && h->deadlines && h->failures && health.keeper);
	}
	return 0;
}

/* A worker's turn. */
static void work_once(struct http *h)
{
	struct keeper *k = keeper_new("no socket");
	MUST(k);
	struct request *r = next(h->work);
	answer(r, k);
	r->state = REQUEST_ANSWERED;
	keeper_free(k);
}

/* As the library calls us: with the first line, the headers, the body in two pieces, and its end. */
static void request(struct http *h, const char *method, const char *target, struct view body)
{
	struct request *r = request_new(h, NULL, target);
	static struct peer peer;
	MUST(r);
	r->peer = &peer;
	void *context = r;
	world.request = r;
	size_t sizes[] = { 0, body.len / 2, body.len - body.len / 2, 0 };
	const uint8_t *at = body.p;
	for (size_t i = 0; i < 4 && r->reply.status == 0 && !world.was_queued; i++) {
		size_t size = sizes[i];
		if ((i == 1 || i == 2) && size == 0)
			continue;
		on_request(h, NULL, "", method, "HTTP/1.1", (const char *)at, &size, &context);
		at += sizes[i];
	}
	if (world.was_queued) {
		size_t none = 0;
		work_once(h);
		on_request(h, NULL, "", method, "HTTP/1.1", NULL, &none, &context);
	}
	request_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char role[8], method[16], target[2048];
	struct view rest = view_of(data, size);
	struct view message = fuzz_take_until(&rest, FUZZ_FRAME_MARK);
	struct view line = fuzz_take_until(&message, "\n");
	struct view lines = fuzz_take_until(&message, "\n\n");
	if (!text_copy(fuzz_take_until(&line, " "), role, sizeof role) ||
	    !text_copy(fuzz_take_until(&line, " "), method, sizeof method) || !text_copy(line, target, sizeof target))
		return 0;
	world = (struct world){ .headers = lines, .answers = rest };
	read_header_lines(lines);
	world.has_certificate = __wrap_MHD_lookup_connection_value(NULL, MHD_HEADER_KIND, "Certificate");
	struct http *h = &listeners[role[0] == 'd' ? ROLE_DEVICE : role[0] == 'a' ? ROLE_ADMIN : ROLE_HEALTH];
	if (h->role == ROLE_HEALTH)
		ask_once(h->health);
	request(h, method, target, message);
	return 0;
}

void fuzz_frame_layout(uint8_t verb, struct view fields, struct fuzz_layout *ret)
{
	switch (verb) {
#define C(name, verb, message, answer) case VERB_##verb: FUZZ_LAYOUT(answer); break;
	KEEPER_CALLS(C)
#undef C
	case VERB_ERROR: FUZZ_LAYOUT(error); break;
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	struct view rest = view_of(data, size);
	struct view message = fuzz_take_until(&rest, FUZZ_FRAME_MARK);
	if (rest.len == 0 || seed % 2)
		return LLVMFuzzerMutate(data, size, max);
	return fuzz_mutate_frames(data, size, max, seed, message.len + strlen(FUZZ_FRAME_MARK));
}
