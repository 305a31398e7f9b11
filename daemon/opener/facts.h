/* What a certificate says about itself, as bounded clean text and numbers. */
#ifndef PFXD_OPENER_FACTS_H
#define PFXD_OPENER_FACTS_H

#include "contents.h"

struct facts {
	struct buf *subject, *issuer;          /* RFC 4514, UTF-8 */
	struct buf *emails;                    /* list of msg string */
	char serial[SERIAL_MAX_CHARS + 1];
	uint8_t key_identifier[KEY_IDENTIFIER_MAX_BYTES];
	size_t key_identifier_bytes;           /* 0: it has none, or a longer one */
	char key_algorithm[KEY_ALGORITHM_MAX_BYTES + 1];
	int64_t not_before, not_after;         /* seconds since 1970 */
	uint8_t usages;                        /* set of enum usage; 0: not for mail */
};

/* Reads them. MALFORMED_PKCS12 for a date, a serial number or an extension that can not be read, TOO_EXPENSIVE without
 * memory. facts_done() frees what is in it, also after an error.
 *
 * Names and serial numbers: see x509_text.h.
 * Usages, by RFC 8550: an extended key usage without emailProtection and anyExtendedKeyUsage (4.4.4) is not for mail;
 * without a key usage (4.4.2) both; digitalSignature or nonRepudiation is signing; keyEncipherment for RSA and
 * keyAgreement for EC is encryption. dataEncipherment is neither: S/MIME encrypts content with a content key. A key
 * bound to RSASSA-PSS never encrypts. */
int facts_read(const struct found_certificate *certificate, struct facts *ret);
void facts_done(struct facts *f);

#define FACTS __attribute__((cleanup(facts_done))) struct facts

#endif
