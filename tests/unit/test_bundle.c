/* What a device pulls: opened as a device opens it, when its entity tag changes, and that damage is found and named. */
#include "keeper_fixture.h"
#include "logged.h"

#include "../../daemon/keeper/bundle.h"
#include "../../daemon/keeper/ca.h"
#include "../../daemon/keeper/devices.h"
#include "../../daemon/keeper/seal.h"
#include "../../daemon/keeper/serve.h"

#include "encode.h"
#include "openssl_ptr.h"

enum { NOW = 1700000000, DAY = 86400 };

#define DEVICE_ID "dddddddd-dddd-4ddd-8ddd-dddddddddddd"
#define PASSWORD "0123456789012345678901234567890123456789012" /* PKCS12_PASSWORD_CHARS */

static const char *const ids[] = { "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222",
				   "33333333-3333-4333-8333-333333333333" };

/* The device of all tests, and its certificate by the keyring of the test. */
static EVP_PKEY *device_key;

static int make_device_key(void **state)
{
	(void)state;
	device_key = EVP_EC_gen("P-256");
	return device_key ? 0 : -1;
}

static int free_device_key(void **state)
{
	(void)state;
	EVP_PKEY_free(device_key);
	return 0;
}

/* ---- what is stored ---- */

struct stored {
	struct fixture *f;
	unsigned n;           /* which of ids; it began n days ago */
	int usages;
	const char *chain;    /* a certificate above it, or NULL */
};

static struct buf *sealed(const struct key256 *key, const struct binding *binding, const char *part, unsigned n)
{
	struct buf *b = buf_of(4096);
	BUF plain = buf_of(4096);
	buf_printf(plain, PASSWORD "%s of %u", part, n);
	assert_done(seal(key, binding, part, buf_view(plain), b));
	return b;
}

static int store(struct connection *c, void *arg)
{
	const struct stored *in = arg;
	const struct keyring *keyring = in->f->keeper.keyring;
	uint8_t digest[32] = { (uint8_t)(in->n + 1) }, chain[32], mac[32], wrapped[SEAL_WRAPPED_BYTES];
	KEY256 key;
	STATEMENT s = NULL;
	if (in->chain)
		assert_done(digest_sha256(view_text(in->chain), chain));
	const struct row_identity row = {
		.id = view_text(ids[in->n]),
		.user_id = VIEW(ID_A),
		.sha1 = view_of(digest, 20),
		.sha256 = view_of(digest, 32),
		.subject = VIEW("CN=Ann \"A\""),
		.issuer = VIEW("CN=CA"),
		.serial = VIEW("01"),
		.not_before = NOW - (int64_t)in->n * DAY,
		.not_after = NOW + DAY,
		.usages = in->usages,
		.key_algorithm = VIEW("RSA-2048"),
		.emails = VIEW(""),
		.chain = view_of(chain, in->chain ? 32 : 0),
		.imported_at = NOW,
		.imported_by = VIEW("token"),
	};
	const struct binding binding = { row.id, row.user_id, row.sha256, view_text(keyring_wrapping_id(keyring, 0)) };
	assert_done(seal_new_key(keyring, &key, wrapped));
	BUF modern = sealed(&key, &binding, "modern", in->n);
	BUF legacy = sealed(&key, &binding, "legacy", in->n);
	assert_done(statement_get(c, SQL_identity_insert, &s));
	assert_done(bind_identity(keyring, s, &row, mac));
	bind_text(s, columns_identity + 2, binding.key_id);
	bind_blob(s, columns_identity + 3, view_of(wrapped, sizeof wrapped));
	bind_blob(s, columns_identity + 4, buf_view(modern));
	bind_blob(s, columns_identity + 5, buf_view(legacy));
	bind_blob(s, columns_identity + 6, view_text(""));
	int rc = statement_run(s);
	statement_done(s);
	s = NULL;
	if (rc < 0 || !in->chain)
		return rc;
	assert_done(statement_get(c, SQL_chain_insert, &s));
	bind_blob(s, 1, view_of(chain, sizeof chain));
	bind_blob(s, 2, view_text(in->chain));
	return statement_run(s);
}

static void add(struct fixture *f, unsigned n, int usages, const char *chain)
{
	struct stored in = { f, n, usages, chain };
	assert_done(db_write(f->keeper.db, store, &in));
}

/* ---- a pull ---- */

static char json[65536];                /* what the device read, when it was given anything */
static char etag[BUNDLE_ETAG_CHARS + 1];

struct pull {
	const char *platform;
	bool enveloped;
	int64_t now;
	X509 *certificate;
	struct buf *der;
};

/* Decrypts with the device's key and verifies under the enrolment CA. */
static void open_as_device(struct fixture *f, struct view bundle, X509 *certificate)
{
	const uint8_t *at = bundle.p;
	CMS outer = d2i_CMS_ContentInfo(NULL, &at, (long)bundle.len);
	BIO_PTR inner = BIO_new(BIO_s_mem());
	assert_non_null(outer);
	assert_int_equal(CMS_decrypt(outer, device_key, certificate, NULL, inner, 0), 1);
	CMS signed_data = d2i_CMS_bio(inner, NULL);
	X509_STORE *trusted = X509_STORE_new();
	BIO_PTR out = BIO_new(BIO_s_mem());
	X509_STORE_add_cert(trusted, keyring_ca_certificate(f->keeper.keyring, 0));
	X509_STORE_set_purpose(trusted, X509_PURPOSE_ANY);
	assert_int_equal(CMS_verify(signed_data, NULL, trusted, NULL, out, CMS_BINARY), 1);
	X509_STORE_free(trusted);
	int len = BIO_read(out, json, sizeof json - 1);
	json[len > 0 ? len : 0] = '\0';
}

static int pull_as(struct fixture *f, const struct pull *p)
{
	READER c = NULL;
	BUNDLE bundle = { .removed = NULL };
	BUF cms = buf_of(BUNDLE_MAX_BYTES);
	const struct shown shown = {
		.certificate = { .fingerprint = VIEW("fingerprint"), .der = buf_view(p->der) },
		.device = { .id = VIEW(DEVICE_ID), .platform = view_text(p->platform) },
		.user = { .id = VIEW(ID_A), .upn = VIEW("ann@example.org") },
	};
	json[0] = '\0';
	assert_done(db_read(f->keeper.db, &c));
	int rc = bundle_read(&f->keeper, c, &shown, p->enveloped, p->now, &bundle);
	if (rc < 0)
		return rc;
	assert_done(bundle_etag(f->keeper.keyring, &bundle, etag));
	rc = bundle_take(c, &bundle);
	if (rc == 0)
		rc = bundle_make(f->keeper.keyring, &bundle, p->now, cms);
	if (rc == 0)
		open_as_device(f, buf_view(cms), p->certificate);
	else
		assert_int_equal(buf_len(cms), 0);
	return rc;
}

static int pull(struct fixture *f, const char *platform, bool enveloped, int64_t now)
{
	CERTIFICATE certificate = NULL;
	BUF der = buf_of(CERTIFICATE_MAX_BYTES);
	assert_done(ca_issue(keyring_ca_key(f->keeper.keyring, 0), keyring_ca_certificate(f->keeper.keyring, 0),
			     device_key, DEVICE_ID, ID_A, &certificate));
	assert_done(ca_encode(certificate, der));
	const struct pull p = { platform, enveloped, now, certificate, der };
	return pull_as(f, &p);
}

static void assert_json(const char *part)
{
	if (!strstr(json, part))
		print_error("%s\nis not in\n%s\n", part, json);
	assert_non_null(strstr(json, part));
}

/* They are of each test's own keyring. */
static void cut_authorities(void)
{
	char *from = strstr(json, "\"authorities\":["), *to = from ? strchr(from, ']') : NULL;
	assert_non_null(to);
	from += strlen("\"authorities\":[");
	memmove(from, to, strlen(to) + 1);
}

static int make_user(void **state)
{
	return fixture_make(state) == 0 ? create_user(*state, ID_A, "ann@example.org") : -1;
}

/* ---- contents ---- */

TEST(a_user_with_nothing_gets_an_empty_list)
{
	assert_done(pull(*state, "ios-18", false, NOW));
	cut_authorities();
	assert_string_equal(
		json, "{\"version\":1,\"user\":\"ann@example.org\",\"device\":\"" DEVICE_ID "\","
		      "\"issuedAt\":\"2023-11-14T22:13:20Z\",\"certificates\":[],\"intermediates\":[],"
		      "\"authorities\":[],\"removed\":[]}");
}

TEST(an_identity_is_told_with_all_its_facts)
{
	struct fixture *f = *state;
	add(f, 0, USAGE_ALL, NULL);
	assert_done(pull(f, "ios-18", false, NOW));
	assert_json("\"certificates\":[{\"id\":\"11111111-1111-4111-8111-111111111111\","
		    "\"thumbprint\":\"0100000000000000000000000000000000000000\","
		    "\"thumbprintSha256\":\"0100000000000000000000000000000000000000000000000000000000000000\","
		    "\"subject\":\"CN=Ann \\\"A\\\"\",\"issuer\":\"CN=CA\",\"serialNumber\":\"01\","
		    "\"notBefore\":\"2023-11-14T22:13:20Z\",\"notAfter\":\"2023-11-15T22:13:20Z\","
		    "\"usages\":[\"encryption\",\"signing\"],\"currentFor\":[\"encryption\",\"signing\"],"
		    "\"pkcs12\":\"bW9kZXJuIG9mIDA=\",\"password\":\"" PASSWORD "\"}]"); /* "modern of 0" */
}

TEST(an_old_platform_gets_the_legacy_form_under_its_own_password)
{
	struct fixture *f = *state;
	add(f, 0, USAGE_ENCRYPTION, NULL);
	assert_done(pull(f, "ios-17", false, NOW));
	assert_json("\"pkcs12\":\"bGVnYWN5IG9mIDA=\",\"password\":\"" PASSWORD "\""); /* "legacy of 0" */
}

TEST(the_history_is_newest_first_and_one_is_current)
{
	struct fixture *f = *state;
	add(f, 2, USAGE_ENCRYPTION, NULL);
	add(f, 0, USAGE_ENCRYPTION, NULL);
	add(f, 1, USAGE_ENCRYPTION, NULL);
	assert_done(pull(f, "ios-18", true, NOW));
	const char *first = strstr(json, ids[0]), *second = strstr(json, ids[1]), *third = strstr(json, ids[2]);
	assert_true(first && second && third && first < second && second < third);
	const char *current = strstr(json, "\"currentFor\":[\"encryption\"]");
	assert_true(current && first < current && current < second);
	assert_null(strstr(second, "\"currentFor\":[\"encryption\"]"));
}

TEST(certificates_above_the_leaves_come_once_each_as_pem)
{
	struct fixture *f = *state;
	add(f, 0, USAGE_ENCRYPTION, "issuer one");
	add(f, 1, USAGE_ENCRYPTION, "issuer one");
	add(f, 2, USAGE_ENCRYPTION, "issuer two");
	assert_done(pull(f, "ios-18", false, NOW));
	assert_json("\"intermediates\":["
		    "\"-----BEGIN CERTIFICATE-----\\u000aaXNzdWVyIG9uZQ==\\u000a-----END CERTIFICATE-----\\u000a\","
		    "\"-----BEGIN CERTIFICATE-----\\u000aaXNzdWVyIHR3bw==\\u000a-----END CERTIFICATE-----\\u000a\"]");
}

TEST(what_is_not_delivered_leaves_nothing_in_the_bundle)
{
	struct fixture *f = *state;
	f->keeper.config.deliver_signing = DELIVER_NONE;
	add(f, 0, USAGE_SIGNING, "issuer one");
	assert_done(pull(f, "ios-18", false, NOW));
	assert_json("\"certificates\":[],\"intermediates\":[]");
}

struct removed {
	struct fixture *f;
	const uint8_t *sha1;
};

static int store_removal(struct connection *c, void *arg)
{
	const struct removed *in = arg;
	const struct row_removal row = { .user_id = VIEW(ID_A), .sha1 = view_of(in->sha1, 20), .at = 1 };
	STATEMENT s = NULL;
	uint8_t mac[32];
	int rc = statement_get(c, SQL_removal_put, &s);
	if (rc == 0)
		rc = bind_removal(in->f->keeper.keyring, s, &row, mac);
	return rc < 0 ? rc : statement_run(s);
}

static void remove_thumbprint(struct fixture *f, const uint8_t sha1[20])
{
	struct removed in = { f, sha1 };
	assert_done(db_write(f->keeper.db, store_removal, &in));
}

TEST(thumbprints_of_what_was_removed_are_told)
{
	struct fixture *f = *state;
	static const uint8_t sha1[] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99,
					0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00, 0x11, 0x22, 0x33 };
	remove_thumbprint(f, sha1);
	assert_done(pull(f, "ios-18", false, NOW));
	assert_json("\"removed\":[\"00112233445566778899aabbccddeeff00112233\"]");
}

/* ---- the entity tag ---- */

TEST(the_entity_tag_stays_while_nothing_changes)
{
	struct fixture *f = *state;
	char before[sizeof etag];
	add(f, 0, USAGE_ENCRYPTION, NULL);
	assert_done(pull(f, "ios-18", false, NOW));
	assert_int_equal(strncmp(etag, "W/\"", 3), 0);
	assert_int_equal(etag[BUNDLE_ETAG_CHARS - 1], '"');
	strcpy(before, etag);
	assert_done(pull(f, "ios-18", false, NOW + 60));
	assert_string_equal(etag, before);
	assert_done(pull(f, "android-15", false, NOW)); /* another platform of the same form */
	assert_string_equal(etag, before);
}

#define CHANGES_THE_TAG(statement) \
	do { \
		char before[sizeof etag]; \
		assert_done(pull(f, "ios-18", false, NOW)); \
		strcpy(before, etag); \
		statement; \
		assert_string_not_equal(etag, before); \
	} while (0)

TEST(the_entity_tag_changes_with_contents_form_query_and_time)
{
	struct fixture *f = *state;
	add(f, 1, USAGE_ENCRYPTION, NULL);
	CHANGES_THE_TAG(assert_done(pull(f, "ios-17", false, NOW)));
	CHANGES_THE_TAG(assert_done(pull(f, "ios-18", true, NOW)));
	CHANGES_THE_TAG(add(f, 0, USAGE_ENCRYPTION, NULL); assert_done(pull(f, "ios-18", false, NOW)));
	/* Yesterday the newer one had not begun, so the other was current. */
	CHANGES_THE_TAG(assert_done(pull(f, "ios-18", false, NOW - DAY / 2)));
	CHANGES_THE_TAG(remove_thumbprint(f, (const uint8_t[20]){ 0 });
			assert_done(pull(f, "ios-18", false, NOW)));
}

/* ---- damage ---- */

TEST(a_removal_that_this_service_did_not_write_stops_the_bundle)
{
	struct fixture *f = *state;
	attack(f, "INSERT INTO removals VALUES ('" ID_A "', zeroblob(20), 1, zeroblob(32))");
	assert_fault(pull(f, "ios-18", false, NOW), TAMPERED);
}


/* In which form a pull is stopped by it: each opens what it delivers, and the verification all. */
enum { IN_MODERN = 1, IN_LEGACY = 2, IN_BOTH = 3 };

TEST(damage_to_a_sealed_part_stops_the_bundles_that_hold_it_and_names_the_identity)
{
	static const struct {
		const char *sql;
		int stops;
	} attacks[] = {
		{ "sealed_modern = zeroblob(60)", IN_MODERN },
		{ "sealed_modern = zeroblob(2097152)", IN_MODERN },
		{ "sealed_legacy = zeroblob(60)", IN_LEGACY },
		{ "sealed_legacy = zeroblob(2097152)", IN_LEGACY },
		{ "sealed_modern = x''", IN_MODERN },
		{ "sealed_legacy = x''", IN_LEGACY },
		{ "wrapped_key = zeroblob(40)", IN_BOTH },
		{ "wrapped_key = x''", IN_BOTH },
		{ "key_id = '00000000'", IN_BOTH },
		{ "sealed_modern = identities.sealed_legacy", IN_MODERN },
		{ "sealed_legacy = identities.sealed_modern", IN_LEGACY },
		{ "sealed_modern = identities.sealed_legacy, sealed_legacy = identities.sealed_modern", IN_BOTH },
		/* another identity of the same user: its parts, its data key, or both */
		{ "sealed_modern = o.sealed_modern", IN_MODERN },
		{ "sealed_legacy = o.sealed_legacy", IN_LEGACY },
		{ "wrapped_key = o.wrapped_key", IN_BOTH },
		{ "wrapped_key = o.wrapped_key, sealed_modern = o.sealed_modern, sealed_legacy = o.sealed_legacy",
		  IN_BOTH },
	};
	static const struct {
		const char *platform;
		int form;
	} devices[] = { { "ios-18", IN_MODERN }, { "ios-17", IN_LEGACY } };
	struct fixture *f = *state;
	char sql[512];
	add(f, 0, USAGE_ENCRYPTION, NULL);
	add(f, 1, USAGE_ENCRYPTION, NULL);
	attack(f, "CREATE TABLE copy AS SELECT * FROM identities");
	for (size_t i = 0; i < COUNT_OF(attacks); i++) {
		snprintf(sql, sizeof sql,
			 "UPDATE identities SET %s FROM copy o WHERE identities.id = '%s' AND o.id = '%s'",
			 attacks[i].sql, ids[1], ids[0]);
		attack(f, sql);
		for (size_t d = 0; d < COUNT_OF(devices); d++) {
			if (attacks[i].stops & devices[d].form) {
				assert_fault(pull(f, devices[d].platform, false, NOW), TAMPERED);
				assert_told(ids[1]);
			} else {
				assert_done(pull(f, devices[d].platform, false, NOW));
			}
		}
		attack(f, "DELETE FROM identities; INSERT INTO identities SELECT * FROM copy");
	}
	assert_done(pull(f, "ios-18", false, NOW));
}

TEST(a_chain_certificate_that_was_changed_or_taken_away_stops_the_bundle)
{
	struct fixture *f = *state;
	add(f, 0, USAGE_ENCRYPTION, "issuer");
	attack(f, "UPDATE chain_certificates SET der = x'00'");
	assert_fault(pull(f, "ios-18", false, NOW), TAMPERED);
	attack(f, "DELETE FROM chain_certificates");
	assert_fault(pull(f, "ios-18", false, NOW), TAMPERED);
	assert_told("chain certificate");
}

/* ---- around the record of a release ---- */

enum when { BEFORE, AFTER };

static struct fixture *attacked;    /* before or after its next write: */
static enum when attack_when;
static const char *attack_then;

int __real_db_write(struct db *db, int (*run)(struct connection *c, void *arg), void *arg);
int __wrap_db_write(struct db *db, int (*run)(struct connection *c, void *arg), void *arg);

int __wrap_db_write(struct db *db, int (*run)(struct connection *c, void *arg), void *arg)
{
	struct fixture *f = attacked;
	attacked = NULL;
	if (f && attack_when == BEFORE)
		attack(f, attack_then);
	int rc = __real_db_write(db, run, arg);
	if (f && attack_when == AFTER)
		attack(f, attack_then);
	return rc;
}

struct enrolled {
	struct fixture *f;
	const char *replaces; /* the certificate that it renews */
	struct buf *der;
	uint8_t fingerprint[32];
};

static int enrol(struct connection *c, void *arg)
{
	const struct enrolled *e = arg;
	const struct keyring *keyring = e->f->keeper.keyring;
	char hex[FINGERPRINT_CHARS + 1];
	hex_encode(view_of(e->fingerprint, sizeof e->fingerprint), hex);
	const struct row_device device = { .id = VIEW(DEVICE_ID), .user_id = VIEW(ID_A), .name = VIEW("phone"),
					   .platform = VIEW("ios-18"), .state = STATE_ACTIVE, .enrolled_at = NOW };
	const struct row_device_certificate certificate = {
		.fingerprint = view_text(hex), .device_id = device.id, .der = buf_view(e->der), .issued_at = NOW,
		.not_after = INT32_MAX, .replaces = view_text(e->replaces), .csr_sha256 = VIEW(""),
	};
	assert_done(devices_insert(keyring, c, &device));
	return devices_add_certificate(keyring, c, &certificate);
}

/* A pull as it comes from a front; sql is run before it first writes, or after that. */
static int pull_by(struct fixture *f, const char *replaces, const char *if_none_match, enum when when, const char *sql)
{
	CERTIFICATE certificate = NULL;
	struct enrolled e = { .f = f, .replaces = replaces };
	struct msg_bundled bundled;
	BUF der = buf_of(CERTIFICATE_MAX_BYTES);
	BUF request = buf_of(KIB);
	BUF answer = buf_of(2 * BUNDLE_MAX_BYTES);
	assert_done(ca_issue(keyring_ca_key(f->keeper.keyring, 0), keyring_ca_certificate(f->keeper.keyring, 0),
			     device_key, DEVICE_ID, ID_A, &certificate));
	assert_done(ca_encode(certificate, der));
	assert_done(digest_sha256(buf_view(der), e.fingerprint));
	e.der = der;
	assert_done(db_write(f->keeper.db, enrol, &e));
	const struct msg_bundle m = { .request_id = VIEW("r"), .fingerprint = view_of(e.fingerprint, 32),
				      .if_none_match = view_text(if_none_match) };
	assert_done(put_bundle(request, &m));
	attacked = f;
	attack_when = when;
	attack_then = sql;
	int rc = answer_bundle(&f->keeper, NULL, buf_view(request), answer);
	if (rc < 0)
		return rc;
	assert_done(read_bundled(buf_view(answer), &bundled));
	open_as_device(f, bundled.cms, certificate);
	return 0;
}

/* Its first write is the record of its release. */
static int pull_while(struct fixture *f, enum when when, const char *sql)
{
	return pull_by(f, "", "", when, sql);
}

static int64_t releases(struct fixture *f)
{
	return look_up(f, "SELECT count(*) FROM audit WHERE event = 'bundle.release'");
}

TEST(an_identity_that_is_deleted_before_its_release_is_recorded_is_left_out)
{
	struct fixture *f = *state;
	add(f, 0, USAGE_ENCRYPTION, "issuer one");
	add(f, 1, USAGE_ENCRYPTION, "issuer two");
	assert_done(pull_while(f, BEFORE, "DELETE FROM identities WHERE id = '11111111-1111-4111-8111-111111111111';"
					  "DELETE FROM chain_certificates WHERE CAST(der AS TEXT) = 'issuer one'"));
	assert_null(strstr(json, ids[0]));
	assert_json(ids[1]);
	assert_int_equal(releases(f), 1);
	assert_int_equal(look_up(f, "SELECT count(*) FROM audit WHERE detail LIKE '1 identities,%'"), 1);
}

TEST(an_identity_that_takes_the_place_of_one_that_was_deleted_is_no_substitute)
{
	struct fixture *f = *state;
	add(f, 0, USAGE_ENCRYPTION, NULL);
	add(f, 1, USAGE_ENCRYPTION, NULL);
	attack(f, "CREATE TABLE other AS SELECT * FROM identities WHERE id LIKE '2%';"
		  "DELETE FROM identities WHERE id LIKE '2%'");
	assert_done(pull_while(f, BEFORE, "DELETE FROM identities; INSERT INTO identities SELECT * FROM other"));
	assert_null(strstr(json, ids[0]));
	assert_json(ids[1]);
	assert_int_equal(releases(f), 1);
}

/* As when its user is retired in that moment. */
TEST(a_device_that_ends_before_its_release_is_recorded_is_told_so_and_no_damage_is_called)
{
	struct fixture *f = *state;
	add(f, 0, USAGE_ENCRYPTION, NULL);
	assert_fault(pull_while(f, BEFORE, "DELETE FROM identities; DELETE FROM device_certificates"), UNAUTHORIZED);
	assert_int_equal(releases(f), 0);
}

TEST(what_is_on_record_is_delivered_whatever_comes_after_it)
{
	struct fixture *f = *state;
	add(f, 0, USAGE_ENCRYPTION, "issuer one");
	assert_done(pull_while(f, AFTER, "UPDATE identities SET sealed_modern = zeroblob(60);"
					 "DELETE FROM chain_certificates"));
	assert_json(ids[0]);
	assert_json("aXNzdWVyIG9uZQ=="); /* "issuer one" */
	assert_int_equal(releases(f), 1);
}

TEST(what_is_damaged_is_named_and_not_tried_again)
{
	struct fixture *f = *state;
	add(f, 0, USAGE_ENCRYPTION, NULL);
	attack(f, "UPDATE identities SET sealed_modern = zeroblob(60)");
	assert_fault(pull_while(f, AFTER, "SELECT 1"), TAMPERED);
	assert_told(ids[0]);
	assert_int_equal(releases(f), 1);
}

/* By one who writes the file, and has SQLite read what is in the table from the table alone. */
TEST(an_identity_that_is_in_its_row_and_not_in_the_index_is_damage_and_not_asked_for_without_end)
{
	struct fixture *f = *state;
	add(f, 0, USAGE_ENCRYPTION, NULL);
	attack(f, "ANALYZE; DROP INDEX identities_user; CREATE UNIQUE INDEX identities_user ON identities (user_id, sha1);"
		  "INSERT INTO sqlite_stat1 VALUES ('identities', 'identities_user', '1000 1000 1000');"
		  "PRAGMA writable_schema = ON;"
		  "UPDATE sqlite_master SET sql = replace(sql, 'sha1', 'sha256') WHERE name = 'identities_user'");
	assert_fault(pull_while(f, AFTER, "SELECT 1"), TAMPERED);
	assert_told("not in its index");
	assert_int_equal(releases(f), 0);
}

TEST(a_row_that_is_there_twice_is_taken_twice_and_nothing_of_it_is_left_behind)
{
	struct fixture *f = *state;
	add(f, 0, USAGE_ENCRYPTION, NULL);
	attack(f, "CREATE TABLE other AS SELECT * FROM identities; DROP TABLE identities;"
		  "ALTER TABLE other RENAME TO identities; INSERT INTO identities SELECT * FROM identities");
	assert_done(pull_while(f, AFTER, "SELECT 1"));
	assert_json(ids[0]);
}

/* The first use of a renewed certificate is written down also where there is nothing new. */
TEST(a_pull_of_nothing_new_that_can_not_be_done_is_told)
{
	struct fixture *f = *state;
	int rc = 0;
	LOGGED(rc = pull_by(f, "renewed", "*", BEFORE, "DROP TABLE device_certificates"));
	assert_true(rc < 0);
	assert_non_null(strstr(logged, "2052 "));
}

#define bundle_test(name) cmocka_unit_test_setup_teardown(name, make_user, fixture_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		bundle_test(a_user_with_nothing_gets_an_empty_list),
		bundle_test(an_identity_is_told_with_all_its_facts),
		bundle_test(an_old_platform_gets_the_legacy_form_under_its_own_password),
		bundle_test(the_history_is_newest_first_and_one_is_current),
		bundle_test(certificates_above_the_leaves_come_once_each_as_pem),
		bundle_test(what_is_not_delivered_leaves_nothing_in_the_bundle),
		bundle_test(thumbprints_of_what_was_removed_are_told),
		bundle_test(the_entity_tag_stays_while_nothing_changes),
		bundle_test(the_entity_tag_changes_with_contents_form_query_and_time),
		bundle_test(a_removal_that_this_service_did_not_write_stops_the_bundle),
		bundle_test(damage_to_a_sealed_part_stops_the_bundles_that_hold_it_and_names_the_identity),
		bundle_test(a_chain_certificate_that_was_changed_or_taken_away_stops_the_bundle),
		bundle_test(an_identity_that_is_deleted_before_its_release_is_recorded_is_left_out),
		bundle_test(an_identity_that_takes_the_place_of_one_that_was_deleted_is_no_substitute),
		bundle_test(a_device_that_ends_before_its_release_is_recorded_is_told_so_and_no_damage_is_called),
		bundle_test(what_is_on_record_is_delivered_whatever_comes_after_it),
		bundle_test(what_is_damaged_is_named_and_not_tried_again),
		bundle_test(an_identity_that_is_in_its_row_and_not_in_the_index_is_damage_and_not_asked_for_without_end),
		bundle_test(a_pull_of_nothing_new_that_can_not_be_done_is_told),
		bundle_test(a_row_that_is_there_twice_is_taken_twice_and_nothing_of_it_is_left_behind),
	};
	return cmocka_run_group_tests(tests, make_device_key, free_device_key);
}
