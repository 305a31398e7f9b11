/* pfxctl, the administrator's command: the tables of its options and commands, which are its manual as well. Runs on
 * any machine; holds an administrator's token and, during an import, a PFX and its password. The commands for root on the
 * server hold the keyring as well. */
#include "commands.h"

#include "harden.h"
#include "journal.h"
#include "log.h"

#include <limits.h>

static const struct cli_option options[OPT_COUNT] = {
	[OPT_SERVER] = { "server", "URL", "the admin interface, as in https://pfx.example.org:8444" },
	[OPT_CA] = { "ca", "FILE", "PEM of the CA of the server's TLS certificate\n(default: whom this system "
	"trusts)" },
	[OPT_TOKEN_FILE] = { "token-file", "FILE", "your token, on its first line; the file must be yours\nalone "
	"(0600)" },
	[OPT_CONFIG] = { "config", "FILE", "read this pfxctl.conf" },
	[OPT_DEV] = { "dev", "DIR", "talk to the pfxd that was started with --dev DIR" },
	[OPT_JSON] = { "json", NULL, "print what the server said, as JSON, for scripts" },
	[OPT_PASSWORD_FILE] = { "password-file", "FILE", "the password of every file, on its first line; - is\n"
				"standard input" },
	[OPT_PASSWORD_FD] = { "password-fd", "N", "the same from the open descriptor N" },
	[OPT_SAME_PASSWORD] = { "same-password", NULL, "ask once, not once a file" },
	[OPT_USAGES] = { "usages", "LIST", "encryption, signing, or both with a comma between: use\n"
			 "the certificate for this, whatever it says itself" },
	[OPT_VERBOSE] = { "verbose", NULL, "print the warning \"expired\" of each certificate too" },
	[OPT_LIST] = { "list", "CSVFILE", "import what this listing names; - is standard input" },
	[OPT_NAME] = { "name", "NAME", "for enroll: what people call the device, as in\n"
		       "\"Anna's phone\"; for keyring init and import: what\n"
		       "clients call the server, names and addresses with\n"
		       "commas between (default: its host name)" },
	[OPT_PLATFORM] = { "platform", "NAME", "its operating system, and its version if you know it, as in\n"
			   "ios-18, android-13, windows-11: it decides which form of\n"
			   "PKCS#12 the device gets; docs/platforms.md has the list" },
	[OPT_EXPIRES_IN] = { "expires-in", "SECONDS", "how long the token is valid" },
	[OPT_TOKEN_OUT] = { "token-out", "FILE", "write the token there (0600) and do not print it" },
	[OPT_FORCE] = { "force", NULL, "overwrite the file that is there" },
	[OPT_ROLE] = { "role", "ROLE", "importer: imports, and sees what it imported\n"
		       "enroller: makes enrolments, revokes devices, and releases\n"
		       "          those that are held\n"
		       "auditor:  reads\noperator: health and backup\nadmin:    all" },
	[OPT_YES] = { "yes", NULL, "do not ask" },
	[OPT_LIMIT] = { "limit", "N", "the newest N records (default: all)" },
	[OPT_HEALTH_URL] = { "health-url", "URL", "where the probes answer, as in http://127.0.0.1:8445" },
	[OPT_PFXD_CONF] = { "pfxd-conf", "FILE", "the configuration of the service on this machine\n"
			    "(default: /etc/pfxd/pfxd.conf); keyring.cred is beside it" },
	[OPT_EXPORT] = { "export", "FILE", "write a copy of the keyring there that opens on another\nmachine with a "
			 "recovery passphrase" },
	[OPT_NO_EXPORT] = { "no-export", NULL, "make no such copy: when this machine is lost, so is\n"
			    "everything that is stored" },
	[OPT_WITH_KEY] = { "with-key", "KEY", "seal to host, or to host+tpm2 (default: the latter where\n"
			   "there is a TPM)" },
	[OPT_PASSPHRASE_FILE] = { "passphrase-file", "FILE", "the recovery passphrase, on its first line; - is\n"
				  "standard input" },
	[OPT_PASSPHRASE_FD] = { "passphrase-fd", "N", "the same from the open descriptor N" },
	[OPT_PASSPHRASE_OUT] = { "passphrase-out", "FILE", "write the recovery passphrase there (0600) and do not\n"
				 "print it" },
	[OPT_LOCAL] = { "local", NULL, "ask the keeper on this machine, as root and without a\ntoken" },
	[OPT_SHARES] = { "shares", "K/N", "split the recovery passphrase into N shares, any K of\nwhich restore it, as in 3/5" },
	[OPT_OUT] = { "out", "FILE", "write there" },
	[OPT_KEEP] = { "keep", "N", "FILE is a folder: name the backup by its time, and remove\nthe oldest until there "
		       "are N" },
	[OPT_REPLACE] = { "replace", NULL, "also where the service is in use: what it has is lost" },
	[OPT_TRUST_DEVICES] = { "trust-devices", NULL, "do not hold the devices: none was revoked since" },
	[OPT_TRUST_TOKENS] = { "trust-tokens", NULL, "do not end the tokens of administrators: none was\n"
			       "revoked since" },
	[OPT_DATABASE] = { "database", "FILE", "verify this backup, and not what the service has" },
	[OPT_ALL] = { "all", NULL, "every device that is held" },
	[OPT_QUIET] = { "quiet", NULL, "print only what is not well" },
};

enum { MANY = INT_MAX };

/* Of each command that replaces the keyring of a running service. */
#define CHANGES_KEYRING (CLI_ALONE | CLI_BIT(OPT_PFXD_CONF) | CLI_BIT(OPT_DEV) | CLI_BIT(OPT_WITH_KEY))

static const struct cli_command commands[] = {
	{ "import", "UPN FILE...", 0, MANY,
	  CLI_BIT(OPT_PASSWORD_FILE) | CLI_BIT(OPT_PASSWORD_FD) | CLI_BIT(OPT_SAME_PASSWORD) | CLI_BIT(OPT_USAGES) |
		  CLI_BIT(OPT_LIST) | CLI_BIT(OPT_VERBOSE),
	  "import PFX files of a user, the old and expired ones too",
	  "  Imports each FILE (PKCS#12) for the user UPN, who is made if new. Without --password-file or\n"
	  "  --password-fd it asks for the password of each file. It prints a line a file, goes on past one\n"
	  "  that fails, and sums up failures and warnings by code at the end. A file has at most 1564672 bytes.\n"
	  "  To import a file twice does no harm: the second time it is \"known\". While the server is busy it\n"
	  "  waits and tries again.\n\n"
	  "  With --list it takes users and files from a listing, one file a line:\n"
	  "    upn,pfx-file,password-file\n"
	  "  Fields may stand in double quotes; lines that begin with # and a first line of titles that\n"
	  "  begins with \"upn,\" are skipped. Paths are relative to the folder of the listing. The third field\n"
	  "  may be left out where --password-file, --password-fd or --same-password says the password.\n\n"
	  "  With --json it prints one JSON object a file: user, file, and either created, certificates and\n"
	  "  warnings, or error with code and message.\n",
	  import_run },
	{ "history", "UPN", 1, 1, 0, "list the certificates of a user, newest first",
	  "  Lists every identity of the user, expired ones too. CURRENT FOR says what new mail uses it "
	"for.\n", history_run },
	{ "which", "MAIL", 1, 1, 0, "say which certificate opens an encrypted mail, and which device has it",
	  "  Reads the recipients of MAIL, an .eml file or its attachment smime.p7m; - is standard input. For each\n"
	  "  it says whose certificate it is, and for each device of that user whether it has it; or which issuer\n"
	  "  and serial number was never imported. The mail is neither opened nor sent anywhere. Needs a token of\n"
	  "  role admin or auditor. Exit status 0: at least one is here. 1: none.\n", which_run },
	{ "delete", "UPN THUMBPRINT", 2, 2, CLI_BIT(OPT_YES), "delete one certificate and destroy its key",
	  "  THUMBPRINT is the SHA-1 or SHA-256 of the certificate in hex, as history prints it. Mail that was\n"
	  "  encrypted to it can be read no more from here; backups keep it until they are overwritten.\n"
	  "  This can not be undone, so it asks, unless --yes is given.\n", delete_run },
	{ "enroll", "UPN", 1, 1,
	  CLI_BIT(OPT_NAME) | CLI_BIT(OPT_PLATFORM) | CLI_BIT(OPT_EXPIRES_IN) | CLI_BIT(OPT_TOKEN_OUT) |
		  CLI_BIT(OPT_FORCE),
	  "make a token with which one device of a user enrols, once",
	  "  Prints a token of 43 characters on standard output, this once. The device spends it with\n"
	  "  pfx-device enroll, or POST /v1/enroll. --name is needed. Default for --expires-in: one day; at\n"
	  "  most 604800, a week. The user is made if new.\n", enroll_run },
	{ "devices release", "[DEVICE-ID...]", 0, MANY, CLI_BIT(OPT_ALL), "let devices in again that are held",
	  "  After a restore every device that was active is held, unless --trust-devices was given: its calls get\n"
	  "  403, because the backup does not know which were revoked after it was made. Revoke those that\n"
	  "  are lost, and release the others.\n", devices_release_run },
	{ "devices", "[UPN]", 0, 1, 0, "list devices, of all users or of one", "  Lists devices with their state.\n",
	  devices_run },
	{ "revoke", "DEVICE-ID", 1, 1, 0, "revoke a device",
	  "  From its next call on the device gets nothing. What it has pulled before it still has.\n", revoke_run },
	{ "users", "", 0, 0, 0, "list users", "  Lists every user with the number of identities and "
	"devices.\n", users_run },
	{ "user", "UPN", 1, 1, 0, "show one user", "  Shows the user, by the present or an earlier UPN.\n", user_run },
	{ "rename", "UPN NEW-UPN", 2, 2, 0, "give a user another UPN; history and devices stay",
	  "  The old UPN stays as an alias.\n", rename_run },
	{ "retire", "UPN", 1, 1, CLI_BIT(OPT_YES), "end a user: revoke the devices, destroy the keys, keep the audit",
	  "  This can not be undone, so it asks for the name again, unless --yes is given.\n", retire_run },
	{ "token add", "NAME", 1, 1, CLI_BIT(OPT_ROLE) | CLI_BIT(OPT_EXPIRES_IN) | CLI_BIT(OPT_TOKEN_OUT) |
	  CLI_BIT(OPT_FORCE),
	  "make a token for an administrator or a script",
	  "  Prints the token on standard output, this once; the server keeps its hash only. --role is needed.\n"
	  "  Without --expires-in it does not expire.\n", token_add_run },
	{ "token list", "", 0, 0, 0, "list the administrators' tokens", "  Lists them without the tokens themselves.\n",
	  token_list_run },
	{ "token revoke", "ID", 1, 1, 0, "revoke a token",
	  "  ID is as token list prints it. The last token of role admin is refused (conflict).\n", token_revoke_run },
	{ "audit list", "", 0, 0, CLI_BIT(OPT_LIMIT), "list the audit records, oldest first",
	  "  One record for every import, release, enrolment, revocation, deletion and administrative act.\n",
	  audit_list_run },
	{ "audit verify", "", 0, 0, CLI_BIT(OPT_LOCAL) | CLI_BIT(OPT_PFXD_CONF),
	  "check the audit chain, and what is stored against it",
	  "  The server recomputes the chain of records and the state of devices, tokens and roles from it.\n"
	  "  Exit status 0: all agree. 1: each difference is printed, a line each. With --local it needs no\n"
	  "  token: root asks the keeper on the server itself.\n", audit_verify_run },
	{ "ca", "", 0, 0, 0, "print the enrolment CA, PEM",
	  "  Who checks bundles or device certificates needs it. It is not the CA of the server's TLS.\n", ca_run },
	{ "ca rotate", "", 0, 0, CHANGES_KEYRING | CLI_BIT(OPT_EXPORT) | CLI_BIT(OPT_NO_EXPORT) | CLI_BIT(OPT_PASSPHRASE_OUT),
	  "give the service a new enrolment CA beside the old one, on the server as root",
	  "  From then on it certifies devices, new ones and those that renew. Devices of the old CA learn of it from\n"
	  "  their next bundle, and both are trusted until ca retire. Do it two years before the old one ends, for a\n"
	  "  device's certificate never outlives its CA. It insists on --export FILE or --no-export, because older\n"
	  "  exports do not have the new CA.\n", ca_rotate_run },
	{ "ca retire", "", 0, 0, CHANGES_KEYRING, "end the enrolment CAs that no device needs any more",
	  "  Takes every CA but the newest out of the keyring of which no active device has a certificate that is\n"
	  "  still valid. It says how many devices need the others, and until when.\n", ca_retire_run },
	{ "ca request", "", 0, 0, CHANGES_KEYRING | CLI_BIT(OPT_OUT),
	  "make a key for an enrolment CA that somebody else signs",
	  "  Writes a request (PKCS#10) to the file of --out; its key stays in the keyring. Have it signed by the\n"
	  "  company's CA, with CA:TRUE, path length 0 and keyCertSign, for some years; then ca install.\n",
	  ca_request_run },
	{ "ca install", "FILE", 1, 1,
	  CHANGES_KEYRING | CLI_BIT(OPT_EXPORT) | CLI_BIT(OPT_NO_EXPORT) | CLI_BIT(OPT_PASSPHRASE_OUT),
	  "make the CA of ca request the enrolment CA, with the certificate that came back",
	  "  FILE is PEM: the certificate for the key of ca request, then those above it, the root last. It is\n"
	  "  checked, the way up to the root as for a device's certificate. What follows is as after ca rotate.\n"
	  "  Devices believe this CA alone, not all that the company's root has signed.\n", ca_install_run },
	{ "clock accept", "", 0, 0, CLI_ALONE | CLI_BIT(OPT_PFXD_CONF) | CLI_BIT(OPT_DEV),
	  "tell the keeper that the clock of this machine is right, on the server as root",
	  "  For when the clock was ahead, and records were made with wrong times: the keeper would take the right\n"
	  "  time for one that went back. And for when it rightly went ahead by much. It is on record. Set the clock\n"
	  "  first; pfxctl doctor shows it.\n", clock_accept_run },
	{ "health", "", 0, 0, CLI_BIT(OPT_HEALTH_URL), "show the health of the service",
	  "  Asks /healthz over plain HTTP; needs no token. Exit status 0: well. 3: not well, or not there.\n",
	  health_run },
	{ "keyring init", "", 0, 0,
	  CLI_ALONE | CLI_BIT(OPT_PFXD_CONF) | CLI_BIT(OPT_EXPORT) | CLI_BIT(OPT_NO_EXPORT) |
		  CLI_BIT(OPT_PASSPHRASE_OUT) | CLI_BIT(OPT_TOKEN_OUT) | CLI_BIT(OPT_NAME) | CLI_BIT(OPT_WITH_KEY),
	  "make the keyring of a new service, on the server as root",
	  "  Makes the keyring with its enrolment CA, and seals it to this machine with systemd-creds, as\n"
	  "  keyring.cred beside pfxd.conf. It prints the first token, of role admin, this once. It insists on\n"
	  "  --export FILE or --no-export: what is sealed to a machine or its TPM dies with it, and without its\n"
	  "  keyring a database opens nothing. The export is encrypted (CMS, AES-256) under a recovery passphrase\n"
	  "  of 140 random bits, which is printed this once; keep the two apart. keyring import opens it, and so\n"
	  "  does: openssl cms -decrypt -inform PEM -in FILE -pwri_password PASSPHRASE\n\n"
	  "  Where there is no TLS certificate it makes one, by a CA whose key it forgets, with the names of\n"
	  "  --name, localhost, 127.0.0.1 and ::1, and writes ca.pem beside it. It replaces no file. Either all\n"
	  "  are made or none; keyring.cred comes last.\n", keyring_init_run },
	{ "keyring import", "FILE [SHARE...]", 1, MANY,
	  CLI_ALONE | CLI_BIT(OPT_PFXD_CONF) | CLI_BIT(OPT_PASSPHRASE_FILE) | CLI_BIT(OPT_PASSPHRASE_FD) |
		  CLI_BIT(OPT_NAME) | CLI_BIT(OPT_WITH_KEY),
	  "bring a keyring back from its export, on the server as root",
	  "  Opens an export and seals it to this machine, as keyring init does; for a new machine, or one whose\n"
	  "  TPM was replaced. It asks for the recovery passphrase unless an option says it, or unless files with\n"
	  "  enough shares of it follow: those that keyring export --shares made. FILE may also be a keyring that\n"
	  "  is not encrypted, as pfxd --dev keeps it. A keyring.cred that is there is not replaced:\n"
	  "  move it away first.\n", keyring_import_run },
	{ "keyring export", "FILE", 1, 1,
	  CLI_ALONE | CLI_BIT(OPT_PFXD_CONF) | CLI_BIT(OPT_PASSPHRASE_OUT) | CLI_BIT(OPT_SHARES),
	  "write another copy of the keyring for safe-keeping, on the server as root",
	  "  Opens the keyring of this machine and encrypts it under a new recovery passphrase, which is printed\n"
	  "  this once. Older exports stay as good as they were.\n\n"
	  "  With --shares K/N the argument is a folder: it gets keyring.export, and the passphrase in N shares\n"
	  "  (Shamir's scheme), each in a file of its own, 0600, as a text that can be printed and typed. Any K of\n"
	  "  them restore it; fewer say nothing of it. Give each to somebody else, and take them off the machine.\n",
	  keyring_export_run },
	{ "keyring rotate", "", 0, 0, CHANGES_KEYRING | CLI_BIT(OPT_EXPORT) | CLI_BIT(OPT_NO_EXPORT) | CLI_BIT(OPT_PASSPHRASE_OUT),
	  "give the keyring a new wrapping key, and seal all that is stored anew under it",
	  "  Adds a wrapping key to the keyring of the running service, seals that to this machine as it was, and\n"
	  "  restarts the keeper. The keeper then seals every identity anew, while pulls go on; this command follows\n"
	  "  until none is left under an older key. It may be ended at any time, and so may the keeper: the work goes\n"
	  "  on by itself, and the same command follows again. It insists on --export FILE or --no-export, because\n"
	  "  older exports do not have the new key.\n"
	  "  Exit status 5: some identities do not open, and stay as they are.\n", keyring_rotate_run },
	{ "keyring retire", "", 0, 0, CHANGES_KEYRING, "take the older wrapping keys out of the keyring",
	  "  Refused while anything is stored that needs one of them. A backup from before the rotation needs an\n"
	  "  export from before, too: keep one as long as there are such backups.\n", keyring_retire_run },
	{ "doctor", "", 0, 0, CLI_ALONE | CLI_BIT(OPT_PFXD_CONF) | CLI_BIT(OPT_QUIET) | CLI_BIT(OPT_JSON),
	  "look at what usually goes wrong, on the server as root",
	  "  Looks at the clock, the keyring, the TLS certificate, units and sockets, and at what the keeper tells:\n"
	  "  the database, the audit chain, the disk, the openers, and what ends when. It prints a line for each,\n"
	  "  and a second one that says how to mend it. It changes nothing.\n"
	  "    ok    it is well\n"
	  "    soon  nothing is broken yet: a certificate ends within 90 days\n"
	  "    MEND  it is broken, or ends within 30 days (\"at once\": 7); in proportion for what lives less than\n"
	  "          a year\n"
	  "  Exit status 0: nothing to mend. 1: something is.\n", doctor_run },
	{ "backup", "[FILE]", 0, 1,
	  CLI_ALONE | CLI_BIT(OPT_PFXD_CONF) | CLI_BIT(OPT_DEV) | CLI_BIT(OPT_KEEP) | CLI_BIT(OPT_FORCE) |
		  CLI_BIT(OPT_JSON),
	  "back the database up, on the server as root",
	  "  The keeper copies its database while it serves, looks at the copy (that it is whole, that its audit\n"
	  "  verifies and that it opens under the keyring), and hands it over; pfxctl writes it (0600) and checks\n"
	  "  that what lies on the disk is what was sent. It is sealed like the original: without the keyring, of which\n"
	  "  keyring export makes a copy, it opens nothing. The disk of the database needs room for one more copy.\n\n"
	  "  With --keep FILE is a folder, which holds the N newest. Without FILE it is the folder, and the number,\n"
	  "  of [backup] in pfxd.conf; that is what pfxd-backup.timer does. docs/backup.md has the rest.\n",
	  backup_run },
	{ "restore", "FILE", 1, 1,
	  CLI_ALONE | CLI_BIT(OPT_PFXD_CONF) | CLI_BIT(OPT_DEV) | CLI_BIT(OPT_REPLACE) | CLI_BIT(OPT_TRUST_DEVICES) |
		  CLI_BIT(OPT_TRUST_TOKENS) | CLI_BIT(OPT_TOKEN_OUT) | CLI_BIT(OPT_FORCE) | CLI_BIT(OPT_JSON),
	  "put a backup into the place of the database, on the server as root",
	  "  Hands FILE to the keeper that runs, which must have the keyring of the backup: keyring import brings it\n"
	  "  to a new machine. The keeper looks at all of it, and refuses what is damaged, was changed, is of another\n"
	  "  keyring or of a newer version. Then the backup takes the place of the database, and the service starts\n"
	  "  again. Cut short at any moment there is either the old one or the new one.\n\n"
	  "  Where the keeper does not start because its database is damaged, let it begin an empty one first:\n"
	  "  systemctl stop pfxd.target pfxd-keeper; move pfxd.db, pfxd.db-wal and pfxd.db-shm away, and keep\n"
	  "  them; systemctl start pfxd.target; then pfxctl restore FILE.\n\n"
	  "  What was revoked after the backup was made is lost with it. So every active device is held (403)\n"
	  "  until devices release lets it in, unless --trust-devices is given; enrolment tokens that were not\n"
	  "  spent are ended; and so are all tokens of administrators, unless --trust-tokens is given: a new one,\n"
	  "  of role admin, is printed this once, or goes to --token-out. Who did not get it restores once more.\n"
	  "  What was deleted after the backup is there again.\n", restore_run },
	{ "verify", "", 0, 0,
	  CLI_ALONE | CLI_BIT(OPT_PFXD_CONF) | CLI_BIT(OPT_DEV) | CLI_BIT(OPT_DATABASE) | CLI_BIT(OPT_JSON),
	  "prove that every identity can still be read, on the server as root",
	  "  The keeper unseals every identity, in both forms that devices get, and an opener shows that each holds\n"
	  "  its certificate and the key of it: slowly, so that nobody who pulls notices. The result goes into the\n"
	  "  log and to /metrics. A timer does it weekly.\n"
	  "  Exit status 0: all can be read. 1: each that can not is printed, a line each.\n", verify_run },
	{ "dev-init", "DIR", 1, 1, CLI_ALONE, "make what pfxd --dev DIR needs (the launcher runs this)",
	  "  Makes, without any server:\n"
	  "    DIR/ca.pem           the CA of the TLS certificate; its key is not kept\n"
	  "    DIR/tls/server.pem   a TLS certificate for localhost, 127.0.0.1 and ::1, 825 days, with its CA\n"
	  "    DIR/tls/server.key   its key, 0600\n"
	  "    DIR/admin.token      a token of role admin, 0600\n"
	  "    DIR/keyring          the keyring, 0600, written last\n"
	  "  A folder that has a keyring is left as it is, and that is exit status 4.\n", dev_init_run },
};

static const struct cli_program program = {
	.name = "pfxctl",
	.purpose = "administer pfxd, a PFX certificate connector",
	.description =
		"DESCRIPTION\n"
		"  pfxctl imports people's S/MIME certificates into pfxd, lets devices enrol, and shows what is "
	"there.\n"
		"  On the server itself, as root, it makes the keyring, brings it back, makes backups, and finds what\n"
		"  is wrong.\n"
		"  It speaks to the admin interface over TLS with a token. Secrets come from files, descriptors or "
	"the\n"
		"  terminal, never from an argument or the environment. Results go to standard output, everything "
	"else\n"
		"  to standard error. A refusal of the server is shown as \"code: detail (request id)\"; the request\n"
		"  id is in the server's log.\n",
	.options = options,
	.option_count = OPT_COUNT,
	.everywhere = CLI_BIT(OPT_SERVER) | CLI_BIT(OPT_CA) | CLI_BIT(OPT_TOKEN_FILE) | CLI_BIT(OPT_CONFIG) |
		      CLI_BIT(OPT_DEV) | CLI_BIT(OPT_JSON),
	.commands = commands,
	.command_count = sizeof commands / sizeof commands[0],
	.closing =
		"\nFILES\n"
		"  The configuration is the first of: --config FILE or --dev DIR (DIR/pfxctl.conf), $PFXCTL_CONFIG,\n"
		"  ~/.config/pfxd/pfxctl.conf, /etc/pfxd/pfxctl.conf. Options win over it. Relative paths in it are\n"
		"  relative to its own folder; an unknown key is an error.\n"
		"    [pfxctl]\n"
		"    server = https://pfx.example.org:8444\n"
		"    ca = ca.pem\n"
		"    token_file = admin.token\n"
		"    device_server = https://pfx.example.org:8443   ; told to those who enrol devices\n"
		"    health = http://127.0.0.1:8445                 ; for the command health\n"
		"\nEXAMPLES\n"
		"    pfxctl import anna@example.org 2019.pfx 2022.pfx --password-file pw.txt\n"
		"    pfxctl import --list everyone.csv --json > result.json\n"
		"    pfxctl enroll anna@example.org --name \"Anna's phone\" --platform ios --token-out anna.token\n"
		"    pfxctl history anna@example.org --json | jq -r '.certificates[].thumbprint'\n"
		"    pfxctl which unreadable.eml\n"
		"    pfxctl audit verify || echo \"look at this\"\n"
		"\nSEE ALSO\n"
		"  pfx-device --help, pfxd --help, docs/openapi.yaml\n",
};

int main(int argc, char **argv)
{
	harden_process();
	log_init("pfxctl", LOG_LEVEL_INFO, true);
	journal_start(); /* for what timers run */
	return cli_main(&program, argc, argv);
}
