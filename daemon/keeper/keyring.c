/* Makes and reads the keyring. Keeper reads it once, at its start; pfxctl makes it. The only file of the service
 * that, together with the database, opens anything. */
#include "keyring.h"

#include "ca.h"
#include "encode.h"
#include "fault.h"
#include "openssl_ptr.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct pair {
	EVP_PKEY *key;
	X509 *certificate;
};

struct authority {
	struct pair ca, signer;
	STACK_OF(X509) *chain; /* above the CA */
};

struct keyring {
	struct {
		char id[KEYRING_ID_CHARS + 1];
		struct key256 key_secret;
	} wrapping[KEYRING_WRAPPING_KEYS_MAX];
	size_t wrapping_count, ca_count, signer_count;
	struct hmac_key *rows, *audit;
	bool has_first_token;
	uint8_t first_token[32];
	struct authority authorities[KEYRING_CAS_MAX];
	EVP_PKEY *request_key;
};

/* ---- making ---- */

static int put_random_key(struct buf *text, const char *name)
{
	KEY256 key_secret;
	if (RAND_priv_bytes(key_secret.at, sizeof key_secret.at) != 1)
		return fail(FAULT_INTERNAL, "no random bytes");
	buf_put_text(text, name);
	buf_put_u8(text, ' ');
	base64_encode(view_of(key_secret.at, sizeof key_secret.at), text);
	buf_put_u8(text, '\n');
	return 0;
}

static int put_certificate(struct buf *text, X509 *certificate)
{
	BUF der = buf_new(KEYRING_MAX_BYTES);
	if (!der || ca_encode(certificate, der) < 0)
		return fail(FAULT_INTERNAL, "could not encode a certificate of the keyring");
	buf_put_u8(text, ' ');
	base64_encode(buf_view(der), text);
	return 0;
}

static int put_key(struct buf *text, const char *name, EVP_PKEY *key)
{
	BUF key_secret = buf_new(KEYRING_MAX_BYTES);
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
	int len = info ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : -1;
	uint8_t *at = key_secret && len > 0 ? buf_reserve(key_secret, (size_t)len) : NULL;
	bool encoded = at && i2d_PKCS8_PRIV_KEY_INFO(info, &at) == len;
	PKCS8_PRIV_KEY_INFO_free(info);
	if (!encoded)
		return fail(FAULT_INTERNAL, "could not encode a key of the keyring");
	buf_printf(text, "%s ", name);
	base64_encode(buf_view(key_secret), text);
	return 0;
}

int keyring_put_wrapping(struct buf *ret_secret)
{
	uint8_t mark[KEYRING_ID_CHARS / 2];
	char wrap[16] = "wrap ";
	if (RAND_bytes(mark, sizeof mark) != 1)
		return fail(FAULT_INTERNAL, "no random bytes");
	hex_encode(view_of(mark, sizeof mark), wrap + 5);
	return put_random_key(ret_secret, wrap);
}

int keyring_put_ca(EVP_PKEY *key, X509 *certificate, const STACK_OF(X509) *chain, struct buf *ret_secret)
{
	PKEY signer_key = NULL;
	CERTIFICATE signer = NULL;
	int rc = ca_make_bundle_signer(key, certificate, &signer_key, &signer);
	if (rc == 0)
		rc = put_key(ret_secret, "ca", key);
	if (rc == 0)
		rc = put_certificate(ret_secret, certificate);
	for (int i = 0; rc == 0 && i < sk_X509_num(chain); i++)
		rc = put_certificate(ret_secret, sk_X509_value(chain, i));
	buf_put_u8(ret_secret, '\n');
	if (rc == 0)
		rc = put_key(ret_secret, "bundle-signer", signer_key);
	if (rc == 0)
		rc = put_certificate(ret_secret, signer);
	buf_put_u8(ret_secret, '\n');
	return rc;
}

int keyring_put_request(EVP_PKEY *key, struct buf *ret_secret)
{
	int rc = put_key(ret_secret, "ca-request", key);
	buf_put_u8(ret_secret, '\n');
	return rc;
}

int keyring_make(struct view first_token_sha256, struct buf *ret_secret)
{
	PKEY ca_key = NULL;
	CERTIFICATE ca = NULL;
	char hex[65];
	if (first_token_sha256.len != 32)
		return fail(FAULT_INTERNAL, "the first token has no SHA-256");
	hex_encode(first_token_sha256, hex);
	buf_put_text(ret_secret, "pfxd-keyring 1\n");
	int rc = keyring_put_wrapping(ret_secret);
	if (rc == 0)
		rc = put_random_key(ret_secret, "rows");
	if (rc == 0)
		rc = put_random_key(ret_secret, "audit");
	buf_printf(ret_secret, "first-token %s\n", hex);
	if (rc == 0)
		rc = ca_make(&ca_key, &ca);
	if (rc == 0)
		rc = keyring_put_ca(ca_key, ca, NULL, ret_secret);
	if (rc == 0 && !buf_ok(ret_secret))
		rc = fail(FAULT_INTERNAL, "no memory for the keyring");
	return rc;
}

/* ---- reading ---- */

/* Takes the part of v before the next stop, and the stop. */
static struct view word(struct view *v, uint8_t stop)
{
	const uint8_t *at = memchr(v->p, stop, v->len);
	size_t len = at ? (size_t)(at - v->p) : v->len;
	struct view taken = view_of(v->p, len);
	size_t past = at ? len + 1 : len;
	*v = view_of(v->p + past, v->len - past);
	return taken;
}

static bool read_key(struct view text, struct key256 *ret_secret)
{
	BUF bytes_secret = buf_new(sizeof ret_secret->at);
	if (!bytes_secret || base64_decode(text, bytes_secret) < 0 || buf_len(bytes_secret) != sizeof ret_secret->at)
		return false;
	memcpy(ret_secret->at, buf_data(bytes_secret), sizeof ret_secret->at);
	return true;
}

/* There is one of each. */
static bool read_hmac_key(struct view text, struct hmac_key **ret)
{
	KEY256 key_secret;
	if (*ret || !read_key(text, &key_secret))
		return false;
	*ret = hmac_key_new(&key_secret);
	return *ret != NULL;
}

static EVP_PKEY *read_private(struct view text)
{
	BUF der_secret = buf_new(KEYRING_MAX_BYTES);
	if (!der_secret || base64_decode(text, der_secret) < 0)
		return NULL;
	const uint8_t *at = buf_data(der_secret);
	EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &at, (long)buf_len(der_secret));
	ERR_clear_error();
	return key;
}

static X509 *read_certificate(struct view text)
{
	BUF der = buf_new(KEYRING_MAX_BYTES);
	if (!der || base64_decode(text, der) < 0)
		return NULL;
	const uint8_t *at = buf_data(der);
	X509 *certificate = d2i_X509(NULL, &at, (long)buf_len(der));
	/* OpenSSL reads the extensions when they are first asked for: now, and not while threads read them. */
	if (certificate)
		X509_check_purpose(certificate, -1, 0);
	ERR_clear_error();
	return certificate;
}

static bool read_pair(struct view *line, struct pair *ret)
{
	ret->key = read_private(word(line, ' '));
	ret->certificate = read_certificate(word(line, ' '));
	bool fit = ret->key && ret->certificate && X509_check_private_key(ret->certificate, ret->key) == 1;
	ERR_clear_error();
	return fit;
}

/* What issued the CA's certificate, and what issued that, up to a root. */
static bool read_chain(struct view line, struct authority *a)
{
	a->chain = sk_X509_new_null();
	for (int n = 0; a->chain && line.len > 0; n++) {
		X509 *above = n < KEYRING_CHAIN_MAX ? read_certificate(word(&line, ' ')) : NULL;
		if (!above || sk_X509_push(a->chain, above) <= 0) {
			X509_free(above);
			return false;
		}
	}
	return a->chain != NULL;
}

static bool read_ca(struct keyring *k, struct view line)
{
	if (k->ca_count == KEYRING_CAS_MAX || k->ca_count != k->signer_count)
		return false;
	struct authority *a = &k->authorities[k->ca_count++];
	return read_pair(&line, &a->ca) && read_chain(line, a);
}

/* It belongs to the CA on the line before it. */
static bool read_signer(struct keyring *k, struct view line)
{
	if (k->signer_count + 1 != k->ca_count)
		return false;
	struct authority *a = &k->authorities[k->signer_count++];
	bool fit = read_pair(&line, &a->signer) && line.len == 0 && X509_verify(a->signer.certificate, a->ca.key) == 1;
	ERR_clear_error();
	return fit;
}

static bool read_request(struct keyring *k, struct view line)
{
	if (!k->request_key)
		k->request_key = read_private(line);
	else
		return false;
	return k->request_key != NULL;
}

static bool read_wrapping(struct keyring *k, struct view line)
{
	struct view id = word(&line, ' ');
	uint8_t bytes[KEYRING_ID_CHARS / 2];
	if (k->wrapping_count == KEYRING_WRAPPING_KEYS_MAX || !hex_decode(id, bytes, sizeof bytes) ||
	    keyring_wrapping_key(k, id))
		return false;
	memcpy(k->wrapping[k->wrapping_count].id, id.p, KEYRING_ID_CHARS);
	return read_key(line, &k->wrapping[k->wrapping_count++].key_secret);
}

static bool read_once(bool *seen)
{
	bool first = !*seen;
	*seen = true;
	return first;
}

static bool read_line(struct keyring *k, struct view line)
{
	struct view name = word(&line, ' ');
	if (view_is(name, "wrap"))
		return read_wrapping(k, line);
	if (view_is(name, "rows"))
		return read_hmac_key(line, &k->rows);
	if (view_is(name, "audit"))
		return read_hmac_key(line, &k->audit);
	if (view_is(name, "first-token"))
		return read_once(&k->has_first_token) && hex_decode(line, k->first_token, sizeof k->first_token);
	if (view_is(name, "ca"))
		return read_ca(k, line);
	if (view_is(name, "bundle-signer"))
		return read_signer(k, line);
	return view_is(name, "ca-request") && read_request(k, line);
}

int keyring_parse(struct view text_secret, struct keyring **ret)
{
	struct keyring *k = calloc(1, sizeof *k);
	int rc = k ? 0 : fail(FAULT_INTERNAL, "no memory for the keyring");
	if (rc == 0 && !view_is(word(&text_secret, '\n'), "pfxd-keyring 1"))
		rc = fail(FAULT_MALFORMED_REQUEST, "this is not a keyring: its first line is not \"pfxd-keyring 1\"");
	for (unsigned line = 2; rc == 0 && text_secret.len > 0; line++)
		if (!read_line(k, word(&text_secret, '\n')))
			rc = fail(FAULT_MALFORMED_REQUEST, "line %u of the keyring is damaged", line);
	if (rc == 0 && (!k->wrapping_count || !k->rows || !k->audit || !k->ca_count ||
			k->signer_count != k->ca_count))
		rc = fail(FAULT_MALFORMED_REQUEST, "the keyring is cut short: a key is missing");
	if (rc == 0)
		*ret = k;
	else
		keyring_free(k);
	return rc;
}

static int read_file(const char *path, struct buf *ret_secret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0) {
		int rc = fail(FAULT_NOT_FOUND, "can not open the keyring %s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return rc;
	}
	uint8_t *at = st.st_size > 0 && st.st_size <= KEYRING_MAX_BYTES ? buf_reserve(ret_secret, (size_t)st.st_size) :
									   NULL;
	bool whole = at && read(fd, at, (size_t)st.st_size) == st.st_size;
	close(fd);
	if (S_ISREG(st.st_mode) && (st.st_mode & 077))
		return fail(FAULT_FORBIDDEN, "the keyring %s is readable by others: chmod 600 it", path);
	return whole ? 0 : fail(FAULT_MALFORMED_REQUEST, "the keyring %s is empty, too large, or can not be read",
				path);
}

int keyring_open(const char *path, struct keyring **ret)
{
	char credential[4096];
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	if (!*path) {
		if (!folder)
			return fail(FAULT_NOT_FOUND, "there is no keyring: set [paths] keyring, or pass the credential "
						     "keyring by LoadCredentialEncrypted=");
		snprintf(credential, sizeof credential, "%s/keyring", folder);
		path = credential;
	}
	BUF text_secret = buf_new(KEYRING_MAX_BYTES);
	if (!text_secret)
		return fail(FAULT_INTERNAL, "no memory for the keyring");
	int rc = read_file(path, text_secret);
	return rc < 0 ? rc : keyring_parse(buf_view(text_secret), ret);
}

static void pair_free(struct pair *pair)
{
	EVP_PKEY_free(pair->key);
	X509_free(pair->certificate);
}

void keyring_free(struct keyring *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < KEYRING_CAS_MAX; i++) {
		pair_free(&k->authorities[i].ca);
		pair_free(&k->authorities[i].signer);
		sk_X509_pop_free(k->authorities[i].chain, X509_free);
	}
	EVP_PKEY_free(k->request_key);
	hmac_key_free(k->rows);
	hmac_key_free(k->audit);
	explicit_bzero(k, sizeof *k);
	free(k);
}

const char *keyring_wrapping_id(const struct keyring *k, size_t i)
{
	return i < k->wrapping_count ? k->wrapping[i].id : NULL;
}

const struct key256 *keyring_wrapping_key(const struct keyring *k, struct view id)
{
	for (size_t i = 0; i < k->wrapping_count; i++)
		if (view_is(id, k->wrapping[i].id))
			return &k->wrapping[i].key_secret;
	return NULL;
}

struct hmac_key *keyring_rows_key(const struct keyring *k)
{
	return k->rows;
}

struct hmac_key *keyring_audit_key(const struct keyring *k)
{
	return k->audit;
}

struct view keyring_first_token(const struct keyring *k)
{
	return view_of(k->first_token, k->has_first_token ? sizeof k->first_token : 0);
}

X509 *keyring_ca_certificate(const struct keyring *k, size_t i)
{
	return i < k->ca_count ? k->authorities[i].ca.certificate : NULL;
}

EVP_PKEY *keyring_ca_key(const struct keyring *k, size_t i)
{
	return i < k->ca_count ? k->authorities[i].ca.key : NULL;
}

const STACK_OF(X509) *keyring_ca_chain(const struct keyring *k, size_t i)
{
	return i < k->ca_count ? k->authorities[i].chain : NULL;
}

X509 *keyring_signer_certificate(const struct keyring *k, size_t i)
{
	return i < k->signer_count ? k->authorities[i].signer.certificate : NULL;
}

EVP_PKEY *keyring_signer_key(const struct keyring *k, size_t i)
{
	return i < k->signer_count ? k->authorities[i].signer.key : NULL;
}

EVP_PKEY *keyring_request_key(const struct keyring *k)
{
	return k->request_key;
}

int keyring_ca_of(const struct keyring *k, X509 *certificate, size_t *ret)
{
	errno = 0;
	for (size_t i = 0; i < k->ca_count; i++)
		if (X509_check_issued(k->authorities[i].ca.certificate, certificate) == X509_V_OK) {
			*ret = i;
			return 0;
		}
	ERR_clear_error();
	if (errno == ENOMEM) /* OpenSSL reads the extensions only now, and does not say why it could not */
		return fail(FAULT_UNAVAILABLE, "no memory to read a certificate");
	return fail(FAULT_UNAUTHORIZED, "the enrolment CA of this client certificate was retired: enrol the device "
					"again");
}

static bool holds(struct view der, const void *bytes, size_t len)
{
	return memmem(der.p, der.len, bytes, len) != NULL;
}

/* True also where that can not be told. */
static bool names(struct view der, X509 *ca)
{
	const uint8_t *name;
	size_t len;
	const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(ca);
	if (!id || X509_NAME_get0_der(X509_get_subject_name(ca), &name, &len) != 1)
		return true;
	return holds(der, name, len) && holds(der, ASN1_STRING_get0_data(id), (size_t)ASN1_STRING_length(id));
}

/* A certificate holds its issuer's name as that has it itself, byte for byte: ca_issue() copies it. What a device put
 * into its key to look like another one's name makes it two that are named, and then it is read. */
int keyring_ca_of_der(const struct keyring *k, struct view der, size_t *ret)
{
	size_t count = 0;
	for (size_t i = 0; i < k->ca_count; i++)
		if (names(der, k->authorities[i].ca.certificate) && count++ == 0)
			*ret = i;
	if (count == 1)
		return 0;
	const uint8_t *at = der.p;
	CERTIFICATE certificate = d2i_X509(NULL, &at, (long)der.len);
	return certificate ? keyring_ca_of(k, certificate, ret) :
			     fail(FAULT_INTERNAL, "a device certificate can not be read");
}

int keyring_put_ca_pem(const struct keyring *k, size_t i, struct buf *ret)
{
	BUF der = buf_new(KEYRING_MAX_BYTES);
	const STACK_OF(X509) *chain = keyring_ca_chain(k, i);
	int rc = der ? ca_encode(keyring_ca_certificate(k, i), der) : fail(FAULT_UNAVAILABLE, "no memory");
	for (int n = 0; rc == 0; n++) {
		pem_encode("CERTIFICATE", buf_view(der), ret);
		if (n == sk_X509_num(chain))
			break;
		buf_reset(der);
		rc = ca_encode(sk_X509_value(chain, n), der);
	}
	return rc;
}
