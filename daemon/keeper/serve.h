/* The keeper's sockets: which verb may come where, with which role, and who answers it. */
#ifndef PFXD_SERVE_H
#define PFXD_SERVE_H

#include "keeper.h"
#include "tokens.h"

/* Who asks: on the administrators' socket a token that was checked, on the devices' socket nobody yet; on the local one
 * it is root. */
struct caller {
	struct row_token token;
	struct actor actor;
	int fd; /* the connection, for what goes over it beside the answer: stream.h */
};

struct server;

/* Serves connections that arrive on the listening sockets, a thread each. Takes the sockets over. local_fd is -1 where
 * there is no local socket. */
int serve_start(struct keeper *k, int device_fd, int admin_fd, int local_fd, struct server **ret);
/* Serves one connection of the keeper to itself: SOCKET_SELF. Takes fd over. */
int serve_self(struct server *server, int fd);
/* Takes no more connections and lets requests that were begun end, for at most seconds. False if some still run. Who
 * connects from then on waits in the sockets' queues for the next keeper. */
bool serve_stop(struct server *server, unsigned seconds);

/* Each answers one verb: reads its message from fields, appends the answer's message to answer, and returns 0 or an
 * error. BAD_FRAME drops the connection. */
typedef int answer_function(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer);
answer_function answer_enroll, answer_renew, answer_certificates, answer_bundle, answer_receipts;
answer_function answer_authorize, answer_import, answer_history, answer_delete_identity, answer_add_enrolment,
	answer_users, answer_user, answer_rename_user, answer_retire_user, answer_devices, answer_revoke_device,
	answer_release_device, answer_find_identity, answer_add_token, answer_tokens, answer_delete_token, answer_audit,
	answer_verify_audit, answer_ca, answer_health, answer_verify, answer_inspect, answer_backup, answer_restore,
	answer_verify_identities, answer_clock_accept, answer_rotation, answer_authorities, answer_ping;

#endif
