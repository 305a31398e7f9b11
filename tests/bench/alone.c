/* What the bench compares with: OpenSSL and SQLite alone, in a loop, doing the least that such a service can not do
 * without. Bench only: what goes wrong ends the run. Says as one line of JSON how much was done, in what time; see
 * usage[]. */
#include <errno.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PASSWORD_CHARS = 43, IDENTITIES_MAX = 64, DEVICE_DAYS = 730, SERIAL_BITS = 127, CORES_MAX = 256 };

static const char usage[] =
	"usage: alone parse SECONDS PFX PASSWORD             PKCS12_parse() of a file, on one core\n"
	"       alone bundle SECONDS CERTIFICATE [CERTIFICATE KEY]...\n"
	"                                                    a PKCS#12 of each pair and one CMS of all of them to\n"
	"                                                    the first certificate, on all cores\n"
	"       alone enrol SECONDS CSR DATABASE             a request is checked, a certificate signed, and both\n"
	"                                                    committed, on one core\n";

__attribute__((format(printf, 1, 2), noreturn))
static void die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("alone: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	ERR_print_errors_fp(stderr);
	va_end(args);
	exit(1);
}

static void must(bool done, const char *what)
{
	if (!done)
		die("can not %s", what);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(int who)
{
	struct rusage used;
	getrusage(who, &used);
	return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static FILE *open_file(const char *path)
{
	FILE *f = fopen(path, "r");
	if (!f)
		die("can not open %s: %s", path, strerror(errno));
	return f;
}

static X509 *read_certificate(const char *path)
{
	FILE *f = open_file(path);
	X509 *ret = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	must(ret, "read a certificate");
	return ret;
}

static EVP_PKEY *read_key(const char *path)
{
	FILE *f = open_file(path);
	EVP_PKEY *ret = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	fclose(f);
	must(ret, "read a key");
	return ret;
}

static void report(long calls, double seconds, double cpu_seconds)
{
	printf("{\"calls\": %ld, \"seconds\": %.6f, \"cpu\": %.6f}\n", calls, seconds, cpu_seconds);
}

/* ---- parse ---- */

static void parse_once(const uint8_t *der, long len, const char *password)
{
	const uint8_t *at = der;
	EVP_PKEY *key = NULL;
	X509 *certificate = NULL;
	PKCS12 *p = d2i_PKCS12(NULL, &at, len);
	must(p && PKCS12_parse(p, password, &key, &certificate, NULL) == 1 && key && certificate, "parse the PFX");
	EVP_PKEY_free(key);
	X509_free(certificate);
	PKCS12_free(p);
}

static void run_parse(double seconds, const char *path, const char *password)
{
	static uint8_t der[1 << 20];
	FILE *f = open_file(path);
	size_t len = fread(der, 1, sizeof der, f);
	fclose(f);
	parse_once(der, (long)len, password); /* what OpenSSL loads is loaded */
	double began = now(), used = cpu(RUSAGE_SELF);
	long calls = 0;
	for (; now() - began < seconds; calls++)
		parse_once(der, (long)len, password);
	report(calls, now() - began, cpu(RUSAGE_SELF) - used);
}

/* ---- bundle ---- */

struct identity {
	X509 *certificate;
	EVP_PKEY *key;
};

static void add_pkcs12(const struct identity *identity, BIO *out)
{
	uint8_t random[32];
	char password[PASSWORD_CHARS + 2];
	must(RAND_priv_bytes(random, sizeof random) == 1, "get random bytes");
	EVP_EncodeBlock((uint8_t *)password, random, sizeof random);
	PKCS12 *p = PKCS12_create(password, NULL, identity->key, identity->certificate, NULL, NID_aes_256_cbc,
				  NID_aes_256_cbc, 1, 1, 0);
	must(p, "make a PKCS#12");
	uint8_t *der = NULL;
	int len = i2d_PKCS12(p, &der);
	char *text = len > 0 ? malloc((size_t)len * 4 / 3 + 8) : NULL; /* JSON takes it as base64 */
	must(text, "encode a PKCS#12");
	int text_len = EVP_EncodeBlock((uint8_t *)text, der, len);
	BIO_write(out, text, text_len);
	BIO_write(out, password, PASSWORD_CHARS);
	free(text);
	OPENSSL_free(der);
	PKCS12_free(p);
}

/* As daemon/keeper/cms.c: AuthEnvelopedData, AES-256-GCM, RSA-OAEP with SHA-256. */
static long encrypt(X509 *recipient, BIO *content)
{
	CMS_ContentInfo *cms = CMS_encrypt(NULL, NULL, EVP_aes_256_gcm(), CMS_BINARY | CMS_PARTIAL);
	CMS_RecipientInfo *r = cms ? CMS_add1_recipient_cert(cms, recipient, CMS_KEY_PARAM) : NULL;
	EVP_PKEY_CTX *context = r ? CMS_RecipientInfo_get0_pkey_ctx(r) : NULL;
	must(context && EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) > 0 &&
	     EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) > 0 &&
	     EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) > 0 &&
	     CMS_final(cms, content, NULL, CMS_BINARY) == 1, "make a CMS");
	uint8_t *der = NULL;
	int len = i2d_CMS_ContentInfo(cms, &der);
	must(len > 0, "encode a CMS");
	OPENSSL_free(der);
	CMS_ContentInfo_free(cms);
	return len;
}

static long bundle_once(X509 *recipient, const struct identity *list, size_t count)
{
	BIO *content = BIO_new(BIO_s_mem());
	must(content, "get memory");
	for (size_t i = 0; i < count; i++)
		add_pkcs12(&list[i], content);
	long len = encrypt(recipient, content);
	BIO_free(content);
	return len;
}

/* A child for each core; each writes into the pipe how often it did it. */
static void bundle_child(double until, X509 *recipient, const struct identity *list, size_t count, int fd)
{
	long calls = 0;
	for (; now() < until; calls++)
		bundle_once(recipient, list, count);
	_exit(write(fd, &calls, sizeof calls) == (ssize_t)sizeof calls ? 0 : 1);
}

static void run_bundle(double seconds, int argc, char **argv)
{
	struct identity list[IDENTITIES_MAX];
	size_t count = 0;
	X509 *recipient = read_certificate(argv[0]);
	for (int i = 1; i + 1 < argc && count < IDENTITIES_MAX; i += 2, count++)
		list[count] = (struct identity){ read_certificate(argv[i]), read_key(argv[i + 1]) };
	bundle_once(recipient, list, count);
	long cores = sysconf(_SC_NPROCESSORS_ONLN), total = 0, calls;
	int ends[2], status;
	must(cores > 0 && cores <= CORES_MAX && pipe(ends) == 0, "start children");
	double began = now();
	for (long i = 0; i < cores; i++) {
		pid_t pid = fork();
		must(pid >= 0, "fork");
		if (pid == 0)
			bundle_child(began + seconds, recipient, list, count, ends[1]);
	}
	for (long i = 0; i < cores; i++) {
		must(wait(&status) > 0 && status == 0, "make bundles in a child");
		must(read(ends[0], &calls, sizeof calls) == (ssize_t)sizeof calls, "hear a child");
		total += calls;
	}
	report(total, now() - began, cpu(RUSAGE_CHILDREN));
}

/* ---- enrol ---- */

struct enrolling {
	EVP_PKEY *ca_key;
	X509_NAME *ca_name;
	uint8_t *csr;
	long csr_len;
	sqlite3 *db;
	sqlite3_stmt *insert;
};

static void add_extension(X509 *certificate, int nid, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	must(e && X509_add_ext(certificate, e, -1) == 1, "add an extension");
	X509_EXTENSION_free(e);
}

static X509 *certify(const struct enrolling *w, EVP_PKEY *key)
{
	X509 *c = X509_new();
	BIGNUM *serial = BN_new();
	must(c && serial && BN_rand(serial, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1, "begin");
	BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(c));
	X509_set_version(c, X509_VERSION_3);
	X509_set_issuer_name(c, w->ca_name);
	X509_set_subject_name(c, w->ca_name);
	X509_gmtime_adj(X509_getm_notBefore(c), 0);
	X509_gmtime_adj(X509_getm_notAfter(c), DEVICE_DAYS * 86400L);
	X509_set_pubkey(c, key);
	add_extension(c, NID_key_usage, "critical,digitalSignature,keyEncipherment");
	add_extension(c, NID_ext_key_usage, "clientAuth");
	add_extension(c, NID_subject_alt_name, "URI:urn:uuid:aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa");
	must(X509_sign(c, w->ca_key, EVP_sha256()) > 0, "sign a certificate");
	BN_free(serial);
	return c;
}

static void enrol_once(struct enrolling *w)
{
	const uint8_t *at = w->csr;
	X509_REQ *request = d2i_X509_REQ(NULL, &at, w->csr_len);
	EVP_PKEY *key = request ? X509_REQ_get0_pubkey(request) : NULL;
	must(key && X509_REQ_verify(request, key) == 1, "verify the request");
	X509 *certificate = certify(w, key);
	uint8_t *der = NULL;
	int len = i2d_X509(certificate, &der);
	sqlite3_bind_blob(w->insert, 1, der, len, SQLITE_STATIC);
	must(sqlite3_step(w->insert) == SQLITE_DONE && sqlite3_reset(w->insert) == SQLITE_OK, "commit");
	OPENSSL_free(der);
	X509_free(certificate);
	X509_REQ_free(request);
}

static void open_database(struct enrolling *w, const char *path)
{
	must(sqlite3_open(path, &w->db) == SQLITE_OK &&
	     sqlite3_exec(w->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
			  "CREATE TABLE certificates (id INTEGER PRIMARY KEY, der BLOB NOT NULL) STRICT;",
			  NULL, NULL, NULL) == SQLITE_OK &&
	     sqlite3_prepare_v2(w->db, "INSERT INTO certificates (der) VALUES ($1)", -1, &w->insert, NULL) == SQLITE_OK,
	     "make a database");
}

static void run_enrol(double seconds, const char *csr, const char *database)
{
	struct enrolling w = { .ca_key = EVP_EC_gen("P-256"), .ca_name = X509_NAME_new() };
	FILE *f = open_file(csr);
	X509_REQ *request = PEM_read_X509_REQ(f, NULL, NULL, NULL);
	fclose(f);
	must(request && w.ca_key && w.ca_name, "read the request");
	X509_NAME_add_entry_by_txt(w.ca_name, "CN", MBSTRING_ASC, (const uint8_t *)"enrolment CA", -1, -1, 0);
	w.csr_len = i2d_X509_REQ(request, &w.csr);
	open_database(&w, database);
	enrol_once(&w);
	double began = now(), used = cpu(RUSAGE_SELF);
	long calls = 0;
	for (; now() - began < seconds; calls++)
		enrol_once(&w);
	report(calls, now() - began, cpu(RUSAGE_SELF) - used);
	sqlite3_finalize(w.insert);
	sqlite3_close(w.db);
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	double seconds = argc > 2 ? atof(argv[2]) : 0;
	if (strcmp(what, "parse") == 0 && argc == 5 && seconds > 0)
		run_parse(seconds, argv[3], argv[4]);
	else if (strcmp(what, "bundle") == 0 && argc > 5 && argc % 2 == 0 && seconds > 0)
		run_bundle(seconds, argc - 3, argv + 3);
	else if (strcmp(what, "enrol") == 0 && argc == 5 && seconds > 0)
		run_enrol(seconds, argv[3], argv[4]);
	else {
		fputs(usage, stderr);
		return 2;
	}
	return 0;
}
