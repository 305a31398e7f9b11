/* ca request and ca install: an enrolment CA whose certificate a company's own root signs. pfxctl, as root on the
 * server. The key is made here and never leaves the keyring. */
#include "ca_change.h"

#include "../../daemon/keeper/ca.h"
#include "../shared/openssl_more.h"
#include "../shared/trouble.h"
#include "certificate.h"
#include "commands.h"
#include "encode.h"
#include "fault.h"
#include "text.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>

enum { PEM_MAX_BYTES = 64 * 1024, DAY_SECONDS = 86400 };

/* ---- request ---- */

static bool ask_for_ca(X509_REQ *request)
{
	STACK_OF(X509_EXTENSION) *wanted = sk_X509_EXTENSION_new_null();
	X509_EXTENSION *basic = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
	X509_EXTENSION *usage = X509V3_EXT_conf_nid(NULL, NULL, NID_key_usage, "critical,keyCertSign,cRLSign");
	bool put = wanted && basic && sk_X509_EXTENSION_push(wanted, basic) > 0;
	if (!put)
		X509_EXTENSION_free(basic);
	bool both = put && usage && sk_X509_EXTENSION_push(wanted, usage) > 0;
	if (!both)
		X509_EXTENSION_free(usage);
	bool done = both && X509_REQ_add_extensions(request, wanted) == 1;
	sk_X509_EXTENSION_pop_free(wanted, X509_EXTENSION_free);
	return done;
}

static bool put_request(EVP_PKEY *key, struct buf *ret)
{
	uint8_t mark[4];
	char name[64];
	BUF der = buf_new(PEM_MAX_BYTES);
	REQUEST request = X509_REQ_new();
	if (!der || !request || RAND_bytes(mark, sizeof mark) != 1)
		return false;
	snprintf(name, sizeof name, "pfxd enrolment CA %02x%02x%02x%02x", mark[0], mark[1], mark[2], mark[3]);
	X509_NAME *subject = X509_REQ_get_subject_name(request);
	bool made = X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, (const uint8_t *)"pfxd", -1, -1, 0) == 1 &&
		    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const uint8_t *)name, -1, -1, 0) == 1 &&
		    X509_REQ_set_pubkey(request, key) == 1 && ask_for_ca(request) &&
		    X509_REQ_sign(request, key, EVP_sha256()) > 0;
	int len = made ? i2d_X509_REQ(request, NULL) : -1;
	uint8_t *at = len > 0 ? buf_reserve(der, (size_t)len) : NULL;
	if (!at || i2d_X509_REQ(request, &at) != len)
		return false;
	pem_encode("CERTIFICATE REQUEST", buf_view(der), ret);
	return buf_ok(ret);
}

static int make_pending(struct change *c)
{
	PKEY key = EVP_EC_gen("P-256");
	BUF line_secret = buf_new(KEYRING_MAX_BYTES);
	if (!key || !line_secret || keyring_put_request(key, line_secret) < 0)
		return trouble(EXIT_LOCAL, "OpenSSL could not make a key");
	const struct keyring_edit edit = { .request_secret = buf_view(line_secret) };
	return change_place(c, &edit, false);
}

/* A request may be made again, in the place of the one before. Any other file there is somebody's. */
static int check_place(const char *path)
{
	static const char begin[] = "-----BEGIN CERTIFICATE REQUEST-----";
	struct stat st;
	BUF there = buf_new(PEM_MAX_BYTES + 1);
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return EXIT_DONE;
	int rc = there ? file_read(path, PEM_MAX_BYTES, there) : trouble(EXIT_LOCAL, "no memory");
	if (rc || (buf_len(there) >= strlen(begin) && memcmp(buf_data(there), begin, strlen(begin)) == 0))
		return rc;
	return trouble(EXIT_LOCAL, "%s is there already, and is no request: name another file", path);
}

/* The key first: a request that somebody signs must have its key here. */
int ca_request_run(const struct cli *cli)
{
	CHANGE c = { .lock = -1 };
	BUF pem = buf_new(PEM_MAX_BYTES);
	if (!cli->value[OPT_OUT])
		return trouble(EXIT_USAGE, "where to? give --out FILE");
	int rc = check_place(cli->value[OPT_OUT]);
	if (rc == EXIT_DONE)
		rc = pem ? change_begin(cli, &c) : trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE)
		rc = change_complete(&c);
	if (rc == EXIT_DONE && !keyring_request_key(c.keyring))
		rc = make_pending(&c);
	else if (rc == EXIT_DONE)
		cli_say(cli, "a key waits for its certificate already: this is another request for the same one");
	if (rc == EXIT_DONE)
		rc = change_finish(&c); /* the keeper need not read it */
	if (rc == EXIT_DONE && !put_request(keyring_request_key(c.keyring), pem))
		rc = trouble(EXIT_LOCAL, "OpenSSL could not make the request");
	if (rc == EXIT_DONE)
		rc = file_write(cli->value[OPT_OUT], buf_view(pem), 0644);
	if (rc == EXIT_DONE)
		cli_say(cli, "made %s: have it signed as a CA that issues certificates itself, then pfxctl ca install "
			"with its certificate and those above it", cli->value[OPT_OUT]);
	return rc;
}

/* ---- install ---- */

static int refuse(const char *what)
{
	return trouble_coded(EXIT_REFUSED, "bad_ca", "the first certificate %s; nothing was changed", what);
}

static int check_times(X509 *ca)
{
	int64_t now = now_seconds(), begins = certificate_begins(ca), ends = certificate_ends(ca);
	if (begins > now || ends <= now)
		return refuse("is not valid now");
	if (ends - now < (int64_t)CA_LEAST_DAYS * DAY_SECONDS)
		return trouble_coded(EXIT_REFUSED, "bad_ca", "the first certificate ends within %d days, and with it "
				     "every device's: have one signed that lasts longer; nothing was "
				     "changed", (int)CA_LEAST_DAYS);
	if (ends - now > (int64_t)CA_MOST_YEARS * 366 * DAY_SECONDS)
		return trouble_coded(EXIT_REFUSED, "bad_ca", "the first certificate lasts more than %d years: a key is "
				     "not to be trusted so long; nothing was changed", (int)CA_MOST_YEARS);
	return EXIT_DONE;
}

/* What a certificate must be so that it can issue device certificates. */
static int check_ca(X509 *ca, EVP_PKEY *key)
{
	if (!key)
		return trouble_coded(EXIT_REFUSED, "no_request", "no key waits for a certificate: pfxctl ca request "
								 "makes one");
	if (EVP_PKEY_eq(X509_get0_pubkey(ca), key) != 1)
		return refuse("is for another key than the one of pfxctl ca request");
	if (!(X509_get_extension_flags(ca) & EXFLAG_CA))
		return refuse("is none of a CA (CA:TRUE)");
	if (!(X509_get_extension_flags(ca) & EXFLAG_KUSAGE) || !(X509_get_key_usage(ca) & KU_KEY_CERT_SIGN))
		return refuse("may not sign certificates (keyCertSign)");
	if (!X509_get0_subject_key_id(ca))
		return refuse("has no subject key identifier, by which devices tell one CA from another");
	return check_times(ca);
}

/* As a device's own would be verified: by a certificate that is made only for this. It finds whatever stands in the
 * way, a path length, a name or a usage. */
static bool leads_to_root(EVP_PKEY *ca_key, X509 *ca, STACK_OF(X509) *above)
{
	static const char nobody[] = "00000000-0000-4000-8000-000000000000";
	PKEY key = EVP_EC_gen("P-256");
	CERTIFICATE leaf = NULL;
	STORE store = X509_STORE_new();
	STORE_CTX context = X509_STORE_CTX_new();
	CHAIN between = sk_X509_new_null();
	int count = sk_X509_num(above);
	bool good = key && store && context && between &&
		    ca_issue(ca_key, ca, key, nobody, nobody, &leaf) == 0 &&
		    X509_STORE_add_cert(store, sk_X509_value(above, count - 1)) == 1 &&
		    X509_add_cert(between, ca, X509_ADD_FLAG_UP_REF) == 1;
	for (int i = 0; good && i + 1 < count; i++)
		good = X509_add_cert(between, sk_X509_value(above, i), X509_ADD_FLAG_UP_REF) == 1;
	good = good && X509_STORE_CTX_init(context, store, leaf, between) == 1 &&
	       X509_VERIFY_PARAM_set_purpose(X509_STORE_CTX_get0_param(context), X509_PURPOSE_SSL_CLIENT) == 1 &&
	       X509_verify_cert(context) == 1;
	ERR_clear_error();
	return good;
}

/* Each by the next; the last by itself. */
static int check_chain(EVP_PKEY *key, X509 *ca, STACK_OF(X509) *above)
{
	int count = sk_X509_num(above);
	if (count == 0 || count > KEYRING_CHAIN_MAX)
		return trouble_coded(EXIT_REFUSED, "bad_ca", "give the CA's certificate and then those above it, at "
				     "most %d, the root last; nothing was changed", (int)KEYRING_CHAIN_MAX);
	X509 *below = ca;
	for (int i = 0; i < count; i++) {
		X509 *one = sk_X509_value(above, i);
		if (X509_check_issued(one, below) != X509_V_OK || X509_verify(below, X509_get0_pubkey(one)) != 1)
			return trouble_coded(EXIT_REFUSED, "bad_ca", "certificate %d was not signed by the one after "
					     "it; nothing was changed", i + 1);
		below = one;
	}
	if (X509_check_issued(below, below) != X509_V_OK || X509_verify(below, X509_get0_pubkey(below)) != 1)
		return trouble_coded(EXIT_REFUSED, "bad_ca", "the last certificate is no root: it is not signed by "
				     "itself; nothing was changed");
	if (!leads_to_root(key, ca, above))
		return trouble_coded(EXIT_REFUSED, "bad_ca", "a device certificate of this CA would not verify under "
				     "that root: look at path lengths, name constraints, extended key usages and "
				     "dates; nothing was changed");
	return EXIT_DONE;
}

static int install(struct change *c, struct view pem)
{
	EVP_PKEY *key = keyring_request_key(c->keyring);
	CHAIN above = pem_read_certificates(pem, KEYRING_CHAIN_MAX + 2);
	CERTIFICATE ca = above && sk_X509_num(above) > 0 ? sk_X509_shift(above) : NULL;
	if (!ca)
		return trouble_coded(EXIT_REFUSED, "bad_ca", "%s holds no certificate, a damaged one, or too many; "
				     "nothing was changed", c->cli->argv[0]);
	int rc = check_ca(ca, key);
	if (rc == EXIT_DONE)
		rc = check_chain(key, ca, above);
	ERR_clear_error();
	return rc ? rc : ca_change_add(c, key, ca, above, true);
}

int ca_install_run(const struct cli *cli)
{
	CHANGE c = { .lock = -1 };
	BUF pem = buf_new(PEM_MAX_BYTES + 1);
	bool done = false;
	int rc = pem ? file_read(cli->argv[0], PEM_MAX_BYTES, pem) : trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE)
		rc = change_begin(cli, &c);
	if (rc == EXIT_DONE)
		rc = ca_change_go_on(&c, &done);
	return rc || done ? rc : install(&c, buf_view(pem));
}
