/* base64 (RFC 4648 section 4, padded), base64url (section 5, without padding), hex, PEM armour (RFC 7468), JSON strings.
 * Front can not use OpenSSL's and keeper can not use GnuTLS's, and both must accept the same text. */
#ifndef PFXD_ENCODE_H
#define PFXD_ENCODE_H

#include "buf.h"

/* Decodes into ret, appending. Line breaks (CR, LF) are ignored; anything else out of place is MALFORMED_REQUEST.
 * TOO_LARGE when ret has no room; UNAVAILABLE without memory. */
int base64_decode(struct view text, struct buf *ret);
void base64_encode(struct view bytes, struct buf *ret);
void base64url_encode(struct view bytes, struct buf *ret);

/* Lower case. ret has room for 2 * bytes.len + 1. */
void hex_encode(struct view bytes, char *ret);
/* Decodes exactly len bytes of either case. False if text is not that. */
bool hex_decode(struct view text, uint8_t *ret, size_t len);

/* Appends UTF-8 as a JSON string (RFC 8259 section 7), quoted and escaped: for what holds a secret, which a JSON library
 * would keep copies of. */
void json_quote(struct view utf8, struct buf *ret);

/* Appends the PEM form of der with lines of 64. label is "CERTIFICATE" and the like. */
void pem_encode(const char *label, struct view der, struct buf *ret);
/* Takes the first block with one of two labels (label2 may be NULL) out of text and appends its bytes.
 * MALFORMED_REQUEST if there is none. */
int pem_decode(const char *label, const char *label2, struct view text, struct buf *ret);

#endif
