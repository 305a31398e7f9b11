/* Decoding with nothing left over. Opener. Never trusts a length: what ASN1_get_object() lets through lies within
 * the bytes that are there. */
#include "ber.h"

#include "fault.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/objects.h>

struct view asn1_view(const ASN1_STRING *s)
{
	return s && ASN1_STRING_length(s) > 0 ? view_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s))
					      : view_of("", 0);
}

bool asn1_sequence(const ASN1_TYPE *any, struct view *ret)
{
	if (!any || any->type != V_ASN1_SEQUENCE || !any->value.sequence)
		return false;
	*ret = asn1_view(any->value.sequence);
	return true;
}

static int malformed(const char *clause)
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());
	int rc = fail(FAULT_MALFORMED_PKCS12, "%s is malformed: %s", clause, reason ? reason : "not what it should be");
	ERR_clear_error();
	return rc;
}

void *ber_decode(struct view der, const ASN1_ITEM *it, const char *clause)
{
	const uint8_t *p = der.p;
	void *value = ASN1_item_d2i(NULL, &p, (long)der.len, it);
	if (!value) {
		malformed(clause);
		return NULL;
	}
	size_t left = (size_t)(der.p + der.len - p);
	if (left == 0)
		return value;
	ASN1_item_free(value, it);
	fail(FAULT_MALFORMED_PKCS12, "%s is malformed: %zu bytes too many after it", clause, left);
	return NULL;
}

/* A constructed element is stepped into and a primitive one over, so one loop sees every header. */
bool ber_is_der(struct view v)
{
	const uint8_t *p = v.p, *end = v.p + v.len;
	while (p < end) {
		const uint8_t *start = p;
		long len;
		int tag, class;
		int how = ASN1_get_object(&p, &len, &tag, &class, end - p);
		bool constructed = how & V_ASN1_CONSTRUCTED;
		if ((how & 0x81) || ASN1_object_size(0, (int)len, tag) != p - start + len)
			return false;
		if (constructed && class == V_ASN1_UNIVERSAL && tag != V_ASN1_SEQUENCE && tag != V_ASN1_SET)
			return false;
		p += constructed ? 0 : len;
	}
	return true;
}

/* Reads the header of a SEQUENCE: 1 where its length is indefinite, 0 where it is not, -1 where there is none. */
static int sequence_header(struct view v, const uint8_t **ret_contents, long *ret_len)
{
	int tag, class;
	*ret_contents = v.p;
	int how = ASN1_get_object(ret_contents, ret_len, &tag, &class, (long)v.len);
	if ((how & 0x80) || !(how & V_ASN1_CONSTRUCTED) || tag != V_ASN1_SEQUENCE || class != V_ASN1_UNIVERSAL)
		return -1;
	return how & 1;
}

bool ber_is_sequence(struct view v, size_t tail)
{
	const uint8_t *p, *end = v.p + v.len;
	long len;
	int indefinite = sequence_header(v, &p, &len);
	ERR_clear_error();
	if (indefinite < 0)
		return false;
	if (indefinite)
		return end - p >= 2 && end[-1] == 0 && end[-2] == 0;
	return len <= end - p && (size_t)(end - p - len) <= tail;
}

int ber_list_open(struct view v, const char *clause, struct ber_list *ret)
{
	const uint8_t *p;
	long len;
	int indefinite = sequence_header(v, &p, &len);
	if (indefinite < 0)
		return malformed(clause);
	*ret = (struct ber_list){ .p = p, .end = v.p + v.len, .indefinite = indefinite, .clause = clause };
	if (!ret->indefinite && len != ret->end - p)
		return fail(FAULT_MALFORMED_PKCS12, "%s is malformed: its length is not that of what it holds", clause);
	return 0;
}

/* At the end of the contents: true at the end, and failed where the end is not the end of the bytes. */
static bool list_ends(struct ber_list *list)
{
	size_t left = (size_t)(list->end - list->p);
	if (!list->indefinite)
		return left == 0;
	if (left >= 2 && (list->p[0] != 0 || list->p[1] != 0))
		return false;
	if (left != 2) {
		list->failed = true;
		fail(FAULT_MALFORMED_PKCS12, "%s is malformed: its end is missing, or is not the last of it",
		     list->clause);
	}
	return true;
}

void *ber_list_next(struct ber_list *list, const ASN1_ITEM *it)
{
	if (list->failed || list_ends(list))
		return NULL;
	void *value = ASN1_item_d2i(NULL, &list->p, list->end - list->p, it);
	if (!value) {
		list->failed = true;
		malformed(list->clause);
	}
	return value;
}

const char *oid_text(const ASN1_OBJECT *oid, char ret[static OID_TEXT_MAX])
{
	ret[0] = '\0';
	if (!oid || OBJ_obj2txt(ret, OID_TEXT_MAX, oid, 1) <= 0)
		return "(none)";
	return ret;
}
