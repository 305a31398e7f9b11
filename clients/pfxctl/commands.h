/* What main.c's tables and the files of the commands share: the options by number, and the commands. Each command
 * returns an exit status, its sentence recorded with trouble(). */
#ifndef PFXD_PFXCTL_COMMANDS_H
#define PFXD_PFXCTL_COMMANDS_H

#include "../shared/cli.h"

enum option_index {
	OPT_SERVER, OPT_CA, OPT_TOKEN_FILE, OPT_CONFIG, OPT_DEV, OPT_JSON,          /* of every command */
	OPT_PASSWORD_FILE, OPT_PASSWORD_FD, OPT_SAME_PASSWORD, OPT_USAGES, OPT_LIST, OPT_VERBOSE, /* import */
	OPT_NAME, OPT_PLATFORM, OPT_EXPIRES_IN, OPT_TOKEN_OUT, OPT_FORCE, OPT_ROLE,  /* enroll, token add */
	OPT_YES, OPT_LIMIT, OPT_HEALTH_URL,
	OPT_PFXD_CONF, OPT_EXPORT, OPT_NO_EXPORT, OPT_WITH_KEY,                     /* on the server itself */
	OPT_PASSPHRASE_FILE, OPT_PASSPHRASE_FD, OPT_PASSPHRASE_OUT, OPT_LOCAL, OPT_QUIET, OPT_SHARES, OPT_OUT,
	OPT_KEEP, OPT_REPLACE, OPT_TRUST_DEVICES, OPT_TRUST_TOKENS, OPT_DATABASE, OPT_ALL, /* backups, devices release */
	OPT_COUNT,
};

int import_run(const struct cli *cli);
int history_run(const struct cli *cli);
int delete_run(const struct cli *cli);
int enroll_run(const struct cli *cli);
int devices_run(const struct cli *cli);
int revoke_run(const struct cli *cli);
int which_run(const struct cli *cli);
int users_run(const struct cli *cli);
int user_run(const struct cli *cli);
int rename_run(const struct cli *cli);
int retire_run(const struct cli *cli);
int token_add_run(const struct cli *cli);
int token_list_run(const struct cli *cli);
int token_revoke_run(const struct cli *cli);
int audit_list_run(const struct cli *cli);
int audit_verify_run(const struct cli *cli);
int ca_run(const struct cli *cli);
int health_run(const struct cli *cli);
int keyring_init_run(const struct cli *cli);
int keyring_import_run(const struct cli *cli);
int keyring_export_run(const struct cli *cli);
int keyring_rotate_run(const struct cli *cli);
int keyring_retire_run(const struct cli *cli);
int ca_rotate_run(const struct cli *cli);
int ca_retire_run(const struct cli *cli);
int ca_request_run(const struct cli *cli);
int ca_install_run(const struct cli *cli);
int clock_accept_run(const struct cli *cli);
int doctor_run(const struct cli *cli);
int backup_run(const struct cli *cli);
int restore_run(const struct cli *cli);
int verify_run(const struct cli *cli);
int devices_release_run(const struct cli *cli);
int dev_init_run(const struct cli *cli);

#endif
