/* Makes certificates. Keeper, for devices; pfxctl, for itself and for `pfxd --dev`. Of others it reads the times. */
#include "certificate.h"

#include "openssl_ptr.h"

#include <openssl/rand.h>
#include <time.h>

enum { SERIAL_BYTES = 16 };

/* RFC 5280 4.1.2.2: positive, at most 20 octets. 126 random bits. */
static bool set_serial(X509 *x)
{
	uint8_t serial[SERIAL_BYTES];
	if (RAND_bytes(serial, sizeof serial) != 1)
		return false;
	serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40);
	BIGNUM *number = BN_bin2bn(serial, sizeof serial, NULL);
	bool done = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x));
	BN_free(number);
	return done;
}

static bool set_name(X509 *x, const char *common_name)
{
	X509_NAME *name = X509_get_subject_name(x);
	return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const uint8_t *)"pfxd", -1, -1, 0) == 1 &&
	       X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)common_name, -1, -1, 0) == 1;
}

X509 *certificate_begin(EVP_PKEY *key, X509 *issuer, const char *common_name, int days)
{
	CERTIFICATE x = X509_new();
	if (!x || X509_set_version(x, X509_VERSION_3) != 1 || !set_serial(x) || !set_name(x, common_name) ||
	    X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer : x)) != 1 ||
	    !X509_gmtime_adj(X509_getm_notBefore(x), -CERTIFICATE_BACKDATE_SECONDS) ||
	    !X509_time_adj_ex(X509_getm_notAfter(x), days, 0, NULL) || X509_set_pubkey(x, key) != 1)
		return NULL;
	X509 *taken = x;
	x = NULL;
	return taken;
}

bool certificate_extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	bool done = extension && X509_add_ext(x, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return done;
}

static int64_t seconds_of(const ASN1_TIME *time)
{
	struct tm tm;
	return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

int64_t certificate_begins(const X509 *x)
{
	return seconds_of(X509_get0_notBefore(x));
}

int64_t certificate_ends(const X509 *x)
{
	return seconds_of(X509_get0_notAfter(x));
}
