/* What stands behind a right MAC: the layers of a PFX that nobody reaches who does not know the password, and that a
 * person reaches who made the file. The input is a password, a line break, and an AuthenticatedSafe (RFC 7292 4.1); the
 * target puts it into a PFX with a MAC that verifies. */
#include "opener_pfx.h"

#include "opener/der.h"
#include "opener/kdf.h"
#include "opener/password.h"

#include <openssl/obj_mac.h>

enum { CONTENTS_MAX_BYTES = 256 * KIB };

#define OID_DATA   0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1
#define OID_SHA256 0x06, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 3, 4, 2, 1

/* MacData with one iteration, for the first form of the password. */
static void put_mac(struct der *d, struct view contents, struct view password)
{
	static const uint8_t salt[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	const struct hash *sha256 = hash_by_nid(NID_sha256);
	uint8_t key[32], digest[32];
	PASSWORD forms = { 0 };
	MUST(password_init(&forms, password) == 0);
	kdf_pkcs12(sha256, buf_view(forms.bmp_secret[0]), view_of(salt, sizeof salt), KDF_ID_MAC, 1, key, sizeof key);
	hash_hmac(sha256, view_of(key, sizeof key), contents, digest);
	size_t all = der_mark(d);
	der_put_value(d, DER_OCTETS, view_of(salt, sizeof salt));
	size_t info = der_mark(d);
	der_put_value(d, DER_OCTETS, view_of(digest, sizeof digest));
	size_t algorithm = der_mark(d);
	DER_PUT(d, OID_SHA256, 5, 0);
	der_wrap(d, DER_SEQUENCE, algorithm);
	der_wrap(d, DER_SEQUENCE, info);
	der_wrap(d, DER_SEQUENCE, all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t room[CONTENTS_MAX_BYTES + KIB];
	struct view contents = view_of(data, size);
	struct view password = fuzz_take_until(&contents, "\n");
	struct der d;
	if (contents.len > CONTENTS_MAX_BYTES || password.len > PASSWORD_MAX_BYTES)
		return 0;
	der_init(&d, room, sizeof room);
	put_mac(&d, contents, password);
	size_t safe = der_mark(&d);
	der_put_value(&d, DER_OCTETS, contents);
	der_wrap(&d, DER_CONTEXT_0, safe);
	DER_PUT(&d, OID_DATA);
	der_wrap(&d, DER_SEQUENCE, safe);
	DER_PUT(&d, DER_INTEGER, 1, 3);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	MUST(!d.failed);
	/* In memory of its own size, so that a step beyond it is seen. */
	struct view pfx = der_since(&d, sizeof room);
	uint8_t *copy = malloc(pfx.len);
	MUST(copy);
	memcpy(copy, pfx.p, pfx.len);
	fuzz_open_pfx(view_of(copy, pfx.len), password);
	free(copy);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	struct view contents = view_of(data, size);
	struct view password = fuzz_take_until(&contents, "\n");
	return fuzz_mutate_der(data, size, max, seed, password.len + 1);
}
