/* Reads what the service issued. pfx-device. Believes nothing that it can check: the front of the service holds no CA
 * key, and could send anything. */
#include "issued.h"

#include "authorities.h"

#include "../shared/json_text.h"
#include "../shared/trouble.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

X509_STORE *store_of(STACK_OF(X509) *anchors)
{
	STORE store = X509_STORE_new();
	/* A root above an enrolment CA is a whole company's: what else it issued must be good for nothing here. */
	if (!store || X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) != 1 ||
	    X509_STORE_set_purpose(store, X509_PURPOSE_ANY) != 1)
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

bool issued_by_one_of(X509 *certificate, STACK_OF(X509) *cas)
{
	return chains_to(certificate, NULL, cas);
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

/* From the issuer, whom the device is going to believe, up to a root. */
static int check_chain(const struct issued *issued)
{
	int count = sk_X509_num(issued->chain);
	CHAIN root = sk_X509_new_null();
	CHAIN issuer = sk_X509_new_null();
	if (count == 0 || !root || !issuer ||
	    X509_add_cert(issuer, sk_X509_value(issued->chain, 0), X509_ADD_FLAG_UP_REF) != 1 ||
	    X509_add_cert(root, sk_X509_value(issued->chain, count - 1), X509_ADD_FLAG_UP_REF) != 1)
		return trouble(EXIT_REFUSED, "the server sent a certificate without its chain; nothing was stored");
	if (!chains_to(issued->certificate, issued->chain, root) || !issued_by_one_of(issued->certificate, issuer))
		return trouble(EXIT_REFUSED, "the certificate that the server sent does not chain to the root that it "
			       "sent with it; nothing was stored");
	return EXIT_DONE;
}

static int check(const struct issued *issued, EVP_PKEY *key, STACK_OF(X509) *anchors)
{
	if (X509_check_private_key(issued->certificate, key) != 1) {
		ERR_clear_error();
		return trouble(EXIT_REFUSED, "the certificate that the server sent is for another key; nothing was "
			       "stored");
	}
	if (!names_device(issued->certificate, issued->device_id))
		return trouble(EXIT_REFUSED, "the certificate that the server sent does not name device %s; nothing "
			       "was stored", issued->device_id);
	int rc = check_chain(issued);
	if (rc)
		return rc;
	if (anchors && !issued_by_one_of(issued->certificate, anchors))
		return trouble_coded(EXIT_REFUSED, "unknown_ca", "the new certificate is not from an enrolment CA that "
				     "this device knows; nothing was stored. If the service has a new one, the next "
				     "bundle tells of it: run pfx-device sync");
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
	ret->chain = pem_read_certificates(view_text(json_get_text(json, "chain")), AUTHORITY_CHAIN_MAX);
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
