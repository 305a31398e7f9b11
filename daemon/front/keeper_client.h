/* What the front asks the keeper. For each call there is a stub here, keeper_import() and the like, and in the keeper
 * an answer under the same name. A worker has one connection, and uses it for one call at a time. */
#ifndef PFXD_KEEPER_CLIENT_H
#define PFXD_KEEPER_CLIENT_H

#include "protocol.h"

struct keeper;
struct body;

/* A client of the keeper's socket at path, which is kept, not copied; connects when it is first used. NULL without
 * memory. */
struct keeper *keeper_new(const char *path);
void keeper_free(struct keeper *k);

/* Begins the calls for one request. They end by deadline_ms of clock_ms(). repeatable: nothing changes when a call is
 * made twice. input may be NULL; else it is released as soon as the first frame is made of it. */
void keeper_begin(struct keeper *k, int64_t deadline_ms, bool repeatable, struct body *input);

/* Ends them: wipes what was asked and answered. */
void keeper_done(struct keeper *k);

/* True once a well-formed call was made since keeper_begin(): its content was in order. */
bool keeper_was_asked(const struct keeper *k);
/* What the keeper said with its last error, in seconds; 0: nothing. */
uint32_t keeper_retry_after(const struct keeper *k);
/* Hands over the frame of the last answer; views into it stay valid. The caller frees it. */
struct buf *keeper_take_answer(struct keeper *k);

/* name, verb, message, answer. Each returns 0 with *ret, whose views live until the next call or keeper_done(); the
 * fault that the keeper told; UNAVAILABLE when it can not be reached or takes too long; MALFORMED_REQUEST when the
 * message is over a limit; BAD_FRAME. */
#define KEEPER_CALLS(C) \
	C(enroll, ENROLL, enroll, enrolled) \
	C(certificates, CERTIFICATES, device, identities) \
	C(bundle, BUNDLE, bundle, bundled) \
	C(receipts, RECEIPTS, receipts, nothing) \
	C(renew, RENEW, renew, enrolled) \
	C(authorize, AUTHORIZE, authorize, nothing) \
	C(import, IMPORT, import, imported) \
	C(history, HISTORY, user, identities) \
	C(delete_identity, DELETE_IDENTITY, identity_ref, nothing) \
	C(add_enrolment, ADD_ENROLMENT, enrolment, enrolment_made) \
	C(users, USERS, listing, users) \
	C(user, USER, user, user_facts) \
	C(rename_user, RENAME_USER, rename, user_facts) \
	C(retire_user, RETIRE_USER, user, nothing) \
	C(devices, DEVICES, listing, devices) \
	C(revoke_device, REVOKE_DEVICE, object, nothing) \
	C(release_device, RELEASE_DEVICE, object, device_facts) \
	C(find_identity, FIND_IDENTITY, recipient, found_identities) \
	C(add_token, ADD_TOKEN, token, token_made) \
	C(tokens, TOKENS, admin, tokens) \
	C(delete_token, DELETE_TOKEN, object, nothing) \
	C(audit, AUDIT, listing, audit) \
	C(verify_audit, VERIFY_AUDIT, admin, verification) \
	C(ca, CA, admin, ca) \
	C(health, HEALTH, nothing, health)

#define C(name, verb, message, answer) \
	int keeper_##name(struct keeper *k, const struct msg_##message *m, struct msg_##answer *ret);
KEEPER_CALLS(C)
#undef C

#endif
