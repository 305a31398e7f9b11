/* Finds the recipients of an encrypted mail. pfxctl. The mail comes from anywhere: OpenSSL reads it, and what it finds is
 * bounded and clean text before anybody sees it. */
#include <openssl/pem.h> /* first: cms.h declares what reads PEM only behind it */

#include "mail.h"

#include "../shared/file.h"
#include "../shared/openssl_more.h"
#include "../shared/trouble.h"
#include "encode.h"
#include "fault.h"
#include "x509_text.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

/* ---- one recipient ---- */

static int read_issuer_and_serial(const X509_NAME *issuer, const ASN1_INTEGER *serial, struct recipient *ret)
{
	BUF name = buf_new(DISTINGUISHED_NAME_MAX_BYTES);
	if (!name)
		return trouble(EXIT_LOCAL, "no memory");
	if (name_text(issuer, name) < 0 || serial_text(serial, ret->serial) < 0)
		return trouble(EXIT_USAGE, "a recipient of the mail can not be read: %s", fault_detail());
	memcpy(ret->issuer, buf_data(name), buf_len(name));
	return EXIT_DONE;
}

static int read_key_identifier(const ASN1_OCTET_STRING *id, struct recipient *ret)
{
	int len = ASN1_STRING_length(id);
	if (len <= 0 || len > KEY_IDENTIFIER_MAX_BYTES)
		return trouble(EXIT_USAGE, "a recipient of the mail is named by a key identifier of %d bytes", len);
	hex_encode(view_of(ASN1_STRING_get0_data(id), (size_t)len), ret->key_identifier);
	return EXIT_DONE;
}

/* One more, named by what OpenSSL found: either a key identifier, or issuer and serial number. */
static int add(struct recipients *r, const ASN1_OCTET_STRING *id, const X509_NAME *issuer, const ASN1_INTEGER *serial)
{
	if (r->count == MAIL_RECIPIENTS_MAX)
		return trouble(EXIT_USAGE, "the mail has more than %d recipients", MAIL_RECIPIENTS_MAX);
	struct recipient *more = realloc(r->at, (r->count + 1) * sizeof *more);
	if (!more)
		return trouble(EXIT_LOCAL, "no memory");
	r->at = more;
	struct recipient *one = &r->at[r->count++];
	*one = (struct recipient){ .issuer = "" };
	if (id)
		return read_key_identifier(id, one);
	if (!issuer || !serial)
		return trouble(EXIT_USAGE, "a recipient of the mail is named by nothing");
	return read_issuer_and_serial(issuer, serial, one);
}

/* RFC 5652 6.2.1: the content key is encrypted to the recipient's RSA key. */
static int add_transport(struct recipients *r, CMS_RecipientInfo *info)
{
	ASN1_OCTET_STRING *id = NULL;
	X509_NAME *issuer = NULL;
	ASN1_INTEGER *serial = NULL;
	if (CMS_RecipientInfo_ktri_get0_signer_id(info, &id, &issuer, &serial) != 1)
		return trouble(EXIT_USAGE, "a recipient of the mail can not be read");
	return add(r, id, issuer, serial);
}

/* RFC 5652 6.2.2: one agreement on a key, for one or several recipients. */
static int add_agreement(struct recipients *r, CMS_RecipientInfo *info)
{
	STACK_OF(CMS_RecipientEncryptedKey) *keys = CMS_RecipientInfo_kari_get0_reks(info);
	int rc = EXIT_DONE;
	for (int i = 0; rc == EXIT_DONE && i < sk_CMS_RecipientEncryptedKey_num(keys); i++) {
		ASN1_OCTET_STRING *id = NULL;
		ASN1_GENERALIZEDTIME *date;
		CMS_OtherKeyAttribute *other;
		X509_NAME *issuer = NULL;
		ASN1_INTEGER *serial = NULL;
		CMS_RecipientEncryptedKey *key = sk_CMS_RecipientEncryptedKey_value(keys, i);
		if (CMS_RecipientEncryptedKey_get0_id(key, &id, &date, &other, &issuer, &serial) != 1)
			return trouble(EXIT_USAGE, "a recipient of the mail can not be read");
		rc = add(r, id, issuer, serial);
	}
	return rc;
}

static int add_all(struct recipients *r, CMS_ContentInfo *cms)
{
	STACK_OF(CMS_RecipientInfo) *infos = CMS_get0_RecipientInfos(cms);
	int rc = EXIT_DONE;
	for (int i = 0; rc == EXIT_DONE && i < sk_CMS_RecipientInfo_num(infos); i++) {
		CMS_RecipientInfo *info = sk_CMS_RecipientInfo_value(infos, i);
		int type = CMS_RecipientInfo_type(info);
		if (type == CMS_RECIPINFO_TRANS)
			rc = add_transport(r, info);
		else if (type == CMS_RECIPINFO_AGREE)
			rc = add_agreement(r, info);
		else
			r->others++;
	}
	return rc;
}

/* ---- the mail around them ---- */

static CMS_ContentInfo *parse(struct view mail)
{
	static const char pem[] = "-----BEGIN";
	BIO_PTR bio = BIO_new_mem_buf(mail.p, (int)mail.len); /* at most MAIL_MAX_BYTES */
	if (!bio)
		return NULL;
	/* A SEQUENCE with a length of its own bytes, or an indefinite one: no mail begins so. */
	if (mail.len > 1 && mail.p[0] == 0x30 && (mail.p[1] & 0x80))
		return d2i_CMS_bio(bio, NULL);
	if (mail.len >= sizeof pem && memcmp(mail.p, pem, sizeof pem - 1) == 0)
		return PEM_read_bio_CMS(bio, NULL, pem_no_passphrase, NULL);
	return SMIME_read_CMS(bio, NULL);
}

static int check_kind(const char *path, const CMS_ContentInfo *cms)
{
	int nid = cms ? OBJ_obj2nid(CMS_get0_type(cms)) : NID_undef;
	if (!cms)
		return trouble(EXIT_USAGE, "%s is no encrypted mail: its top is no application/pkcs7-mime. If a list or a "
			       "scanner put something around it, save its attachment smime.p7m and give that", path);
	if (nid == NID_pkcs7_signed)
		return trouble(EXIT_USAGE, "%s is signed, but not encrypted: anybody can read it", path);
	if (nid != NID_pkcs7_enveloped && nid != NID_id_smime_ct_authEnvelopedData)
		return trouble(EXIT_USAGE, "%s holds CMS of another kind (%s), and no encrypted mail", path,
			       OBJ_nid2sn(nid));
	return EXIT_DONE;
}

int mail_read_recipients(const char *path, struct recipients *ret)
{
	*ret = (struct recipients){ .count = 0 };
	BUF mail = buf_new(MAIL_MAX_BYTES + 1);
	int rc = mail ? file_read(path, MAIL_MAX_BYTES, mail) : trouble(EXIT_LOCAL, "no memory");
	if (rc)
		return rc;
	CMS cms = parse(buf_view(mail));
	rc = check_kind(path, cms);
	if (rc == EXIT_DONE)
		rc = add_all(ret, cms);
	ERR_clear_error();
	return rc;
}

void recipients_done(struct recipients *r)
{
	free(r->at);
	*r = (struct recipients){ .count = 0 };
}
