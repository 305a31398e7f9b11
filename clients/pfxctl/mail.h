/* To which certificates a mail was encrypted. Reads no key and opens nothing: the recipients stand in the clear. */
#ifndef PFXD_PFXCTL_MAIL_H
#define PFXD_PFXCTL_MAIL_H

#include "protocol.h"

enum { MAIL_MAX_BYTES = 64 * 1024 * 1024, MAIL_RECIPIENTS_MAX = 1000 };

/* RFC 5652 6.2.1: issuer and serial number, as the service writes them; or the subject key identifier in hex. What a
 * recipient is not named by is empty. */
struct recipient {
	char issuer[DISTINGUISHED_NAME_MAX_BYTES + 1], serial[SERIAL_MAX_CHARS + 1];
	char key_identifier[2 * KEY_IDENTIFIER_MAX_BYTES + 1];
};

struct recipients {
	struct recipient *at;
	size_t count;
	unsigned others; /* who are named by no certificate: a password, a shared key */
};

/* Reads a mail (RFC 8551: a part application/pkcs7-mime at its top), or what stands in its attachment smime.p7m, DER or
 * PEM. path "-": standard input. EXIT_LOCAL for a file that can not be read or is too large, EXIT_USAGE for one that is
 * no encrypted mail. Free with recipients_done(), on every way out. */
int mail_read_recipients(const char *path, struct recipients *ret);
void recipients_done(struct recipients *r);
#define RECIPIENTS __attribute__((cleanup(recipients_done))) struct recipients

#endif
