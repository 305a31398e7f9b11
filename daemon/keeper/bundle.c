/* Builds bundles. Keeper only: the one place where private keys are in the clear outside an opener, in a wiping
 * buffer, between unsealing and encrypting. */
#include "bundle.h"

#include "cms.h"
#include "encode.h"
#include "fault.h"
#include "json.h"
#include "openssl_ptr.h"
#include "sealed.h"

#include <stdlib.h>
#include <strings.h>

enum {
	SHA256_BYTES = 32,
	JSON_FACTS_BYTES = KIB,      /* about, of each identity */
	JSON_FRAME_BYTES = 4 * KIB, /* about, of what is around them: who, and the authorities */
	HISTORY_SEALED_MAX_BYTES = 2 * USER_PKCS12_MAX_BYTES, /* of either form, where one is bounded at import */
};

/* ---- which form ---- */

/* The first versions that read PBES2 with SHA-256, by how people write the names, longer ones first. Where no version
 * is given, one that had to change gets the form that every version of it reads. Others read both. */
static const struct {
	const char *prefix;
	uint64_t modern_from;
	bool legacy_without_version;
} platforms[] = {
	{ "legacy", UINT64_MAX, true },    { "iphone", 18, true },          { "ipados", 18, true },
	{ "ipad", 18, true },              { "ios", 18, true },             { "macos", 15, true },
	{ "mac os x", UINT64_MAX, true },  { "os x", UINT64_MAX, true },    { "osx", UINT64_MAX, true },
	{ "mac", 15, true },               { "android", 14, true },         { "windows server", 2019, false },
	{ "windows-server", 2019, false }, { "windows", 10, false },
};

/* The first number in v, or false if there is none. */
static bool first_number(struct view v, uint64_t *ret)
{
	size_t start = 0, end;
	while (start < v.len && (v.p[start] < '0' || v.p[start] > '9'))
		start++;
	for (end = start; end < v.len && v.p[end] >= '0' && v.p[end] <= '9'; end++)
		;
	return number_parse(view_of(v.p + start, end - start), 100000, ret);
}

bool platform_is_legacy(struct view platform)
{
	for (size_t i = 0; i < sizeof platforms / sizeof platforms[0]; i++) {
		size_t len = strlen(platforms[i].prefix);
		uint64_t version;
		if (platform.len < len || strncasecmp((const char *)platform.p, platforms[i].prefix, len) != 0)
			continue;
		if (!first_number(view_of(platform.p + len, platform.len - len), &version))
			return platforms[i].legacy_without_version;
		return version < platforms[i].modern_from;
	}
	return false;
}

/* ---- what is in it ---- */

static int read_removed(const struct keyring *keyring, struct connection *c, struct view user_id, struct buf *ret)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_removals_of_user, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, user_id);
	while ((rc = statement_step(s)) > 0) {
		ROW(removal, removal);
		rc = load_removal(keyring, s, &removal);
		if (rc < 0)
			return rc;
		buf_put(ret, removal.sha1.p, removal.sha1.len);
	}
	return rc == 0 && !buf_ok(ret) ? fail(FAULT_UNAVAILABLE, "no memory for a bundle") : rc;
}

int bundle_read(struct keeper *k, struct connection *c, const struct shown *shown, bool enveloped, int64_t now,
		struct bundle *ret)
{
	*ret = (struct bundle){ .shown = shown, .enveloped = enveloped,
				.legacy = platform_is_legacy(shown->device.platform), .removed = buf_new(MIB) };
	if (!ret->removed)
		return fail(FAULT_UNAVAILABLE, "no memory for a bundle");
	int rc = history_read(k->keyring, c, shown->user.id, now, k->config.deliver_signing == DELIVER_NEWEST,
			      &ret->history);
	return rc < 0 ? rc : read_removed(k->keyring, c, shown->user.id, ret->removed);
}

static int tell_damage(struct view id)
{
	char why[FAULT_DETAIL_MAX];
	strcpy(why, fault_detail());
	return fail(FAULT_TAMPERED, "identity %.*s can not be opened: %s", (int)id.len, (const char *)id.p, why);
}

/* Where to take the one with this id, if it is delivered. Somebody who writes the file can make a row twice: each is
 * another place. */
static struct sealed *place_of(const struct bundle *b, struct view id)
{
	for (size_t i = 0; i < b->history.count; i++)
		if (b->history.at[i].delivered && !b->sealed[i].bytes && view_equal(b->history.at[i].row.id, id))
			return &b->sealed[i];
	return NULL;
}

static int form_of(const struct bundle *b)
{
	return b->legacy ? SEAL_LEGACY : SEAL_MODERN;
}

/* All in one go: to look for each by its id would cost more than to open it. Of the form that is asked for alone; the
 * verification reads both. */
static int take_sealed(struct connection *c, struct bundle *b)
{
	STATEMENT s = NULL;
	size_t taken = 0;
	b->sealed = calloc(b->history.count + 1, sizeof *b->sealed);
	int rc = b->sealed ? statement_get(c, b->legacy ? SQL_identities_legacy_of_user :
							  SQL_identities_modern_of_user, &s) :
			     fail(FAULT_UNAVAILABLE, "no memory for a bundle");
	if (rc < 0)
		return rc;
	bind_text(s, 1, b->shown->user.id);
	while (rc == 0 && (rc = statement_step(s)) > 0) {
		struct view id = column_view(s, 0);
		struct sealed *place = place_of(b, id);
		rc = place ? sealed_read(s, 1, SEALED_ONLY(form_of(b)), place) : 0;
		taken += rc == 0 && place ? buf_len(place->bytes) : 0;
		if (rc == -FAULT_TAMPERED)
			rc = tell_damage(id);
		if (taken > HISTORY_SEALED_MAX_BYTES)
			rc = fail(FAULT_UNAVAILABLE, "a history has more than %u bytes", HISTORY_SEALED_MAX_BYTES);
	}
	return rc;
}

static bool is_above(const struct bundle *b, struct view digest)
{
	struct view rest = buf_view(b->above), one, der;
	while (view_get(&rest, SHA256_BYTES, &one) && view_get_bytes(&rest, CERTIFICATE_MAX_BYTES, &der))
		if (view_equal(one, digest))
			return true;
	return false;
}

static int take_certificate(struct connection *c, struct view sha256, struct buf *ret)
{
	STATEMENT s = NULL;
	uint8_t digest[SHA256_BYTES];
	int rc = statement_get(c, SQL_chain_get, &s);
	if (rc < 0)
		return rc;
	bind_blob(s, 1, sha256);
	rc = statement_step(s);
	bool there = rc > 0;
	if (there)
		rc = digest_sha256(column_view(s, 0), digest);
	if (rc < 0)
		return rc;
	if (!there || !view_equal(sha256, view_of(digest, sizeof digest))) {
		char hex[2 * SHA256_BYTES + 1];
		hex_encode(sha256, hex);
		return fail(FAULT_TAMPERED, "the chain certificate %s was changed or is gone", hex);
	}
	buf_put(ret, digest, sizeof digest);
	buf_put_bytes(ret, column_view(s, 0));
	return 0;
}

/* The certificates above the leaves of all that is delivered. */
static int take_above(struct connection *c, struct bundle *b)
{
	int rc = 0;
	b->above = buf_new(2 * USER_CHAIN_MAX_BYTES);
	if (!b->above)
		return fail(FAULT_UNAVAILABLE, "no memory for a bundle");
	for (size_t i = 0; rc == 0 && i < b->history.count; i++) {
		struct view chain = b->history.at[i].row.chain, digest;
		while (rc == 0 && b->history.at[i].delivered && view_get(&chain, SHA256_BYTES, &digest))
			if (!is_above(b, digest))
				rc = take_certificate(c, digest, b->above);
	}
	if (rc == 0 && !buf_ok(b->above))
		rc = fail(FAULT_UNAVAILABLE, "no memory for the certificates above a history");
	return rc;
}

int bundle_take(struct connection *c, struct bundle *b)
{
	int rc = take_sealed(c, b);
	return rc < 0 ? rc : take_above(c, b);
}

static bool is_delivered(const struct history *h, struct view sha256)
{
	for (size_t i = 0; i < h->count; i++)
		if (h->at[i].delivered && view_equal(h->at[i].row.sha256, sha256))
			return true;
	return false;
}

int bundle_is_there(struct connection *c, const struct bundle *b)
{
	STATEMENT s = NULL;
	size_t delivered = 0;
	int rc = statement_get(c, SQL_identities_listed_of_user, &s);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < b->history.count; i++)
		delivered += b->history.at[i].delivered;
	bind_text(s, 1, b->shown->user.id);
	while ((rc = statement_step(s)) > 0)
		delivered -= is_delivered(&b->history, column_view(s, 0));
	return rc < 0 ? rc : delivered == 0;
}

void bundle_done(struct bundle *b)
{
	for (size_t i = 0; b->sealed && i < b->history.count; i++)
		sealed_done(&b->sealed[i]);
	free(b->sealed);
	history_done(&b->history);
	buf_free(b->removed);
	buf_free(b->above);
	b->sealed = NULL;
	b->removed = b->above = NULL;
}

/* Told by key id alone: a CA's certificate is never changed. */
static int put_authority_ids(const struct keyring *keyring, struct buf *ret)
{
	X509 *ca;
	for (size_t i = 0; (ca = keyring_ca_certificate(keyring, i)); i++) {
		const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(ca);
		if (!id)
			return fail(FAULT_INTERNAL, "an enrolment CA without a key id");
		buf_put_bytes(ret, view_of(ASN1_STRING_get0_data(id), (size_t)ASN1_STRING_length(id)));
	}
	return 0;
}

int bundle_etag(const struct keyring *keyring, const struct bundle *b, char ret[static BUNDLE_ETAG_CHARS + 1])
{
	uint8_t digest[32];
	BUF all = buf_new(MIB);
	BUF text = buf_new(KIB);
	if (!all || !text)
		return fail(FAULT_UNAVAILABLE, "no memory for an entity tag");
	buf_put_bytes(all, view_text("bundle 2"));
	buf_put_bytes(all, b->shown->certificate.fingerprint);
	buf_put_bytes(all, b->shown->user.upn);
	buf_put_u8(all, b->enveloped);
	buf_put_u8(all, b->legacy);
	for (size_t i = 0; i < b->history.count; i++) {
		const struct identity *id = &b->history.at[i];
		buf_put_bytes(all, id->row.id);
		buf_put_u8(all, (uint8_t)id->row.usages);
		buf_put_u8(all, id->current_for);
		buf_put_u8(all, id->delivered);
	}
	buf_put_bytes(all, buf_view(b->removed));
	if (put_authority_ids(keyring, all) < 0 || !buf_ok(all) || digest_sha256(buf_view(all), digest) < 0)
		return fail(FAULT_INTERNAL, "could not compute an entity tag");
	buf_put_text(text, "W/\"");
	base64url_encode(view_of(digest, 16), text);
	buf_put_text(text, "\"");
	/* An empty tag would match every other one. */
	if (buf_len(text) != BUNDLE_ETAG_CHARS || !text_copy(buf_view(text), ret, BUNDLE_ETAG_CHARS + 1))
		return fail(FAULT_UNAVAILABLE, "no memory for an entity tag");
	return 0;
}

/* ---- JSON ---- */

static void put_hex(struct buf *b, const char *name, struct view bytes)
{
	char hex[65];
	hex_encode(view_of(bytes.p, bytes.len < 32 ? bytes.len : 32), hex);
	json_name(b, name);
	json_string(b, view_text(hex));
}

static void put_time(struct buf *b, const char *name, int64_t seconds)
{
	char text[TIME_TEXT + 1];
	time_format(seconds, text);
	json_name(b, name);
	json_string(b, view_text(text));
}

static void put_text(struct buf *b, const char *name, struct view text)
{
	json_name(b, name);
	json_string(b, text);
}

static void put_usages(struct buf *b, const char *name, uint8_t usages)
{
	json_name(b, name);
	json_begin(b, '[');
	if (usages & USAGE_ENCRYPTION)
		json_string(b, view_text("encryption"));
	if (usages & USAGE_SIGNING)
		json_string(b, view_text("signing"));
	json_end(b, ']');
}

static void put_facts(struct buf *b, const struct identity *id)
{
	put_text(b, "id", id->row.id);
	put_hex(b, "thumbprint", id->row.sha1);
	put_hex(b, "thumbprintSha256", id->row.sha256);
	put_text(b, "subject", id->row.subject);
	put_text(b, "issuer", id->row.issuer);
	put_text(b, "serialNumber", id->row.serial);
	put_time(b, "notBefore", id->row.not_before);
	put_time(b, "notAfter", id->row.not_after);
	put_usages(b, "usages", (uint8_t)id->row.usages);
	put_usages(b, "currentFor", id->current_for);
}

static int put_identity(const struct keyring *keyring, const struct bundle *b, size_t i, struct buf *ret_secret)
{
	OPENED opened = { { NULL } };
	struct view pkcs12, password;
	const struct identity *id = &b->history.at[i];
	int rc = sealed_open(keyring, &id->row, &b->sealed[i], &opened);
	if (rc < 0)
		return rc == -FAULT_TAMPERED ? tell_damage(id->row.id) : rc;
	pkcs12 = buf_view(opened.parts_secret[form_of(b)]);
	view_get(&pkcs12, PKCS12_PASSWORD_CHARS, &password);
	json_begin(ret_secret, '{');
	put_facts(ret_secret, id);
	json_name(ret_secret, "pkcs12");
	json_base64(ret_secret, pkcs12);
	put_text(ret_secret, "password", password);
	json_end(ret_secret, '}');
	return 0;
}

static int put_intermediates(const struct bundle *b, struct buf *ret)
{
	struct view rest = buf_view(b->above), digest, der;
	BUF pem = buf_new(2 * CERTIFICATE_MAX_BYTES);
	if (!pem)
		return fail(FAULT_UNAVAILABLE, "no memory for a bundle");
	json_name(ret, "intermediates");
	json_begin(ret, '[');
	while (view_get(&rest, SHA256_BYTES, &digest) && view_get_bytes(&rest, CERTIFICATE_MAX_BYTES, &der)) {
		buf_reset(pem);
		pem_encode("CERTIFICATE", der, pem);
		if (!buf_ok(pem))
			return fail(FAULT_UNAVAILABLE, "no memory for a certificate");
		json_string(ret, buf_view(pem));
	}
	json_end(ret, ']');
	return 0;
}

static void put_removed(const struct bundle *b, struct buf *ret)
{
	char hex[41];
	json_name(ret, "removed");
	json_begin(ret, '[');
	for (struct view rest = buf_view(b->removed); rest.len >= 20; rest = view_of(rest.p + 20, rest.len - 20)) {
		hex_encode(view_of(rest.p, 20), hex);
		json_string(ret, view_text(hex));
	}
	json_end(ret, ']');
}

/* Whom the device may believe from now on: how it learns of a CA that comes after its own, from one that it
 * believes. */
static int put_trusted(const struct keyring *keyring, struct buf *ret)
{
	int rc = 0;
	BUF pem = buf_new(2 * KEYRING_MAX_BYTES);
	if (!pem)
		return fail(FAULT_UNAVAILABLE, "no memory for a bundle");
	json_name(ret, "authorities");
	json_begin(ret, '[');
	for (size_t i = 0; rc == 0 && keyring_ca_certificate(keyring, i); i++) {
		buf_reset(pem);
		rc = keyring_put_ca_pem(keyring, i, pem);
		if (rc == 0 && !buf_ok(pem))
			rc = fail(FAULT_UNAVAILABLE, "no memory for a certificate");
		json_string(ret, buf_view(pem));
	}
	json_end(ret, ']');
	return rc;
}

static int put_history(const struct keyring *keyring, const struct bundle *b, struct buf *ret_secret)
{
	int rc = 0;
	json_name(ret_secret, "certificates");
	json_begin(ret_secret, '[');
	for (size_t i = 0; rc == 0 && i < b->history.count; i++)
		if (b->history.at[i].delivered)
			rc = put_identity(keyring, b, i, ret_secret);
	json_end(ret_secret, ']');
	return rc;
}

static int put_json(const struct keyring *keyring, const struct bundle *b, int64_t now, struct buf *ret_secret)
{
	json_begin(ret_secret, '{');
	json_name(ret_secret, "version");
	buf_put_text(ret_secret, "1");
	put_text(ret_secret, "user", b->shown->user.upn);
	put_text(ret_secret, "device", b->shown->device.id);
	put_time(ret_secret, "issuedAt", now);
	int rc = put_history(keyring, b, ret_secret);
	if (rc == 0)
		rc = put_intermediates(b, ret_secret);
	if (rc == 0)
		rc = put_trusted(keyring, ret_secret);
	put_removed(b, ret_secret);
	json_end(ret_secret, '}');
	if (rc == 0 && !buf_ok(ret_secret))
		rc = buf_overflowed(ret_secret) ?
		     fail(FAULT_UNAVAILABLE, "the bundle is larger than %u bytes", BUNDLE_JSON_MAX_BYTES) :
		     fail(FAULT_UNAVAILABLE, "no memory for a bundle");
	return rc;
}

/* What is between the signer and its root, so that who keeps the root alone can verify. The caller frees the stack. */
static STACK_OF(X509) *between(const struct keyring *keyring, size_t n)
{
	const STACK_OF(X509) *chain = keyring_ca_chain(keyring, n);
	STACK_OF(X509) *all = sk_X509_new_null();
	bool done = all != NULL;
	if (sk_X509_num(chain) > 0)
		done = done && sk_X509_push(all, keyring_ca_certificate(keyring, n)) > 0;
	for (int i = 0; i + 1 < sk_X509_num(chain); i++)
		done = done && sk_X509_push(all, sk_X509_value(chain, i)) > 0;
	if (done)
		return all;
	sk_X509_free(all);
	return NULL;
}

/* By the signer of the CA that the device met at its enrolment, or was told of since. */
static int sign(const struct keyring *keyring, struct view device, struct view json_secret, struct buf *ret_secret)
{
	size_t n = 0;
	int rc = keyring_ca_of_der(keyring, device, &n);
	STACK_OF(X509) *above = rc == 0 ? between(keyring, n) : NULL;
	if (rc == 0 && !above)
		rc = fail(FAULT_UNAVAILABLE, "no memory for a bundle");
	if (rc == 0)
		rc = cms_sign(keyring_signer_certificate(keyring, n), keyring_signer_key(keyring, n), above,
			      json_secret, ret_secret);
	sk_X509_free(above);
	return rc;
}

/* About as long as the JSON will be. */
static size_t json_length(const struct bundle *b)
{
	size_t len = JSON_FRAME_BYTES + 2 * buf_len(b->above);
	for (size_t i = 0; i < b->history.count; i++)
		if (b->sealed[i].bytes)
			len += JSON_FACTS_BYTES + buf_len(b->sealed[i].bytes) * 4 / 3;
	return len;
}

int bundle_make(const struct keyring *keyring, const struct bundle *b, int64_t now, struct buf *ret)
{
	BUF json_secret = buf_new(BUNDLE_JSON_MAX_BYTES);
	BUF signed_secret = buf_new(BUNDLE_MAX_BYTES);
	struct view device = b->shown->certificate.der;
	if (!json_secret || !signed_secret)
		return fail(FAULT_UNAVAILABLE, "no memory for a bundle");
	buf_make_room(json_secret, json_length(b));
	int rc = put_json(keyring, b, now, json_secret);
	if (rc == 0)
		rc = sign(keyring, device, buf_view(json_secret), signed_secret);
	if (rc == 0)
		rc = cms_encrypt(device, b->enveloped, buf_view(signed_secret), ret);
	return rc;
}
