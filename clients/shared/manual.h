/* The manual page of a client, from the tables of its command line. */
#ifndef PFXD_CLIENTS_MANUAL_H
#define PFXD_CLIENTS_MANUAL_H

#include "cli.h"

/* Prints it on standard output: roff with the macros of man(7), section 1. */
void manual_print(const struct cli_program *program);

#endif
