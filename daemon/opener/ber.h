/* The frame around what OpenSSL's d2i functions read: trailing bytes, lists taken one element at a time, and the
 * sentences for what is malformed. */
#ifndef PFXD_OPENER_BER_H
#define PFXD_OPENER_BER_H

#include "buf.h"

#include <openssl/asn1.h>

/* The bytes of an OCTET STRING, BIT STRING and so on; none for NULL. */
struct view asn1_view(const ASN1_STRING *s);
/* The encoding of a SEQUENCE that was read as ANY. False for NULL and for another type. */
bool asn1_sequence(const ASN1_TYPE *any, struct view *ret);

/* Reads der as one value of it, whole. NULL, with the sentence of a MALFORMED_PKCS12, when it is another thing or
 * bytes are left over; clause names it: "RFC 7292 4: PFX". Free with ASN1_item_free(). */
void *ber_decode(struct view der, const ASN1_ITEM *it, const char *clause);

/* True when every length of what was decoded before is definite and as short as it can be, and no string is in pieces
 * (X.690 10.1, 10.2). What stands inside of strings is not looked at. */
bool ber_is_der(struct view v);

/* True when v looks like one SEQUENCE that ends at most tail bytes before v does. What it holds is not looked at. */
bool ber_is_sequence(struct view v, size_t tail);

/* A SEQUENCE OF, walked: of definite length or not. */
struct ber_list {
	const uint8_t *p, *end;
	bool indefinite, failed;
	const char *clause;
};

/* MALFORMED_PKCS12 unless v is one SEQUENCE and nothing else. v must outlive the list. */
int ber_list_open(struct view v, const char *clause, struct ber_list *ret);
/* The next element, decoded; NULL at the end, and with list->failed set and a sentence where it is malformed. */
void *ber_list_next(struct ber_list *list, const ASN1_ITEM *it);

/* The dotted number of an object identifier, cut to what fits. */
enum { OID_TEXT_MAX = 80 };
const char *oid_text(const ASN1_OBJECT *oid, char ret[static OID_TEXT_MAX]);
/* What to do about an algorithm that is not supported; ends its sentence. */
#define EXPORT_AGAIN "export it again with AES-256 and SHA-256"

#endif
