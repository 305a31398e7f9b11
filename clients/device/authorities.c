/* Follows the service from one enrolment CA to the next. pfx-device. Believes what a bundle says of it, once that
 * bundle was verified under a CA that the device knows already: so whoever holds the front of the service can
 * introduce none. */
#include "authorities.h"
#include "issued.h"

#include "../shared/json_text.h"
#include "../shared/trouble.h"

enum { PEMS_MAX_BYTES = 256 * 1024 };

static int refuse(const char *what)
{
	return trouble_coded(EXIT_REFUSED, "bad_bundle", "the enrolment CAs that the bundle names %s; nothing was "
							 "written",
			     what);
}

/* Each text is a CA and what is above it. The CA itself is what is believed: a root above it is a whole company's. */
static int read_one(const char *text, STACK_OF(X509) *ret)
{
	CHAIN chain = pem_read_certificates(view_text(text), AUTHORITY_CHAIN_MAX);
	X509 *ca = chain && sk_X509_num(chain) > 0 ? sk_X509_value(chain, 0) : NULL;
	if (!ca || X509_check_ca(ca) != 1 || !(X509_get_key_usage(ca) & KU_KEY_CERT_SIGN))
		return refuse("can not be read, or are none");
	if (X509_add_cert(ret, ca, X509_ADD_FLAG_UP_REF) != 1)
		return trouble(EXIT_LOCAL, "no memory");
	return EXIT_DONE;
}

static bool are_the_same(STACK_OF(X509) *a, STACK_OF(X509) *b)
{
	bool same = sk_X509_num(a) == sk_X509_num(b);
	for (int i = 0; same && i < sk_X509_num(a); i++)
		same = X509_cmp(sk_X509_value(a, i), sk_X509_value(b, i)) == 0;
	return same;
}

int authorities_read(const json_t *bundle, const struct credentials *credentials, STACK_OF(X509) **ret)
{
	size_t i;
	json_t *one, *list = json_object_get(bundle, "authorities");
	if (!list) /* a service from before there could be several */
		return EXIT_DONE;
	if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > AUTHORITIES_MAX)
		return refuse("are no list, or too many");
	CHAIN all = sk_X509_new_null();
	if (!all)
		return trouble(EXIT_LOCAL, "no memory");
	json_array_foreach(list, i, one) {
		int rc = read_one(json_is_string(one) ? json_string_value(one) : "", all);
		if (rc)
			return rc;
	}
	if (!issued_by_one_of(credentials->certificate, all))
		return refuse("leave out the one that this device is of");
	if (!are_the_same(all, credentials->anchors)) {
		*ret = all;
		all = NULL;
	}
	return EXIT_DONE;
}

int authorities_keep(const struct state *state, STACK_OF(X509) *authorities)
{
	BUF pem = buf_new(PEMS_MAX_BYTES);
	bool done = pem != NULL;
	for (int i = 0; done && i < sk_X509_num(authorities); i++)
		done = pem_put_certificate(pem, sk_X509_value(authorities, i));
	return done ? state_write(state, "enrol-ca.pem", pem) : trouble(EXIT_LOCAL, "no memory");
}
