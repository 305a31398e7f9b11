/* The keyring file. Who can write it has everything; what must not be is that a damaged one is taken for whole, or
 * brings the keeper down without a sentence. */
#include "fuzz.h"

#include "keeper/keyring.h"

#include <openssl/err.h>

static void check(const struct keyring *k)
{
	MUST(keyring_wrapping_id(k, 0) && !keyring_wrapping_id(k, KEYRING_WRAPPING_KEYS_MAX));
	for (size_t i = 0; keyring_wrapping_id(k, i); i++) {
		MUST(strlen(keyring_wrapping_id(k, i)) == KEYRING_ID_CHARS);
		MUST(keyring_wrapping_key(k, view_text(keyring_wrapping_id(k, i))));
	}
	MUST(keyring_rows_key(k) && keyring_audit_key(k));
	MUST(keyring_first_token(k).len == 0 || keyring_first_token(k).len == 32);
	MUST(keyring_ca_certificate(k, 0));
	for (size_t i = 0; keyring_ca_certificate(k, i); i++) {
		MUST(X509_check_private_key(keyring_ca_certificate(k, i), keyring_ca_key(k, i)) == 1);
		MUST(X509_check_private_key(keyring_signer_certificate(k, i), keyring_signer_key(k, i)) == 1);
		MUST(X509_verify(keyring_signer_certificate(k, i), keyring_ca_key(k, i)) == 1);
		MUST(sk_X509_num(keyring_ca_chain(k, i)) <= KEYRING_CHAIN_MAX);
	}
	MUST(!keyring_ca_certificate(k, KEYRING_CAS_MAX));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct keyring *k = NULL;
	int rc = keyring_parse(view_of(data, size), &k);
	MUST(rc == 0 || rc == -FAULT_MALFORMED_REQUEST);
	MUST((rc == 0) == (k != NULL) && (rc == 0 || fault_detail()[0]));
	if (k)
		check(k);
	keyring_free(k);
	ERR_clear_error();
	return 0;
}
