/* Devices, their certificates, and the one-time tokens with which they enrol. */
#ifndef PFXD_DEVICES_H
#define PFXD_DEVICES_H

#include "users.h"

enum {
	ENROLMENT_REPLAY_SECONDS = 600,
	FINGERPRINT_CHARS = 2 * FINGERPRINT_BYTES, /* as certificates are stored and recorded: hex */
};

/* A device that has shown its certificate: who it is and whose. */
struct shown {
	struct row_device_certificate certificate;
	struct row_device device;
	struct row_user user;
	int64_t last_pull_at;
};
void shown_done(struct shown *shown);
#define SHOWN __attribute__((cleanup(shown_done))) struct shown

/* By the SHA-256 of the certificate that was used in TLS. UNAUTHORIZED if this service did not issue it, or it has
 * expired; FORBIDDEN if the device was revoked or is held, or its user retired. */
int devices_shown(const struct keeper *k, struct connection *c, struct view fingerprint, int64_t now,
		  struct shown *ret);

/* Refuses, as devices_shown() does, if the device or its user may not pull any more; asked again while writing. */
int devices_still_active(const struct keyring *keyring, struct connection *c, struct view device_id,
			 struct view user_id);

int devices_get(const struct keyring *keyring, struct connection *c, struct view id, struct row_device *ret,
		int64_t *ret_last_pull_at);

/* Stores a device or a certificate for one. */
int devices_insert(const struct keyring *keyring, struct connection *c, const struct row_device *device);
int devices_add_certificate(const struct keyring *keyring, struct connection *c,
			    const struct row_device_certificate *certificate);
/* The certificate that renews the one with this fingerprint and was not used yet. NOT_FOUND if there is none. */
int devices_successor(const struct keyring *keyring, struct connection *c, struct view id, struct view fingerprint,
		      struct row_device_certificate *ret);
/* Ends a certificate, with its audit record. */
int devices_end_certificate(struct keeper *k, struct connection *c, const struct row_device *device,
			    struct view fingerprint, struct view request_id);
/* Where the certificate that was shown is a renewal in its first use: ends the one that it replaces. A write of its
 * own. */
int devices_confirm(struct keeper *k, const struct shown *shown, struct view request_id);
/* The certificate that answers the request with this SHA-256. NOT_FOUND if it was replaced. */
int devices_certificate_for(const struct keyring *keyring, struct connection *c, struct view id, struct view csr_sha256,
			    struct row_device_certificate *ret);
/* The device's newest certificate. TAMPERED if it has none. */
int devices_newest_certificate(const struct keyring *keyring, struct connection *c, struct view id,
			       struct row_device_certificate *ret);
/* CONFLICT when the user has DEVICES_PER_USER_MAX that are not revoked. */
int devices_check_room(struct connection *c, struct view user_id);

/* NOT_FOUND; a device that is revoked already stays so, and nothing is recorded again. */
int devices_revoke(struct keeper *k, struct connection *c, const struct actor *actor, struct view id);
/* Every one of the user that is not revoked yet. */
int devices_revoke_all(struct keeper *k, struct connection *c, const struct actor *actor, struct view user_id);

/* Puts the device into this state, with its audit record. device gets it too. */
int devices_set_state(struct keeper *k, struct connection *c, const struct actor *actor, struct row_device *device,
		      enum state state);

/* After a restore (hold.c): holds every active device, and ends every enrolment token that was not spent; each
 * with its audit record. *ret_count is how many they were. */
int devices_hold_all(struct keeper *k, struct connection *c, const struct actor *actor, uint64_t *ret_count);
int enrolments_end_all(struct keeper *k, struct connection *c, const struct actor *actor, uint64_t *ret_count);

/* Appends msg_device_facts of one device. */
int devices_put_facts(const struct keyring *keyring, struct connection *c, const struct row_device *device,
		      int64_t last_pull_at, struct buf *ret);
/* Appends msg_device_facts of a page of devices to ret, in the order of their enrolment; ret_more becomes where the
 * next page begins, or "". after: what ret_more was, or empty; MALFORMED_REQUEST if it is neither. user NULL: of all
 * users. */
enum { DEVICE_CURSOR_MAX = 64 };
int devices_put_page(const struct keyring *keyring, struct connection *c, const struct row_user *user,
		     struct view after, uint32_t limit, struct buf *ret, char ret_more[static DEVICE_CURSOR_MAX]);

/* Enrolments. find: UNAUTHORIZED if the token is unknown. */
int enrolments_find(const struct keyring *keyring, struct connection *c, struct view token_secret,
		    struct row_enrolment *ret);
int enrolments_insert(const struct keyring *keyring, struct connection *c, const struct row_enrolment *row);
/* Marks it as spent. AGAIN if it was spent in the meantime. */
int enrolments_spend(const struct keyring *keyring, struct connection *c, const struct row_enrolment *spent);

#endif
