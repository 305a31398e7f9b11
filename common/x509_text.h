/* Names and serial numbers of certificates as text: what the opener tells of a certificate, and pfxctl looks for, is the
 * same byte for byte. Needs libcrypto. */
#ifndef PFXD_X509_TEXT_H
#define PFXD_X509_TEXT_H

#include "buf.h"
#include "protocol.h"

#include <openssl/x509.h>

/* Appends a name to ret, RFC 4514, most significant last. What is not clean text (a control character; RFC 4514 escapes
 * the ASCII ones as \0A) is a '?', and a name longer than DISTINGUISHED_NAME_MAX_BYTES ends in "...". MALFORMED_PKCS12
 * if it can not be read, TOO_EXPENSIVE without memory. */
int name_text(const X509_NAME *name, struct buf *ret);

/* Two lower-case hex digits for each octet of the absolute value, so "0a" and "00"; '-' before a negative one.
 * MALFORMED_PKCS12 for one that is longer than SERIAL_MAX_CHARS. */
int serial_text(const ASN1_INTEGER *serial, char ret[static SERIAL_MAX_CHARS + 1]);

#endif
