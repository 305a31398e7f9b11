/* Where the server is and whom to trust: from the command line, else from pfxctl.conf. */
#ifndef PFXD_PFXCTL_SETTINGS_H
#define PFXD_PFXCTL_SETTINGS_H

#include "../shared/file.h"
#include "commands.h"

struct settings {
	char server[PATH_BYTES];        /* URL of the admin interface */
	char ca[PATH_BYTES];            /* PEM; "": whom the system trusts */
	char token_file[PATH_BYTES];
	char device_server[PATH_BYTES]; /* what a device enrols at; told to people, not used */
	char health[PATH_BYTES];        /* URL of the probes, plain HTTP */
};

/* EXIT_USAGE for an unknown key, naming file and line; EXIT_LOCAL for a file that was named and can not be read. What
 * is set nowhere is "". */
int settings_read(const struct cli *cli, struct settings *ret);

#endif
