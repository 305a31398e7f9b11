/* Writes identities to files. pfx-device. Each file is whole or absent, and readable by its owner alone. */
#include "output.h"

#include "../shared/json_text.h"
#include "../shared/trouble.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

enum { CHAIN_FILE_CERTIFICATES_MAX = 1000, INDEX_MAX_BYTES = 16 * MIB };

struct opened {
	EVP_PKEY *key;
	X509 *certificate;
};

static void opened_done(struct opened *opened)
{
	EVP_PKEY_free(opened->key);
	X509_free(opened->certificate);
}
#define OPENED __attribute__((cleanup(opened_done))) struct opened

void output_name(const struct bundle_identity *identity, const char *ending, char ret[static OUTPUT_NAME_MAX])
{
	snprintf(ret, OUTPUT_NAME_MAX, "%.10s-%.12s%s", identity->not_before, identity->thumbprint, ending);
}

/* ---- is it what the bundle says? ---- */

static bool has_thumbprint(X509 *certificate, const EVP_MD *md, const char *hex)
{
	uint8_t found[EVP_MAX_MD_SIZE];
	char text[2 * EVP_MAX_MD_SIZE + 1];
	unsigned len = 0;
	if (X509_digest(certificate, md, found, &len) != 1)
		return false;
	for (unsigned i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", found[i]);
	return strcmp(text, hex) == 0;
}

/* NULL, or the reason why it can not be used. */
static const char *open_pkcs12(const struct bundle_identity *identity, struct opened *ret)
{
	const uint8_t *at = buf_data(identity->pkcs12_secret), *end = at + buf_len(identity->pkcs12_secret);
	PKCS12_PTR pkcs12 = d2i_PKCS12(NULL, &at, (long)buf_len(identity->pkcs12_secret));
	BUF password_secret = buf_new(PASSWORD_MAX_BYTES + 1);
	if (!pkcs12 || at != end)
		return "this is no PKCS#12 file";
	if (!password_secret || identity->password_secret.len == 0 ||
	    identity->password_secret.len > PASSWORD_MAX_BYTES)
		return "its password is empty or too long";
	buf_put(password_secret, identity->password_secret.p, identity->password_secret.len);
	const char *password = buf_text(password_secret);
	if (!password || PKCS12_parse(pkcs12, password, &ret->key, &ret->certificate, NULL) != 1)
		return "it does not open with its password";
	if (!ret->key || !ret->certificate || X509_check_private_key(ret->certificate, ret->key) != 1)
		return "it does not hold a key and the certificate of that key";
	if (!has_thumbprint(ret->certificate, EVP_sha1(), identity->thumbprint) ||
	    !has_thumbprint(ret->certificate, EVP_sha256(), identity->thumbprint_sha256))
		return "it holds another certificate than the one that was named";
	return NULL;
}

/* ---- one identity ---- */

static int write_named(const char *folder, const struct bundle_identity *identity, const char *ending,
		       struct view bytes)
{
	char name[OUTPUT_NAME_MAX], path[PATH_BYTES];
	output_name(identity, ending, name);
	int rc = path_join(path, folder, name);
	return rc ? rc : file_write(path, bytes, 0600);
}

static int write_pem(const char *folder, const struct bundle_identity *identity, const struct opened *opened)
{
	BUF pem_secret = buf_new(KEY_MAX_BYTES * 2 + CERTIFICATE_MAX_BYTES * 2);
	if (!pem_secret || !pem_put_key(pem_secret, opened->key) ||
	    !pem_put_certificate(pem_secret, opened->certificate))
		return trouble(EXIT_LOCAL, "no memory");
	return write_named(folder, identity, ".pem", buf_view(pem_secret));
}

static int write_p12(const char *folder, const struct bundle_identity *identity)
{
	BUF line_secret = buf_new(PASSWORD_MAX_BYTES + 1);
	if (!line_secret)
		return trouble(EXIT_LOCAL, "no memory");
	buf_put(line_secret, identity->password_secret.p, identity->password_secret.len);
	buf_put_u8(line_secret, '\n');
	int rc = write_named(folder, identity, ".p12", buf_view(identity->pkcs12_secret));
	return rc ? rc : write_named(folder, identity, ".password", buf_view(line_secret));
}

/* *ret_why is NULL where the identity was written, else why it was not. */
static int write_identity(const char *folder, const char *format, const struct bundle_identity *identity,
			  const char **ret_why)
{
	OPENED opened = { 0 };
	*ret_why = open_pkcs12(identity, &opened);
	ERR_clear_error();
	if (*ret_why)
		return EXIT_DONE;
	return strcmp(format, "pem") == 0 ? write_pem(folder, identity, &opened) : write_p12(folder, identity);
}

/* ---- what goes beside them ---- */

static int write_chain(const char *folder, const json_t *intermediates)
{
	size_t i;
	json_t *one;
	char path[PATH_BYTES];
	BUF pem = buf_new(BUNDLE_MAX_BYTES);
	int rc = pem ? path_join(path, folder, "chain.pem") : trouble(EXIT_LOCAL, "no memory");
	if (rc)
		return rc;
	json_array_foreach(intermediates, i, one) {
		const char *text = json_string_value(one);
		CERTIFICATE certificate = text ? pem_read_certificate(view_text(text)) : NULL;
		/* Written anew from what was read: nothing but certificates gets into the file. */
		if (certificate && i < CHAIN_FILE_CERTIFICATES_MAX && !pem_put_certificate(pem, certificate))
			return trouble(EXIT_LOCAL, "no memory");
	}
	return buf_len(pem) ? file_write(path, buf_view(pem), 0600) : file_remove(path);
}

/* Adds what the index says of an identity: the facts of the bundle and its files, or why it has none. */
static void add_to_index(json_t *list, const struct bundle_identity *identity, const char *format, const char *why)
{
	char name[OUTPUT_NAME_MAX];
	json_t *entry = json_copy(identity->facts);
	bool pem = strcmp(format, "pem") == 0;
	output_name(identity, pem ? ".pem" : ".p12", name);
	json_object_set_new(entry, why ? "error" : "file", json_string(why ? why : name));
	output_name(identity, ".password", name);
	if (!why && !pem)
		json_object_set_new(entry, "passwordFile", json_string(name));
	json_array_append_new(list, entry);
}

static int write_index(const char *folder, const char *format, const struct bundle *bundle, json_t *list)
{
	char path[PATH_BYTES];
	BUF text = buf_new(INDEX_MAX_BYTES);
	JSON index = json_pack("{s:i,s:s,s:s,s:s,s:O}", "version", 1, "user", bundle->user, "issuedAt",
			       bundle->issued_at, "format", format, "certificates", list);
	size_t len = index ? json_dumpb(index, NULL, 0, JSON_INDENT(1)) : 0;
	uint8_t *at = text && len ? buf_reserve(text, len) : NULL;
	if (!at || json_dumpb(index, (char *)at, len, JSON_INDENT(1)) != len)
		return trouble(EXIT_LOCAL, "no memory");
	buf_put_u8(text, '\n');
	int rc = path_join(path, folder, "index.json");
	return rc ? rc : file_write(path, buf_view(text), 0600);
}

static void add_receipt(const struct bundle_identity *identity, const char *why, struct buf *installed,
			struct buf *failed)
{
	if (!why) {
		json_put_text(installed, NULL, view_text(identity->thumbprint));
		return;
	}
	json_put_open(failed, NULL, '{');
	json_put_text(failed, "thumbprint", view_text(identity->thumbprint));
	json_put_text(failed, "error", view_text(why));
	buf_put_u8(failed, '}');
}

static int write_identities(const char *folder, const char *format, const struct bundle *bundle, json_t *list,
			    size_t *ret_failed, struct buf *ret_receipts)
{
	BUF failed = buf_new(MIB);
	if (!failed)
		return trouble(EXIT_LOCAL, "no memory");
	json_put_open(ret_receipts, NULL, '{');
	json_put_open(ret_receipts, "installed", '[');
	json_put_open(failed, "failed", '[');
	for (size_t i = 0; i < bundle->count; i++) {
		const struct bundle_identity *identity = &bundle->identities[i];
		const char *why = NULL;
		int rc = write_identity(folder, format, identity, &why);
		if (rc)
			return rc;
		*ret_failed += why != NULL;
		add_to_index(list, identity, format, why);
		add_receipt(identity, why, ret_receipts, failed);
	}
	buf_put_text(ret_receipts, "],");
	buf_put(ret_receipts, buf_data(failed), buf_len(failed));
	buf_put_text(ret_receipts, "]}");
	return buf_ok(ret_receipts) && buf_ok(failed) ? EXIT_DONE : trouble(EXIT_LOCAL, "no memory");
}

int output_write(const char *folder, const char *format, const struct bundle *bundle, size_t *ret_failed,
		 struct buf *ret_receipts)
{
	JSON list = json_array();
	*ret_failed = 0;
	int rc = list ? folder_make(folder) : trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE)
		rc = write_identities(folder, format, bundle, list, ret_failed, ret_receipts);
	if (rc == EXIT_DONE)
		rc = write_chain(folder, json_object_get(bundle->json, "intermediates"));
	if (rc == EXIT_DONE)
		rc = write_index(folder, format, bundle, list);
	return rc ? rc : output_sweep(folder, format, bundle);
}
