/* enroll: makes a key, has it certified with a one-time token, and keeps what it was told. pfx-device. The key never
 * leaves the folder; the token is in a wiping buffer and in one request. */
#include "call.h"
#include "commands.h"
#include "issued.h"
#include "keys.h"

#include "../shared/json_text.h"
#include "../shared/trouble.h"

#include <string.h>

static int check(const struct cli *cli, const struct state *state)
{
	const char *server = cli->value[OPT_SERVER];
	if (state_is_enrolled(state))
		return trouble(EXIT_USAGE, "%s is enrolled already, as device %s; to enrol another, give another --dir",
			       state->folder, state->device_id);
	if (!server || !cli->value[OPT_TOKEN_FILE])
		return trouble(EXIT_USAGE, "where, and with which token? give --server URL and --token-file FILE (- is "
			       "standard input)");
	if (strlen(server) >= URL_MAX)
		return trouble(EXIT_USAGE, "the URL is too long");
	return url_check(server, false);
}

static int make_body(const struct cli *cli, struct view csr, struct buf *ret_secret)
{
	BUF token_secret = buf_new(SECRET_LINE_MAX_BYTES + 1);
	if (!token_secret)
		return trouble(EXIT_LOCAL, "no memory");
	int rc = file_read_token(cli->value[OPT_TOKEN_FILE], token_secret);
	if (rc)
		return rc;
	json_put_open(ret_secret, NULL, '{');
	json_put_text(ret_secret, "token", buf_view(token_secret));
	json_put_text(ret_secret, "csr", csr);
	buf_put_u8(ret_secret, '}');
	return buf_ok(ret_secret) ? EXIT_DONE : trouble(EXIT_LOCAL, "no memory");
}

/* The CA file is copied: the device must find it again wherever it is started. */
static int keep_server_ca(const struct cli *cli, const struct state *state)
{
	BUF pem = buf_new(256 * KIB + 1);
	const char *path = cli->value[OPT_CA];
	char old[PATH_BYTES];
	if (!path) {
		int rc = state_path(state, "server-ca.pem", old);
		return rc ? rc : file_remove(old);
	}
	int rc = pem ? file_read(path, 256 * KIB, pem) : trouble(EXIT_LOCAL, "no memory");
	return rc ? rc : state_write(state, "server-ca.pem", pem);
}

/* device.crt is last: with it the device is enrolled. Of the chain it is the CA that issued it which is believed. */
static int keep(struct state *state, const struct issued *issued)
{
	BUF anchors = buf_new(256 * KIB);
	if (!anchors || !pem_put_certificate(anchors, sk_X509_value(issued->chain, 0)))
		return trouble(EXIT_LOCAL, "no memory");
	memcpy(state->device_id, issued->device_id, sizeof state->device_id);
	int rc = state_write(state, "enrol-ca.pem", anchors);
	if (rc == EXIT_DONE)
		rc = state_save(state);
	return rc ? rc : issued_store(state, issued);
}

static int ask(const struct cli *cli, struct state *state, EVP_PKEY *key, struct view csr)
{
	HTTP_ANSWER answer = { 0 };
	ISSUED issued = { 0 };
	BUF body_secret = buf_new(2 * CSR_MAX_BYTES + SECRET_LINE_MAX_BYTES);
	int rc = body_secret ? make_body(cli, csr, body_secret) : trouble(EXIT_LOCAL, "no memory");
	if (rc)
		return rc;
	const struct http_request request = {
		.method = "POST", .url = "/v1/enroll", .body_secret = buf_view(body_secret),
	};
	rc = call_server(state, cli->value[OPT_CA], false, &request, &answer);
	if (rc == EXIT_DONE)
		rc = issued_read(buf_view(answer.body_secret), key, NULL, &issued);
	if (rc == EXIT_DONE)
		rc = keep_server_ca(cli, state);
	return rc ? rc : keep(state, &issued);
}

int enroll_run(const struct cli *cli)
{
	STATE state;
	PKEY key = NULL;
	BUF csr = buf_new(CSR_MAX_BYTES);
	int rc = state_open(cli, true, &state);
	if (rc == EXIT_DONE)
		rc = check(cli, &state);
	if (rc == EXIT_DONE)
		rc = csr ? keys_pending(&state, cli->value[OPT_KEY], &key, csr) : trouble(EXIT_LOCAL, "no memory");
	if (rc)
		return rc;
	text_copy(view_text(cli->value[OPT_SERVER]), state.server, sizeof state.server);
	rc = ask(cli, &state, key, buf_view(csr));
	if (rc == EXIT_LATER)
		return trouble_coded(EXIT_LATER, trouble_code(), "%s. The key is kept: run the same command again, "
				     "with the same token", trouble_text());
	if (rc == EXIT_DONE)
		cli_say(cli, "enrolled as device %s; fetch the certificates with: pfx-device sync%s%s", state.device_id,
			cli->value[OPT_DIR] ? " --dir " : "", cli->value[OPT_DIR] ? cli->value[OPT_DIR] : "");
	return rc;
}
