/* Opens a PFX as the opener does, and insists on what the header of each part promises. Fuzz targets only. */
#define OPENSSL_SUPPRESS_DEPRECATED /* numbers are easier to compare in an RSA and an EC_KEY */
#include "opener_pfx.h"

#include "opener/bags.h"
#include "opener/check_identity.h"
#include "opener/derive.h"
#include "opener/make_pkcs12.h"
#include "opener/open_pfx.h"
#include "opener/own.h"
#include "opener/pair.h"
#include "text.h"

#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

/* ---- work ---- */

static uint64_t work_done, work_max;

int __real_derive_run(const struct derive *d, struct view password_secret, enum kdf_id id, uint8_t *ret, size_t len);
int __wrap_derive_run(const struct derive *d, struct view password_secret, enum kdf_id id, uint8_t *ret, size_t len);

/* Every derivation of the reading side comes through here (--wrap). Adds up what is really spent, by a reckoning of its
 * own: it must never be more than what the request allows. */
int __wrap_derive_run(const struct derive *d, struct view password_secret, enum kdf_id id, uint8_t *ret, size_t len)
{
	MUST(d->iterations <= work_max && d->salt_len <= SALT_MAX_BYTES && len <= DERIVED_MAX_BYTES);
	if (d->scheme == DERIVE_SCRYPT) {
		MUST(d->r <= work_max && d->p <= work_max);
		MUST(128 * d->iterations * d->r <= SCRYPT_MAX_BYTES);
		work_done += 2 * (d->iterations + 2) * d->r * d->p;
	} else {
		for (size_t left = len; left > 0; left -= left < d->hash->size ? left : d->hash->size)
			work_done += d->iterations + d->salt_len / d->hash->block;
	}
	MUST(work_done <= work_max);
	return __real_derive_run(d, password_secret, id, ret, len);
}

/* ---- what must hold ---- */

/* The errors that open_pfx.h names: those that a client is told as 422. */
static void check_refusal(int rc)
{
	MUST(rc < 0 && fault_status(rc) == 422);
	MUST(rc != -FAULT_MALFORMED_CSR && rc != -FAULT_BAD_PROOF_OF_POSSESSION);
	MUST(fault_detail()[0] && strlen(fault_detail()) < FAULT_DETAIL_MAX);
	/* What an error of the opener may say: put_fault() would leave the rest out. */
	MUST(text_is_clean(view_text(fault_detail())));
}

static bool same_number(const BIGNUM *a, const BIGNUM *b)
{
	return a && b && BN_cmp(a, b) == 0;
}

/* Like EVP_PKEY_eq(), and also where one of the two is bound to PSS. */
static bool same_public(const EVP_PKEY *a, const EVP_PKEY *b)
{
	if (EVP_PKEY_get_base_id(a) == EVP_PKEY_EC)
		return EVP_PKEY_eq(a, b) == 1;
	const RSA *x = EVP_PKEY_get0_RSA(a), *y = EVP_PKEY_get0_RSA(b);
	return x && y && same_number(RSA_get0_n(x), RSA_get0_n(y)) && same_number(RSA_get0_e(x), RSA_get0_e(y));
}

/* A file that was made for devices opens with OpenSSL and the password that was given, and holds this certificate and
 * the key that is returned. */
static EVP_PKEY *open_made(struct view file, struct view password, struct view certificate)
{
	char text[PKCS12_PASSWORD_CHARS + 1];
	const uint8_t *p = file.p;
	EVP_PKEY *found_key = NULL;
	X509 *found = NULL;
	uint8_t *der = NULL;
	MUST(text_copy(password, text, sizeof text));
	PKCS12 *p12 = d2i_PKCS12(NULL, &p, (long)file.len);
	MUST(p12 && p == file.p + file.len);
	MUST(PKCS12_parse(p12, text, &found_key, &found, NULL) == 1);
	MUST(found_key && found);
	int len = i2d_X509(found, &der);
	MUST(view_equal(view_of(der, (size_t)len), certificate));
	OPENSSL_free(der);
	X509_free(found);
	PKCS12_free(p12);
	return found_key;
}

static void check_key(const struct msg_opened_identity *m, size_t index, struct view passwords)
{
	const uint8_t *p = m->certificate.p;
	struct view password = view_of(passwords.p + index * PKCS12_PASSWORD_CHARS, PKCS12_PASSWORD_CHARS);
	EVP_PKEY *modern = open_made(m->modern_secret, password, m->certificate);
	EVP_PKEY *legacy = open_made(m->legacy_secret, password, m->certificate);
	X509 *certificate = d2i_X509(NULL, &p, (long)m->certificate.len);
	MUST(certificate && p == m->certificate.p + m->certificate.len);
	EVP_PKEY *public = X509_get0_pubkey(certificate);
	MUST(public && same_public(public, modern) && EVP_PKEY_eq(modern, legacy) == 1);
	X509_free(certificate);
	EVP_PKEY_free(modern);
	EVP_PKEY_free(legacy);
}

static const struct ciphers *all_ciphers(void)
{
	static struct ciphers ciphers;
	if (!ciphers.ctx)
		MUST(ciphers_load(&ciphers) && ciphers.at[CIPHER_RC2_40]);
	return &ciphers;
}

/* What is kept of an identity is found good when it is asked about. */
static void check_kept(const struct msg_opened_identity *m, size_t index, struct view passwords)
{
	struct view password = view_of(passwords.p + index * PKCS12_PASSWORD_CHARS, PKCS12_PASSWORD_CHARS);
	BUF modern = fuzz_buf(STORED_PKCS12_MAX_BYTES);
	BUF legacy = fuzz_buf(STORED_PKCS12_MAX_BYTES);
	uint8_t sha256[SHA256_DIGEST_LENGTH];
	SHA256(m->certificate.p, m->certificate.len, sha256);
	buf_put(modern, password.p, password.len);
	buf_put(modern, m->modern_secret.p, m->modern_secret.len);
	buf_put(legacy, password.p, password.len);
	buf_put(legacy, m->legacy_secret.p, m->legacy_secret.len);
	const struct msg_check_identity kept = { .sha256 = view_of(sha256, sizeof sha256),
						 .modern_secret = buf_view(modern), .legacy_secret = buf_view(legacy) };
	work_done = 0;
	MUST(check_identity(all_ciphers(), &kept) == 0);
}

static void check_facts(const struct msg_opened_identity *m, uint8_t usages, size_t chain_count)
{
	MUST(m->usages != 0 && (usages == 0 || m->usages == usages));
	MUST(m->serial.len > 0 && m->key_algorithm.len > 0);
	for (size_t i = 0; i < m->chain.len; i++) {
		MUST(m->chain.p[i] < chain_count);
		for (size_t j = 0; j < i; j++)
			MUST(m->chain.p[i] != m->chain.p[j]);
	}
	size_t emails = 0;
	for (struct view rest = m->emails; rest.len > 0; emails++) {
		struct msg_string email;
		MUST(get_string(&rest, &email) == 0);
		MUST(email.value.len > 0 && email.value.len <= EMAIL_MAX_BYTES);
	}
	MUST(emails <= EMAILS_MAX);
}

static size_t check_chain(struct view chain)
{
	size_t count = 0;
	struct msg_opened_certificate m;
	for (; chain.len > 0; count++) {
		MUST(get_opened_certificate(&chain, &m) == 0);
		MUST(m.certificate.len > 0);
	}
	MUST(count <= PFX_CHAIN_MAX);
	return count;
}

static void check_warnings(struct view warnings)
{
	size_t count = 0;
	struct msg_warning m;
	for (; warnings.len > 0; count++) {
		MUST(get_warning(&warnings, &m) == 0);
		MUST(m.code.len > 0 && m.detail.len > 0);
		MUST(m.thumbprint.len == 0 || m.thumbprint.len == THUMBPRINT_BYTES);
	}
	MUST(count <= WARNINGS_MAX);
}

static void check_answer(struct view answer, const struct msg_open_pfx *request)
{
	struct msg_opened_pfx m;
	struct msg_opened_identity identity;
	size_t count = 0;
	MUST(read_opened_pfx(answer, &m) == 0);
	size_t chain_count = check_chain(m.chain);
	check_warnings(m.warnings);
	MUST(m.identities.len > 0);
	for (; m.identities.len > 0; count++) {
		MUST(count < PFX_IDENTITIES_MAX);
		MUST(get_opened_identity(&m.identities, &identity) == 0);
		check_facts(&identity, request->usages, chain_count);
		check_key(&identity, count, request->passwords_secret);
		check_kept(&identity, count, request->passwords_secret);
	}
}

/* ---- */

static struct view passwords(void)
{
	static char all[PFX_IDENTITIES_MAX * PKCS12_PASSWORD_CHARS + 1];
	for (int i = 0; i < PFX_IDENTITIES_MAX; i++)
		snprintf(all + i * PKCS12_PASSWORD_CHARS, PKCS12_PASSWORD_CHARS + 1, "%043d", i);
	return view_of(all, sizeof all - 1);
}

void fuzz_open_pfx(struct view pfx, struct view password)
{
	if (pfx.len > PFX_MAX_BYTES || password.len > PASSWORD_MAX_BYTES)
		return;
	/* A certificate that is not for mail is asked for as one for encryption, so that the way goes on. */
	for (uint8_t usages = 0; usages <= USAGE_ENCRYPTION; usages++) {
		BUF answer = fuzz_buf(FRAME_MAX_BYTES);
		const struct msg_open_pfx request = {
			.max_work = FUZZ_WORK_MAX, .usages = usages, .pfx_secret = pfx, .password_secret = password,
			.passwords_secret = passwords(),
		};
		fuzz_fix_random();
		work_done = 0;
		work_max = FUZZ_WORK_MAX;
		int rc = open_pfx(all_ciphers(), &request, answer);
		if (rc == 0)
			check_answer(buf_view(answer), &request);
		else
			check_refusal(rc);
		MUST(rc == 0 || buf_len(answer) == 0);
		ERR_clear_error();
		if (rc != -FAULT_NOT_FOR_MAIL)
			return;
	}
}
