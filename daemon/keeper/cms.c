/* Signs and encrypts bundles with OpenSSL's CMS. Keeper only. */
#include "cms.h"

#include "fault.h"
#include "openssl_ptr.h"

#include <errno.h>
#include <openssl/buffer.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <pthread.h>

static int broken(const char *what)
{
	ERR_clear_error();
	return fail(FAULT_INTERNAL, "OpenSSL could not %s", what);
}

static int encode(CMS_ContentInfo *cms, struct buf *ret)
{
	int len = i2d_CMS_ContentInfo(cms, NULL);
	uint8_t *at = len > 0 ? buf_reserve(ret, (size_t)len) : NULL;
	return at && i2d_CMS_ContentInfo(cms, &at) == len ? 0 : broken("encode a bundle");
}

/* OpenSSL does not look at every allocation: without memory it leaves out contents, or signs something else, and says
 * nothing. malloc() does; errno was 0 at the beginning. */
static int checked(int rc)
{
	ERR_clear_error();
	return errno == ENOMEM ? fail(FAULT_UNAVAILABLE, "no memory for a bundle") : rc;
}

/* Where the content goes grows by a third at a time, and moves and wipes what it has each time. */
static bool make_room(BIO *chain, size_t len)
{
	BUF_MEM *memory = NULL;
	BIO *end = BIO_find_type(chain, BIO_TYPE_MEM);
	if (!end || BIO_get_mem_ptr(end, &memory) <= 0 || BUF_MEM_grow_clean(memory, len) < len)
		return false;
	memory->length = 0;
	return true;
}

/* What CMS_final() does, in one piece: it copies a kilobyte at a time. */
static bool put_content(CMS_ContentInfo *cms, struct view content)
{
	BIO_PTR chain = CMS_dataInit(cms, NULL);
	if (!chain)
		return false;
	/* Where nothing is written, OpenSSL does not see the room, and it would leak. */
	bool put = content.len == 0 || (make_room(chain, content.len + EVP_MAX_BLOCK_LENGTH) &&
					BIO_write(chain, content.p, (int)content.len) == (int)content.len);
	return put && BIO_flush(chain) == 1 && CMS_dataFinal(cms, chain) == 1;
}

int cms_sign(X509 *certificate, EVP_PKEY *key, STACK_OF(X509) *above, struct view content, struct buf *ret_secret)
{
	errno = 0;
	CMS cms = CMS_sign(NULL, NULL, above, NULL, CMS_BINARY | CMS_PARTIAL);
	if (!cms || CMS_set_detached(cms, 0) != 1 ||
	    !CMS_add1_signer(cms, certificate, key, EVP_sha256(), CMS_NOSMIMECAP) || !put_content(cms, content))
		return checked(broken("sign a bundle"));
	return checked(encode(cms, ret_secret));
}

static bool choose_rsa(CMS_RecipientInfo *recipient, bool enveloped)
{
	EVP_PKEY_CTX *context = CMS_RecipientInfo_get0_pkey_ctx(recipient);
	if (!context)
		return false;
	if (enveloped)
		return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) > 0;
	return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) > 0 &&
	       EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) > 0 &&
	       EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) > 0;
}

/* The wrap cipher is set by hand: OpenSSL would choose it by the content cipher. */
static bool choose_ec(CMS_RecipientInfo *recipient, bool enveloped)
{
	EVP_PKEY_CTX *context = CMS_RecipientInfo_get0_pkey_ctx(recipient);
	EVP_CIPHER_CTX *wrap = CMS_RecipientInfo_kari_get0_ctx(recipient);
	if (!context || !wrap ||
	    EVP_PKEY_CTX_set_ecdh_kdf_md(context, enveloped ? EVP_sha1() : EVP_sha256()) <= 0)
		return false;
	EVP_CIPHER_CTX_set_flags(wrap, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	return EVP_EncryptInit_ex(wrap, enveloped ? EVP_aes_128_wrap() : EVP_aes_256_wrap(), NULL, NULL, NULL) == 1;
}

static bool add_recipient(CMS_ContentInfo *cms, X509 *certificate, bool enveloped)
{
	CMS_RecipientInfo *recipient = CMS_add1_recipient_cert(cms, certificate, CMS_KEY_PARAM);
	if (!recipient)
		return false;
	return CMS_RecipientInfo_type(recipient) == CMS_RECIPINFO_TRANS ? choose_rsa(recipient, enveloped) :
									   choose_ec(recipient, enveloped);
}

/* ---- the recipient ----
 *
 * OpenSSL 3 looks for a decoder of the public key among all decoders that it has, anew for each certificate, which takes
 * longer than encrypting to it. In a context without providers there are none; the key is then read by its type. */

static OSSL_LIB_CTX *make_bare_context(void)
{
	OSSL_LIB_CTX *context = OSSL_LIB_CTX_new();
	if (context && OSSL_PROVIDER_load(context, "null"))
		return context;
	OSSL_LIB_CTX_free(context);
	return NULL;
}

/* Made at the first call that has memory for it. */
static OSSL_LIB_CTX *bare_context(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static OSSL_LIB_CTX *context;
	pthread_mutex_lock(&lock);
	if (!context)
		context = make_bare_context();
	OSSL_LIB_CTX *made = context;
	pthread_mutex_unlock(&lock);
	return made;
}

/* A key of the named curve, as yet without a point. */
static EVP_PKEY *curve_of(const X509_ALGOR *algorithm)
{
	const void *curve = NULL;
	int type = V_ASN1_UNDEF;
	uint8_t der[32], *end = der;
	const uint8_t *at = der;
	X509_ALGOR_get0(NULL, &type, &curve, algorithm);
	if (type != V_ASN1_OBJECT || i2d_ASN1_OBJECT(curve, NULL) > (int)sizeof der)
		return NULL;
	return d2i_KeyParams(EVP_PKEY_EC, NULL, &at, i2d_ASN1_OBJECT(curve, &end));
}

static EVP_PKEY *public_key_of(const X509 *certificate)
{
	ASN1_OBJECT *kind = NULL;
	X509_ALGOR *algorithm = NULL;
	const uint8_t *bits = NULL;
	int len = 0;
	if (X509_PUBKEY_get0_param(&kind, &bits, &len, &algorithm, X509_get_X509_PUBKEY(certificate)) != 1)
		return NULL;
	if (OBJ_obj2nid(kind) == NID_rsaEncryption)
		return d2i_PublicKey(EVP_PKEY_RSA, NULL, &bits, len);
	PKEY point = curve_of(algorithm);
	EVP_PKEY *key = point; /* d2i_PublicKey() leaves it to us when it fails */
	if (!point || !d2i_PublicKey(EVP_PKEY_EC, &key, &bits, len))
		return NULL;
	point = NULL;
	return key;
}

static X509 *read_recipient(struct view der)
{
	OSSL_LIB_CTX *context = bare_context();
	CERTIFICATE certificate = context ? X509_new_ex(context, NULL) : NULL;
	X509 *read = certificate;
	const uint8_t *at = der.p;
	if (!certificate || !d2i_X509(&read, &at, (long)der.len)) {
		certificate = read; /* NULL where it was freed */
		return NULL;
	}
	PKEY key = public_key_of(read);
	if (!key || X509_set_pubkey(read, key) != 1)
		return NULL;
	certificate = NULL;
	return read;
}

int cms_encrypt(struct view recipient, bool enveloped, struct view content_secret, struct buf *ret)
{
	errno = 0;
	CERTIFICATE certificate = read_recipient(recipient);
	if (!certificate)
		return checked(broken("read a device certificate"));
	const EVP_CIPHER *cipher = enveloped ? EVP_aes_256_cbc() : EVP_aes_256_gcm();
	CMS cms = CMS_encrypt(NULL, NULL, cipher, CMS_BINARY | CMS_PARTIAL);
	if (!cms || !add_recipient(cms, certificate, enveloped) || !put_content(cms, content_secret))
		return checked(broken("encrypt a bundle"));
	return checked(encode(cms, ret));
}
