/* Seeds from the opener's unit tests. */
#include "capture.h"

#include "opener/contents.h"
#include "opener/key.h"
#include "opener/open_csr.h"
#include "opener/open_pfx.h"

#include <openssl/err.h>
#include <openssl/pkcs7.h>
#include <string.h>

int __real_open_pfx(const struct ciphers *ciphers, const struct msg_open_pfx *request, struct buf *answer);
int __wrap_open_pfx(const struct ciphers *ciphers, const struct msg_open_pfx *request, struct buf *answer);
int __real_open_csr(const struct msg_open_csr *request, struct buf *answer);
int __wrap_open_csr(const struct msg_open_csr *request, struct buf *answer);
int __real_contents_add_certificate(struct contents *c, struct view der, const struct local_id *id);
int __wrap_contents_add_certificate(struct contents *c, struct view der, const struct local_id *id);
int __real_private_key_read(struct view pkcs8, struct private_key **ret);
int __wrap_private_key_read(struct view pkcs8, struct private_key **ret);

/* The contents of the authSafe of a PFX that is well formed so far: behind a SEQUENCE and the version. */
static void capture_contents(struct view password, struct view pfx)
{
	const uint8_t *p = pfx.p, *end = pfx.p + pfx.len;
	long len;
	int tag, class;
	if ((ASN1_get_object(&p, &len, &tag, &class, (long)pfx.len) & 0x80) || end - p < 3 || p[0] != 2)
		return;
	p += 3;
	PKCS7 *safe = d2i_PKCS7(NULL, &p, end - p);
	if (safe && OBJ_obj2nid(safe->type) == NID_pkcs7_data && safe->d.data)
		capture("opener_contents", password,
			view_of(ASN1_STRING_get0_data(safe->d.data), (size_t)ASN1_STRING_length(safe->d.data)));
	PKCS7_free(safe);
	ERR_clear_error();
}

int __wrap_open_pfx(const struct ciphers *ciphers, const struct msg_open_pfx *request, struct buf *answer)
{
	char line[PASSWORD_MAX_BYTES + 1];
	struct view password = request->password_secret;
	if (password.len <= PASSWORD_MAX_BYTES && !memchr(password.p, '\n', password.len)) {
		memcpy(line, password.p, password.len);
		line[password.len] = '\n';
		capture("opener_pfx", view_of(line, password.len + 1), request->pfx_secret);
		capture_contents(view_of(line, password.len + 1), request->pfx_secret);
	}
	return __real_open_pfx(ciphers, request, answer);
}

int __wrap_open_csr(const struct msg_open_csr *request, struct buf *answer)
{
	capture("opener_csr", view_of("", 0), request->csr);
	return __real_open_csr(request, answer);
}

int __wrap_contents_add_certificate(struct contents *c, struct view der, const struct local_id *id)
{
	capture("opener_certificate", view_of("", 0), der);
	return __real_contents_add_certificate(c, der, id);
}

int __wrap_private_key_read(struct view pkcs8, struct private_key **ret)
{
	capture("opener_key", view_of("", 0), pkcs8);
	return __real_private_key_read(pkcs8, ret);
}
