/* One PFX of an import: what main loop (import.c), listing (import_list.c) and sending (import_send.c) share. */
#ifndef PFXD_PFXCTL_IMPORT_H
#define PFXD_PFXCTL_IMPORT_H

#include "session.h"

struct import_item {
	char *upn, *file;
	char *password_file; /* NULL: the password of the whole import, or that of the prompt */
};

struct import_items {
	struct import_item *at;
	size_t count;
};

enum import_usages { IMPORT_ENCRYPTION = 1, IMPORT_SIGNING = 2 };

/* Appends a copy of the three strings. EXIT_LOCAL without memory. */
int import_items_add(struct import_items *items, const char *upn, const char *file, const char *password_file);
void import_items_done(struct import_items *items);
#define IMPORT_ITEMS __attribute__((cleanup(import_items_done))) struct import_items

/* Reads a listing, one PFX a line: upn,pfx-file[,password-file]. Relative paths are relative to the listing's folder.
 * EXIT_USAGE, naming the line, for a line that is not that. */
int import_list_read(const char *path, struct import_items *ret);

/* Imports one PFX, waiting and trying again while the server is busy. usages: a set of enum import_usages, 0: as the
 * certificate says. *ret_facts is the server's answer. */
int import_send(struct session *session, const struct import_item *item, int usages, struct view password_secret,
		bool *ret_created, json_t **ret_facts);

#endif
