/* The accounts of derivation. Opener, PFX kind. Never derives anything. */
#include "pfx_work.h"

#include "fault.h"

#include <openssl/err.h>

int work_charge(struct work *w, uint64_t units)
{
	if (__builtin_add_overflow(w->total, units, &w->total))
		w->total = UINT64_MAX;
	if (w->total <= w->max)
		return 0;
	return fail(FAULT_TOO_EXPENSIVE, "opening this PFX takes at least %llu rounds of hashing; %llu are allowed: "
		    "export fewer identities at a time, or with fewer iterations",
		    (unsigned long long)w->total, (unsigned long long)w->max);
}

int count_read(const ASN1_INTEGER *number, const char *clause, uint64_t *ret)
{
	if (!number)
		return fail(FAULT_MALFORMED_PKCS12, "%s is missing", clause);
	if (ASN1_STRING_type(number) == V_ASN1_NEG_INTEGER)
		return fail(FAULT_MALFORMED_PKCS12, "%s is negative", clause);
	if (!ASN1_INTEGER_get_uint64(ret, number)) {
		ERR_clear_error();
		*ret = UINT64_MAX;
	}
	return *ret > 0 ? 0 : fail(FAULT_MALFORMED_PKCS12, "%s is zero", clause);
}
