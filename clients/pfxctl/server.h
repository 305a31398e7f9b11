/* Where the service on this machine has its files, as its pfxd.conf says. For the commands that run on the server. */
#ifndef PFXD_PFXCTL_SERVER_H
#define PFXD_PFXCTL_SERVER_H

#include "../shared/file.h"
#include "commands.h"
#include "config.h"

#define TLS_GROUP "pfxd-tls" /* may read the TLS key; both fronts are in it */

struct server {
	struct config config;
	char conf[PATH_BYTES];       /* pfxd.conf itself */
	char credential[PATH_BYTES]; /* the sealed keyring, beside it */
	char keyring[PATH_BYTES];    /* a keyring that is not sealed; "" where it is a credential */
	char database[PATH_BYTES], runtime[PATH_BYTES];
	char backups[PATH_BYTES];    /* the folder; "" where it is not set */
	char tls_certificate[PATH_BYTES], tls_key[PATH_BYTES];
	char tls_ca[PATH_BYTES];     /* beside the certificate: whom to trust where the CA is no public one */
};

/* Reads --pfxd-conf, or pfxd.conf in the folder of --dev; by default /etc/pfxd/pfxd.conf, which need not be there.
 * EXIT_USAGE for a file that is wrong. */
int server_find(const struct cli *cli, struct server *ret);

/* EXIT_LOCAL for who is not root, naming the command. Under --dev it is the user who started it. */
int server_need_root(const struct cli *cli);

/* Takes the lock of those that make or change the keyring, which *ret_fd has until it is closed. It is a file of its
 * own beside the keyring, because that is replaced, and root's alone: whoever can open a file can lock it. EXIT_LATER
 * while another pfxctl has it. */
int server_lock_keyring(const struct server *server, int *ret_fd);

/* Reads the keyring, opening it with systemd-creds where it is sealed. EXIT_LOCAL. */
int server_open_keyring(const struct server *server, struct buf *ret_secret);

#endif
