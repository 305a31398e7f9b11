/* TLS 1.2 and 1.3: the servers' certificate, which can be replaced while connections are open, and what a client shows
 * of itself. Client certificates are asked for and never judged here: the keeper knows them by their fingerprint. */
#ifndef PFXD_TLS_H
#define PFXD_TLS_H

#include "protocol.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>

/* The order is the server's and decides, so the cheapest of what is safe comes first: X25519, which clients offer unasked
 * (another group costs a round trip), and AES-128-GCM, whose key schedule is SHA-256. What is secret beyond that is under
 * AES-256 within. */
#define TLS_PRIORITIES \
	"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE" \
	":-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1:+GROUP-X448" \
	":+GROUP-FFDHE2048:+GROUP-FFDHE3072:+GROUP-FFDHE4096:+GROUP-FFDHE6144:+GROUP-FFDHE8192" \
	":-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-CCM:+AES-256-CCM" \
	":+AES-128-CBC:+AES-256-CBC"

enum { TLS_PAIR_MAX_BYTES = MIB, TLS_CLIENT_HANDSHAKE_MAX_BYTES = 64 * KIB };

/* Reads certificate and key. At the start of the process, before any thread.
 * MALFORMED_REQUEST with a sentence: unreadable, or the two do not belong together. One that clients will
 * refuse for its dates is only warned of. certificate and key (paths) are kept. handshake_seconds: the most that one
 * may take. */
int tls_start(const char *certificate, const char *key, uint32_t handshake_seconds);

/* Reads them again. On failure, and also when the certificate has expired or is not valid yet, the old pair stays.
 * handshake_seconds: what one may take from now on. An old pair stays while a handshake may hold it. */
int tls_reload(uint32_t handshake_seconds);

/* When the certificate that is in use ends, in seconds since 1970. */
int64_t tls_expires(void);

void tls_end(void);

/* The pair for one handshake, as MHD_OPTION_HTTPS_CERT_CALLBACK wants it. */
int tls_pick(gnutls_session_t session, const gnutls_datum_t *issuers, int issuer_count,
	     const gnutls_pk_algorithm_t *algorithms, int algorithm_count, gnutls_pcert_st **ret_chain,
	     unsigned *ret_chain_len, gnutls_privkey_t *ret_key);

/* Sets a new session up: whether the client is asked for a certificate. No session is resumed: who connects shows each
 * time that he has his key. */
void tls_greet(gnutls_session_t session, bool ask_for_certificate);

/* SHA-256 of the certificate that the client has shown and proven to own. False if it has shown none. */
bool tls_fingerprint(gnutls_session_t session, uint8_t ret[static FINGERPRINT_BYTES]);

#endif
