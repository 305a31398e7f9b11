/* renew: a new key and certificate before the old one ends. pfx-device. The present key signs the request, so that
 * nobody between the device and the keeper can renew in its name; the new key waits on disk until it is certified. */
#include "renew.h"

#include "call.h"
#include "commands.h"
#include "issued.h"
#include "keys.h"

#include "../shared/json_text.h"
#include "../shared/trouble.h"
#include "certificate.h"
#include "encode.h"

#include <openssl/err.h>

bool renewal_is_due(const X509 *certificate)
{
	int64_t begins = certificate_begins(certificate), ends = certificate_ends(certificate);
	return now_seconds() >= begins + (ends - begins) / 2;
}

/* Appends the signature over the request's DER, with SHA-256. */
static int sign(EVP_PKEY *key, struct view csr_pem, struct buf *ret)
{
	BUF der = buf_new(CSR_MAX_BYTES);
	MD_CTX context = EVP_MD_CTX_new();
	size_t len = 0;
	if (!der || !context || pem_decode("CERTIFICATE REQUEST", NULL, csr_pem, der) < 0 ||
	    EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) != 1 ||
	    EVP_DigestSign(context, NULL, &len, buf_data(der), buf_len(der)) != 1)
		return trouble(EXIT_LOCAL, "the present key does not sign");
	uint8_t *at = buf_reserve(ret, len);
	if (!at || EVP_DigestSign(context, at, &len, buf_data(der), buf_len(der)) != 1) {
		ERR_clear_error();
		return trouble(EXIT_LOCAL, "the present key does not sign");
	}
	buf_truncate(ret, len); /* an ECDSA signature may be shorter than foretold */
	return EXIT_DONE;
}

static int make_body(EVP_PKEY *key, struct view csr, struct buf *ret)
{
	BUF signature = buf_new(SIGNATURE_MAX_BYTES);
	BUF text = buf_new(2 * SIGNATURE_MAX_BYTES);
	int rc = signature && text ? sign(key, csr, signature) : trouble(EXIT_LOCAL, "no memory");
	if (rc)
		return rc;
	base64_encode(buf_view(signature), text);
	json_put_open(ret, NULL, '{');
	json_put_text(ret, "csr", csr);
	json_put_text(ret, "signature", buf_view(text));
	buf_put_u8(ret, '}');
	return buf_ok(ret) ? EXIT_DONE : trouble(EXIT_LOCAL, "no memory");
}

int renew(struct state *state, const struct credentials *credentials)
{
	HTTP_ANSWER answer = { 0 };
	ISSUED issued = { 0 };
	PKEY key = NULL;
	BUF csr = buf_new(CSR_MAX_BYTES);
	BUF body = buf_new(3 * CSR_MAX_BYTES);
	int rc = csr && body ? keys_pending(state, keys_kind(credentials->key), &key, csr) :
			       trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE)
		rc = make_body(credentials->key, buf_view(csr), body);
	if (rc)
		return rc;
	const struct http_request request = {
		.method = "POST", .url = "/v1/device/renew", .body_secret = buf_view(body),
	};
	rc = call_as_device(state, &request, &answer);
	if (rc == EXIT_DONE)
		rc = issued_read(buf_view(answer.body_secret), key, credentials->anchors, &issued);
	if (rc)
		return rc;
	if (!view_is(view_text(issued.device_id), state->device_id))
		return trouble(EXIT_REFUSED, "the new certificate is for device %s, not for this one; nothing was "
			       "stored",
			       issued.device_id);
	return issued_store(state, &issued);
}

int renew_run(const struct cli *cli)
{
	STATE state;
	CREDENTIALS credentials = { 0 };
	int rc = state_open(cli, false, &state);
	if (rc == EXIT_DONE)
		rc = credentials_load(&state, &credentials);
	if (rc == EXIT_DONE)
		rc = renew(&state, &credentials);
	credentials_done(&credentials);
	credentials = (struct credentials){ 0 };
	if (rc == EXIT_DONE)
		rc = credentials_load(&state, &credentials);
	if (rc)
		return rc;
	char ends[TIME_TEXT + 1];
	time_format(certificate_ends(credentials.certificate), ends);
	cli_say(cli, "renewed: the new certificate is valid until %s", ends);
	return EXIT_DONE;
}
