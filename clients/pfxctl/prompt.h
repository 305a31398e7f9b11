/* Asking at the terminal. */
#ifndef PFXD_PFXCTL_PROMPT_H
#define PFXD_PFXCTL_PROMPT_H

#include "buf.h"

enum { PROMPT_SECRET_MAX = 1024 };

/* Asks for what ("Password of a.pfx"), without echo, and appends it. EXIT_USAGE where there is no terminal, naming the
 * options that do without. ret_secret has room for PROMPT_SECRET_MAX bytes. */
int prompt_secret(const char *what, const char *options, struct buf *ret_secret);

#endif
