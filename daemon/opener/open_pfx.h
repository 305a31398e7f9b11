/* VERB_OPEN_PFX: takes a PFX apart and makes of each identity what the keeper keeps. */
#ifndef PFXD_OPENER_OPEN_PFX_H
#define PFXD_OPENER_OPEN_PFX_H

#include "ciphers.h"
#include "contents.h"

/* Appends the fields of opened_pfx to answer. Errors: the 422 ones of the table in fault.h, each with the clause that
 * was broken or the number that was exceeded. Without one whole identity it is the reason of the first that was left
 * out; else those reasons are warnings. */
int open_pfx(const struct ciphers *ciphers, const struct msg_open_pfx *request, struct buf *answer);

/* The first half of it: everything that is in the file, once the password is known to be right. */
int read_pfx(const struct ciphers *ciphers, const struct msg_open_pfx *request, struct contents *contents,
	     struct report *report);

#endif
