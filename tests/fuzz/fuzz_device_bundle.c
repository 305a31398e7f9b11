/* What pfx-device takes from a server that may be anybody's: a bundle, layer by layer. The input is a line that says
 * which layer it stands for, and the bytes:
 *
 *   cms      what came from the server
 *   signed   what was encrypted to this device, which anybody can do who has its certificate
 *   content  what the bundle signer signed: it comes out just as it went in
 *   json     the same, read and written to files
 *
 * PFXD_FUZZ_SEEDS=folder has the target write seeds into the folder. */
#include "fuzz.h"

#include "../../clients/device/bundle.h"
#include "../../clients/device/output.h"
#include "../../clients/shared/json_text.h"
#include "../../clients/shared/trouble.h"
#include "encode.h"
#include "keeper/ca.h"
#include "keeper/cms.h"

#include <dirent.h>
#include <openssl/err.h>
#include <unistd.h>

static const char device_id[] = "00000000-0000-4000-8000-00000000000d";
static const char user_id[] = "00000000-0000-4000-8000-00000000000a";

static struct {
	EVP_PKEY *ca_key, *signer_key;
	X509 *ca, *signer;
	struct buf *device; /* its certificate */
	struct credentials credentials;
	struct state state;
	char out[512];
} world;

/* ---- the two layers of CMS ---- */

static void seal(struct view content, struct buf *ret)
{
	fuzz_fix_random();
	MUST(cms_encrypt(buf_view(world.device), false, content, ret) == 0);
}

/* Nothing comes out of what nobody signed. */
static void open_foreign(struct view cms)
{
	BUF json = fuzz_buf(BUNDLE_MAX_BYTES);
	int rc = bundle_open(cms, &world.credentials, json);
	if (rc == EXIT_DONE)
		return; /* a seed, signed by the signer */
	MUST(rc == EXIT_REFUSED && trouble_text()[0] && buf_len(json) == 0);
}

static void open_signed(struct view content)
{
	BUF inner = fuzz_buf(BUNDLE_MAX_BYTES);
	BUF cms = fuzz_buf(BUNDLE_MAX_BYTES);
	BUF json = fuzz_buf(BUNDLE_MAX_BYTES);
	fuzz_fix_random();
	MUST(cms_sign(world.signer, world.signer_key, NULL, content, inner) == 0);
	seal(buf_view(inner), cms);
	MUST(bundle_open(buf_view(cms), &world.credentials, json) == EXIT_DONE);
	MUST(view_equal(buf_view(json), content));
}

/* ---- the JSON ---- */

static void check_bundle(const struct bundle *b)
{
	MUST(strlen(b->issued_at) == TIME_TEXT && strlen(b->user) <= UPN_MAX_BYTES);
	MUST(b->count <= IDENTITIES_PER_USER_MAX);
	for (size_t i = 0; i < b->count; i++) {
		const struct bundle_identity *one = &b->identities[i];
		MUST(thumbprint_is_valid(one->thumbprint, 20) && thumbprint_is_valid(one->thumbprint_sha256, 32));
		MUST(one->pkcs12_secret && buf_len(one->pkcs12_secret) <= PKCS12_MAX_BYTES);
		MUST(!json_object_get(one->facts, "pkcs12") && !json_object_get(one->facts, "password"));
		for (size_t j = 0; j < i; j++)
			MUST(strcmp(one->thumbprint, b->identities[j].thumbprint) != 0);
	}
}

/* Every file lies in the folder and has a name that this program gives; they are taken away again. */
static void empty_folder(void)
{
	char path[1024];
	DIR *d = opendir(world.out);
	MUST(d);
	for (const struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		MUST(strspn(e->d_name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == strlen(e->d_name));
		snprintf(path, sizeof path, "%s/%s", world.out, e->d_name);
		MUST(unlink(path) == 0);
	}
	closedir(d);
}

static void write_files(const struct bundle *b)
{
	json_error_t error;
	size_t failed;
	BUF receipts = fuzz_buf(MIB);
	int rc = output_write(world.out, "p12", b, &failed, receipts);
	MUST(rc == EXIT_DONE || rc == EXIT_LOCAL);
	if (rc == EXIT_DONE) {
		json_t *json = json_loadb((const char *)buf_data(receipts), buf_len(receipts), 0, &error);
		MUST(json && json_array_size(json_object_get(json, "failed")) == failed);
		MUST(failed + json_array_size(json_object_get(json, "installed")) == b->count);
		json_decref(json);
	}
	empty_folder();
}

static void read_json(struct view json)
{
	BUNDLE bundle = { 0 };
	int rc = bundle_read(json, &world.state, &bundle);
	MUST(rc == EXIT_DONE || rc == EXIT_REFUSED);
	if (rc == EXIT_DONE) {
		check_bundle(&bundle);
		write_files(&bundle);
	} else {
		MUST(trouble_text()[0]);
	}
}

/* ---- */

static void make_folder(void)
{
	const char *parent = getenv("TMPDIR");
	snprintf(world.out, sizeof world.out, "%s/fuzz-device-XXXXXX", parent ? parent : "/tmp");
	MUST(mkdtemp(world.out));
}

static void remove_folder(void)
{
	rmdir(world.out);
}

static void write_seeds(const char *folder);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	struct credentials *c = &world.credentials;
	fuzz_fix_random();
	make_folder();
	atexit(remove_folder);
	MUST(ca_make(&world.ca_key, &world.ca) == 0);
	MUST(ca_make_bundle_signer(world.ca_key, world.ca, &world.signer_key, &world.signer) == 0);
	c->key = EVP_EC_gen("P-256");
	c->anchors = sk_X509_new_null();
	MUST(c->key && c->anchors && sk_X509_push(c->anchors, world.ca) > 0);
	MUST(ca_issue(world.ca_key, world.ca, c->key, device_id, user_id, &c->certificate) == 0);
	world.device = fuzz_buf(CERTIFICATE_MAX_BYTES);
	MUST(ca_encode(c->certificate, world.device) == 0);
	strcpy(world.state.device_id, device_id);
	strcpy(world.state.issued_at, "2026-11-24T00:00:00Z");
	if (getenv("PFXD_FUZZ_SEEDS"))
		write_seeds(getenv("PFXD_FUZZ_SEEDS"));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view bytes = view_of(data, size);
	struct view layer = fuzz_take_until(&bytes, "\n");
	if (bytes.len > MIB)
		return 0;
	BUF cms = fuzz_buf(BUNDLE_MAX_BYTES);
	if (view_is(layer, "cms")) {
		open_foreign(bytes);
	} else if (view_is(layer, "signed")) {
		seal(bytes, cms);
		open_foreign(buf_view(cms));
	} else if (view_is(layer, "content")) {
		open_signed(bytes);
	} else {
		read_json(bytes);
	}
	ERR_clear_error();
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	struct view bytes = view_of(data, size);
	struct view layer = fuzz_take_until(&bytes, "\n");
	bool der = view_is(layer, "cms") || view_is(layer, "signed");
	return der ? fuzz_mutate_der(data, size, max, seed, layer.len + 1) : LLVMFuzzerMutate(data, size, max);
}

/* ---- seeds ---- */

static void seed(const char *folder, const char *name, const char *layer, struct view bytes)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *f = fopen(path, "wb");
	MUST(f && fprintf(f, "%s\n", layer) > 0 && fwrite(bytes.p, 1, bytes.len, f) == bytes.len && fclose(f) == 0);
}

/* The device's own key and certificate as one that it is given, in base64; and its two thumbprints. */
static void put_pkcs12(struct buf *json)
{
	uint8_t digest[32], *der = NULL;
	char sha1[41], sha256[65];
	X509 *certificate = world.credentials.certificate;
	PKCS12 *p12 = PKCS12_create("x", NULL, world.credentials.key, certificate, NULL, 0, 0, 1, 1, 0);
	int len = i2d_PKCS12(p12, &der);
	MUST(len > 0 && X509_digest(certificate, EVP_sha1(), digest, NULL) == 1);
	hex_encode(view_of(digest, 20), sha1);
	MUST(X509_digest(certificate, EVP_sha256(), digest, NULL) == 1);
	hex_encode(view_of(digest, 32), sha256);
	buf_printf(json, "\"thumbprint\":\"%s\",\"thumbprintSha256\":\"%s\",\"pkcs12\":\"", sha1, sha256);
	base64_encode(view_of(der, (size_t)len), json);
	buf_put_u8(json, '"');
	OPENSSL_free(der);
	PKCS12_free(p12);
}

static void put_json(struct buf *json)
{
	BUF pem = fuzz_buf(MIB);
	buf_printf(json, "{\"version\":1,\"user\":\"ann@example.org\",\"device\":\"%s\","
		   "\"issuedAt\":\"2026-11-24T10:00:00Z\",\"certificates\":[{\"id\":\"x\",", device_id);
	put_pkcs12(json);
	buf_put_text(json, ",\"notBefore\":\"2020-01-01T00:00:00Z\",\"usages\":[\"encryption\"],\"password\":\"x\"}],");
	json_put_open(json, "intermediates", '[');
	MUST(pem_put_certificate(pem, world.ca));
	json_put_text(json, NULL, buf_view(pem));
	buf_put_text(json, "],\"removed\":[\"0123456789012345678901234567890123456789\"]}");
	MUST(buf_ok(json));
}

static void write_seeds(const char *folder)
{
	BUF json = fuzz_buf(MIB);
	BUF inner = fuzz_buf(MIB);
	BUF cms = fuzz_buf(MIB);
	BUF enveloped = fuzz_buf(MIB);
	fuzz_fix_random();
	put_json(json);
	MUST(cms_sign(world.signer, world.signer_key, NULL, buf_view(json), inner) == 0);
	MUST(cms_encrypt(buf_view(world.device), false, buf_view(inner), cms) == 0);
	MUST(cms_encrypt(buf_view(world.device), true, buf_view(inner), enveloped) == 0);
	seed(folder, "cms", "cms", buf_view(cms));
	seed(folder, "enveloped", "cms", buf_view(enveloped));
	seed(folder, "signed", "signed", buf_view(inner));
	seed(folder, "content", "content", view_text("{}"));
	seed(folder, "json", "json", buf_view(json));
}
