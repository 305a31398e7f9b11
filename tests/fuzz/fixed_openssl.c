/* What OpenSSL draws and when its certificates begin, fixed. Fuzz targets only. */
#define OPENSSL_SUPPRESS_DEPRECATED /* a RAND_METHOD is the shortest way to fix what is drawn */
#include "fuzz.h"

#include <openssl/asn1.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

static uint64_t random_state;

static int fixed_bytes(unsigned char *ret, int len)
{
	for (int i = 0; i < len; i++) {
		random_state = random_state * 6364136223846793005u + 1442695040888963407u;
		ret[i] = (unsigned char)(random_state >> 56);
	}
	return 1;
}

static int always_seeded(void)
{
	return 1;
}

void fuzz_fix_random(void)
{
	static const RAND_METHOD method = { .bytes = fixed_bytes, .pseudorand = fixed_bytes, .status = always_seeded };
	random_state = 1;
	RAND_set_rand_method(&method);
}

/* The linker puts these in the place of the functions that are called like them (--wrap in the Makefile). */
ASN1_TIME *__wrap_X509_gmtime_adj(ASN1_TIME *t, long seconds);
ASN1_TIME *__wrap_X509_time_adj_ex(ASN1_TIME *t, int days, long seconds, time_t *from);

ASN1_TIME *__wrap_X509_gmtime_adj(ASN1_TIME *t, long seconds)
{
	return ASN1_TIME_adj(t, FUZZ_NOW, 0, seconds);
}

ASN1_TIME *__wrap_X509_time_adj_ex(ASN1_TIME *t, int days, long seconds, time_t *from)
{
	return ASN1_TIME_adj(t, from ? *from : FUZZ_NOW, days, seconds);
}
