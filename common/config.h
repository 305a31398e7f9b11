/* The configuration: every key in one table, from which come the struct, the reader, the sample file
 * (conf/pfxd.conf) and the section of the manual. Relative paths are relative to the file's own folder, which every
 * room makes its working directory. A room that is told to (SIGHUP) reads the file again while it works. */
#ifndef PFXD_CONFIG_H
#define PFXD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
	CONFIG_TEXT_MAX = 160,
	CONFIG_LINE_MAX = 198, /* characters of a line: libinih cuts longer ones, and would read the rest as another line */
};

/* kind     section  when    key                        default                     least  most   help
 * A choice has its values instead, separated by '|'; it is kept as the number of the value, 0 for the first.
 * when: RELOAD, a reload takes a change over; START, it waits for the next start. */
#define CONFIG_KEYS(TEXT, NUMBER, CHOICE) \
	TEXT(paths,    START,  database,                    "/var/lib/pfxd/pfxd.db",      "The SQLite file.") \
	TEXT(paths,    START,  keyring,                     "",                           "The keyring file; empty: the systemd credential named keyring.") \
	TEXT(paths,    RELOAD, tls_certificate,             "/etc/pfxd/tls/server.pem",   "The servers' TLS certificate with its chain, PEM.") \
	TEXT(paths,    RELOAD, tls_key,                     "/etc/pfxd/tls/server.key",   "Its private key, PEM.") \
	TEXT(paths,    START,  runtime,                     "/run/pfxd",                  "The folder of the sockets between the rooms.") \
	NUMBER(front,  RELOAD, max_connections,             1024, 1, 60000,               "Connections that one front holds; more are closed at once.") \
	NUMBER(front,  RELOAD, max_connections_per_address, 256, 1, 60000,               "Of them, from one address; the addresses of an IPv6 network (64 bits) are one.") \
	NUMBER(front,  START,  max_header_bytes,            24576, 4096, 1048576,         "Request line and headers of one request; more is 431.") \
	NUMBER(front,  RELOAD, max_body_bytes,              2097152, 1024, 2097152,       "Body of one request; more is 413.") \
	NUMBER(front,  RELOAD, header_seconds,              15, 1, 3600,                  "From the connection to the end of the first request line, TLS included.") \
	NUMBER(front,  RELOAD, request_seconds,             60, 1, 3600,                  "From the request line to the end of the answer, however slowly it trickles.") \
	NUMBER(front,  RELOAD, idle_seconds,                75, 1, 3600,                  "From an answer to the next request line on a connection that is kept alive.") \
	NUMBER(front,  START,  threads,                     2, 1, 64,                     "Threads that do TLS and HTTP, for each front.") \
	NUMBER(front,  START,  workers,                     16, 1, 256,                   "Requests that wait for the keeper at a time, for each front.") \
	NUMBER(front,  START,  import_workers,              8, 1, 256,                    "Imports that wait for the keeper at a time; they have workers of their own.") \
	NUMBER(front,  RELOAD, keeper_seconds,              30, 1, 600,                   "How long a request may wait for the keeper before it is answered 503.") \
	NUMBER(front,  RELOAD, failures_per_minute,         600, 1, 1000000,              "Refused tokens from one address before it gets 429.") \
	NUMBER(keeper, RELOAD, poll_seconds,                14400, 1, 2592000,            "When a device is told to poll again, give or take a quarter.") \
	CHOICE(keeper, RELOAD, deliver_signing,             "newest", "newest|none",      "Which of the identities that only sign are delivered.") \
	NUMBER(keeper, RELOAD, min_free_mib,                64, 0, 1048576,               "Below this much free disk the service is not ready for imports.") \
	NUMBER(keeper, RELOAD, health_seconds,              5, 1, 3600,                   "How often the health checks run.") \
	NUMBER(keeper, START,  max_users,                   1000000, 1, 4294967295,      "Users that are not retired; one more is refused (409).") \
	TEXT(keeper,   START,  device_front_user,           "pfxd-device",                "The user that may connect to the devices' socket; empty: the keeper's own.") \
	TEXT(keeper,   START,  admin_front_user,            "pfxd-admin",                 "The user that may connect to the administrators' socket; empty: the keeper's own.") \
	TEXT(keeper,   START,  local_user,                  "root",                       "The user that may connect to the local socket, where no token is asked for; empty: the keeper's own.") \
	NUMBER(opener, RELOAD, pfx_openers,                 2, 1, 64,                     "PFX files that are opened at a time.") \
	NUMBER(opener, RELOAD, csr_openers,                 1, 1, 64,                     "Requests for certificates that are opened at a time.") \
	NUMBER(opener, RELOAD, max_work,                    24000000, 1000, 1000000000,    "Hash iterations that one PFX may cost, all its parts added up.") \
	NUMBER(opener, RELOAD, wait_seconds,                20, 1, 600,                   "How long a request may wait for a free opener, or for its answer.") \
	TEXT(backup,   RELOAD, backup_folder,               "/var/backups/pfxd",          "Where pfxctl backup puts one when it is told no file, as its timer does.") \
	NUMBER(backup, RELOAD, backup_keep,                 7, 1, 10000,                  "How many it keeps there; older ones are removed.") \
	NUMBER(log,    RELOAD, level,                       6, 3, 7,                      "As in syslog(3): 3 errors, 4 warnings, 6 one line a request, 7 everything.") \
	NUMBER(log,    RELOAD, names,                       1, 0, 1,                      "0: log lines leave out people's names.")

/* Numbers are atomic: every thread reads them, and a reload stores them. Texts that a reload may change are for the
 * thread that reloads alone. */
#define CONFIG_TEXT_FIELD(section, when, name, value, help) char name[CONFIG_TEXT_MAX];
#define CONFIG_NUMBER_FIELD(section, when, name, value, least, most, help) _Atomic uint32_t name;
#define CONFIG_CHOICE_FIELD(section, when, name, value, values, help) _Atomic uint32_t name;
struct config {
	const char *file; /* that config_start() read: its name, where that is relative from the folder it is in */
	CONFIG_KEYS(CONFIG_TEXT_FIELD, CONFIG_NUMBER_FIELD, CONFIG_CHOICE_FIELD)
};

enum deliver_signing { DELIVER_NEWEST, DELIVER_NONE };

/* Sets every key to its default. */
void config_init(struct config *c);
/* Reads path over c. MALFORMED_REQUEST with a sentence that names file, line and key: unknown section or key, a value
 * out of bounds, a key given twice, a line over CONFIG_LINE_MAX. NOT_FOUND with the reason if there is no such file or
 * it can not be read. c is unspecified on failure. */
int config_read(struct config *c, const char *path);
/* Sets one key from text, as the file would: for what the launcher writes and for tests. */
int config_set(struct config *c, const char *section, const char *name, const char *value);
/* Writes the sample file: every key at its default, commented out, with its help. */
void config_print_sample(FILE *f);
/* The same as the body of a man page section, one .TP a key. */
void config_print_manual(FILE *f);

/* What every room does with its command line and configuration: --config FILE, --help, --version. Reads the file,
 * goes to its folder, and fills c. Returns 0 to go on, or an exit status + 1 to end with. */
int config_start(struct config *c, int argc, char **argv, const char *purpose);
/* The same for a room that has options of its own, which it took out of argv: more are their lines for --help. */
int config_start_with(struct config *c, int argc, char **argv, const char *purpose, const char *more);

/* What a room does on SIGHUP: reads the file again, takes over what a reload may change, sets the log's level and names,
 * and says in the log what came of it: which keys wait for the next start; or, with the line, why nothing was taken
 * over. Returns 0 or config_read()'s error. For one thread. */
int config_reload(struct config *c);

#endif
