/* The keys and certificates of one PFX. Opener, PFX kind. Never believes an attribute about what belongs together. */
#include "contents.h"

#include "fault.h"
#include "kdf.h"

#include <openssl/obj_mac.h>
#include <stdlib.h>
#include <string.h>

struct contents *contents_new(void)
{
	return calloc(1, sizeof(struct contents));
}

static void certificate_done(struct found_certificate *c)
{
	certificate_free(c->parts);
	buf_free(c->der);
	public_key_done(&c->public);
}

void contents_free(struct contents *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->key_count; i++)
		private_key_free(c->keys[i].key);
	for (size_t i = 0; i < c->certificate_count; i++)
		certificate_done(&c->certificates[i]);
	free(c);
}

/* Windows writes one key under several certificates; the first of them is enough. */
static struct found_key *known_key(struct contents *c, const struct private_key *key)
{
	for (size_t i = 0; i < c->key_count; i++)
		if (public_key_equal(&c->keys[i].key->public, &key->public))
			return &c->keys[i];
	return NULL;
}

int contents_add_key(struct contents *c, struct view pkcs8, const struct local_id *id)
{
	if (c->key_count == PFX_KEYS_MAX)
		return fail(FAULT_TOO_EXPENSIVE, "more than %d private keys in one PFX: split it", PFX_KEYS_MAX);
	struct private_key *key;
	int rc = private_key_read(pkcs8, &key);
	if (rc < 0)
		return rc;
	if (known_key(c, key))
		private_key_free(key);
	else
		c->keys[c->key_count++] = (struct found_key){ .key = key, .local_id = *id };
	return 0;
}

static int fill_certificate(struct found_certificate *c, struct view der)
{
	if (der.len > CERTIFICATE_MAX_BYTES)
		return fail(FAULT_MALFORMED_PKCS12, "RFC 5280 4.1: a certificate of more than %d bytes",
			    CERTIFICATE_MAX_BYTES);
	c->parts = certificate_read(der);
	if (!c->parts)
		return -FAULT_MALFORMED_PKCS12;
	c->der = buf_new(CERTIFICATE_MAX_BYTES);
	if (c->der)
		buf_put(c->der, der.p, der.len);
	if (!c->der || !buf_ok(c->der))
		return fail(FAULT_TOO_EXPENSIVE, "no memory left for a certificate");
	hash_digest(hash_by_nid(NID_sha1), der, c->thumbprint);
	return 0;
}

static struct found_certificate *known_certificate(struct contents *c, const struct found_certificate *one)
{
	for (size_t i = 0; i < c->certificate_count; i++)
		if (view_equal(buf_view(c->certificates[i].der), buf_view(one->der)))
			return &c->certificates[i];
	return NULL;
}

/* Reads the rest, once it is known to be a new one. Takes one over. */
static int keep(struct contents *c, struct found_certificate *one)
{
	int rc = certificate_is_ca(one->parts, &one->is_ca);
	if (rc == 0 && c->certificate_count == PFX_CERTIFICATES_MAX)
		rc = fail(FAULT_TOO_EXPENSIVE, "more than %d certificates in one PFX: split it", PFX_CERTIFICATES_MAX);
	if (rc < 0) {
		certificate_done(one);
		return rc;
	}
	one->public_fault = public_key_read(one->parts->body->key, &one->public);
	c->certificates[c->certificate_count++] = *one;
	return one->public_fault == -FAULT_TOO_EXPENSIVE ? one->public_fault : 0;
}

int contents_add_certificate(struct contents *c, struct view der, const struct local_id *id)
{
	struct found_certificate one = { .local_id = *id };
	int rc = fill_certificate(&one, der);
	if (rc < 0) {
		certificate_done(&one);
		return rc;
	}
	struct found_certificate *known = known_certificate(c, &one);
	if (!known)
		return keep(c, &one);
	if (known->local_id.len == 0)
		known->local_id = *id;
	certificate_done(&one);
	return 0;
}
