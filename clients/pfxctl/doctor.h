/* What the checks of the doctor share: each looks at one thing, and tells what it found and how to mend it. */
#ifndef PFXD_PFXCTL_DOCTOR_H
#define PFXD_PFXCTL_DOCTOR_H

#include "protocol.h"
#include "server.h"

#include <jansson.h>

enum finding {
	FINDING_OK,
	FINDING_SOON, /* nothing is broken yet */
	FINDING_MEND,
};

struct doctor {
	const struct cli *cli;
	struct server server;
	json_t *findings;
	size_t to_mend;
	bool over; /* what is left to look at would only tell what follows from what was told */
	bool is_stopped;     /* the whole service */
	bool keeper_is_down; /* and that was told */
	bool knows_ca; /* of the keyring as it is on disk */
	uint8_t ca_sha256[FINGERPRINT_BYTES];
};

/* Tells of one thing. check names it in a word or two; mend says what to do, and is "" where nothing is. */
void doctor_tell(struct doctor *d, enum finding how, const char *check, const char *mend, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
/* The same where the sentence is that of the last trouble(). */
void doctor_tell_trouble(struct doctor *d, const char *check, const char *mend);
/* Tells when something ends: soon at 90 days, to mend at 30 and at once at 7; in proportion for what lives less than a
 * year. Times in seconds since 1970. */
void doctor_tell_end(struct doctor *d, const char *check, int64_t begins, int64_t ends, const char *mend);

/* False, and told with mend, where path is a link out of its folder: of that the rooms see nothing. */
bool doctor_check_link(struct doctor *d, const char *check, const char *path, const char *mend);

/* True where the owners of files are hidden: in a user namespace, as in the sandbox of the timer's unit. */
bool doctor_is_confined(void);

/* The checks: of the machine and its files, of the TLS certificate, and of what the keeper tells. */
void doctor_check_clock(struct doctor *d);
void doctor_check_keyring(struct doctor *d);
void doctor_check_sockets(struct doctor *d);
void doctor_check_units(struct doctor *d);
void doctor_check_tls(struct doctor *d);
void doctor_check_keeper(struct doctor *d);
void doctor_check_backups(struct doctor *d);

#endif
