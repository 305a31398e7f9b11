/* Speaks to the device interface. pfx-device. The client certificate proves the device; nothing else is sent with
 * it. */
#include "call.h"

#include "../shared/trouble.h"

#include <stdio.h>
#include <string.h>

/* Kept for status and sync --if-due, if it is the service's own word and not just any 403. The refusal is what is told,
 * also where the folder can not be written. */
static int tell_revoked(struct state *state)
{
	char code[64], why[1200];
	snprintf(code, sizeof code, "%s", trouble_code());
	snprintf(why, sizeof why, "%s", trouble_text());
	if (strcmp(code, "forbidden") == 0) {
		state->revoked_at = now_seconds();
		(void)state_save(state);
	}
	return trouble_coded(EXIT_REFUSED, code, "the service refuses this device: %s; what it has stays in place. If "
			     "it was revoked, enrol it in another --dir", why);
}

/* What a refusal means for a device. */
static int interpret(struct state *state, long status, int rc)
{
	if (status == 403)
		return tell_revoked(state);
	if (status == 401)
		return trouble_coded(EXIT_REFUSED, trouble_code(), "the server does not accept this device's "
				     "certificate: %s; if it has ended (pfx-device status --dir %s), enrol anew in "
				     "another --dir", trouble_text(), state->folder);
	return rc;
}

int call_server(struct state *state, const char *ca_file, bool identified, const struct http_request *request,
		struct http_answer *ret)
{
	HTTP http = NULL;
	char url[URL_MAX + 128], key[PATH_BYTES], certificate[PATH_BYTES];
	*ret = (struct http_answer){ 0 };
	int rc = state_path(state, "device.key", key);
	if (rc == EXIT_DONE)
		rc = state_path(state, "device.crt", certificate);
	const struct http_settings settings = {
		.agent = "pfx-device",
		.ca_file = ca_file,
		.certificate_file = identified ? certificate : NULL,
		.key_file = identified ? key : NULL,
	};
	if (rc == EXIT_DONE)
		rc = http_open(&settings, &http);
	if (rc)
		return rc;
	size_t len = strlen(state->server);
	while (len > 0 && state->server[len - 1] == '/')
		len--;
	snprintf(url, sizeof url, "%.*s%s", (int)len, state->server, request->url);
	struct http_request whole = *request;
	whole.url = url;
	rc = http_call(http, &whole, ret);
	if (rc == EXIT_DONE)
		rc = http_expect(ret, "devices");
	return rc && identified ? interpret(state, ret->status, rc) : rc;
}

int call_as_device(struct state *state, const struct http_request *request, struct http_answer *ret)
{
	char ca[PATH_BYTES];
	*ret = (struct http_answer){ 0 };
	int rc = state_path(state, "server-ca.pem", ca);
	return rc ? rc : call_server(state, file_exists(ca) ? ca : NULL, true, request, ret);
}
