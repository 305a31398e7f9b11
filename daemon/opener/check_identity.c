/* Reads a key and a certificate as an import does, and compares them. Opener, PFX kind: the keeper reads neither, also
 * not what it has sealed itself. */
#include "check_identity.h"

#include "certificate.h"
#include "fault.h"
#include "protocol.h"

static void private_key_freep(struct private_key **key)
{
	private_key_free(*key);
}

static void certificate_freep(struct certificate **c)
{
	certificate_free(*c);
}

int check_identity(const struct msg_check_identity *m)
{
	PUBLIC_KEY public = { 0 };
	__attribute__((cleanup(private_key_freep))) struct private_key *key = NULL;
	__attribute__((cleanup(certificate_freep))) struct certificate *c = certificate_read(m->certificate);
	if (!c)
		return -FAULT_MALFORMED_PKCS12;
	int rc = public_key_read(c->body->key, &public);
	if (rc == 0)
		rc = private_key_read(m->key_secret, &key);
	if (rc == 0 && !public_key_equal(&key->public, &public))
		rc = fail(FAULT_KEY_MISMATCH, "the key is not that of the certificate");
	return rc;
}
