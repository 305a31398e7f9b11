/* A keeper without its sockets, with real openers, an administrator, one person with one identity and one device:
 * what the tests of this folder break and look at. Calls go straight to the functions that answer verbs. */
#ifndef PFXD_TESTS_WORLD_H
#define PFXD_TESTS_WORLD_H

#include "../unit/unit.h"

#include "keeper/keeper.h"
#include "keeper/serve.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

enum { TEXT_MAX = 256, REQUEST_MAX = 1 << 20 };

/* A PFX file of tests/data/pfx, what is in it, and its SHA-1. */
struct pfx {
	struct buf *bytes;
	EVP_PKEY *key;
	uint8_t sha1[20];
};

struct device {
	EVP_PKEY *key;
	struct buf *csr; /* PEM */
	X509 *certificate;
	char id[40];
	uint8_t fingerprint[32];
};

struct world {
	char folder[64], path[96]; /* of the database */
	struct keeper keeper;
	struct caller admin;
	char admin_token[64];
	struct pfx first, second;  /* ann has the first */
	struct device device, other, third; /* ann has the device; the others have made requests only */
	bool short_of_memory;      /* the keeper's allocation number fail_at fails at the next call */
	size_t fail_at;
	bool failed;               /* it did */
	bool was_empty;            /* there was nothing in the database when it was opened last */
	char token[64];            /* an enrolment token of ann's that nobody has used yet */
};

/* Once for a program: keyring, openers, files and keys; a closed database that holds what the world begins with. Ends
 * the test program where anything fails. */
void world_make(struct world *w);
void world_free(struct world *w);

/* Puts a database as it was after world_make() into folder. Nobody may have it open. */
void world_put(struct world *w, const char *folder);
/* A new, empty folder under the test's own; removed by world_free(). */
void world_folder(struct world *w, const char *name, char ret[static 64]);

/* What a start does with the database in w->folder: puts one that is to be restored into its place, opens it, fills it if there is nothing in it, tries the keyring. */
int world_open(struct world *w);
void world_close(struct world *w);

/* The keyring with one more wrapping key, the newest. Free with keyring_free(). */
struct keyring *world_rotated(void);

/* The calls. Each returns what the keeper's function returned. While it runs, and only then, memory is short if the
 * world says so. */
int call_import(struct world *w, const struct pfx *pfx);
int call_delete(struct world *w, const struct pfx *pfx);
int call_add_enrolment(struct world *w, char ret_token[static 64]);
int call_enroll(struct world *w, const char *token, struct device *device);
int call_revoke(struct world *w, const struct device *device);
/* The bundle, opened as the device opens it, into ret_json; etag: If-None-Match, or NULL. 1: 304. */
int call_pull(struct world *w, const struct device *device, const char *etag, struct buf *ret_json,
	      char ret_etag[static 64]);

/* Whether a pull delivers the PFX's identity; if so it must open, with the key that was imported. */
bool device_gets(struct world *w, const struct device *device, const struct pfx *pfx);
/* A number out of the database, by a connection of its own. */
int64_t look_up(const struct world *w, const char *sql);
void run_sql(const struct world *w, const char *sql);
/* That the database is whole, the audit verifies, and something can be written. */
void assert_sound(struct world *w);

#endif
