/* The completion of a client's command line in a shell, from its tables. */
#ifndef PFXD_CLIENTS_COMPLETION_H
#define PFXD_CLIENTS_COMPLETION_H

#include "cli.h"

/* Prints what shell is to read, on standard output. EXIT_USAGE where it is not bash, zsh or
 * fish. */
int completion_print(const struct cli_program *program, const char *shell);

#endif
