/* Names and serial numbers of certificates as text. Opener, and pfxctl. Never passes on a byte that is not clean text. */
#include "x509_text.h"

#include "encode.h"
#include "fault.h"
#include "openssl_ptr.h"
#include "text.h"

#include <openssl/err.h>

/* The length of the character at the front of v; *ret_clean is false for one that is not to be shown: a control, or a
 * byte that is no UTF-8. */
static size_t character(struct view v, bool *ret_clean)
{
	uint32_t code;
	size_t len = text_sequence(v, &code);
	*ret_clean = len > 0 && text_is_clean(view_of(v.p, len));
	return len > 0 ? len : 1;
}

static void put_clean(struct buf *b, struct view v, size_t max)
{
	static const char more[] = "...";
	size_t start = buf_len(b);
	while (v.len > 0) {
		bool clean;
		size_t len = character(v, &clean);
		if (buf_len(b) - start + len > max - (sizeof more - 1)) {
			buf_put_text(b, more);
			return;
		}
		buf_put(b, clean ? v.p : (const uint8_t *)"?", clean ? len : 1);
		v.p += len;
		v.len -= len;
	}
}

int name_text(const X509_NAME *name, struct buf *ret)
{
	BIO_PTR bio = BIO_new(BIO_s_mem());
	char *text = NULL;
	const unsigned long flags = XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB;
	if (!bio || X509_NAME_print_ex(bio, name, 0, flags) < 0) {
		ERR_clear_error();
		return fail(FAULT_MALFORMED_PKCS12, "RFC 5280 4.1.2.4: a name that can not be read");
	}
	long len = BIO_get_mem_data(bio, &text);
	if (len > 0)
		put_clean(ret, view_of(text, (size_t)len), DISTINGUISHED_NAME_MAX_BYTES);
	return buf_ok(ret) ? 0 : fail(FAULT_TOO_EXPENSIVE, "no memory left for a name");
}

int serial_text(const ASN1_INTEGER *serial, char ret[static SERIAL_MAX_CHARS + 1])
{
	struct view octets = view_of(ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial));
	bool negative = ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER;
	if (octets.len == 0)
		octets = view_of("", 1);
	if (2 * octets.len + negative > SERIAL_MAX_CHARS)
		return fail(FAULT_MALFORMED_PKCS12, "RFC 5280 4.1.2.2: a serial number of %zu octets", octets.len);
	if (negative)
		*ret++ = '-';
	hex_encode(octets, ret);
	return 0;
}
