/* The doctor's check of the servers' TLS certificate. pfxctl, as root on the server. */
#include "doctor.h"

#include "../shared/openssl_more.h"
#include "../shared/trouble.h"
#include "certificate.h"

#include <grp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { TLS_FILE_MAX_BYTES = 1024 * 1024, TLS_CHAIN_MAX = 16 };

static const char link_mend[] = "put a copy there in place of the link, and have your ACME client renew the copy (its "
				"deploy hook)";

/* Whether the fronts can read it and nobody else can. */
static bool check_mode(struct doctor *d, const char *path)
{
	struct stat st;
	char mend[PATH_BYTES + 64];
	const struct group *fronts = getgrnam(TLS_GROUP);
	snprintf(mend, sizeof mend, "chown root:%s and chmod 640 %s", fronts ? TLS_GROUP : "root", path);
	if (!doctor_check_link(d, "TLS key", path, link_mend))
		return false; /* owner and mode are those of a file that is somebody else's business */
	if (stat(path, &st) < 0)
		return true; /* reading it tells why */
	if (st.st_mode & 07)
		doctor_tell(d, FINDING_MEND, "TLS key", mend, "everybody may read %s (mode %04o)", path,
			    (unsigned)st.st_mode & 07777);
	else if (fronts && !doctor_is_confined() && (st.st_gid != fronts->gr_gid || !(st.st_mode & S_IRGRP)))
		doctor_tell(d, FINDING_MEND, "TLS key", mend, "the fronts can not read %s", path);
	else
		return true;
	return false;
}

static void check_key(struct doctor *d, X509 *certificate)
{
	const struct server *s = &d->server;
	BUF pem_secret = buf_new(TLS_FILE_MAX_BYTES + 1);
	bool well = check_mode(d, s->tls_key);
	if (!pem_secret || file_read(s->tls_key, TLS_FILE_MAX_BYTES, pem_secret) != EXIT_DONE) {
		doctor_tell_trouble(d, "TLS key", "put the key of the TLS certificate there");
		return;
	}
	PKEY key = pem_read_key(buf_view(pem_secret));
	if (!key)
		doctor_tell(d, FINDING_MEND, "TLS key", "put the key of the TLS certificate there, PEM, without a "
			    "passphrase", "%s holds no private key", s->tls_key);
	else if (certificate && X509_check_private_key(certificate, key) != 1)
		doctor_tell(d, FINDING_MEND, "TLS key", "put both there from one request, the server's certificate "
			    "first in its file; then systemctl reload pfxd-device pfxd-admin",
			    "%s does not belong to the first certificate in %s", s->tls_key, s->tls_certificate);
	else if (well)
		doctor_tell(d, FINDING_OK, "TLS key", "", "%s belongs to the certificate", s->tls_key);
	ERR_clear_error();
}

/* Clients refuse a chain whose links are missing or in disorder. */
static void check_chain(struct doctor *d, STACK_OF(X509) *chain)
{
	int i = 0;
	while (i + 1 < sk_X509_num(chain) &&
	       X509_check_issued(sk_X509_value(chain, i + 1), sk_X509_value(chain, i)) == X509_V_OK)
		i++;
	ERR_clear_error();
	if (i + 1 < sk_X509_num(chain))
		doctor_tell(d, FINDING_MEND, "TLS chain", "put the server's certificate first, and after each the one "
			    "that issued it", "certificate %d in %s was not issued by the one after it", i + 1,
			    d->server.tls_certificate);
}

void doctor_check_tls(struct doctor *d)
{
	const struct server *s = &d->server;
	char mend[2 * PATH_BYTES + 128];
	BUF pem = buf_new(TLS_FILE_MAX_BYTES + 1);
	int rc = pem ? file_read(s->tls_certificate, TLS_FILE_MAX_BYTES, pem) : trouble(EXIT_LOCAL, "no memory");
	CHAIN chain = rc == EXIT_DONE ? pem_read_certificates(buf_view(pem), TLS_CHAIN_MAX) : NULL;
	X509 *leaf = chain && sk_X509_num(chain) > 0 ? sk_X509_value(chain, 0) : NULL;
	snprintf(mend, sizeof mend, "put a new one with its chain into %s and its key into %s; then systemctl reload "
		 "pfxd-device pfxd-admin", s->tls_certificate, s->tls_key);
	bool seen = doctor_check_link(d, "TLS certificate", s->tls_certificate, link_mend);
	if (rc)
		doctor_tell_trouble(d, "TLS certificate", mend);
	else if (!leaf)
		doctor_tell(d, FINDING_MEND, "TLS certificate", mend, "%s holds no certificate, or a damaged one",
			    s->tls_certificate);
	else if (seen)
		doctor_tell_end(d, "TLS certificate", certificate_begins(leaf), certificate_ends(leaf), mend);
	if (leaf)
		check_chain(d, chain);
	check_key(d, leaf);
}
