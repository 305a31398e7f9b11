/* pfxd-opener: takes hostile bytes apart, on one connection, of one kind for life. It has no keys, no files and no
 * network, and may die at any request. Never answers a request of the other kind. */
#include "check_identity.h"
#include "ciphers.h"
#include "fault.h"
#include "frame.h"
#include "harden.h"
#include "bounds.h"
#include "log.h"
#include "open_csr.h"
#include "open_pfx.h"
#include "text.h"
#include "version.h"
#include "wipe.h"

#include <getopt.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	PFX_REQUESTS_MAX = 1000,
	PFX_LIFE_MS = 60 * 1000,
	FRAME_TIMEOUT_MS = 15 * 1000, /* from the first byte of a request to its last, and of an answer */
	FRAMING_BYTES = 64,           /* lengths and numbers of a request, generously */
	PFX_REQUEST_MAX_BYTES = PFX_MAX_BYTES + PASSWORD_MAX_BYTES + PFX_IDENTITIES_MAX * PKCS12_PASSWORD_CHARS +
				FRAMING_BYTES,
	CSR_REQUEST_MAX_BYTES = CSR_MAX_BYTES + FRAMING_BYTES,
	EXIT_USAGE = 2,
	EXIT_START = 70,
};

enum kind { KIND_NONE, KIND_PFX, KIND_CSR };

struct opener {
	enum kind kind;
	unsigned cpu_seconds;
	const char *peer; /* the user that may connect, name or number; NULL: whoever can */
	int fd;
	int64_t ends_ms; /* no request is begun after this moment; -1: never ends of itself */
	struct ciphers ciphers;
	struct buf *request_secret, *answer_secret;
};

static void help(FILE *to)
{
	fprintf(to,
		"usage: pfxd-opener --kind pfx|csr [--peer USER] [--cpu-seconds N]\n"
		"Takes PFX files or certificate requests apart, for pfxd-keeper, on the socket that it inherits.\n"
		"  --kind pfx|csr     what it reads; a PFX opener ends after %d requests or %d seconds\n"
		"  --peer USER        ends at once unless this user, name or number, is at the other side\n"
		"  --cpu-seconds N    for one request (%d)\n"
		"  -h, --help, --version\n",
		PFX_REQUESTS_MAX, PFX_LIFE_MS / 1000, REQUEST_CPU_SECONDS);
}

static _Noreturn void wrong_usage(void)
{
	help(stderr);
	exit(EXIT_USAGE);
}

static enum kind parse_kind(const char *text)
{
	if (strcmp(text, "pfx") == 0)
		return KIND_PFX;
	return strcmp(text, "csr") == 0 ? KIND_CSR : KIND_NONE;
}

static unsigned parse_seconds(const char *text)
{
	uint64_t n;
	if (!number_parse(view_text(text), REQUEST_CPU_SECONDS_MAX, &n) || n == 0)
		wrong_usage();
	return (unsigned)n;
}

static void parse_arguments(struct opener *o, int argc, char **argv)
{
	static const struct option options[] = {
		{ "kind", required_argument, NULL, 'k' }, { "cpu-seconds", required_argument, NULL, 'c' },
		{ "peer", required_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'v' }, { 0 },
	};
	int option;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'k': o->kind = parse_kind(optarg); break;
		case 'p': o->peer = optarg; break;
		case 'c': o->cpu_seconds = parse_seconds(optarg); break;
		case 'h': help(stdout); exit(0);
		case 'v': puts("pfxd-opener " PFXD_VERSION); exit(0);
		default: wrong_usage();
		}
	}
	if (o->kind == KIND_NONE || optind < argc)
		wrong_usage();
}

static bool is_socket(int fd)
{
	int type;
	socklen_t len = sizeof type;
	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

static bool find_user(const char *user, uid_t *ret)
{
	uint64_t number;
	if (number_parse(view_text(user), UINT32_MAX, &number)) {
		*ret = (uid_t)number;
		return true;
	}
	const struct passwd *found = getpwnam(user);
	if (found)
		*ret = found->pw_uid;
	return found != NULL;
}

/* Whether the other side is who it must be. Who can reach the socket is a matter of its mode; this asks the kernel. */
static bool check_peer(const struct opener *o)
{
	struct ucred peer;
	socklen_t len = sizeof peer;
	uid_t allowed;
	if (!o->peer)
		return true;
	if (!find_user(o->peer, &allowed))
		fail(FAULT_MALFORMED_REQUEST, "there is no user %s, who alone may connect", o->peer);
	else if (getsockopt(o->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		fail(FAULT_INTERNAL, "the kernel does not say who connected");
	else if (peer.uid != allowed)
		fail(FAULT_FORBIDDEN, "user %u connected, and %s alone may", (unsigned)peer.uid, o->peer);
	else
		return true;
	return false;
}

static size_t request_max(const struct opener *o)
{
	return o->kind == KIND_PFX ? PFX_REQUEST_MAX_BYTES : CSR_REQUEST_MAX_BYTES;
}

/* Everything that needs a file, memory of its own, or the outside. */
static bool load(struct opener *o)
{
	o->fd = inherited_socket(NULL);
	if (o->fd < 0)
		o->fd = STDIN_FILENO;
	o->ends_ms = o->kind == KIND_PFX ? clock_ms() + PFX_LIFE_MS : -1;
	if (!is_socket(o->fd)) {
		fail(FAULT_INTERNAL, "no connection was passed, and standard input is none");
		return false;
	}
	if (!check_peer(o))
		return false;
	o->request_secret = buf_new(request_max(o));
	o->answer_secret = buf_new(FRAME_HEADER_BYTES + FRAME_MAX_BYTES);
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	return o->request_secret && o->answer_secret && (o->kind == KIND_CSR || ciphers_load(&o->ciphers));
}

/* ---- requests ---- */

static int answer_pfx(struct opener *o, struct view fields)
{
	struct msg_open_pfx m;
	int rc = read_open_pfx(fields, &m);
	return rc < 0 ? rc : open_pfx(&o->ciphers, &m, o->answer_secret);
}

static int answer_check_identity(struct opener *o, struct view fields)
{
	struct msg_check_identity m;
	int rc = read_check_identity(fields, &m);
	return rc < 0 ? rc : check_identity(&o->ciphers, &m);
}

static int answer_csr(struct opener *o, struct view fields)
{
	struct msg_open_csr m;
	int rc = read_open_csr(fields, &m);
	return rc < 0 ? rc : open_csr(&m, o->answer_secret);
}

static int answer(struct opener *o, uint8_t verb, struct view fields)
{
	struct msg_nothing nothing;
	if (verb == VERB_PING)
		return read_nothing(fields, &nothing);
	if (verb == VERB_OPEN_PFX && o->kind == KIND_PFX)
		return answer_pfx(o, fields);
	if (verb == VERB_CHECK_IDENTITY && o->kind == KIND_PFX)
		return answer_check_identity(o, fields);
	if (verb == VERB_OPEN_CSR && o->kind == KIND_CSR)
		return answer_csr(o, fields);
	return fail(FAULT_BAD_FRAME, "the verb %s (%u) is not for this opener", verb_name(verb), verb);
}

/* Puts the error, and returns the one that was put: one of OpenSSL's without memory looks like one of the input. */
static int put_fault(struct opener *o, int rc)
{
	if (memory_was_short())
		rc = fail(FAULT_TOO_EXPENSIVE, "opening this took more memory than is allowed");
	struct msg_error m = { .fault = (uint8_t)-rc, .detail = view_text(fault_detail()) };
	if (!text_is_clean(m.detail))
		m.detail = view_text("");
	frame_begin(o->answer_secret, VERB_ERROR);
	put_error(o->answer_secret, &m);
	return rc;
}

static int send_started(int fd)
{
	/* Not built anew: there may be no memory. */
	static const uint8_t frame[FRAME_HEADER_BYTES] = { 0, 0, 0, 1, VERB_STARTED };
	ssize_t n = send(fd, frame, sizeof frame, MSG_NOSIGNAL);
	return n == (ssize_t)sizeof frame ? 0 : fail(FAULT_CLOSED, "the keeper is gone");
}

/* BAD_FRAME, CLOSED and TIMED_OUT end the connection. */
static int serve(struct opener *o)
{
	uint8_t verb;
	struct view fields;
	int rc = frame_receive(o->fd, o->request_secret, request_max(o), clock_ms() + FRAME_TIMEOUT_MS, &verb,
			       &fields);
	if (rc == 0)
		rc = send_started(o->fd);
	if (rc < 0)
		return rc;
	bounds_begin(o->cpu_seconds);
	frame_begin(o->answer_secret, verb);
	rc = answer(o, verb, fields);
	if (rc == -FAULT_BAD_FRAME)
		return rc;
	int told = rc < 0 ? put_fault(o, rc) : 0;
	bounds_answering();
	rc = frame_send(o->fd, o->answer_secret, clock_ms() + FRAME_TIMEOUT_MS);
	bounds_end();
	ERR_clear_error();
	buf_reset(o->request_secret);
	buf_reset(o->answer_secret);
	/* Memory that ran out may be in pieces: the next request gets a fresh process. */
	if (rc == 0 && told == -FAULT_TOO_EXPENSIVE)
		rc = fail(FAULT_CLOSED, "the last request was too expensive");
	return rc;
}

/* Waits for the first byte of a request. CLOSED when this opener's life is over. */
static int wait_for_request(const struct opener *o)
{
	int64_t left = o->ends_ms < 0 ? -1 : o->ends_ms - clock_ms();
	if (o->ends_ms >= 0 && left <= 0)
		return fail(FAULT_CLOSED, "the life of this opener is over");
	struct pollfd p = { .fd = o->fd, .events = POLLIN };
	return poll(&p, 1, (int)left) > 0 ? 0 : fail(FAULT_CLOSED, "nobody asked in the life of this opener");
}

static int serve_all(struct opener *o)
{
	int rc = 0;
	for (unsigned n = 0; rc == 0 && !memory_was_short() && bounds_allow(o->cpu_seconds); n++) {
		if (o->kind == KIND_PFX && n == PFX_REQUESTS_MAX)
			return 0;
		rc = wait_for_request(o);
		if (rc == 0)
			rc = serve(o);
		wipe_traces();
	}
	return rc == -FAULT_CLOSED ? 0 : rc;
}

int main(int argc, char **argv)
{
	harden_process();
	harden_no_exec();
	memory_watch();
	struct opener o = { .cpu_seconds = REQUEST_CPU_SECONDS };
	parse_arguments(&o, argc, argv);
	log_init("pfxd-opener", LOG_LEVEL_INFO, false);
	if (!load(&o)) {
		log_detail(EVENT_NOT_STARTED, "%s", fault_detail());
		return EXIT_START;
	}
	harden_memory();
	bounds_lock_in(o.fd, o.kind == KIND_PFX ? PFX_LIFE_CPU_SECONDS : LIFE_CPU_SECONDS);
	int rc = serve_all(&o);
	if (rc < 0)
		log_detail(EVENT_CONNECTION_DROPPED, "%s", fault_detail());
	/* Nothing to put away: memory goes with the process, and an exit handler is one more thing to go wrong. */
	_exit(rc < 0 ? 1 : 0);
}
