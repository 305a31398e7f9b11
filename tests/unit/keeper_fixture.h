/* A keeper without its sockets and openers: a keyring, and a new database in a folder of its own, for each test.
 * And an attacker: SQL that is run on the database's file behind the keeper's back. */
#ifndef PFXD_KEEPER_FIXTURE_H
#define PFXD_KEEPER_FIXTURE_H

#include "unit.h"

#include "../../daemon/keeper/audit.h"
#include "../../daemon/keeper/keeper.h"
#include "../../daemon/keeper/users.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct fixture {
	struct keeper keeper;
	char folder[32], path[64];
};

static inline struct keyring *make_keyring(void)
{
	static const uint8_t first_token[32] = { 1 };
	struct keyring *keyring = NULL;
	BUF text_secret = buf_of(KEYRING_MAX_BYTES);
	assert_done(keyring_make(view_of(first_token, sizeof first_token), text_secret));
	assert_done(keyring_parse(buf_view(text_secret), &keyring));
	return keyring;
}

static inline int begin_audit(struct connection *c, void *keeper)
{
	return audit_begin(((struct keeper *)keeper)->keyring, c);
}

static inline int fixture_make(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	assert_non_null(f);
	strcpy(f->folder, "/tmp/test-keeper-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->path, sizeof f->path, "%s/pfxd.db", f->folder);
	config_init(&f->keeper.config);
	f->keeper.keyring = make_keyring();
	assert_done(db_open(f->path, &f->keeper.db));
	assert_done(db_write(f->keeper.db, begin_audit, &f->keeper));
	*state = f;
	return 0;
}

static inline int fixture_free(void **state)
{
	static const char *const endings[] = { "", "-wal", "-shm" };
	struct fixture *f = *state;
	char path[80];
	db_close(f->keeper.db);
	keyring_free(f->keeper.keyring);
	for (size_t i = 0; i < COUNT_OF(endings); i++) {
		snprintf(path, sizeof path, "%s%s", f->path, endings[i]);
		unlink(path);
	}
	rmdir(f->folder);
	free(f);
	return 0;
}

#define keeper_test(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_free)

/* Runs sql on the file, as one who has the disk but not the keyring. */
static inline void attack(struct fixture *f, const char *sql)
{
	sqlite3 *handle = NULL;
	assert_int_equal(sqlite3_open(f->path, &handle), SQLITE_OK);
	if (sqlite3_exec(handle, sql, NULL, NULL, NULL) != SQLITE_OK)
		print_error("%s: %s\n", sql, sqlite3_errmsg(handle));
	assert_int_equal(sqlite3_errcode(handle) & 0xff, SQLITE_OK);
	assert_int_equal(sqlite3_close(handle), SQLITE_OK);
}

/* The number that sql gives on a connection of its own. */
static inline int64_t look_up(struct fixture *f, const char *sql)
{
	sqlite3 *handle = NULL;
	sqlite3_stmt *s = NULL;
	assert_int_equal(sqlite3_open(f->path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(handle, sql, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	int64_t n = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	sqlite3_close(handle);
	return n;
}

static const struct actor the_actor __attribute__((unused)) = {
	.id = { (const uint8_t *)"service", 7 }, .request_id = { (const uint8_t *)"request", 7 },
};

/* Makes a user in a transaction of its own. id and upn are texts. */
struct new_user {
	struct keeper *k;
	const char *id, *upn;
};

static inline int create_user_job(struct connection *c, void *arg)
{
	const struct new_user *u = arg;
	return users_create(u->k, c, &the_actor, view_text(u->id), view_text(u->upn));
}

static inline int create_user(struct fixture *f, const char *id, const char *upn)
{
	struct new_user u = { &f->keeper, id, upn };
	return db_write(f->keeper.db, create_user_job, &u);
}

/* Two ids to have at hand. */
#define ID_A "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
#define ID_B "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"

#endif
