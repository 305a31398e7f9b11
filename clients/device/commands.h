/* What main.c's tables and the files of the commands share. Each command returns an exit status, its sentence
 * recorded with trouble(). */
#ifndef PFXD_DEVICE_COMMANDS_H
#define PFXD_DEVICE_COMMANDS_H

#include "../shared/cli.h"

enum option_index {
	OPT_DIR,
	OPT_SERVER, OPT_CA, OPT_TOKEN_FILE, OPT_KEY,
	OPT_FORMAT, OPT_OUT, OPT_IF_DUE,
	OPT_JSON,
	OPT_COUNT,
};

int enroll_run(const struct cli *cli);
int sync_run(const struct cli *cli);
int renew_run(const struct cli *cli);
int status_run(const struct cli *cli);

#endif
