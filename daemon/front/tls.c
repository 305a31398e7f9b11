/* TLS with GnuTLS. Front. It holds one private key, the servers' own. The state is the process's: the library's
 * callback for certificates is given nothing to find another by. */
#include "tls.h"

#include "fault.h"
#include "frame.h"
#include "log.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { TLS_CHAIN_MAX = 16, KEY_ID_BYTES = 32 };

struct pair {
	struct pair *older;
	int64_t replaced_ms;
	gnutls_pcert_st chain[TLS_CHAIN_MAX];
	unsigned chain_len;
	gnutls_privkey_t key;
	time_t begins, expires;
};

static struct {
	const char *certificate, *key;
	pthread_mutex_t lock;
	struct pair *current; /* and the older ones, which a handshake may still hold */
	uint32_t handshake_seconds; /* the most that one was ever given */
} tls = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int read_file(const char *path, struct buf *ret)
{
	FD fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(FAULT_NOT_FOUND, "can not open %s: %s", path, strerror(errno));
	for (;;) {
		size_t len = buf_len(ret);
		uint8_t *at = buf_reserve(ret, 4 * KIB);
		ssize_t n = at ? read(fd, at, 4 * KIB) : -1;
		if (n < 0)
			return fail(FAULT_MALFORMED_REQUEST, "can not read %s, or it is too large", path);
		buf_truncate(ret, len + (size_t)n);
		if (n == 0)
			return 0;
	}
}

static gnutls_datum_t datum(const struct buf *b)
{
	return (gnutls_datum_t){ .data = (unsigned char *)(uintptr_t)buf_data(b), .size = (unsigned)buf_len(b) };
}

static void pair_free(struct pair *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < p->chain_len; i++)
		gnutls_pcert_deinit(&p->chain[i]);
	if (p->key)
		gnutls_privkey_deinit(p->key);
	free(p);
}

static int read_chain(struct pair *p)
{
	BUF pem = buf_new(TLS_PAIR_MAX_BYTES);
	int rc = pem ? read_file(tls.certificate, pem) : fail(FAULT_INTERNAL, "no memory");
	if (rc < 0)
		return rc;
	gnutls_datum_t data = datum(pem);
	unsigned len = TLS_CHAIN_MAX;
	rc = gnutls_pcert_list_import_x509_raw(p->chain, &len, &data, GNUTLS_X509_FMT_PEM, 0);
	if (rc < 0 || len == 0)
		return fail(FAULT_MALFORMED_REQUEST, "%s holds no chain of certificates: %s", tls.certificate,
			    gnutls_strerror(rc));
	p->chain_len = len;
	return 0;
}

static int read_key(struct pair *p)
{
	BUF pem_secret = buf_new(TLS_PAIR_MAX_BYTES);
	int rc = pem_secret ? read_file(tls.key, pem_secret) : fail(FAULT_INTERNAL, "no memory");
	if (rc < 0)
		return rc;
	gnutls_datum_t data_secret = datum(pem_secret);
	rc = gnutls_privkey_init(&p->key);
	if (rc == 0)
		rc = gnutls_privkey_import_x509_raw(p->key, &data_secret, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (rc < 0)
		return fail(FAULT_MALFORMED_REQUEST, "%s holds no private key: %s", tls.key, gnutls_strerror(rc));
	return 0;
}

static int key_id(gnutls_pubkey_t key, uint8_t ret[static KEY_ID_BYTES])
{
	size_t size = KEY_ID_BYTES;
	return gnutls_pubkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, ret, &size);
}

/* Compares the public keys, and notes from when and until when the certificate is valid. */
static int check_pair(struct pair *p)
{
	uint8_t of_certificate[KEY_ID_BYTES], of_key[KEY_ID_BYTES];
	gnutls_pubkey_t public = NULL;
	gnutls_x509_crt_t leaf = NULL;
	int rc = gnutls_pubkey_init(&public);
	if (rc == 0)
		rc = gnutls_pubkey_import_privkey(public, p->key, 0, 0);
	if (rc == 0)
		rc = key_id(public, of_key);
	if (rc == 0)
		rc = key_id(p->chain[0].pubkey, of_certificate);
	if (rc == 0)
		rc = gnutls_x509_crt_init(&leaf);
	if (rc == 0)
		rc = gnutls_x509_crt_import(leaf, &p->chain[0].cert, GNUTLS_X509_FMT_DER);
	if (rc == 0) {
		p->begins = gnutls_x509_crt_get_activation_time(leaf);
		p->expires = gnutls_x509_crt_get_expiration_time(leaf);
	}
	gnutls_pubkey_deinit(public);
	gnutls_x509_crt_deinit(leaf);
	if (rc < 0)
		return fail(FAULT_MALFORMED_REQUEST, "%s: %s", tls.certificate, gnutls_strerror(rc));
	if (memcmp(of_certificate, of_key, KEY_ID_BYTES) != 0)
		return fail(FAULT_MALFORMED_REQUEST, "the key in %s does not belong to the first certificate in %s",
			    tls.key, tls.certificate);
	return 0;
}

/* NULL with a sentence. */
static struct pair *read_pair(void)
{
	struct pair *p = calloc(1, sizeof *p);
	if (!p) {
		fail(FAULT_INTERNAL, "no memory for a TLS certificate");
		return NULL;
	}
	if (read_chain(p) == 0 && read_key(p) == 0 && check_pair(p) == 0)
		return p;
	pair_free(p);
	return NULL;
}

/* Clients refuse a certificate outside of its dates, so that the old one is better, whatever it is. */
static int check_dates(const struct pair *p)
{
	char begins[TIME_TEXT + 1];
	time_format(p->begins, begins);
	if (p->expires <= (time_t)now_seconds())
		return fail(FAULT_MALFORMED_REQUEST, "the certificate in %s has expired", tls.certificate);
	if (p->begins > (time_t)now_seconds())
		return fail(FAULT_MALFORMED_REQUEST, "the certificate in %s is not valid before %s", tls.certificate,
			    begins);
	return 0;
}

int tls_start(const char *certificate, const char *key, uint32_t handshake_seconds)
{
	tls.certificate = certificate;
	tls.key = key;
	tls.handshake_seconds = handshake_seconds;
	tls.current = read_pair();
	if (!tls.current)
		return -FAULT_MALFORMED_REQUEST;
	if (check_dates(tls.current) < 0)
		log_detail(EVENT_TLS_OUT_OF_DATE, "%s", fault_detail());
	return 0;
}

/* Frees pairs that were replaced so long ago that no handshake can hold them. */
static void free_old(struct pair *p, int64_t before_ms)
{
	while (p->older && p->older->replaced_ms > before_ms)
		p = p->older;
	for (struct pair *old = p->older, *older; old; old = older) {
		older = old->older;
		pair_free(old);
	}
	p->older = NULL;
}

int tls_reload(uint32_t handshake_seconds)
{
	struct pair *p = read_pair();
	if (!p)
		return -FAULT_MALFORMED_REQUEST;
	int rc = check_dates(p);
	if (rc < 0) {
		pair_free(p);
		return rc;
	}
	if (handshake_seconds > tls.handshake_seconds)
		tls.handshake_seconds = handshake_seconds;
	int64_t now = clock_ms();
	pthread_mutex_lock(&tls.lock);
	tls.current->replaced_ms = now;
	p->older = tls.current;
	tls.current = p;
	/* Twice, because a connection may outlive its time by the pause between two sweeps. */
	free_old(p, now - 2000 * (int64_t)tls.handshake_seconds);
	pthread_mutex_unlock(&tls.lock);
	return 0;
}

int64_t tls_expires(void)
{
	pthread_mutex_lock(&tls.lock);
	int64_t expires = (int64_t)tls.current->expires;
	pthread_mutex_unlock(&tls.lock);
	return expires;
}

void tls_end(void)
{
	if (tls.current)
		free_old(tls.current, INT64_MAX);
	pair_free(tls.current);
	tls.current = NULL;
}

int tls_pick(gnutls_session_t session, const gnutls_datum_t *issuers, int issuer_count,
	     const gnutls_pk_algorithm_t *algorithms, int algorithm_count, gnutls_pcert_st **ret_chain,
	     unsigned *ret_chain_len, gnutls_privkey_t *ret_key)
{
	(void)session;
	(void)issuers;
	(void)issuer_count;
	(void)algorithms;
	(void)algorithm_count;
	pthread_mutex_lock(&tls.lock);
	*ret_chain = tls.current->chain;
	*ret_chain_len = tls.current->chain_len;
	*ret_key = tls.current->key;
	pthread_mutex_unlock(&tls.lock);
	return 0;
}

/* The handshake is over, and the request is the client's second small write: one who has Nagle's algorithm would wait
 * with it for the acknowledgement of the first, which the kernel puts off for 40 ms, as in TLS 1.3 nothing is sent. */
static int on_finished(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
		       const gnutls_datum_t *message)
{
	const int yes = 1;
	(void)type;
	(void)when;
	(void)message;
	if (incoming)
		setsockopt(gnutls_transport_get_int(session), IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof yes);
	return 0;
}

void tls_greet(gnutls_session_t session, bool ask_for_certificate)
{
	gnutls_handshake_set_max_packet_length(session, TLS_CLIENT_HANDSHAKE_MAX_BYTES);
	gnutls_handshake_set_hook_function(session, GNUTLS_HANDSHAKE_FINISHED, GNUTLS_HOOK_POST, on_finished);
	if (!ask_for_certificate)
		return;
	gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUEST);
	/* No names of issuers: a client that filters by them would show nothing for a CA that was added later. */
	gnutls_certificate_send_x509_rdn_sequence(session, 1);
}

bool tls_fingerprint(gnutls_session_t session, uint8_t ret[static FINGERPRINT_BYTES])
{
	unsigned len = 0;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &len);
	return chain && len > 0 && gnutls_hash_fast(GNUTLS_DIG_SHA256, chain[0].data, chain[0].size, ret) == 0;
}
