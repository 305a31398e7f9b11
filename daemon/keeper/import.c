/* Answers IMPORT: has an opener take the PFX apart, seals what came out, and commits all of it in one transaction
 * with its audit records. Keeper only. The PFX itself is never parsed here. */
#include "encode.h"
#include "fault.h"
#include "frame.h"
#include "history.h"
#include "openers.h"
#include "seal.h"
#include "serve.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum {
	TRIES = 5, /* when somebody else makes the user, or imports the same, at the same time */
	SEALED_PART_MAX_BYTES = STORED_PKCS12_MAX_BYTES + 64,
};

/* One identity on its way into the database. */
struct prepared {
	struct row_identity row;
	char id[UUID_TEXT + 1];
	uint8_t sha1[20], sha256[32], wrapped[SEAL_WRAPPED_BYTES];
	struct buf *chain;
	struct view key_identifier;
	struct buf *modern, *legacy; /* sealed */
	bool is_new;
};

struct import {
	struct keeper *k;
	const struct caller *who;
	struct msg_import request;
	struct msg_opened_pfx opened;
	struct view passwords_secret;
	struct prepared *list;
	size_t count;
	char user_id[UUID_TEXT + 1]; /* whose the sealed parts are bound to */
	struct buf *answer;          /* identities, as list of msg_identity_facts */
	bool created;
};

static void prepared_done(struct prepared *p)
{
	buf_free(p->chain);
	buf_free(p->modern);
	buf_free(p->legacy);
}

static void import_done(struct import *im)
{
	for (size_t i = 0; i < im->count; i++)
		prepared_done(&im->list[i]);
	free(im->list);
	buf_free(im->answer);
}

/* ---- what the opener says ---- */

static int make_passwords(struct buf *ret_secret)
{
	BUF random_secret = buf_new(PFX_IDENTITIES_MAX * KEY256_BYTES);
	uint8_t *at = random_secret ? buf_reserve(random_secret, PFX_IDENTITIES_MAX * KEY256_BYTES) : NULL;
	if (!at || RAND_priv_bytes(at, PFX_IDENTITIES_MAX * KEY256_BYTES) != 1)
		return fail(FAULT_UNAVAILABLE, "no random bytes");
	for (size_t i = 0; i < PFX_IDENTITIES_MAX; i++)
		base64url_encode(view_of(at + i * KEY256_BYTES, KEY256_BYTES), ret_secret);
	return buf_ok(ret_secret) ? 0 : fail(FAULT_UNAVAILABLE, "no memory for passwords");
}

/* Goes through the lists once, so that nobody meets a broken one later: front reads the warnings, and the chain is
 * stored whether or not an identity refers to it. */
static bool lists_are_whole(const struct msg_opened_pfx *opened)
{
	struct msg_opened_certificate certificate;
	struct msg_warning warning;
	for (struct view rest = opened->chain; rest.len > 0;)
		if (get_opened_certificate(&rest, &certificate) < 0)
			return false;
	for (struct view rest = opened->warnings; rest.len > 0;)
		if (get_warning(&rest, &warning) < 0)
			return false;
	return true;
}

static int open_pfx(struct import *im, struct buf *opened)
{
	BUF request = buf_new(PFX_MAX_BYTES + 64 * KIB);
	struct view fields;
	if (!request)
		return fail(FAULT_UNAVAILABLE, "no memory for a PFX");
	const struct msg_open_pfx message = {
		.max_work = im->k->config.max_work, .usages = im->request.usages, .pfx_secret = im->request.pfx_secret,
		.password_secret = im->request.password_secret, .passwords_secret = im->passwords_secret,
	};
	frame_begin(request, VERB_OPEN_PFX);
	int rc = put_open_pfx(request, &message);
	if (rc == 0)
		rc = openers_pfx(im->k->openers, im->who->token.id, request, opened, &fields);
	if (rc == 0 && (read_opened_pfx(fields, &im->opened) < 0 || !lists_are_whole(&im->opened)))
		rc = fail(FAULT_INTERNAL, "an opener's answer breaks the protocol");
	return rc;
}

/* The digests of an identity's chain, in order, from the opener's list of certificates. */
static int chain_digests(struct view indexes, struct view certificates, struct buf *ret)
{
	for (; indexes.len > 0; indexes = view_of(indexes.p + 1, indexes.len - 1)) {
		struct msg_opened_certificate certificate = { 0 };
		struct view rest = certificates;
		uint8_t digest[32];
		for (unsigned n = 0; n <= indexes.p[0]; n++)
			if (rest.len == 0 || get_opened_certificate(&rest, &certificate) < 0)
				return fail(FAULT_INTERNAL, "an opener names a certificate that it did not send");
		if (digest_sha256(certificate.certificate, digest) < 0)
			return -FAULT_INTERNAL;
		buf_put(ret, digest, sizeof digest);
	}
	return buf_ok(ret) ? 0 : fail(FAULT_UNAVAILABLE, "no memory for a chain");
}

/* The thumbprints are computed here: the opener has no say in them. */
static int prepare(struct import *im, struct prepared *p, const struct msg_opened_identity *m)
{
	uuid_make(p->id);
	p->chain = buf_new(PFX_CHAIN_MAX * 32);
	if (!p->chain)
		return fail(FAULT_UNAVAILABLE, "no memory for a chain");
	int rc = chain_digests(m->chain, im->opened.chain, p->chain);
	if (rc == 0)
		rc = digest_sha1(m->certificate, p->sha1);
	if (rc == 0)
		rc = digest_sha256(m->certificate, p->sha256);
	if (rc == 0 && (m->usages == 0 || m->certificate.len == 0 || m->modern_secret.len == 0 ||
			m->legacy_secret.len == 0))
		rc = fail(FAULT_INTERNAL, "an opener's identity is not whole");
	for (struct view rest = m->emails; rc == 0 && rest.len > 0;) {
		struct msg_string email;
		rc = get_string(&rest, &email) < 0 ? fail(FAULT_INTERNAL,
							  "an opener's addresses break the protocol") : 0;
	}
	p->row = (struct row_identity){
		.id = view_text(p->id), .sha1 = view_of(p->sha1, 20), .sha256 = view_of(p->sha256, 32),
		.subject = m->subject, .issuer = m->issuer, .serial = m->serial, .not_before = m->not_before,
		.not_after = m->not_after, .usages = m->usages, .key_algorithm = m->key_algorithm, .emails = m->emails,
		.chain = buf_view(p->chain), .imported_at = now_seconds(), .imported_by = im->who->token.id,
	};
	p->key_identifier = m->key_identifier;
	return rc;
}

static int seal_part(const struct key256 *key_secret, const struct binding *binding, const char *part,
		     struct view password_secret, struct view pkcs12_secret, struct buf **ret)
{
	BUF whole_secret = buf_new(SEALED_PART_MAX_BYTES);
	buf_free(*ret);
	*ret = buf_new(SEALED_PART_MAX_BYTES);
	if (!whole_secret || !*ret)
		return fail(FAULT_UNAVAILABLE, "no memory to seal an identity");
	buf_put(whole_secret, password_secret.p, password_secret.len);
	buf_put(whole_secret, pkcs12_secret.p, pkcs12_secret.len);
	if (!buf_ok(whole_secret))
		return fail(FAULT_UNAVAILABLE, "no memory to seal an identity");
	return seal(key_secret, binding, part, buf_view(whole_secret), *ret);
}

/* Seals both files of one identity for the user im->user_id. */
static int seal_identity(struct import *im, struct prepared *p, const struct msg_opened_identity *m,
			 struct view password)
{
	KEY256 key_secret;
	int rc = seal_new_key(im->k->keyring, &key_secret, p->wrapped);
	if (rc < 0)
		return rc;
	const struct binding binding = { .record = p->row.id, .owner = view_text(im->user_id), .sha256 = p->row.sha256,
					 .key_id = view_text(keyring_wrapping_id(im->k->keyring, 0)) };
	p->row.user_id = binding.owner;
	rc = seal_part(&key_secret, &binding, "modern", password, m->modern_secret, &p->modern);
	if (rc == 0)
		rc = seal_part(&key_secret, &binding, "legacy", password, m->legacy_secret, &p->legacy);
	return rc;
}

static int each_identity(struct import *im, bool first)
{
	struct view rest = im->opened.identities;
	int rc = 0;
	for (size_t i = 0; rc == 0 && rest.len > 0; i++) {
		struct msg_opened_identity m;
		if (i == PFX_IDENTITIES_MAX || get_opened_identity(&rest, &m) < 0)
			return fail(FAULT_INTERNAL, "an opener's answer breaks the protocol");
		if (first) {
			im->count++;
			rc = prepare(im, &im->list[i], &m);
		}
		struct view password = view_of(im->passwords_secret.p + i * PKCS12_PASSWORD_CHARS,
					       PKCS12_PASSWORD_CHARS);
		if (rc == 0)
			rc = seal_identity(im, &im->list[i], &m, password);
	}
	if (rc == 0 && im->count == 0)
		rc = fail(FAULT_INTERNAL, "an opener's answer breaks the protocol: it holds no identity");
	return rc;
}

/* ---- what is written ---- */

static int store_chain(struct import *im, struct connection *c)
{
	for (struct view rest = im->opened.chain; rest.len > 0;) {
		struct msg_opened_certificate m;
		STATEMENT s = NULL;
		uint8_t digest[32];
		int rc = get_opened_certificate(&rest, &m);
		if (rc == 0)
			rc = digest_sha256(m.certificate, digest);
		if (rc == 0)
			rc = statement_get(c, SQL_chain_insert, &s);
		if (rc < 0)
			return rc;
		bind_blob(s, 1, view_of(digest, sizeof digest));
		bind_blob(s, 2, m.certificate);
		rc = statement_run(s);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int insert(struct import *im, struct connection *c, struct prepared *p)
{
	STATEMENT s = NULL;
	uint8_t mac[32];
	int rc = statement_get(c, SQL_identity_insert, &s);
	if (rc == 0)
		rc = bind_identity(im->k->keyring, s, &p->row, mac);
	if (rc < 0)
		return rc;
	int n = columns_identity + 1;
	bind_text(s, ++n, view_text(keyring_wrapping_id(im->k->keyring, 0)));
	bind_blob(s, ++n, view_of(p->wrapped, sizeof p->wrapped));
	bind_blob(s, ++n, buf_view(p->modern));
	bind_blob(s, ++n, buf_view(p->legacy));
	bind_blob(s, ++n, p->key_identifier);
	return statement_run(s);
}

static int forget_removal(struct connection *c, const struct prepared *p)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_removal_delete, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, p->row.user_id);
	bind_blob(s, 2, p->row.sha1);
	return statement_run(s);
}

/* The detail is the certificate's SHA-256 and the usages, which verification compares with the row. */
static int record(struct import *im, struct connection *c, const char *event, struct view id, const struct prepared *p,
		  int64_t usages)
{
	char sha256[65], detail[80];
	hex_encode(p->row.sha256, sha256);
	snprintf(detail, sizeof detail, "%s %lld", sha256, (long long)usages);
	const struct audit_record r = {
		.event = event, .actor = im->who->actor.id, .user_id = p->row.user_id, .object = id,
		.detail = view_text(detail), .request_id = im->who->actor.request_id,
	};
	return audit_append(im->k, c, &r);
}

/* An identity that is there already: only usages that the caller named now, and that differ, are written. */
static int update_known(struct import *im, struct connection *c, const struct prepared *p, struct row_identity *known)
{
	STATEMENT s = NULL;
	uint8_t mac[32];
	if (im->request.usages == 0 || known->usages == im->request.usages)
		return record(im, c, "identity.known", known->id, p, known->usages);
	known->usages = im->request.usages;
	int rc = mac_identity(im->k->keyring, known, mac);
	if (rc == 0)
		rc = statement_get(c, SQL_identity_set_usages, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, known->id);
	bind_number(s, 2, known->usages);
	bind_blob(s, 3, view_of(mac, sizeof mac));
	rc = statement_run(s);
	return rc < 0 ? rc : record(im, c, "identity.usages", known->id, p, known->usages);
}

static int store_one(struct import *im, struct connection *c, struct prepared *p)
{
	ROW(identity, known);
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_identity_of_user, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, p->row.user_id);
	bind_blob(s, 2, p->row.sha256);
	rc = statement_step(s);
	p->is_new = rc == 0;
	if (rc > 0) {
		rc = load_identity(im->k->keyring, s, &known);
		return rc < 0 ? rc : update_known(im, c, p, &known);
	}
	if (rc == 0)
		rc = insert(im, c, p);
	if (rc == 0)
		rc = forget_removal(c, p);
	return rc < 0 ? rc : record(im, c, "identity.import", p->row.id, p, p->row.usages);
}

static bool in_this_pfx(const struct import *im, struct view sha256)
{
	for (size_t i = 0; i < im->count; i++)
		if (view_equal(im->list[i].row.sha256, sha256))
			return true;
	return false;
}

static int too_much(const char *what, unsigned max)
{
	return fail(FAULT_CONFLICT, "the user would have more than %u %s, which no bundle holds: delete some first",
		    max, what);
}

/* What a user has must fit a bundle, or every pull would fail from then on. */
static int check_room(struct import *im, struct connection *c)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_user_size_identities, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, view_text(im->user_id));
	rc = statement_step(s);
	if (rc > 0 && column_number(s, 0) > IDENTITIES_PER_USER_MAX)
		return too_much("identities", IDENTITIES_PER_USER_MAX);
	if (rc > 0 && column_number(s, 1) > USER_PKCS12_MAX_BYTES)
		return too_much("bytes of PKCS#12 files", USER_PKCS12_MAX_BYTES);
	return rc < 0 ? rc : 0;
}

/* Adds the size of a certificate above an identity, if it was not counted yet. */
static int add_chain_size(struct connection *c, struct view digest, struct buf *counted, size_t *size)
{
	STATEMENT s = NULL;
	for (struct view rest = buf_view(counted); rest.len >= 32; rest = view_of(rest.p + 32, rest.len - 32))
		if (memcmp(rest.p, digest.p, 32) == 0)
			return 0;
	buf_put(counted, digest.p, digest.len);
	int rc = statement_get(c, SQL_chain_get, &s);
	if (rc < 0)
		return rc;
	bind_blob(s, 1, digest);
	rc = statement_step(s);
	if (rc > 0)
		*size += column_view(s, 0).len;
	return rc < 0 ? rc : 0;
}

static int check_chains(const struct history *h, struct connection *c)
{
	size_t size = 0;
	int rc = 0;
	BUF counted = buf_new(MIB);
	if (!counted)
		return fail(FAULT_UNAVAILABLE, "no memory for an import");
	for (size_t i = 0; i < h->count; i++) {
		struct view chain = h->at[i].row.chain, digest;
		while (rc == 0 && size <= USER_CHAIN_MAX_BYTES && view_get(&chain, 32, &digest))
			rc = add_chain_size(c, digest, counted, &size);
	}
	if (rc == 0 && size > USER_CHAIN_MAX_BYTES)
		rc = too_much("bytes of chain certificates", USER_CHAIN_MAX_BYTES);
	return rc;
}

/* The facts of what was in the PFX, new or known, as they stand in the history after it. */
static int answer_facts(struct import *im, struct connection *c)
{
	HISTORY h = { .count = 0 };
	buf_reset(im->answer);
	int rc = history_read(im->k->keyring, c, view_text(im->user_id), now_seconds(), true, &h);
	if (rc == 0)
		rc = check_chains(&h, c);
	for (size_t i = 0; rc == 0 && i < h.count; i++)
		if (in_this_pfx(im, h.at[i].row.sha256))
			rc = identity_put_facts(&h.at[i], im->answer);
	return rc;
}

/* The one transaction of an import. */
static int store(struct connection *c, void *arg)
{
	struct import *im = arg;
	ROW(user, user);
	im->created = false;
	int rc = users_find(im->k->keyring, c, im->request.upn, &user);
	if (rc == -FAULT_NOT_FOUND)
		rc = users_create(im->k, c, &im->who->actor, view_text(im->user_id), im->request.upn);
	else if (rc == 0 && !view_is(user.id, im->user_id))
		rc = fail(FAULT_AGAIN, "the user was made in the meantime");
	if (rc == 0)
		rc = store_chain(im, c);
	for (size_t i = 0; rc == 0 && i < im->count; i++) {
		rc = store_one(im, c, &im->list[i]);
		im->created |= im->list[i].is_new;
	}
	if (rc == 0)
		rc = check_room(im, c);
	return rc < 0 ? rc : answer_facts(im, c);
}

/* The id of the user that there is, or a new one. */
static int choose_user(struct import *im)
{
	READER c = NULL;
	ROW(user, user);
	int rc = db_read(im->k->db, &c);
	if (rc == 0)
		rc = users_find(im->k->keyring, c, im->request.upn, &user);
	if (rc == -FAULT_NOT_FOUND)
		uuid_make(im->user_id);
	else if (rc == 0)
		text_copy(user.id, im->user_id, sizeof im->user_id);
	return rc == -FAULT_NOT_FOUND ? 0 : rc;
}

static int seal_and_store(struct import *im)
{
	int rc = -FAULT_AGAIN;
	for (int try = 0; rc == -FAULT_AGAIN && try < TRIES; try++) {
		rc = choose_user(im);
		if (rc == 0)
			rc = each_identity(im, try == 0);
		if (rc == 0)
			rc = tokens_write(im->k, &im->who->token, store, im);
	}
	return rc == -FAULT_AGAIN ? fail(FAULT_UNAVAILABLE, "too many imports for this user at once: try again") : rc;
}

/* ---- warnings ---- */

static bool has_address(struct view emails, struct view upn)
{
	while (emails.len > 0) {
		struct msg_string email;
		if (get_string(&emails, &email) < 0)
			return false;
		if (email.value.len == upn.len &&
		    strncasecmp((const char *)email.value.p, (const char *)upn.p, upn.len) == 0)
			return true;
	}
	return false;
}

static int put_warnings(const struct import *im, struct buf *ret)
{
	buf_put(ret, im->opened.warnings.p, im->opened.warnings.len);
	for (size_t i = 0; i < im->count; i++) {
		const struct row_identity *row = &im->list[i].row;
		if (has_address(row->emails, im->request.upn))
			continue;
		const struct msg_warning warning = {
			.code = view_text("address_mismatch"), .thumbprint = row->sha1,
			.detail = view_text("the certificate does not name this user's UPN as a mail address: mail programs "
					    "may not use it for that address"),
		};
		int rc = put_warning(ret, &warning);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int import(struct import *im, struct buf *answer)
{
	BUF passwords_secret = buf_new(PFX_IDENTITIES_MAX * PKCS12_PASSWORD_CHARS);
	BUF opened = buf_new(FRAME_MAX_BYTES);
	BUF warnings = buf_new(MIB);
	im->list = calloc(PFX_IDENTITIES_MAX, sizeof *im->list);
	im->answer = buf_new(LIST_MAX_BYTES);
	if (!passwords_secret || !opened || !warnings || !im->list || !im->answer)
		return fail(FAULT_UNAVAILABLE, "no memory for an import");
	int rc = make_passwords(passwords_secret);
	im->passwords_secret = buf_view(passwords_secret);
	if (rc == 0)
		rc = open_pfx(im, opened);
	if (rc == 0)
		rc = seal_and_store(im);
	if (rc == 0)
		rc = put_warnings(im, warnings);
	if (rc < 0)
		return rc;
	const struct msg_imported message = { .created = im->created, .identities = buf_view(im->answer),
					      .warnings = buf_view(warnings) };
	return put_imported(answer, &message);
}

int answer_import(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	struct import im = { .k = k, .who = who };
	int rc = read_import(fields, &im.request);
	if (rc == 0)
		rc = import(&im, answer);
	for (size_t i = 0; rc == 0 && i < im.count; i++)
		if (im.list[i].is_new)
			atomic_fetch_add(&k->counters.imports, 1);
	import_done(&im);
	return rc;
}
