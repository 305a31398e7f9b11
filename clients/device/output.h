/* The files that mail programs read, in one folder:
 *   2024-03-01-0123456789ab.p12 and .password, or .pem   one identity: begin of validity, start of the thumbprint
 *   chain.pem                                            intermediates, if there are any
 *   index.json                                           what is there, without secrets */
#ifndef PFXD_DEVICE_OUTPUT_H
#define PFXD_DEVICE_OUTPUT_H

#include "bundle.h"

/* Writes the identities that open with their password and are what the bundle says; removes files of those that the
 * bundle lists as removed, and of another format. *ret_failed is how many do not open. *ret_receipts is the JSON to
 * send: {"installed":[...],"failed":[...]}. EXIT_LOCAL for a file that can not be written. */
int output_write(const char *folder, const char *format, const struct bundle *bundle, size_t *ret_failed,
		 struct buf *ret_receipts);

/* True when folder holds every file that its index.json names, in this format. *ret_installed and *ret_failed count
 * what the index lists; both are 0 where there is none. */
bool output_is_whole(const char *folder, const char *format, size_t *ret_installed, size_t *ret_failed);

/* "2024-03-01-0123456789ab" and an ending, as in ".p12". */
enum { OUTPUT_NAME_MAX = 48 };
void output_name(const struct bundle_identity *identity, const char *ending, char ret[static OUTPUT_NAME_MAX]);

/* Removes from folder what a bundle makes superfluous: see output_write(). */
int output_sweep(const char *folder, const char *format, const struct bundle *bundle);

#endif
