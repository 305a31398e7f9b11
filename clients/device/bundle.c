/* Reads the JSON of a verified bundle. pfx-device. Keys and passwords are lifted out of the text first and rest in
 * wiping buffers; whatever becomes part of a file's name is checked to be hex or a date. */
#include "bundle.h"

#include "../shared/json_text.h"
#include "../shared/trouble.h"
#include "encode.h"
#include "json_lift.h"

#include <stdlib.h>
#include <string.h>

static const char *const secret_names[] = { "pkcs12", "password", NULL };

bool thumbprint_is_valid(const char *text, size_t bytes)
{
	return strlen(text) == 2 * bytes && strspn(text, "0123456789abcdef") == 2 * bytes;
}

/* RFC 3339 as this service writes it: such times can be compared as text. */
static bool time_is_valid(const char *text)
{
	static const char form[] = "dddd-dd-ddTdd:dd:ddZ";
	if (strlen(text) != TIME_TEXT)
		return false;
	for (size_t i = 0; i < TIME_TEXT; i++)
		if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
			return false;
	return true;
}

static int refuse(const char *what)
{
	return trouble_coded(EXIT_REFUSED, "bad_bundle", "the bundle %s; nothing was written", what);
}

static int check_header(const json_t *json, const struct state *state, struct bundle *ret)
{
	const char *issued_at = json_get_text(json, "issuedAt");
	if (json_integer_value(json_object_get(json, "version")) != 1)
		return refuse("has a version that this program does not know: update it");
	if (strcmp(json_get_text(json, "device"), state->device_id) != 0)
		return refuse("is for another device");
	if (!time_is_valid(issued_at))
		return refuse("does not say when it was issued");
	if (strcmp(issued_at, state->issued_at) < 0)
		return trouble_coded(EXIT_REFUSED, "old_bundle", "the bundle was issued at %s, before the last one "
				     "that this device took (%s): somebody sends an old one again; nothing was "
	"written", issued_at,
				     state->issued_at);
	memcpy(ret->issued_at, issued_at, sizeof ret->issued_at);
	if (!text_copy(view_text(json_get_text(json, "user")), ret->user, sizeof ret->user))
		return refuse("names no user");
	return EXIT_DONE;
}

static int take_identity(struct bundle *bundle, json_t *facts, struct bundle_identity *ret)
{
	struct view pkcs12_secret;
	const char *sha1 = json_get_text(facts, "thumbprint"), *sha256 = json_get_text(facts, "thumbprintSha256");
	const char *not_before = json_get_text(facts, "notBefore");
	if (!thumbprint_is_valid(sha1, 20) || !thumbprint_is_valid(sha256, 32) || !time_is_valid(not_before))
		return refuse("holds a certificate without a thumbprint or a time");
	if (!json_lifted(bundle->secrets_secret, json_get_text(facts, "pkcs12"), &pkcs12_secret) ||
	    !json_lifted(bundle->secrets_secret, json_get_text(facts, "password"), &ret->password_secret))
		return refuse("holds a certificate without its key");
	strcpy(ret->thumbprint, sha1);
	strcpy(ret->thumbprint_sha256, sha256);
	strcpy(ret->not_before, not_before);
	ret->facts = facts;
	ret->pkcs12_secret = buf_new(PKCS12_MAX_BYTES);
	if (!ret->pkcs12_secret)
		return trouble(EXIT_LOCAL, "no memory");
	if (base64_decode(pkcs12_secret, ret->pkcs12_secret) < 0)
		buf_reset(ret->pkcs12_secret); /* told of, and reported, as one that does not open */
	json_object_del(facts, "pkcs12");
	json_object_del(facts, "password");
	return EXIT_DONE;
}

static bool is_named_before(const struct bundle *bundle, const char *thumbprint)
{
	for (size_t i = 0; i < bundle->count; i++)
		if (strcmp(bundle->identities[i].thumbprint, thumbprint) == 0)
			return true;
	return false;
}

static int take_identities(struct bundle *bundle)
{
	size_t i;
	json_t *facts, *list = json_object_get(bundle->json, "certificates");
	if (!json_is_array(list) || json_array_size(list) > IDENTITIES_PER_USER_MAX)
		return refuse("has no list of certificates, or one that is too long");
	bundle->identities = calloc(json_array_size(list) + 1, sizeof *bundle->identities);
	if (!bundle->identities)
		return trouble(EXIT_LOCAL, "no memory");
	json_array_foreach(list, i, facts) {
		if (is_named_before(bundle, json_get_text(facts, "thumbprint")))
			return refuse("holds a certificate twice");
		int rc = take_identity(bundle, facts, &bundle->identities[bundle->count++]);
		if (rc)
			return rc;
	}
	return EXIT_DONE;
}

int bundle_read(struct view json_secret, const struct state *state, struct bundle *ret)
{
	*ret = (struct bundle){ .secrets_secret = buf_new(json_secret.len + 64 * KIB) };
	if (!ret->secrets_secret)
		return trouble(EXIT_LOCAL, "no memory");
	if (json_read_lifted(json_secret, secret_names, ret->secrets_secret, &ret->json) != EXIT_DONE)
		return refuse("is not JSON");
	int rc = check_header(ret->json, state, ret);
	return rc ? rc : take_identities(ret);
}

void bundle_done(struct bundle *bundle)
{
	for (size_t i = 0; i < bundle->count; i++)
		buf_free(bundle->identities[i].pkcs12_secret);
	free(bundle->identities);
	json_decref(bundle->json);
	buf_free(bundle->secrets_secret);
}
