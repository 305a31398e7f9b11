/* One password, in the forms in which makers of PKCS#12 files have used it.
 *
 * The derivation of RFC 7292 takes a BMPString with two zero bytes at its end (B.1), PBES2 and PBMAC1 take bytes.
 * In order: as the standards say (BMPString, surrogate pairs outside the BMP; UTF-8); then Latin-1: each byte of
 * the UTF-8 a character (OpenSSL before 1.1), and the text itself in Latin-1 bytes. An empty password is both an
 * empty BMPString with its end and no bytes at all. */
#ifndef PFXD_OPENER_PASSWORD_H
#define PFXD_OPENER_PASSWORD_H

#include "buf.h"

enum { PASSWORD_FORMS_MAX = 2, PASSWORD_UNKNOWN = -1 };

struct password {
	struct buf *bmp_secret[PASSWORD_FORMS_MAX];
	struct buf *bytes_secret[PASSWORD_FORMS_MAX];
	int bmp_forms, bytes_forms;
	int bmp_right, bytes_right; /* the form that a MAC or a decryption proved, or PASSWORD_UNKNOWN */
};

/* text_secret is at most PASSWORD_MAX_BYTES. INTERNAL without memory. Free with password_done(), also after an
 * error. */
int password_init(struct password *p, struct view text_secret);
void password_done(struct password *p);

#define PASSWORD __attribute__((cleanup(password_done))) struct password

#endif
