/* Takes the two layers of CMS (RFC 5652, RFC 5083) off a bundle. pfx-device. The outer one anybody can have made who
 * has the device's certificate; nothing inside is believed before the inner signature has been verified. */
#include "bundle.h"
#include "issued.h"

#include "../../daemon/keeper/ca.h"
#include "../shared/trouble.h"

#include <openssl/err.h>

static const char not_signed[] = "the bundle is not signed by the service that this device enrolled with; nothing was "
				 "written";

/* Reads one ContentInfo that must be all of der, and of one of two types. */
static CMS_ContentInfo *read_cms(struct view der, int type, int type2)
{
	const uint8_t *at = der.p;
	CMS cms = der.len <= BUNDLE_MAX_BYTES ? d2i_CMS_ContentInfo(NULL, &at, (long)der.len) : NULL;
	if (!cms || at != der.p + der.len)
		return NULL;
	int found = OBJ_obj2nid(CMS_get0_type(cms));
	if (found != type && found != type2)
		return NULL;
	CMS_ContentInfo *taken = cms;
	cms = NULL;
	return taken;
}

static struct view bio_view(BIO *bio)
{
	char *at = NULL;
	long len = BIO_get_mem_data(bio, &at);
	return view_of(at, len > 0 ? (size_t)len : 0);
}

static bool has_usage(const EXTENDED_KEY_USAGE *usages, const char *oid)
{
	char text[64];
	for (int i = 0; i < sk_ASN1_OBJECT_num(usages); i++)
		if (OBJ_obj2txt(text, sizeof text, sk_ASN1_OBJECT_value(usages, i), 1) > 0 &&
		    view_is(view_text(text), oid))
			return true;
	return false;
}

/* Device certificates come from the same CA. What sets the bundle signer apart is its extended key usage. */
static bool is_bundle_signer(X509 *certificate)
{
	EXTENDED_KEY_USAGE *usages = X509_get_ext_d2i(certificate, NID_ext_key_usage, NULL, NULL);
	bool signer = has_usage(usages, CA_BUNDLE_SIGNER_EKU);
	uint32_t flags = X509_get_extension_flags(certificate);
	sk_ASN1_OBJECT_pop_free(usages, ASN1_OBJECT_free);
	return signer && (flags & EXFLAG_KUSAGE) && (X509_get_key_usage(certificate) & KU_DIGITAL_SIGNATURE) &&
	       !(X509_get_extended_key_usage(certificate) & (XKU_SSL_CLIENT | XKU_ANYEKU)) && !(flags & EXFLAG_CA);
}

static bool is_signed_by_service(CMS_ContentInfo *cms)
{
	STACK_OF(X509) *signers = CMS_get0_signers(cms);
	bool good = sk_X509_num(signers) == 1 && is_bundle_signer(sk_X509_value(signers, 0));
	sk_X509_free(signers);
	return good;
}

static int verify(struct view der, const struct credentials *credentials, struct buf *ret_json_secret)
{
	CMS cms = read_cms(der, NID_pkcs7_signed, NID_pkcs7_signed);
	STORE store = store_of(credentials->anchors);
	BIO_PTR content_secret = BIO_new(BIO_s_mem());
	if (!store || !content_secret)
		return trouble(EXIT_LOCAL, "no memory");
	if (!cms || sk_CMS_SignerInfo_num(CMS_get0_SignerInfos(cms)) != 1 ||
	    OBJ_obj2nid(CMS_get0_eContentType(cms)) != NID_pkcs7_data ||
	    CMS_verify(cms, NULL, store, NULL, content_secret, CMS_BINARY) != 1 || !is_signed_by_service(cms)) {
		ERR_clear_error();
		return trouble_coded(EXIT_REFUSED, "bad_signature", "%s", not_signed);
	}
	struct view json_secret = bio_view(content_secret);
	buf_put(ret_json_secret, json_secret.p, json_secret.len);
	return buf_ok(ret_json_secret) ? EXIT_DONE : trouble(EXIT_LOCAL, "no memory");
}

int bundle_open(struct view der, const struct credentials *credentials, struct buf *ret_json_secret)
{
	CMS cms = read_cms(der, NID_id_smime_ct_authEnvelopedData, NID_pkcs7_enveloped);
	BIO_PTR inner_secret = BIO_new(BIO_s_mem());
	if (!inner_secret)
		return trouble(EXIT_LOCAL, "no memory");
	if (!cms)
		return trouble_coded(EXIT_REFUSED, "bad_bundle", "what the server sent is no encrypted bundle; nothing "
				     "was written");
	if (CMS_decrypt(cms, credentials->key, credentials->certificate, NULL, inner_secret, CMS_BINARY) != 1) {
		ERR_clear_error();
		return trouble_coded(EXIT_REFUSED, "bad_bundle", "the bundle does not open with this device's key: it "
				     "is damaged, or for another device; nothing was written");
	}
	return verify(bio_view(inner_secret), credentials, ret_json_secret);
}
