/* Who may pull: devices, their certificates, their revocation, and the one-time tokens. */
#include "keeper_fixture.h"

#include "../../daemon/keeper/devices.h"
#include "../../daemon/keeper/seal.h"

#include "encode.h"

enum { NOW = 1000000 };

#define DEVICE_A "dddddddd-dddd-4ddd-8ddd-ddddddddddda"
#define DEVICE_B "dddddddd-dddd-4ddd-8ddd-dddddddddddb"

/* A step that a test takes in a transaction of its own. */
struct step {
	struct fixture *f;
	int (*take)(struct step *s, struct connection *c);
	const char *device, *user, *certificate, *replaces; /* a certificate is any bytes here: nobody parses them */
	int64_t not_after;
};

static int take(struct connection *c, void *arg)
{
	struct step *s = arg;
	return s->take(s, c);
}

#define TAKE(fixture, function, ...) \
	db_write((fixture)->keeper.db, take, &(struct step){ .f = (fixture), .take = (function), __VA_ARGS__ })

static void fingerprint_of(const char *certificate, uint8_t ret[static 32], char ret_hex[static FINGERPRINT_CHARS + 1])
{
	assert_done(digest_sha256(view_text(certificate), ret));
	hex_encode(view_of(ret, 32), ret_hex);
}

static int add_device(struct step *s, struct connection *c)
{
	const struct row_device row = { .id = view_text(s->device),
					.user_id = view_text(s->user),
					.name = VIEW("phone"),
					.platform = VIEW("ios-18"),
					.state = STATE_ACTIVE,
					.enrolled_at = NOW };
	return devices_insert(s->f->keeper.keyring, c, &row);
}

static int add_certificate(struct step *s, struct connection *c)
{
	uint8_t digest[32];
	char hex[FINGERPRINT_CHARS + 1], replaced[FINGERPRINT_CHARS + 1] = "";
	if (s->replaces)
		fingerprint_of(s->replaces, digest, replaced);
	fingerprint_of(s->certificate, digest, hex);
	const struct row_device_certificate row = {
		.fingerprint = view_text(hex), .device_id = view_text(s->device), .der = view_text(s->certificate),
		.issued_at = NOW, .not_after = s->not_after, .replaces = view_text(replaced), .csr_sha256 = VIEW(""),
	};
	return devices_add_certificate(s->f->keeper.keyring, c, &row);
}

/* A user with a device whose certificate is `one` and ends at NOW + 100. */
static void make_device(struct fixture *f)
{
	assert_done(create_user(f, ID_A, "ann@example.org"));
	assert_done(TAKE(f, add_device, .device = DEVICE_A, .user = ID_A));
	assert_done(TAKE(f, add_certificate, .device = DEVICE_A, .certificate = "one", .not_after = NOW + 100));
}

/* What devices_shown() says of a device that shows a certificate at a time. */
static int show_at(struct fixture *f, const char *certificate, int64_t now)
{
	uint8_t digest[32];
	char hex[FINGERPRINT_CHARS + 1];
	READER c = NULL;
	SHOWN shown = { .last_pull_at = 0 };
	fingerprint_of(certificate, digest, hex);
	assert_done(db_read(f->keeper.db, &c));
	int rc = devices_shown(&f->keeper, c, view_of(digest, sizeof digest), now, &shown);
	if (rc == 0) {
		assert_text(shown.device.id, DEVICE_A);
		assert_text(shown.user.id, ID_A);
		assert_text(shown.certificate.der, certificate);
	}
	return rc;
}

static int show(struct fixture *f, const char *certificate)
{
	return show_at(f, certificate, NOW);
}

static int revoke_device(struct step *s, struct connection *c)
{
	return devices_revoke(&s->f->keeper, c, &the_actor, view_text(s->device));
}

static int revoke_all(struct step *s, struct connection *c)
{
	return devices_revoke_all(&s->f->keeper, c, &the_actor, view_text(s->user));
}

static int retire(struct step *s, struct connection *c)
{
	ROW(user, user);
	assert_done(users_get(s->f->keeper.keyring, c, view_text(s->user), &user));
	return users_retire(&s->f->keeper, c, &the_actor, &user);
}

/* ---- who may pull ---- */

TEST(a_device_is_known_by_its_certificate)
{
	struct fixture *f = *state;
	make_device(f);
	assert_done(show(f, "one"));
}

TEST(a_certificate_that_was_not_issued_here_is_unauthorized)
{
	struct fixture *f = *state;
	READER c = NULL;
	SHOWN shown = { .last_pull_at = 0 };
	make_device(f);
	assert_fault(show(f, "two"), UNAUTHORIZED);
	assert_done(db_read(f->keeper.db, &c));
	assert_fault(devices_shown(&f->keeper, c, VIEW(""), NOW, &shown), UNAUTHORIZED);
	assert_fault(devices_shown(&f->keeper, c, VIEW("short"), NOW, &shown), UNAUTHORIZED);
}

TEST(a_certificate_is_good_to_its_last_second_and_unauthorized_after_it)
{
	struct fixture *f = *state;
	make_device(f);
	assert_done(show_at(f, "one", NOW + 100));
	assert_fault(show_at(f, "one", NOW + 101), UNAUTHORIZED);
	assert_told("expired");
}

TEST(a_revoked_device_is_forbidden)
{
	struct fixture *f = *state;
	make_device(f);
	assert_done(TAKE(f, revoke_device, .device = DEVICE_A));
	assert_fault(show(f, "one"), FORBIDDEN);
	assert_told(DEVICE_A);
}

TEST(a_device_of_a_retired_user_is_forbidden)
{
	struct fixture *f = *state;
	make_device(f);
	assert_done(TAKE(f, retire, .user = ID_A));
	assert_fault(show(f, "one"), FORBIDDEN);
}

TEST(whether_a_device_is_active_is_asked_again_while_writing)
{
	struct fixture *f = *state;
	READER before = NULL;
	READER after = NULL;
	make_device(f);
	assert_done(db_read(f->keeper.db, &before));
	assert_done(devices_still_active(f->keeper.keyring, before, VIEW(DEVICE_A), VIEW(ID_A)));
	assert_done(TAKE(f, revoke_device, .device = DEVICE_A));
	assert_done(db_read(f->keeper.db, &after));
	assert_fault(devices_still_active(f->keeper.keyring, after, VIEW(DEVICE_A), VIEW(ID_A)), FORBIDDEN);
}

TEST(a_device_that_was_made_active_behind_our_back_is_refused)
{
	struct fixture *f = *state;
	make_device(f);
	assert_done(TAKE(f, revoke_device, .device = DEVICE_A));
	attack(f, "UPDATE devices SET state = 1");
	assert_fault(show(f, "one"), TAMPERED);
}

TEST(a_device_that_was_moved_to_another_user_is_refused)
{
	struct fixture *f = *state;
	make_device(f);
	assert_done(create_user(f, ID_B, "bob@example.org"));
	attack(f, "UPDATE devices SET user_id = '" ID_B "'");
	assert_fault(show(f, "one"), TAMPERED);
}

TEST(a_certificate_that_was_moved_to_another_device_is_refused)
{
	struct fixture *f = *state;
	make_device(f);
	assert_done(TAKE(f, add_device, .device = DEVICE_B, .user = ID_A));
	attack(f, "UPDATE device_certificates SET device_id = '" DEVICE_B "'");
	assert_fault(show(f, "one"), TAMPERED);
}

/* ---- revoking ---- */

TEST(revoking_twice_is_fine_and_recorded_once)
{
	struct fixture *f = *state;
	make_device(f);
	assert_done(TAKE(f, revoke_device, .device = DEVICE_A));
	assert_done(TAKE(f, revoke_device, .device = DEVICE_A));
	assert_int_equal(look_up(f, "SELECT count(*) FROM audit WHERE event = 'device.revoke'"), 1);
	assert_int_equal(atomic_load(&f->keeper.counters.revocations), 1);
}

TEST(revoking_what_is_not_there_is_not_found)
{
	struct fixture *f = *state;
	make_device(f);
	assert_fault(TAKE(f, revoke_device, .device = DEVICE_B), NOT_FOUND);
}

TEST(all_of_a_users_devices_are_revoked_and_nobody_elses)
{
	struct fixture *f = *state;
	make_device(f);
	assert_done(create_user(f, ID_B, "bob@example.org"));
	for (int i = 0; i < 10; i++) {
		char id[UUID_TEXT + 1];
		uuid_make(id);
		assert_done(TAKE(f, add_device, .device = id, .user = i % 3 ? ID_A : ID_B));
	}
	assert_done(TAKE(f, revoke_all, .user = ID_A));
	assert_int_equal(look_up(f, "SELECT count(*) FROM devices WHERE state = 1"), 4);
	assert_int_equal(look_up(f, "SELECT count(*) FROM devices WHERE state = 1 AND user_id = '" ID_A "'"), 0);
	assert_done(TAKE(f, revoke_all, .user = ID_A));
	assert_int_equal(look_up(f, "SELECT count(*) FROM audit WHERE event = 'device.revoke'"), 7);
}

static int add_devices(struct step *s, struct connection *c)
{
	for (int64_t i = 0; i < s->not_after; i++) {
		char id[UUID_TEXT + 1];
		struct step one = { .f = s->f, .device = id, .user = s->user };
		uuid_make(id);
		assert_done(add_device(&one, c));
	}
	return 0;
}

static int check_room(struct step *s, struct connection *c)
{
	return devices_check_room(c, view_text(s->user));
}

TEST(a_user_has_the_most_devices_and_room_again_when_one_is_revoked)
{
	struct fixture *f = *state;
	make_device(f);
	assert_done(TAKE(f, add_devices, .user = ID_A, .not_after = DEVICES_PER_USER_MAX - 2));
	assert_done(TAKE(f, check_room, .user = ID_A));
	assert_done(TAKE(f, add_devices, .user = ID_A, .not_after = 1));
	assert_fault(TAKE(f, check_room, .user = ID_A), CONFLICT);
	assert_done(TAKE(f, check_room, .user = ID_B));
	assert_done(TAKE(f, revoke_device, .device = DEVICE_A));
	assert_done(TAKE(f, check_room, .user = ID_A));
}

/* ---- renewal ---- */

/* Confirms as a call with that certificate does. */
static void use(struct fixture *f, const char *certificate)
{
	uint8_t digest[32];
	char hex[FINGERPRINT_CHARS + 1];
	READER c = NULL;
	SHOWN shown = { .last_pull_at = 0 };
	fingerprint_of(certificate, digest, hex);
	assert_done(db_read(f->keeper.db, &c));
	assert_done(devices_shown(&f->keeper, c, view_of(digest, sizeof digest), NOW, &shown));
	assert_done(devices_confirm(&f->keeper, &shown, VIEW("request")));
}

TEST(a_renewed_certificate_ends_the_old_one_in_its_first_use)
{
	struct fixture *f = *state;
	make_device(f);
	assert_done(TAKE(f, add_certificate, .device = DEVICE_A, .certificate = "two", .replaces = "one",
			 .not_after = NOW + 500));
	assert_done(show(f, "one"));
	assert_done(show(f, "two"));
	use(f, "two");
	assert_done(show(f, "two"));
	assert_fault(show(f, "one"), UNAUTHORIZED);
	use(f, "two"); /* and that was all: nothing more is ended or recorded */
	assert_int_equal(look_up(f, "SELECT count(*) FROM audit WHERE event = 'certificate.end'"), 1);
}

TEST(the_newest_certificate_is_the_one_that_ends_last)
{
	struct fixture *f = *state;
	READER c = NULL;
	ROW(device_certificate, newest);
	make_device(f);
	assert_done(TAKE(f, add_certificate, .device = DEVICE_A, .certificate = "two", .not_after = NOW + 500));
	assert_done(TAKE(f, add_certificate, .device = DEVICE_A, .certificate = "three", .not_after = NOW + 300));
	assert_done(db_read(f->keeper.db, &c));
	assert_done(devices_newest_certificate(f->keeper.keyring, c, VIEW(DEVICE_A), &newest));
	assert_text(newest.der, "two");
	assert_fault(devices_newest_certificate(f->keeper.keyring, c, VIEW(DEVICE_B), &newest), TAMPERED);
}

/* ---- listing ---- */

/* Pages through all devices, limit at a time; returns how many. Each is of one kind: a user with a certificate. */
static int count_pages(struct fixture *f, uint32_t limit, int *ret_pages)
{
	READER c = NULL;
	char cursor[DEVICE_CURSOR_MAX] = "", next[DEVICE_CURSOR_MAX];
	struct msg_device_facts facts;
	int n = 0;
	assert_done(db_read(f->keeper.db, &c));
	for (*ret_pages = 0; *ret_pages == 0 || cursor[0]; ++*ret_pages) {
		BUF page = buf_of(MIB);
		assert_done(devices_put_page(f->keeper.keyring, c, NULL, view_text(cursor), limit, page, next));
		for (struct view rest = buf_view(page); rest.len > 0; n++)
			assert_done(get_device_facts(&rest, &facts));
		strcpy(cursor, next);
	}
	return n;
}

TEST(every_page_size_shows_every_device_once)
{
	struct fixture *f = *state;
	int pages;
	make_device(f);
	for (int i = 0; i < 5; i++) {
		char id[UUID_TEXT + 1], certificate[16];
		uuid_make(id);
		snprintf(certificate, sizeof certificate, "of-%d", i);
		assert_done(TAKE(f, add_device, .device = id, .user = ID_A));
		assert_done(TAKE(f, add_certificate, .device = id, .certificate = certificate, .not_after = NOW));
	}
	for (uint32_t limit = 1; limit <= 7; limit++) {
		assert_int_equal(count_pages(f, limit, &pages), 6);
		assert_int_equal(pages, (6 + limit - 1) / limit);
	}
}

TEST(a_cursor_that_nobody_gave_is_refused)
{
	static const char *const wrong[] = { "x", ".", "1.", "1.x", "." DEVICE_A, "-1." DEVICE_A, "1." DEVICE_A "0",
					     "9223372036854775808." DEVICE_A };
	struct fixture *f = *state;
	char next[DEVICE_CURSOR_MAX];
	READER c = NULL;
	BUF page = buf_of(MIB);
	assert_done(db_read(f->keeper.db, &c));
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_fault(devices_put_page(f->keeper.keyring, c, NULL, view_text(wrong[i]), 10, page, next),
			     MALFORMED_REQUEST);
	assert_done(
		devices_put_page(f->keeper.keyring, c, NULL, VIEW("9223372036854775807." DEVICE_A), 10, page, next));
}

/* ---- one-time tokens ---- */

static uint8_t token_hash[32];

static struct row_enrolment an_enrolment(void)
{
	assert_done(digest_sha256(VIEW("token"), token_hash));
	return (struct row_enrolment){ .token_sha256 = view_of(token_hash, 32),
				       .id = VIEW(ID_B),
				       .user_id = VIEW(ID_A),
				       .name = VIEW("phone"),
				       .platform = VIEW(""),
				       .created_at = NOW,
				       .expires_at = NOW + 60,
				       .device_id = VIEW(""),
				       .csr_sha256 = VIEW("") };
}

static int add_enrolment(struct step *s, struct connection *c)
{
	const struct row_enrolment row = an_enrolment();
	return enrolments_insert(s->f->keeper.keyring, c, &row);
}

static int spend_enrolment(struct step *s, struct connection *c)
{
	struct row_enrolment row = an_enrolment();
	row.spent_at = NOW + 1;
	row.device_id = view_text(s->device);
	row.csr_sha256 = VIEW("csr");
	return enrolments_spend(s->f->keeper.keyring, c, &row);
}

TEST(an_enrolment_token_is_found_by_itself_alone)
{
	struct fixture *f = *state;
	READER c = NULL;
	ROW(enrolment, found);
	assert_done(create_user(f, ID_A, "ann@example.org"));
	assert_done(TAKE(f, add_enrolment, .device = ""));
	assert_done(db_read(f->keeper.db, &c));
	assert_done(enrolments_find(f->keeper.keyring, c, VIEW("token"), &found));
	assert_text(found.id, ID_B);
	assert_fault(enrolments_find(f->keeper.keyring, c, VIEW("Token"), &found), UNAUTHORIZED);
	assert_fault(enrolments_find(f->keeper.keyring, c, VIEW(""), &found), UNAUTHORIZED);
	assert_fault(enrolments_find(f->keeper.keyring, c, view_of(token_hash, 32), &found), UNAUTHORIZED);
}

TEST(an_enrolment_token_is_spent_once)
{
	struct fixture *f = *state;
	READER c = NULL;
	ROW(enrolment, found);
	assert_done(create_user(f, ID_A, "ann@example.org"));
	assert_done(TAKE(f, add_enrolment, .device = ""));
	assert_done(TAKE(f, spend_enrolment, .device = DEVICE_A));
	assert_fault(TAKE(f, spend_enrolment, .device = DEVICE_B), AGAIN);
	assert_done(db_read(f->keeper.db, &c));
	assert_done(enrolments_find(f->keeper.keyring, c, VIEW("token"), &found));
	assert_text(found.device_id, DEVICE_A);
	assert_int_equal(found.spent_at, NOW + 1);
}

static int find_token(struct fixture *f)
{
	READER c = NULL;
	ROW(enrolment, found);
	assert_done(db_read(f->keeper.db, &c));
	return enrolments_find(f->keeper.keyring, c, VIEW("token"), &found);
}

TEST(an_enrolment_token_that_was_lengthened_or_given_to_another_is_refused)
{
	static const char *const attacks[] = { "UPDATE enrolments SET expires_at = expires_at + 1000",
					       "UPDATE enrolments SET user_id = '" ID_B "'",
					       "UPDATE enrolments SET spent_at = 0, device_id = '', csr_sha256 = x''" };
	struct fixture *f = *state;
	assert_done(create_user(f, ID_A, "ann@example.org"));
	assert_done(TAKE(f, add_enrolment, .device = ""));
	assert_done(TAKE(f, spend_enrolment, .device = DEVICE_A));
	attack(f, "CREATE TABLE copy AS SELECT * FROM enrolments");
	for (size_t i = 0; i < COUNT_OF(attacks); i++) {
		attack(f, attacks[i]);
		assert_fault(find_token(f), TAMPERED);
		attack(f, "DELETE FROM enrolments; INSERT INTO enrolments SELECT * FROM copy");
	}
	assert_done(find_token(f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		keeper_test(a_device_is_known_by_its_certificate),
		keeper_test(a_certificate_that_was_not_issued_here_is_unauthorized),
		keeper_test(a_certificate_is_good_to_its_last_second_and_unauthorized_after_it),
		keeper_test(a_revoked_device_is_forbidden),
		keeper_test(a_device_of_a_retired_user_is_forbidden),
		keeper_test(whether_a_device_is_active_is_asked_again_while_writing),
		keeper_test(a_device_that_was_made_active_behind_our_back_is_refused),
		keeper_test(a_device_that_was_moved_to_another_user_is_refused),
		keeper_test(a_certificate_that_was_moved_to_another_device_is_refused),
		keeper_test(revoking_twice_is_fine_and_recorded_once),
		keeper_test(revoking_what_is_not_there_is_not_found),
		keeper_test(all_of_a_users_devices_are_revoked_and_nobody_elses),
		keeper_test(a_user_has_the_most_devices_and_room_again_when_one_is_revoked),
		keeper_test(a_renewed_certificate_ends_the_old_one_in_its_first_use),
		keeper_test(the_newest_certificate_is_the_one_that_ends_last),
		keeper_test(every_page_size_shows_every_device_once),
		keeper_test(a_cursor_that_nobody_gave_is_refused),
		keeper_test(an_enrolment_token_is_found_by_itself_alone),
		keeper_test(an_enrolment_token_is_spent_once),
		keeper_test(an_enrolment_token_that_was_lengthened_or_given_to_another_is_refused),
	};
	return RUN(tests);
}
