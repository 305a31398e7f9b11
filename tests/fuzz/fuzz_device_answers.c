/* Answers to a client: status, header lines, and a body: what was issued at an enrolment, or a problem. The input is
 *
 *   STATUS          then header lines, an empty line, and the body
 *
 * PFXD_FUZZ_SEEDS=folder has the target write seeds into the folder. */
#include "fuzz.h"

#include "../../clients/shared/http.c"

#include "../../clients/device/issued.h"
#include "keeper/ca.h"
#include "text.h"

#include <openssl/err.h>

static const char device_id[] = "00000000-0000-4000-8000-00000000000d";
static const char user_id[] = "00000000-0000-4000-8000-00000000000a";

static EVP_PKEY *ca_key, *key;
static X509 *ca, *certificate;
static STACK_OF(X509) *anchors;

/* What a terminal sees is harmless. */
static void check_told(void)
{
	char again[2048];
	MUST(trouble_text()[0] && trouble_code()[0] && strlen(trouble_text()) < sizeof again);
	strcpy(again, trouble_text());
	text_disarm(again);
	MUST(strcmp(again, trouble_text()) == 0 && text_is_clean(view_text(trouble_text())));
}

static void check_header(struct http_answer *answer, struct view lines)
{
	while (lines.len > 0) {
		struct view line = fuzz_take_until(&lines, "\n");
		MUST(on_header((char *)(uintptr_t)line.p, 1, line.len, answer) == line.len);
	}
	MUST(text_is_clean(view_text(answer->type)) && text_is_clean(view_text(answer->request_id)));
	MUST(text_is_clean(view_text(answer->etag)) && strlen(answer->etag) < HTTP_ETAG_MAX);
	MUST(answer->retry_after >= -1 && answer->retry_after <= RETRY_AFTER_MAX_SECONDS);
}

/* What is taken is for this key and this device, and comes from this CA. */
static void check_issued(struct view body, STACK_OF(X509) *trusted)
{
	ISSUED issued = { 0 };
	int rc = issued_read(body, key, trusted, &issued);
	if (rc != EXIT_DONE) {
		MUST(rc == EXIT_REFUSED);
		check_told();
		return;
	}
	MUST(uuid_is_valid(view_text(issued.device_id)));
	MUST(X509_check_private_key(issued.certificate, key) == 1);
	MUST(sk_X509_num(issued.chain) > 0);
	if (trusted)
		MUST(X509_verify(issued.certificate, ca_key) == 1);
}

static void write_seeds(const char *folder);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_fix_random();
	key = EVP_EC_gen("P-256");
	anchors = sk_X509_new_null();
	MUST(key && anchors && ca_make(&ca_key, &ca) == 0 && sk_X509_push(anchors, ca) > 0);
	MUST(ca_issue(ca_key, ca, key, device_id, user_id, &certificate) == 0);
	if (getenv("PFXD_FUZZ_SEEDS"))
		write_seeds(getenv("PFXD_FUZZ_SEEDS"));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_answer answer = { .retry_after = -1, .body_secret = fuzz_buf(size + 1) };
	struct view body = view_of(data, size);
	struct view head = fuzz_take_until(&body, "\n\n");
	struct view status = fuzz_take_until(&head, "\n");
	uint64_t number = 0;
	number_parse(status, 999, &number);
	answer.status = (long)number;
	check_header(&answer, head);
	MUST(on_body((char *)(uintptr_t)body.p, 1, body.len, &answer) == body.len || body.len == 0);
	int rc = http_expect(&answer, "devices");
	MUST(rc == EXIT_DONE || rc == EXIT_LATER || rc == EXIT_REFUSED);
	if (rc != EXIT_DONE)
		check_told();
	else
		check_issued(buf_view(answer.body_secret), NULL);
	if (rc == EXIT_DONE)
		check_issued(buf_view(answer.body_secret), anchors);
	http_answer_done(&answer);
	ERR_clear_error();
	return 0;
}

/* ---- seeds ---- */

static void put_pem(struct buf *b, const char *name, X509 *x)
{
	BUF pem = fuzz_buf(CERTIFICATE_MAX_BYTES);
	MUST(pem_put_certificate(pem, x));
	json_put_text(b, name, buf_view(pem));
}

static void seed(const char *folder, const char *name, const char *head, struct view body)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *f = fopen(path, "wb");
	MUST(f && fprintf(f, "%s\n\n", head) > 0 && fwrite(body.p, 1, body.len, f) == body.len && fclose(f) == 0);
}

static void write_seeds(const char *folder)
{
	BUF body = fuzz_buf(MIB);
	json_put_open(body, NULL, '{');
	json_put_text(body, "deviceId", view_text(device_id));
	put_pem(body, "certificate", certificate);
	put_pem(body, "chain", ca);
	buf_put_u8(body, '}');
	seed(folder, "issued", "201\nContent-Type: application/json\nX-Request-Id: x", buf_view(body));
	static const char problem[] =
		"{\"type\":\"urn:pfxd:problem:forbidden\",\"title\":\"t\",\"status\":403,\"detail\":\"d\","
		"\"code\":\"forbidden\",\"requestId\":\"r\"}";
	static const char wrong_port[] = "{\"code\":\"not_found\",\"detail\":\"this interface has no such path\"}";
	seed(folder, "problem", "503\nContent-Type: application/problem+json\nRetry-After: 5\nETag: \"x\"",
	     view_text(problem));
	seed(folder, "wrong-port", "404\nContent-Type: application/problem+json", view_text(wrong_port));
	seed(folder, "no-explanation", "500\nContent-Type: text/html", view_text("<html>"));
}
