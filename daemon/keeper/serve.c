/* Serves the keeper's sockets. Keeper only. Both peers are taken for hostile: what is not in the table for their socket
 * is not read, a bad frame drops the connection, and nothing that one sends ends the service. */
#include "serve.h"

#include "fault.h"
#include "frame.h"
#include "log.h"
#include "protocol.h"
#include "wallclock.h"
#include "wipe.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

enum {
	CONNECTIONS_SPARE = 8,         /* on each socket, beside one for each worker of its front */
	SELF_MAX = 8,                  /* one, and those that are about to end */
	STACK_BYTES = 512 * 1024,
	SEND_MS = 30 * 1000,
	ACCEPT_PAUSE_MS = 10,
	DEVICE_REQUEST_MAX = MIB + 64 * KIB,      /* receipts are the largest */
	ADMIN_REQUEST_MAX = PFX_MAX_BYTES + 64 * KIB,
	LOCAL_REQUEST_MAX = KIB,                  /* what is asked there has no fields, or few */
	ANSWER_MAX = FRAME_MAX_BYTES,
};

/* What may be asked, of whom, and who answers. A verb that is not here is refused. Roles are for the administrators'
 * socket; on the others a token means nothing. */
static const struct permission {
	int sockets, roles;
	answer_function *answer;
} permissions[256] = {
	[VERB_ENROLL]          = { SOCKET_DEVICE, 0, answer_enroll },
	[VERB_CERTIFICATES]    = { SOCKET_DEVICE, 0, answer_certificates },
	[VERB_BUNDLE]          = { SOCKET_DEVICE, 0, answer_bundle },
	[VERB_RECEIPTS]        = { SOCKET_DEVICE, 0, answer_receipts },
	[VERB_RENEW]           = { SOCKET_DEVICE, 0, answer_renew },
	[VERB_AUTHORIZE]       = { SOCKET_ADMIN, ROLE_ANY, answer_authorize },
	[VERB_IMPORT]          = { SOCKET_ADMIN, ROLE_ADMIN | ROLE_IMPORTER, answer_import },
	[VERB_HISTORY]         = { SOCKET_ADMIN, ROLE_ADMIN | ROLE_IMPORTER | ROLE_AUDITOR, answer_history },
	[VERB_DELETE_IDENTITY] = { SOCKET_ADMIN, ROLE_ADMIN, answer_delete_identity },
	[VERB_ADD_ENROLMENT]   = { SOCKET_ADMIN, ROLE_ADMIN | ROLE_ENROLLER, answer_add_enrolment },
	[VERB_USERS]           = { SOCKET_ADMIN, ROLE_ADMIN | ROLE_AUDITOR, answer_users },
	[VERB_USER]            = { SOCKET_ADMIN, ROLE_ADMIN | ROLE_AUDITOR, answer_user },
	[VERB_RENAME_USER]     = { SOCKET_ADMIN, ROLE_ADMIN, answer_rename_user },
	[VERB_RETIRE_USER]     = { SOCKET_ADMIN, ROLE_ADMIN, answer_retire_user },
	[VERB_DEVICES]         = { SOCKET_ADMIN, ROLE_ADMIN | ROLE_ENROLLER | ROLE_AUDITOR, answer_devices },
	[VERB_REVOKE_DEVICE]   = { SOCKET_ADMIN, ROLE_ADMIN | ROLE_ENROLLER, answer_revoke_device },
	[VERB_RELEASE_DEVICE]  = { SOCKET_ADMIN, ROLE_ADMIN | ROLE_ENROLLER, answer_release_device },
	[VERB_FIND_IDENTITY]   = { SOCKET_ADMIN, ROLE_ADMIN | ROLE_AUDITOR, answer_find_identity },
	[VERB_ADD_TOKEN]       = { SOCKET_ADMIN, ROLE_ADMIN, answer_add_token },
	[VERB_TOKENS]          = { SOCKET_ADMIN, ROLE_ADMIN | ROLE_AUDITOR, answer_tokens },
	[VERB_DELETE_TOKEN]    = { SOCKET_ADMIN, ROLE_ADMIN, answer_delete_token },
	[VERB_AUDIT]           = { SOCKET_ADMIN, ROLE_ADMIN | ROLE_AUDITOR, answer_audit },
	[VERB_VERIFY_AUDIT]    = { SOCKET_ADMIN, ROLE_ADMIN | ROLE_AUDITOR, answer_verify_audit },
	[VERB_CA]              = { SOCKET_ADMIN, ROLE_ANY, answer_ca },
	[VERB_HEALTH]          = { SOCKET_ADMIN | SOCKET_DEVICE | SOCKET_LOCAL, 0, answer_health },
	[VERB_VERIFY]          = { SOCKET_LOCAL, 0, answer_verify },
	[VERB_INSPECT]         = { SOCKET_LOCAL, 0, answer_inspect },
	[VERB_BACKUP]          = { SOCKET_LOCAL, 0, answer_backup },
	[VERB_RESTORE]         = { SOCKET_LOCAL, 0, answer_restore },
	[VERB_VERIFY_IDENTITIES] = { SOCKET_LOCAL, 0, answer_verify_identities },
	[VERB_CLOCK_ACCEPT]    = { SOCKET_LOCAL, 0, answer_clock_accept },
	[VERB_ROTATION]        = { SOCKET_LOCAL, 0, answer_rotation },
	[VERB_AUTHORITIES]     = { SOCKET_LOCAL, 0, answer_authorities },
	[VERB_PING]            = { SOCKET_SELF, 0, answer_ping },
};

struct connection_thread {
	struct listener *listener;
	int fd;
	struct connection_thread *next;
};

struct listener { /* of those that the keeper makes itself: without a socket, a peer and a thread */
	struct server *server;
	const char *name;
	int fd;
	enum socket_kind kind;
	size_t request_max;
	uid_t peer; /* who may connect */
	unsigned count, max;
	pthread_t thread;
	bool runs;
};

struct server {
	struct keeper *k;
	struct listener device, admin, local, self;
	int end; /* an eventfd: listeners end when it can be read */
	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t ended;
	bool stopping;
	struct connection_thread *connections;
};

/* ---- one request ---- */

/* Every message on the administrators' socket begins with request id and token; the verb's roles decide. */
static int authorize(struct keeper *k, struct view fields, int roles, struct caller *ret)
{
	struct msg_admin m;
	READER c = NULL;
	int rc = get_admin(&fields, &m);
	if (rc == 0)
		rc = wallclock_check(k);
	if (rc == 0)
		rc = db_read(k->db, &c);
	if (rc == 0)
		rc = tokens_authorize(k, c, m.token_secret, roles, &ret->token);
	if (rc == 0)
		ret->actor = (struct actor){ ret->token.id, m.request_id };
	return rc;
}

int answer_authorize(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)k;
	(void)answer;
	struct msg_authorize m;
	int rc = read_authorize(fields, &m);
	if (rc == 0 && !(role_of(who->token.role) & permissions[m.verb].roles))
		rc = fail(FAULT_FORBIDDEN, "a token with the role %.*s may not do this", (int)who->token.role.len,
			  (const char *)who->token.role.p);
	return rc;
}

/* A request's own event is the front's, and of a pull pull.c's. Here is told what the keeper found out, and would say
 * even if the front were somebody else's. */
static void log_refusal(uint8_t verb, struct view message, int rc)
{
	struct view request_id = view_text("");
	bool no_right = rc == -FAULT_UNAUTHORIZED || rc == -FAULT_FORBIDDEN;
	view_get_bytes(&message, REQUEST_ID_MAX, &request_id); /* every message that has fields begins with it */
	const struct log_field fields[] = {
		{ "verb", view_text(verb_name(verb)), LOG_PLAIN },
		{ "code", view_text(no_right ? fault_code(rc) : ""), LOG_PLAIN },
		{ "detail", view_text(fault_detail()), fault_is_own(rc) ? LOG_PLAIN : LOG_PERSON },
		{ "request_id", request_id, LOG_PLAIN },
		{ 0 },
	};
	if (rc == -FAULT_TAMPERED)
		log_event(EVENT_TAMPERED, fields);
	else if (no_right && verb != VERB_BUNDLE)
		log_event(EVENT_NO_RIGHT, fields);
	else
		log_line(LOG_LEVEL_DEBUG, "%s: %s", verb_name(verb), fault_code(rc));
}

static int put_refusal(struct keeper *k, uint8_t verb, struct view message, int rc, struct buf *out)
{
	const char *detail = fault_detail();
	log_refusal(verb, message, rc);
	if (rc == -FAULT_UNAUTHORIZED || rc == -FAULT_FORBIDDEN)
		atomic_fetch_add(&k->counters.refusals, 1);
	if (rc == -FAULT_TAMPERED)
		atomic_fetch_add(&k->counters.tampered, 1);
	const struct msg_error error = { .fault = (uint8_t)-rc, .retry_after = rc == -FAULT_UNAVAILABLE ? 5 : 0,
					 .detail = view_text(detail) };
	frame_begin(out, VERB_ERROR);
	return put_error(out, &error);
}

/* Fills out with the answer to one request. An error here ends the connection. */
static int handle(struct keeper *k, enum socket_kind kind, int fd, uint8_t verb, struct view fields, struct buf *out)
{
	const struct permission *p = &permissions[verb];
	struct caller who = { .actor = { .id = view_text(NULL) }, .fd = fd };
	if (!(p->sockets & (int)kind))
		return fail(FAULT_BAD_FRAME, "the verb %s (%u) is not permitted on this socket", verb_name(verb), verb);
	int rc = p->roles ? authorize(k, fields, p->roles, &who) : 0;
	frame_begin(out, verb);
	if (rc == 0)
		rc = p->answer(k, &who, fields, out);
	row_token_done(&who.token);
	if (rc < 0 && rc != -FAULT_BAD_FRAME)
		rc = put_refusal(k, verb, fields, rc, out);
	return rc;
}

/* Requests wait in the sockets' queues while no keeper runs. A front that gave one up has said so, and it must not be
 * found done later. */
static int check_awaited(int fd)
{
	struct pollfd p = { .fd = fd };
	if (poll(&p, 1, 0) <= 0)
		return 0;
	log_event(EVENT_REQUEST_LEFT, NULL);
	return fail(FAULT_CLOSED, "nobody waits for the answer");
}

static int serve_one(struct keeper *k, const struct connection_thread *t)
{
	size_t max = t->listener->request_max;
	uint8_t verb;
	struct view fields;
	BUF in = buf_new(max);
	BUF out = buf_new(ANSWER_MAX);
	if (!in || !out)
		return fail(FAULT_UNAVAILABLE, "no memory for a request");
	int rc = frame_receive(t->fd, in, max, -1, &verb, &fields);
	if (rc == 0)
		rc = check_awaited(t->fd);
	if (rc == 0) {
		rc = handle(k, t->listener->kind, t->fd, verb, fields, out);
		wipe_traces();
	}
	if (rc == 0)
		rc = frame_send(t->fd, out, clock_ms() + SEND_MS);
	return rc;
}

/* ---- connections ---- */

static void forget(struct connection_thread *t)
{
	struct listener *l = t->listener;
	struct server *s = l->server;
	pthread_mutex_lock(&s->lock);
	struct connection_thread **at = &s->connections;
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	close(t->fd);
	l->count--;
	pthread_cond_broadcast(&s->ended);
	pthread_mutex_unlock(&s->lock);
	free(t);
}

static void *connection_main(void *arg)
{
	struct connection_thread *t = arg;
	struct keeper *k = t->listener->server->k;
	int rc;
	while ((rc = serve_one(k, t)) == 0)
		;
	if (rc != -FAULT_CLOSED)
		log_detail(EVENT_CONNECTION_DROPPED, "on the %s socket: %s", t->listener->name, fault_detail());
	OPENSSL_thread_stop(); /* who waits for the last one to be forgotten ends the process beside this one's own end */
	forget(t);
	return NULL;
}

/* Nobody else, root neither: who is root can become that user. */
static bool peer_is_allowed(int fd, uid_t allowed)
{
	struct ucred peer;
	socklen_t len = sizeof peer;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	if (peer.uid == allowed)
		return true;
	log_detail(EVENT_PEER_REFUSED, "uid %u", (unsigned)peer.uid);
	return false;
}

/* Gives the connection a thread. Takes fd over. */
static int start_thread(struct listener *l, int fd)
{
	pthread_t thread;
	pthread_attr_t attributes;
	struct server *s = l->server;
	struct connection_thread *t = calloc(1, sizeof *t);
	if (!t)
		return fail(FAULT_UNAVAILABLE, "no memory for a connection");
	*t = (struct connection_thread){ .listener = l, .fd = fd };
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_mutex_lock(&s->lock);
	bool started = !s->stopping && l->count < l->max &&
		       pthread_create(&thread, &attributes, connection_main, t) == 0;
	if (started) {
		t->next = s->connections;
		s->connections = t;
		l->count++;
	}
	pthread_mutex_unlock(&s->lock);
	pthread_attr_destroy(&attributes);
	if (started)
		return 0;
	free(t);
	return fail(FAULT_UNAVAILABLE, "no thread for a connection, or %u are open already", l->max);
}

/* When descriptors run out the connection waits in the kernel's queue. */
static void *listener_main(void *arg)
{
	struct listener *l = arg;
	for (;;) {
		struct pollfd p[] = { { .fd = l->fd, .events = POLLIN }, { .fd = l->server->end, .events = POLLIN } };
		poll(p, 2, -1);
		if (p[1].revents)
			return NULL;
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			poll(NULL, 0, ACCEPT_PAUSE_MS);
		else if (!peer_is_allowed(fd, l->peer) || start_thread(l, fd) < 0)
			close(fd);
	}
}

static int find_peer(const char *name, uid_t *ret)
{
	*ret = geteuid();
	if (!*name)
		return 0;
	struct passwd *user = getpwnam(name);
	if (!user)
		return fail(FAULT_MALFORMED_REQUEST, "there is no user %s, whom the configuration lets connect", name);
	*ret = user->pw_uid;
	return 0;
}

static int start_listener(struct server *s, struct listener *l, const struct listener *how)
{
	*l = *how;
	l->server = s;
	/* It came from outside, and who shares it must not make accept4() wait. */
	if (fcntl(l->fd, F_SETFL, fcntl(l->fd, F_GETFL) | O_NONBLOCK) < 0)
		return fail(FAULT_UNAVAILABLE, "a listening socket: %s", strerror(errno));
	if (pthread_create(&l->thread, NULL, listener_main, l) != 0)
		return fail(FAULT_UNAVAILABLE, "no thread for a socket");
	l->runs = true;
	return 0;
}

static int start_listeners(struct server *s, int device_fd, int admin_fd, int local_fd)
{
	const struct config *config = &s->k->config;
	unsigned max = config->workers + config->import_workers + CONNECTIONS_SPARE;
	struct listener device = { .name = "devices'", .fd = device_fd, .kind = SOCKET_DEVICE, .max = max,
				   .request_max = DEVICE_REQUEST_MAX };
	struct listener admin = { .name = "administrators'", .fd = admin_fd, .kind = SOCKET_ADMIN, .max = max,
				  .request_max = ADMIN_REQUEST_MAX };
	struct listener local = { .name = "local", .fd = local_fd, .kind = SOCKET_LOCAL, .max = CONNECTIONS_SPARE,
				  .request_max = LOCAL_REQUEST_MAX };
	int rc = find_peer(config->device_front_user, &device.peer);
	if (rc == 0)
		rc = find_peer(config->admin_front_user, &admin.peer);
	if (rc == 0)
		rc = find_peer(config->local_user, &local.peer);
	if (rc == 0)
		rc = start_listener(s, &s->device, &device);
	if (rc == 0)
		rc = start_listener(s, &s->admin, &admin);
	return rc < 0 || local_fd < 0 ? rc : start_listener(s, &s->local, &local);
}

int serve_start(struct keeper *k, int device_fd, int admin_fd, int local_fd, struct server **ret)
{
	struct server *s = calloc(1, sizeof *s);
	if (!s)
		return fail(FAULT_UNAVAILABLE, "no memory to serve");
	s->k = k;
	s->self = (struct listener){ .server = s, .name = "own", .kind = SOCKET_SELF, .max = SELF_MAX,
				     .request_max = LOCAL_REQUEST_MAX };
	s->end = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->end < 0) {
		free(s);
		return fail(FAULT_UNAVAILABLE, "no eventfd to serve: %s", strerror(errno));
	}
	pthread_mutex_init(&s->lock, NULL);
	clock_condition_init(&s->ended);
	*ret = s;
	return start_listeners(s, device_fd, admin_fd, local_fd);
}

int serve_self(struct server *s, int fd)
{
	int rc = start_thread(&s->self, fd);
	if (rc < 0)
		close(fd);
	return rc;
}

/* Listening sockets belong to systemd or the launcher: they are not shut down, or nobody could take them over. First
 * nothing more is taken from them: who was taken and then sent away could not know whether he was heard. */
bool serve_stop(struct server *s, unsigned seconds)
{
	int64_t until_ms = clock_ms() + (int64_t)seconds * 1000;
	eventfd_write(s->end, 1);
	struct listener *const listeners[] = { &s->device, &s->admin, &s->local };
	for (size_t i = 0; i < sizeof listeners / sizeof listeners[0]; i++)
		if (listeners[i]->runs)
			pthread_join(listeners[i]->thread, NULL);
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	/* Those who wait for a request see the end of it; those who answer one can still send. */
	for (struct connection_thread *t = s->connections; t; t = t->next)
		shutdown(t->fd, SHUT_RD);
	while (s->connections && clock_condition_wait(&s->ended, &s->lock, until_ms))
		;
	bool all_ended = !s->connections;
	pthread_mutex_unlock(&s->lock);
	return all_ended;
}
