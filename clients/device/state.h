/* The device's folder: who it is, whom it trusts, and what it took last.
 *
 *   device.key device.crt   its key (PKCS#8) and certificate
 *   enrol-ca.pem            the CAs that bundles and renewals may come from: that which it met at its enrolment, and
 *                           those that a bundle told it of
 *   server-ca.pem           the CA of the server's TLS certificate, if one was named
 *   state.json              server, device id, user, ETag, issuedAt of the last bundle, times, revoked or not
 *   pending.key pending.csr a key that is asked for and not certified yet: an answer that was lost can be had again
 *   lock                    held while a program works on the folder */
#ifndef PFXD_DEVICE_STATE_H
#define PFXD_DEVICE_STATE_H

#include "../shared/cli.h"
#include "../shared/file.h"
#include "../shared/openssl_more.h"
#include "protocol.h"
#include "text.h"

enum { URL_MAX = 1024, FORMAT_MAX = 4 };

struct state {
	char folder[PATH_BYTES];
	int lock;
	char server[URL_MAX];
	char device_id[UUID_TEXT + 1];
	char user[UPN_MAX_BYTES + 1];      /* "" until the first bundle */
	char etag[ETAG_MAX_BYTES + 1];     /* "": take the next bundle whole */
	char issued_at[TIME_TEXT + 1];     /* of the last bundle that was accepted; "" before */
	char format[FORMAT_MAX];           /* "p12", "pem" */
	char out[PATH_BYTES];              /* where the last bundle was written: absolute, or relative
	                                    * to the folder; "" before */
	int64_t pulled_at, next_poll_at;   /* 0: never */
	int64_t revoked_at;                /* when the service was seen to refuse this device; 0: it does not */
};

/* What a device proves itself with, and whom it trusts. */
struct credentials {
	EVP_PKEY *key;
	X509 *certificate;
	STACK_OF(X509) *anchors; /* enrol-ca.pem */
};

/* Opens the folder that --dir names, locks it, reads state.json, and finishes a change of keys that was cut short.
 * make: the folder is made if it is not there. EXIT_LATER while another program works on it. */
int state_open(const struct cli *cli, bool make, struct state *ret);
void state_close(struct state *state);
#define STATE __attribute__((cleanup(state_close))) struct state

bool state_is_enrolled(const struct state *state);
int state_save(const struct state *state);

/* The path of a file in the folder. */
int state_path(const struct state *state, const char *name, char ret[static PATH_BYTES]);
int state_read(const struct state *state, const char *name, size_t max, struct buf *ret);
int state_write(const struct state *state, const char *name, const struct buf *bytes);

/* EXIT_USAGE where the device is not enrolled; EXIT_LOCAL for files that do not belong together. */
int credentials_load(const struct state *state, struct credentials *ret);
void credentials_done(struct credentials *credentials);
#define CREDENTIALS __attribute__((cleanup(credentials_done))) struct credentials

/* Makes the pending key the device's own if device.crt is its certificate. */
int state_adopt_pending(const struct state *state);

#endif
