/* Reads what the service issued. pfx-device. Believes nothing that it can check: the front of the service holds no CA
 * key, and could send anything. */
#include "issued.h"

#include "../shared/json_text.h"
#include "../shared/trouble.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

enum { CHAIN_MAX = 8 };

X509_STORE *store_of(STACK_OF(X509) *anchors)
{
	STORE store = X509_STORE_new();
	if (!store || X509_STORE_set_purpose(store, X509_PURPOSE_ANY) != 1)
		return NULL;
	for (int i = 0; i < sk_X509_num(anchors); i++)
		if (X509_STORE_add_cert(store, sk_X509_value(anchors, i)) != 1)
			return NULL;
	X509_STORE *taken = store;
	store = NULL;
	return taken;
}

/* The purpose is set on the parameters: X509_STORE_CTX_set_purpose() leaves one alone that came with the store. */
static bool chains_to(X509 *certificate, STACK_OF(X509) *chain, STACK_OF(X509) *anchors)
{
	STORE store = store_of(anchors);
	STORE_CTX context = X509_STORE_CTX_new();
	bool done = store && context && X509_STORE_CTX_init(context, store, certificate, chain) == 1 &&
		    X509_VERIFY_PARAM_set_purpose(X509_STORE_CTX_get0_param(context), X509_PURPOSE_SSL_CLIENT) == 1 &&
		    X509_verify_cert(context) == 1;
	ERR_clear_error();
	return done;
}

/* The certificate says whose it is by a URI urn:uuid:ID among its alternative names. */
static bool names_device(X509 *certificate, const char *device_id)
{
	char wanted[16 + UUID_TEXT];
	bool found = false;
	int len = snprintf(wanted, sizeof wanted, "urn:uuid:%s", device_id);
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type != GEN_URI)
			continue;
		const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;
		found |= ASN1_STRING_length(uri) == len &&
			 memcmp(ASN1_STRING_get0_data(uri), wanted, (size_t)len) == 0;
	}
	GENERAL_NAMES_free(names);
	return found;
}

static int check(const struct issued *issued, EVP_PKEY *key, STACK_OF(X509) *anchors)
{
	int count = sk_X509_num(issued->chain);
	if (X509_check_private_key(issued->certificate, key) != 1) {
		ERR_clear_error();
		return trouble(EXIT_REFUSED, "the certificate that the server sent is for another key; nothing was "
			       "stored");
	}
	if (!names_device(issued->certificate, issued->device_id))
		return trouble(EXIT_REFUSED, "the certificate that the server sent does not name device %s; nothing "
			       "was stored", issued->device_id);
	CHAIN root = sk_X509_new_null();
	if (count == 0 || !root ||
	    X509_add_cert(root, sk_X509_value(issued->chain, count - 1), X509_ADD_FLAG_UP_REF) != 1)
		return trouble(EXIT_REFUSED, "the server sent a certificate without its chain; nothing was stored");
	if (!chains_to(issued->certificate, issued->chain, root))
		return trouble(EXIT_REFUSED, "the certificate that the server sent does not chain to the root that it "
			       "sent with it; nothing was stored");
	if (anchors && !chains_to(issued->certificate, issued->chain, anchors))
		return trouble(EXIT_REFUSED, "the new certificate is not from the service that this device enrolled "
			       "with; nothing was stored");
	return EXIT_DONE;
}

int issued_read(struct view answer, EVP_PKEY *key, STACK_OF(X509) *anchors, struct issued *ret)
{
	JSON json = NULL;
	*ret = (struct issued){ 0 };
	int rc = json_read(answer, &json);
	if (rc)
		return rc;
	struct view id = view_text(json_get_text(json, "deviceId"));
	if (!uuid_is_valid(id) || !text_copy(id, ret->device_id, sizeof ret->device_id))
		return trouble(EXIT_REFUSED, "the server's answer names no device");
	ret->certificate = pem_read_certificate(view_text(json_get_text(json, "certificate")));
	ret->chain = pem_read_certificates(view_text(json_get_text(json, "chain")), CHAIN_MAX);
	if (!ret->certificate || !ret->chain)
		return trouble(EXIT_REFUSED, "the certificates in the server's answer can not be read");
	return check(ret, key, anchors);
}

void issued_done(struct issued *issued)
{
	X509_free(issued->certificate);
	sk_X509_pop_free(issued->chain, X509_free);
}

int issued_store(const struct state *state, const struct issued *issued)
{
	BUF pem = buf_new(CERTIFICATE_MAX_BYTES * 2);
	if (!pem || !pem_put_certificate(pem, issued->certificate))
		return trouble(EXIT_LOCAL, "no memory");
	int rc = state_write(state, "device.crt", pem);
	return rc ? rc : state_adopt_pending(state);
}
