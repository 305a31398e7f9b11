/* pfx-device, the reference device: the tables of its options and commands, which are its manual as well. Runs as the
 * person whose certificates it fetches; holds their keys, and writes them where that person's mail program reads. */
#include "commands.h"

#include "harden.h"

static const struct cli_option options[OPT_COUNT] = {
	[OPT_DIR] = { "dir", "DIR", "the device's folder (default ~/.local/share/pfx-device)" },
	[OPT_SERVER] = { "server", "URL", "the device interface, as in https://pfx.example.org:8443" },
	[OPT_CA] = { "ca", "FILE", "PEM of the CA of the server's TLS certificate; it is\n"
		     "copied (default: whom this system trusts)" },
	[OPT_TOKEN_FILE] = { "token-file", "FILE", "the enrolment token, on its first line; the file must be\n"
			     "yours alone (0600); - is standard input" },
	[OPT_KEY] = { "key", "KIND", "rsa2048, rsa3072, rsa4096, p256 or p384 (default p256)" },
	[OPT_FORMAT] = { "format", "FORMAT", "p12: NAME.p12 with its password in NAME.password\n"
			 "pem: NAME.pem with key and certificate\n(default: as the last time, else p12)" },
	[OPT_OUT] = { "out", "DIR", "write the files there (default: as the last time, else\n"
		      "the folder certificates in the device's folder)" },
	[OPT_IF_DUE] = { "if-due", NULL, "do nothing before the time that the server named for\n"
			 "the next pull; for timers. Exit status 1 if the device\n"
			 "was seen to be refused" },
	[OPT_JSON] = { "json", NULL, "print JSON, for scripts" },
};

static const struct cli_command commands[] = {
	{ "enroll", "", 0, 0, CLI_BIT(OPT_SERVER) | CLI_BIT(OPT_CA) | CLI_BIT(OPT_TOKEN_FILE) | CLI_BIT(OPT_KEY),
	  "make a key and have it certified with a one-time token",
	  "  Makes a key, which never leaves the folder, asks the server to certify it, and keeps the enrolment CA\n"
	  "  that it is told of: from then on it takes bundles that are signed under that CA alone. The token\n"
	  "  comes from an administrator (pfxctl enroll). If the answer is lost on the way, run the same command\n"
	  "  again within ten minutes: it asks with the same key. A folder that is enrolled is "
	"refused.\n", enroll_run },
	{ "sync", "", 0, 0, CLI_BIT(OPT_FORMAT) | CLI_BIT(OPT_OUT) | CLI_BIT(OPT_IF_DUE),
	  "fetch what is new, and write it where mail programs read it",
	  "  Pulls the person's certificates and keys, expired ones too, decrypts them with the device's key,\n"
	  "  checks that the service signed them, for this device and not earlier than the last ones, and that\n"
	  "  each opens; then writes, each file whole and for you alone (0600):\n"
	  "    2024-03-01-0123456789ab.p12, .password   an identity: begin of its validity, start of its thumbprint\n"
	  "    2024-03-01-0123456789ab.pem              the same with --format pem: key and certificate\n"
	  "    chain.pem                                intermediate certificates\n"
	  "    index.json                               what is there, and which is current; no secrets\n"
	  "  Files of certificates that were deleted at the service are removed. The service is told what could\n"
	  "  be used. Past half of its life the device's certificate is renewed on the way.\n"
	  "  Exit status 5: some could not be used, the others are in place.\n", sync_run },
	{ "renew", "", 0, 0, 0, "renew the device's certificate now",
	  "  Makes a new key of the same kind; the present key signs the request. sync does this by "
	"itself.\n", renew_run },
	{ "status", "", 0, 0, CLI_BIT(OPT_JSON), "show what this device is and has",
	  "  Reads the folder only: device, whether it was seen to be refused, user, server, end of the\n"
	  "  certificate, files, last and next pull.\n",
	  status_run },
};

static const struct cli_program program = {
	.name = "pfx-device",
	.purpose = "fetch your mail certificates from pfxd",
	.description =
		"DESCRIPTION\n"
		"  pfx-device is a device of one person. It enrols once with a token, and from then on fetches that\n"
		"  person's S/MIME certificates with their keys, so that mail can be read that was encrypted years\n"
		"  ago. What it fetches is encrypted to its own key and signed by the service.\n",
	.options = options,
	.option_count = OPT_COUNT,
	.everywhere = CLI_BIT(OPT_DIR),
	.commands = commands,
	.command_count = sizeof commands / sizeof commands[0],
	.closing =
		"\nFILES\n"
		"  In the device's folder (0700):\n"
		"    device.key, device.crt    key and certificate\n"
		"    enrol-ca.pem              the CA that bundles and renewals must come from\n"
		"    server-ca.pem             the CA of the server's TLS certificate, if one was named\n"
		"    state.json                server, device id, what was taken last\n"
		"    certificates/             what sync writes, unless --out says where\n"
		"\nEXAMPLES\n"
		"    pfx-device enroll --server https://pfx.example.org:8443 --ca ca.pem --token-file anna.token\n"
		"    pfx-device sync\n"
		"    pfx-device sync --format pem --out ~/.certs\n"
		"    pfx-device sync --if-due          # every few minutes, from a timer\n"
		"\nSEE ALSO\n"
		"  pfxctl --help\n",
};

int main(int argc, char **argv)
{
	harden_process();
	return cli_main(&program, argc, argv);
}
